"""The likeness of rows drawn from a model of a table to the rows that it was fitted to."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from lowerbound.data.columns.inference import Hint
from lowerbound.data.protection.record import Protection
from lowerbound.data.tables.numbers import notations_of, with_numbers
from lowerbound.errors import DataError
from lowerbound.evaluation.release.tables import AuditedTables
from lowerbound.evaluation.release.utility.distinguishing import distinguished
from lowerbound.fitting import Fitted
from lowerbound.fitting.likeness import Likeness
from lowerbound.inference.synthesis.tables import TableSource

MOST_ROWS = 2_000  # of each table: a few seconds


def likeness(
    fitted: Fitted, frame: Any, hints: Mapping[str, Hint] | None = None, seed: int = 0
) -> Likeness | None:
    """Draw rows and let boosting distinguish them from fitted ones; None: too few rows.

    Args:
        fitted: a model of a table.
        frame: the fitted rows, a pandas frame.
        hints: kinds of columns by name.
        seed: of the rows and the judge.
    """
    import pandas as pd

    count = min(len(frame), MOST_ROWS)
    drawn = pd.concat(list(TableSource(fitted).blocks(count, seed)), ignore_index=True)
    notations = notations_of(fitted.schema)
    real = with_numbers(frame, notations).sample(count, random_state=seed)
    # in some of the rows, identifiers do not count up and would look like numbers
    protected = Protection.of(fitted.schema.details)
    apart = [*fitted.schema.left_out, *(protected.uninformative if protected is not None else ())]
    real, drawn = real.drop(columns=apart), drawn.drop(columns=apart)
    hints = {name: hint for name, hint in (hints or {}).items() if name not in apart}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the fit has warned of the same columns
            tables = AuditedTables.of(real, with_numbers(drawn, notations), hints=hints)
    except DataError:
        return None
    found = distinguished(tables.codes, tables.real, tables.synthetic, seed)
    return Likeness(count, found.value, found.low, found.high)
