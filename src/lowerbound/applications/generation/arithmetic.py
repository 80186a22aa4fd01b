r"""Latent arithmetic: add and subtract latent codes, and decode the result.

.. math:: z = z_A - z_B + z_C, \qquad x = \operatorname{E} p(x \mid z)

Each term is a row, by number from 0 or by name, or ``mean(NAME)``, the mean code of a class: of the
data's label, or of another column of a table. The signs must sum to one, so that the result is a
code and not a difference of codes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from lowerbound.applications.common.application import Reporter, WrittenReport, written
from lowerbound.applications.common.conditions import label_indices, one_hot
from lowerbound.applications.common.drawings import ANIMATIONS, Strip
from lowerbound.applications.common.form import OnError
from lowerbound.applications.common.requested_rows import picked_row
from lowerbound.applications.common.rows import row_files
from lowerbound.applications.common.sources import conditioned, open_data
from lowerbound.applications.generation.attribute_vectors import known_classes
from lowerbound.applications.generation.requests import ArithmeticRequest
from lowerbound.data.dataset import Dataset
from lowerbound.data.labels import encode_labels
from lowerbound.data.loading import load
from lowerbound.data.pictures.folders import classes_of
from lowerbound.data.tables.files import CSV_SUFFIXES, is_table, read_frame, table_suffix
from lowerbound.data.tables.parquet import PARQUET_SUFFIXES
from lowerbound.errors import DataError, OptionError, unknown
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.decoding import decode_codes
from lowerbound.models.powers import Decodes, Encodes, require

FORM = "as in '12 - 40 + 7' or '12 - mean(3) + mean(8)'"
TERM = re.compile(r"\s*([+\-−])\s*(mean\(([^)]*)\)|\d+(?![\w./])|'[^']+'|\"[^\"]+\"|[^\s+−]+)\s*")


@dataclass(frozen=True, eq=False)
class Labeled:
    """Rows as the model's input, with a label that the model need not know.

    Attributes:
        dataset: the rows, with their class if the model is conditional.
        label: class indices, (rows,), -1 if unknown; None without labels.
        names: class names, in the order of their indices.
    """

    dataset: Dataset
    label: Tensor | None
    names: tuple[str, ...]

    def as_dataset(self) -> Dataset:
        """The rows with this label, for a classifier."""
        schema = replace(self.dataset.schema, class_names=self.names, condition=None)
        return replace(self.dataset, label=self.label, schema=schema)


def open_labeled(
    source: str, fitted: Fitted, column: str = "", on_error: OnError = "raise"
) -> Labeled:
    """Open data of the model's kind, labeled by ``column`` if it is given.

    The column may be unknown to the model, one that it models, or its label. Folders of pictures
    whose classes are all unknown to the model keep these classes.

    Raises:
        DataError: as ``open_data``; or the data is no table; or the column has fractions.
        OptionError: there is no column of that name; the message suggests the nearest.
    """
    if not column or column == fitted.schema.label_column:
        dataset = open_data(source, fitted, on_error=on_error)
        label, names = dataset.label, fitted.schema.class_names
        pictures = dataset.schema.data_kind.pictures and Path(source).expanduser().is_dir()
        if pictures and (label is None or bool((label < 0).all())):
            folders = classes_of([Path(name) for name in dataset.ids or ()])
            label, names = (label, names) if folders is None else encode_labels(folders)
        return Labeled(dataset, label, names)
    if not is_table(source):
        if table_suffix(Path(source)) in (*CSV_SUFFIXES, *PARQUET_SUFFIXES):
            raise DataError(f"there is no file {source!r}")
        raise DataError(
            f"only tables have columns, so {source} has no column {column!r}; the classes of "
            "pictures are the names of their folders"
        )
    frame = read_frame(source)
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    if column not in frame:
        raise unknown("column", column, frame.columns)
    label, names = encode_labels(frame[column])
    kept = {one.name for one in fitted.schema.columns} | {fitted.schema.label_column}
    features = frame if column in kept else frame.drop(columns=[column])
    dataset = load(features, schema=replace(fitted.schema, condition=None), on_error=on_error)
    if len(dataset) != len(frame):
        raise DataError(
            f"{len(frame) - len(dataset):,} rows of {source} cannot be read, so that the classes "
            f"of {column!r} are not those of the rows that are left: remove these rows"
        )
    return Labeled(conditioned(replace(dataset, source=source), fitted), label, names)


def row_name(dataset: Dataset, row: int) -> str:
    """The row's own name; otherwise its number."""
    return dataset.ids[row] if dataset.ids else f"row {row}"


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
