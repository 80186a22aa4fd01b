"""Latent codes in files: columns z1, z2, ... and z1_std, ... for their standard deviations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lowerbound import untrusted
from lowerbound.applications.io.table_rows import TABLES
from lowerbound.data.arrays import listed
from lowerbound.data.npz import open_arrays
from lowerbound.data.tables.arrow import frame_of
from lowerbound.data.tables.dialect import Dialect, Layout
from lowerbound.data.tables.files import parsing
from lowerbound.data.tables.parquet import ParquetTable, is_parquet
from lowerbound.errors import DataError, OptionError

if TYPE_CHECKING:
    import pandas as pd

NAMED = re.compile(r"z(\d+)")


@dataclass(frozen=True, eq=False)
class CodeTable:
    """Codes of rows, with the columns stored beside them.

    Attributes:
        z: posterior means, (rows, latent_dim); or the whole numbers of discrete latents.
        std: posterior standard deviations, (rows, latent_dim); None if a code is a point.
        label: class name of each row; None if unknown.
        ids: name of each row, such as its file.
    """

    z: Tensor
    std: Tensor | None = None
    label: tuple[str, ...] | None = None
    ids: tuple[str, ...] | None = None


def check_suffix(path: Path) -> None:
    """Refuse a path without a supported suffix.

    Raises:
        OptionError: the suffix is not supported; the message lists the formats.
    """
    if path.suffix.lower() not in TABLES:
        raise OptionError(f"{path}: codes are kept as {', '.join(TABLES[:-1])} or {TABLES[-1]}")


def columns_of(codes: CodeTable, path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Columns to write: one array of codes for .npz, otherwise one column per number."""
    named = {"id": codes.ids, "label": codes.label, "z": codes.z, "z_std": codes.std}
    columns = {name: np.asarray(values) for name, values in named.items() if values is not None}
    if path.suffix.lower() == ".npz":
        return columns
    wide = {name: columns.pop(name) for name in ("z", "z_std") if name in columns}
    for name, values in wide.items():
        end = name.removeprefix("z")
        columns |= {f"z{i + 1}{end}": column for i, column in enumerate(values.T)}
    return columns


def read_codes(path: Path, latent_dim: int) -> CodeTable:
    """Read what ``write_codes`` wrote, or a table of columns z1, z2, ... or 0, 1, ...

    Raises:
        OptionError: the suffix is not supported.
        DataError: the file is missing or damaged, or its codes have another length or are not
            finite.
    """
    check_suffix(path)
    if not path.is_file():
        raise DataError(f"{path} is no file: give the codes that lowerbound encode wrote")
    with untrusted.guarded(str(path), DataError):
        z, label, ids = _read_arrays(path) if path.suffix.lower() == ".npz" else _read_frame(path)
    if z.dtype.kind not in "biuf":
        raise DataError(f"{path}: codes are numbers, and these are {z.dtype}")
    if z.ndim != 2 or z.shape[1] != latent_dim:
        found = f"{z.shape[1]} numbers" if z.ndim == 2 else f"shape {z.shape}"
        raise DataError(f"{path}: each code needs {latent_dim} numbers, and these have {found}")
    if not len(z):
        raise DataError(f"{path} holds no codes")
    for name, beside in (("label", label), ("id", ids)):
        if beside is not None and len(beside) != len(z):
            raise DataError(f"{path}: {name} has {len(beside)} entries for {len(z)} codes")
    with np.errstate(over="ignore"):
        z = z.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(z).all(1))
    if len(bad):
        raise DataError(
            f"{path}: the code in row {bad[0]}, counted from 0, is not finite in float32"
        )
    return CodeTable(torch.from_numpy(z), label=label, ids=ids)


Parts = tuple[np.ndarray[Any, Any], tuple[str, ...] | None, tuple[str, ...] | None]


def _read_arrays(path: Path) -> Parts:
    with open_arrays(path) as arrays:
        named = {name: arrays[name] for name in ("z", "label", "id") if name in arrays}
        key = "z" if "z" in named else next(iter(arrays), None)
        if key is None:
            raise DataError(f"{path} holds no array")
        if key not in named:
            named[key] = arrays[key]
    return named[key], _texts(named.get("label")), _texts(named.get("id"))


def _read_frame(path: Path) -> Parts:
    import pandas as pd

    if is_parquet(path):
        frame = frame_of(ParquetTable.open(path).read(), str(path))
    else:
        with parsing(path, Layout(Dialect(), header=True)) as file:
            frame = pd.read_csv(file)
    named = [name for name in map(str, frame.columns) if NAMED.fullmatch(name)]
    named.sort(key=lambda name: int(name[1:]))
    if not named and not all(name.isdecimal() for name in map(str, frame.columns)):
        raise DataError(
            f"{path} holds no codes: it has no columns z1, z2, ..., which lowerbound encode "
            f"writes, but {listed(list(frame.columns))}"
        )
    wide = pd.DataFrame({name: _numbers(frame[name], path) for name in named})
    numbers = wide if named else frame.select_dtypes("number")
    label, ids = (_column(frame, name) for name in ("label", "id"))
    return numbers.to_numpy(dtype=np.float64), label, ids


def _numbers(column: pd.Series[Any], path: Path) -> pd.Series[Any]:
    """A column of a code as numbers.

    Raises:
        DataError: a cell is text that is no number.
    """
    import pandas as pd

    found = pd.to_numeric(column, errors="coerce")
    wrong = np.flatnonzero(found.isna() & column.notna())
    if len(wrong):
        raise DataError(
            f"{path}: column {column.name!r} is a number of a code, but holds "
            f"{column.iloc[wrong[0]]!r} in row {wrong[0]}, counted from 0"
        )
    return found


def _column(frame: pd.DataFrame, name: str) -> tuple[str, ...] | None:
    return _texts(frame[name].to_numpy()) if name in frame else None


def _texts(values: np.ndarray[Any, Any] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(str(value) for value in values.reshape(-1).tolist())
