"""Checks of models and options for which no file can be written."""

from __future__ import annotations

from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.models import Model
from lowerbound.models.powers import TakesCondition


def refuse_beside_rows(model: Model) -> None:
    """Raise UnsupportedError if coding a row takes more than its numbers.

    The file would also have to contain the row's class, or which of its cells are missing.
    """
    if any(isinstance(part, TakesCondition) and part.condition_dim for part in model.modules()):
        raise UnsupportedError(
            "a conditional model cannot compress: files do not hold classes; fit one without "
            "--conditional"
        )
    if model.inputs is not None:
        raise UnsupportedError(
            "a model of a table's columns, or of missing values, cannot compress: that takes "
            "pictures or numbers without gaps"
        )


def used_codebooks(requested: int | None, there: int) -> int:
    """The number of codebooks to use, the coarsest first; None: all.

    Raises:
        OptionError: the model has fewer.
    """
    if requested is not None and not 1 <= requested <= there:
        raise OptionError(f"codebooks is from 1 to the model's {there}, not {requested}")
    return requested or there
