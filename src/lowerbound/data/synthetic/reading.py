"""Rows with the kinds of columns that synthetic rows need."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from lowerbound.data.columns.inference import Hint
from lowerbound.data.dataset import Dataset
from lowerbound.data.load import load
from lowerbound.data.synthetic.form import kind_hints
from lowerbound.data.tables.dialect import Dialect
from lowerbound.data.tables.numbers import found_notations, with_numbers


def read_for_synthesis(
    frame: Any,
    kinds: Mapping[str, Hint] | None = None,
    compared: Sequence[str] = (),
    dialect: Dialect | None = None,
) -> Dataset:
    """The rows with the kinds of columns that synthetic rows need.

    Args:
        frame: the rows, a pandas frame.
        kinds: of columns, if the inferred ones are wrong.
        compared: names of the columns in constraints.
        dialect: of the file of the rows; None: they are from no text, or from a usual one.
    """
    with warnings.catch_warnings():
        # identifiers are not modeled, but they are replaced by fresh ones
        warnings.filterwarnings("ignore", "column.*: no value repeats, so")
        hints = kind_hints(_with_numbers(frame, dialect), dict(kinds or {}), compared)
        return load(frame, missing="model", kinds=hints or "infer", dialect=dialect)


def _with_numbers(frame: Any, dialect: Dialect | None) -> Any:
    """The frame with text such as 1.234,50 as numbers; ``load`` gives the warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return with_numbers(frame, found_notations(frame, dialect, ()))
