r"""Latent arithmetic: add and subtract latent codes, and decode the result.

.. math:: z = z_A - z_B + z_C, \qquad x = \operatorname{E} p(x \mid z)

Each term is a row or ``mean(NAME)``, the mean code of a class. The signs must sum to one, so
that the result is a code and not a difference of codes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lowerbound.applications.base import Reporter, WrittenReport, written
from lowerbound.applications.form import REQUIRED, DataRequest, OnError, unreadable
from lowerbound.applications.io.conditions import label_indices, one_hot
from lowerbound.applications.io.drawings.animations import ANIMATIONS
from lowerbound.applications.io.drawings.strips import Strip
from lowerbound.applications.io.requested_rows import picked_row
from lowerbound.applications.io.row_files import row_files
from lowerbound.applications.latent_space.label_columns import (
    Labeled,
    open_labeled,
    row_name,
)
from lowerbound.config import option
from lowerbound.errors import OptionError, unknown
from lowerbound.fitting import Fitted
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.draws.decoding import decode_codes
from lowerbound.inference.latent_space.attributes import known_classes
from lowerbound.models import Decodes, Encodes, require

FORM = "as in '12 - 40 + 7' or '12 - mean(3) + mean(8)'"
TERM = re.compile(r"\s*([+\-−])\s*(mean\(([^)]*)\)|\d+(?![\w./])|'[^']+'|\"[^\"]+\"|[^\s+−]+)\s*")


@dataclass(frozen=True)
class ArithmeticRequest(DataRequest):
    """A sum of codes to compute and decode."""

    sum: str = option(
        REQUIRED,
        "rows from 0 or by name, and mean(CLASS): '12 - 40 + 7', '12 - mean(3) + mean(8)'",
        positional=True,
        metavar="SUM",
    )
    output: str = option(
        REQUIRED,
        "pictures: a .png sheet, .npz or a folder; tables: .csv, .parquet or .npz",
        short="-o",
        metavar="OUT",
    )
    label: str = option("", "the table's column with the classes of mean(CLASS)", metavar="COLUMN")
    condition: str = option(
        "", "class of the result, for a conditional model", metavar="CLASS", formerly="told"
    )
    on_error: OnError = unreadable()


@dataclass(frozen=True)
class ArithmeticReport(WrittenReport):
    """The result was written.

    Attributes:
        sum: the expression.
        nearest: the row with the nearest code to the result's, except the rows of the sum.
        nearest_class: its class, if known.
        distance: between the two codes.
    """

    sum: str
    nearest: str
    nearest_class: str
    distance: float

    def text(self) -> str:
        known = f" (class {self.nearest_class})" if self.nearest_class else ""
        lines = [f"{self.sum}: {self.where}"]
        if self.nearest:
            lines.append(f"  the nearest code is that of {self.nearest}{known}")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Term:
    """One term of a sum.

    Attributes:
        sign: 1 or -1.
        name: displayed name.
        rows: rows whose mean code is the term.
    """

    sign: int
    name: str
    rows: Tensor


def arithmetic(request: ArithmeticRequest, reporter: Reporter, fitted: Fitted) -> ArithmeticReport:
    """Decode a sum of codes and write the result beside its decoded terms.

    Raises:
        UnsupportedError: the model has no encoder or no decoder.
        OptionError: the sum cannot be parsed, or names rows or classes that do not exist.
        DataError: the data is not of the kind that the model was fitted on.
    """
    path = Path(request.output)
    if path.suffix.lower() in ANIMATIONS:
        raise OptionError(f"{path}: one answer is no animation; write a .png sheet")
    row_files(fitted.schema).check_strip(path)
    require(fitted.model, Encodes, "encode")
    require(fitted.model, Decodes, "decode")
    data = open_labeled(request.data, fitted, request.label, request.on_error)
    terms = read_sum(request.sum, data)
    reporter.say(f"encoding {len(data.dataset):,} rows")
    codes = encode_rows(fitted.model, data.dataset).mean
    means = torch.stack([codes[term.rows].mean(0) for term in terms])
    signs = torch.tensor([term.sign for term in terms], dtype=means.dtype)
    z = torch.cat([means, (signs @ means).unsqueeze(0)])
    condition = _conditions(fitted, data, terms, request.condition)
    x = decode_codes(fitted.model, z, condition=condition).mean
    names = (*map(_shown, terms), "answer")
    strip = Strip(x.unsqueeze(0), ("",), names, "", "term")
    files = row_files(fitted.schema).write_strip(path, strip)
    return _report(request.sum, terms, z[-1], codes, data, files)


def read_sum(text: str, data: Labeled) -> list[Term]:
    """The terms of a sum.

    Raises:
        OptionError: the sum cannot be parsed, names rows or classes that do not exist, or its
            signs do not sum to one.
        DataError: a class is named and the data has no labels.
    """
    rest = text.strip()
    rest = rest if rest[:1] in "+-−" and rest else f"+{rest}"
    terms = []
    while rest:
        match = TERM.match(rest)
        if match is None:
            raise OptionError(f"SUM cannot be read at {rest!r}; write it {FORM}")
        terms.append(_term(-1 if match[1] in "-−" else 1, match[2], match[3], data))
        rest = rest[match.end() :]
    if sum(term.sign for term in terms) != 1:
        raise OptionError(
            f"SUM: the signs of {text!r} sum to {sum(t.sign for t in terms)} and have to sum to 1, "
            f"{FORM}"
        )
    return terms


def _term(sign: int, word: str, name: str | None, data: Labeled) -> Term:
    if name is None:
        row = picked_row(word.strip("'\""), data.dataset, "SUM")
        return Term(sign, row_name(data.dataset, row), torch.tensor([row]))
    known = known_classes(data.label, data.names)
    if name.strip() not in known:
        raise unknown("class", name.strip(), known)
    assert data.label is not None
    rows = torch.nonzero(data.label == known[name.strip()]).flatten()
    return Term(sign, f"mean({name.strip()})", rows)


def _shown(term: Term) -> str:
    return f"{'plus' if term.sign > 0 else 'minus'} {term.name}"


def _conditions(fitted: Fitted, data: Labeled, terms: list[Term], name: str) -> Tensor | None:
    """The condition of each term and of the result: class ``name``, or each term's own class."""
    if name:
        return one_hot(fitted, label_indices(fitted, [name]).expand(len(terms) + 1))
    label = data.dataset.label
    if not fitted.options.model.conditional or label is None:
        return None
    own = torch.stack([label[term.rows].mode().values for term in terms])
    if len(own.unique()) > 1:
        raise OptionError(
            "the terms are of several classes, and the model decodes the answer under one: choose "
            "it with --condition CLASS"
        )
    return one_hot(fitted, torch.cat([own, own[:1]]))


def _report(
    text: str, terms: list[Term], z: Tensor, codes: Tensor, data: Labeled, files: tuple[str, ...]
) -> ArithmeticReport:
    distance = (codes - z).norm(dim=1)
    single = [term.rows for term in terms if len(term.rows) == 1]
    if single:
        distance[torch.cat(single)] = torch.inf
    row = int(distance.argmin())
    found = bool(distance[row].isfinite())
    known = data.label is not None and int(data.label[row]) >= 0 and found
    return ArithmeticReport(
        text,
        row_name(data.dataset, row) if found else "",
        data.names[int(data.label[row])] if known and data.label is not None else "",
        float(distance[row]),
        **written(files),
    )
