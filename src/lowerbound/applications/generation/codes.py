"""``encode`` and ``decode``: rows to codes, and codes to rows in the data's own units.

Codes are the mean and the standard deviation of q(z | x), or discrete. In files of columns they are
z1, z2, ... and z1_std, ... for their standard deviations. Decoded rows are the mean of p(x | z), or
a draw from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lowerbound import untrusted
from lowerbound.applications.common.application import Report, Reporter, written
from lowerbound.applications.common.columnar_files import columnar
from lowerbound.applications.common.conditions import (
    class_column,
    label_indices,
    label_names,
    one_hot,
)
from lowerbound.applications.common.engines import Progress, computed, engine_of
from lowerbound.applications.common.parts import Arrays, finished_parts
from lowerbound.applications.common.requested_rows import RequestedRows, in_chunks, requested_rows
from lowerbound.applications.common.rows import row_files
from lowerbound.applications.common.table_rows import TABLES
from lowerbound.applications.generation.requests import DecodeRequest, EncodeRequest
from lowerbound.applications.generation.sample import RowsReport
from lowerbound.data.arrays import listed
from lowerbound.data.npz import open_arrays
from lowerbound.data.tables.arrow import frame_of
from lowerbound.data.tables.dialect import Dialect, Layout
from lowerbound.data.tables.files import parsing
from lowerbound.data.tables.parquet import ParquetTable, is_parquet
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.codes import encode_rows, numbers_of, quantized_rows, vectors_of
from lowerbound.inference.decoding import decode_codes
from lowerbound.models.powers import Decodes, Quantizes, require

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


def decode(request: DecodeRequest, reporter: Reporter, fitted: Fitted) -> RowsReport:
    """Decode codes and write the rows.

    Raises:
        DataError: the codes cannot be read or have another length.
    """
    model = require(fitted.model, Decodes, "decode")
    path = Path(request.output)
    files = row_files(fitted.schema)
    files.check(path)
    if isinstance(model, Quantizes):
        codes = read_codes(Path(request.codes), numbers_of(model))
        z = vectors_of(model, codes.z)
    else:
        codes = read_codes(Path(request.codes), model.latent_dim)
        z = codes.z
    label = _labels_of(fitted, codes, request.label)
    condition = one_hot(fitted, label)
    made = decode_codes(
        fitted.model, z, seed=request.seed, condition=condition, refined=request.draw
    )
    x = made.x if request.draw else made.mean
    extra = class_column(fitted, label)
    names = files.write(path, x, rounded=request.draw, extra=extra)
    refined = fitted.model.refiner is not None and request.draw
    return RowsReport("decoded rows", len(x), not request.draw, refined, **written(names))


def _labels_of(fitted: Fitted, codes: CodeTable, label: str) -> Tensor | None:
    if label:
        return label_indices(fitted, [label]).expand(len(codes.z))
    if not fitted.options.model.conditional or codes.label is None:
        return None
    return label_indices(fitted, codes.label)


@dataclass(frozen=True)
class EncodeReport(Report):
    """Codes were written.

    Attributes:
        rows: number of rows.
        latent_dim: numbers per code.
        cloud: whether each code has a standard deviation.
        files: paths.
    """

    rows: int
    latent_dim: int
    cloud: bool
    files: tuple[str, ...]

    def text(self) -> str:
        clouds = ", each with its standard deviation" if self.cloud else ""
        return f"{self.rows:,} codes of {self.latent_dim} numbers{clouds}: {self.files[0]}"


def encode(request: EncodeRequest, reporter: Reporter, fitted: Fitted) -> EncodeReport:
    """Write each row's posterior mean and standard deviation, or its discrete codes.

    Raises:
        DataError: the data is not of the kind that the model was fitted on.
    """
    path = Path(request.output)
    check_suffix(path)
    parts = requested_rows(request.data, fitted, on_error=request.on_error)
    many = in_chunks(request.data, fitted)

    def progress_of(part: RequestedRows) -> Progress:
        return lambda done, of: reporter.advance("encoding", *part.place(done, of))

    count = 0
    with (
        finished_parts("encode", request, reporter, in_parts=many) as finished,
        engine_of(request, partial(_computed, fitted), in_parts=many) as engine,
        columnar(path) as file,
    ):
        for part, found in computed(parts, lambda part: part, engine, finished, progress_of):
            codes = _coded(part, found)
            file.add(columns_of(codes, path))
            count += len(codes.z)
    return EncodeReport(count, codes.z.shape[1], codes.std is not None, (request.output,))


def _computed(fitted: Fitted, part: RequestedRows, progress: Progress) -> Arrays:
    """The codes of a part, and their standard deviations, if they have some."""
    if isinstance(fitted.model, Quantizes):
        found = {"z": quantized_rows(fitted.model, part.rows).numpy()}
    else:
        codes = encode_rows(fitted.model, part.rows)
        found = {"z": codes.mean.float().numpy()}
        if bool(codes.deviation.any()):
            found["std"] = codes.deviation.float().numpy()
    progress(1, 1)
    return found


def _coded(part: RequestedRows, found: Arrays) -> CodeTable:
    std = torch.from_numpy(found["std"]) if "std" in found else None
    z = torch.from_numpy(found["z"])
    return CodeTable(z, std, label_names(part.rows), part.rows.ids)
