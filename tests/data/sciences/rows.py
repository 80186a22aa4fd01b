"""Real molecules for tests."""

from __future__ import annotations

import gzip
from itertools import islice
from pathlib import Path


def moses_rows(folder: Path, number: int, part: str = "train") -> list[str]:
    """The first SMILES of MOSES."""
    with gzip.open(folder / f"moses_{part}.csv.gz", "rt", encoding="ascii") as file:
        return [line.strip() for line in islice(file, 1, number + 1)]
