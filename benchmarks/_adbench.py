"""The ADBench tables: which may be chosen on, which are reported, and how a run splits one.

The tables are parted once, by the hash of their names: settings are chosen on the first half and
figures are told of the second.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lowerbound.data.catalog import data_folders, first_place
from lowerbound.errors import DataError

ARCHIVE = "adbench_classical.tar"
MOST_ROWS = 10_000  # as ADBench cuts its larger tables
Array = np.ndarray[Any, Any]
Protocol = Literal["clean", "contaminated"]


@dataclass(frozen=True)
class Split:
    """Rows to fit on and rows to score; y is 1 for an anomaly."""

    training: Array
    test: Array
    y: Array


@cache
def names() -> tuple[str, ...]:
    """All tables in the order of their names' hashes."""
    with tarfile.open(archive_path()) as archive:
        found = [
            member.split("/")[-1][:-4] for member in archive.getnames() if member[-4:] == ".npz"
        ]
    return tuple(sorted(found, key=lambda name: hashlib.sha256(name.encode()).hexdigest()))


def half(which: Literal["choose", "report"]) -> tuple[str, ...]:
    """The tables on which settings may be chosen, or those of which figures are told."""
    middle = (len(names()) + 1) // 2
    return names()[:middle] if which == "choose" else names()[middle:]


def split(name: str, protocol: Protocol, seed: int) -> Split:
    """Clean: half of the normal rows to fit on. Contaminated: 70 % of all rows, stratified."""
    x, y = _table(name)
    random = np.random.default_rng(seed)
    if len(x) > MOST_ROWS:
        chosen = random.permutation(len(x))[:MOST_ROWS]
        # a class so rare that the cut may lose it keeps at least two rows
        chosen = np.union1d(chosen, np.flatnonzero(y == 1)[:2])
        x, y = x[chosen], y[chosen]
    share = 0.5 if protocol == "clean" else 0.7
    fitted = np.zeros(len(x), dtype=bool)
    for kind in (0, 1):
        rows = random.permutation(np.flatnonzero(y == kind))
        taken = 0 if protocol == "clean" and kind == 1 else round(share * len(rows))
        fitted[rows[:taken]] = True
    return Split(x[fitted], x[~fitted], y[~fitted])


@cache
def _table(name: str) -> tuple[Array, Array]:
    with tarfile.open(archive_path()) as archive:
        member = next(m for m in archive.getmembers() if m.name.endswith(f"{name}.npz"))
        file = archive.extractfile(member)
        assert file is not None
        with np.load(io.BytesIO(file.read()), allow_pickle=False) as arrays:
            return arrays["X"].astype(np.float64), arrays["y"].astype(int).ravel()


def archive_path() -> Path:
    """The archive of all tables, in the folder LOWERBOUND_DATA.

    Raises:
        DataError: it is not there.
    """
    found = first_place(data_folders(), (ARCHIVE,))
    if found is None:
        raise DataError(
            f"the data set adbench is missing: put {ARCHIVE}, the classical tables of "
            "https://github.com/Minqi824/ADBench, into the folder LOWERBOUND_DATA"
        )
    return found
