"""Decode codes into rows in the data's own units: the mean of p(x | z), or a draw from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from lowerbound.applications.base import Reporter, written
from lowerbound.applications.form import REQUIRED, ModelRequest
from lowerbound.applications.generation.code_files import CodeTable, read_codes
from lowerbound.applications.generation.rows_report import RowsReport
from lowerbound.applications.io.conditions import class_column, label_indices, one_hot
from lowerbound.applications.io.row_files import row_files
from lowerbound.config import option
from lowerbound.fitting import Fitted
from lowerbound.inference.codebooks import numbers_of, vectors_of
from lowerbound.inference.draws.decoding import decode_codes
from lowerbound.models import Decodes, Quantizes, require


@dataclass(frozen=True)
class DecodeRequest(ModelRequest):
    """Decode codes into data."""

    codes: str = option(REQUIRED, "codes as encode writes them", positional=True)
    output: str = option(
        REQUIRED,
        "pictures: a .png sheet, .npz, or a folder; tables: .csv, .parquet or .npz; sound: .wav, "
        ".npz or a folder",
        short="-o",
        metavar="OUT",
    )
    draw: bool = option(False, "write a draw from p(x | z) instead of its mean")
    label: str = option(
        "", "class of the rows, for a conditional model (default: the class in the file of codes)"
    )
    seed: int = option(0, "seed of the draws")


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
