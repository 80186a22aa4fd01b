"""Published sets of pictures as an npz for ``lowerbound fit``.

python benchmarks/_picture_sets.py cifar10 -o cifar10.npz
"""

from __future__ import annotations

import argparse

import numpy as np
from _cifar import CIFAR10
from _downsampled_imagenet import IMAGENET32, IMAGENET64
from _kodak_tiles import KODAK_TILES

SETS = {one.name: one for one in (CIFAR10, IMAGENET32, IMAGENET64, KODAK_TILES)}


def main() -> None:
    """Write the published parts of a set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=SETS)
    parser.add_argument("-o", "--output", required=True)
    chosen = parser.parse_args()
    arrays = {}
    for part in ("train", "test"):
        raw = SETS[chosen.name].read(part)
        arrays[f"x_{part}"] = raw.x
        if raw.labels is not None:
            arrays[f"y_{part}"] = raw.labels
    np.savez(chosen.output, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
