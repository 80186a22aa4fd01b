"""Memory and time that packed files take, read under ``--memory 0.2``.

Fifteen kinds of files are made at run time, each by repeating a block: packed tables, arrays, tar
files, pictures, workbooks and Parquet. Each is read twice in a process of its own, with 700 MB of
unpacked content, and with about as much as the limit lets through. The peak of memory over that of
the process after it has read a small file of the kind is measured, with that of a reader in a
further process, and the seconds to the end or to the refusal.

    python benchmarks/packed_files.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from _record import Metric, arguments, write

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.hostile.packed import KINDS, Measured, measured

LIMIT = 0.2  # gigabytes, of --memory
LARGE = 700_000_000  # bytes
FITTING = {
    "csv.gz": 10_000_000,
    "csv.bz2": 10_000_000,
    "csv.xz": 10_000_000,
    "one line of a csv.gz": 3_000_000,
    "array of an npz": 45_000_000,
    "sequences of an npz": 45_000_000,
    "codes of an npz": 190_000_000,
    "skipped member of a shard": 190_000_000,
    "pictures of a shard": 190_000_000,
    "xlsx": 25_000_000,
    "ods": 25_000_000,
    "repeated text of parquet": 20_000_000,
}
"""Bytes that the limit lets through; other kinds are refused at any size, or have one size."""
MOST, SOON = 0.5, 2.0  # gigabytes over the base; seconds to a refusal


def main() -> None:
    given = arguments(__doc__ or "").parse_args()
    began = time.perf_counter()
    names = list(KINDS)[:2] if given.quick else list(KINDS)
    large: dict[str, Measured] = {}
    fitting: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            size = LARGE // 10 if given.quick else LARGE
            large |= _said(measured([name], Path(folder), size, LIMIT))
            if name in FITTING:
                fitting |= _said(measured([name], Path(folder), FITTING[name], LIMIT))
    read = {name: each for name, each in large.items() if not each.refused}
    refused = {name: each.seconds for name, each in large.items() if each.refused}
    left = {name: each.left for name, each in (large | fitting).items() if each.left}
    worse = max(
        sum(bool(each.refused and each.seconds > SOON) for each in large.values()),
        sum(each.megabytes > 1e3 * MOST for each in large.values()),
    )
    write(
        "packed_files",
        [
            _peak("peak over the base, 700 MB of content", large),
            _peak("peak over the base, content that the limit lets through", fitting),
            Metric(
                "seconds to the slowest refusal", max(refused.values(), default=0.0), "s", "lower",
                target=SOON, beside=refused,
            ),
            Metric("kinds beyond both bars", worse, "kinds", "lower", target=0),
            Metric("kinds that leave files after a refusal", len(left), "kinds", "lower", target=0),
        ],
        data=[{"file": "made at run time", "split": "-", "sha256": "-"}],
        seeds=[],
        minutes=(time.perf_counter() - began) / 60,
        notes=f"Read, not refused, at 700 MB: {', '.join(read) or 'none'}. A refusal is one "
        "sentence. Pictures are read at their usual smaller size.",
        quick=given.quick,
        extra={"sentences": {name: each.refused for name, each in large.items()}},
    )  # fmt: skip


def _said(found: dict[str, Measured]) -> dict[str, Measured]:
    for name, each in found.items():
        words = f"refused: {each.refused[:60]}" if each.refused else "read"
        print(f"{name}: {each.megabytes:.0f} MB, {each.seconds:.2f} s, {words}", flush=True)
    return found


def _peak(name: str, found: dict[str, Measured]) -> Metric:
    gigabytes = {kind: each.megabytes / 1e3 for kind, each in found.items()}
    worst = max(gigabytes.values(), default=0.0)
    return Metric(name, worst, "GB", "lower", target=MOST, beside=gigabytes)


if __name__ == "__main__":
    main()
