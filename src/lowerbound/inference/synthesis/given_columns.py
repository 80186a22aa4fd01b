"""Rows of a table with given columns: the others are drawn from the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lowerbound.errors import UnsupportedError
from lowerbound.fitting import Fitted
from lowerbound.inference.synthesis.tables import TableDraws, TableSource


def gives_columns(fitted: Fitted) -> bool:
    """Whether names in ``given`` are columns of a table, and not attributes of a prompt."""
    schema = fitted.schema
    table = schema.data_kind.named_columns and bool(schema.columns) and schema.windows is None
    return table and not fitted.options.model.prompts


def draws_with_columns(
    fitted: Fitted,
    given: Mapping[str, Any],
    seed: int,
    within_range: bool = False,
    complete: bool = False,
) -> TableDraws:
    """Draws of rows x ~ p(x | given columns).

    Args:
        fitted: a model of a table.
        given: values by column, in the units of the data.
        seed: of the draws.
        within_range: whether drawn numbers and dates stay in the range of the fitted rows.
        complete: whether no drawn cell is missing.

    Raises:
        OptionError: a column or a level does not exist, or the values cannot occur together.
        DataError: a value is not one of its column.
        UnsupportedError: the model is conditional, was fitted to complete rows, or has no exact
            density. The message about a class names the option that takes it.
    """
    if fitted.options.model.conditional:
        label = fitted.schema.label_column
        if label is not None and set(given) == {label}:
            raise UnsupportedError(
                f"{label} is the class of this model: use --label {given[label]} (in Python, y=)"
            )
        raise UnsupportedError(
            "columns cannot be given to a conditional model: fit one without --conditional"
        )
    source = TableSource(fitted, beyond_range=not within_range, complete=complete)
    return source.with_given(given, seed)
