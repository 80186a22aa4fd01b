"""Values of rows by the functions of a task: each distinct object is judged once, and counted."""

from __future__ import annotations

import math
from collections.abc import Container, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.design.goals import DesignTask, Goal, Limit
from lowerbound.applications.design.rows import RowForm
from lowerbound.data.arrays import Array
from lowerbound.errors import DataError, MissingLibraryError, OptionError, counted
from lowerbound.inference.passes import Progress

KNOWN = "it is one of the known rows"
AT_ONCE = 20  # rows in a call of a function of the caller, so that slow ones show progress
SHOWN = 30  # characters of text that a function returned
MOST_FAILURES = 20  # calls in a row without a value, after which a search stops


@dataclass(frozen=True)
class Outcome:
    """What became of a row.

    Attributes:
        values: of every quantity of the task; NaN where a function has none or was not called.
        score: NaN if the row is rejected.
        reason: of the rejection; "" if the row is accepted.
        call: number of the call of the goals, from 1; 0: they were not called.
    """

    values: tuple[float, ...]
    score: float
    reason: str
    call: int

    @property
    def accepted(self) -> bool:
        """Whether the row has a score."""
        return not self.reason


class Oracle:
    """Judges rows: checks the limits first, then calls the goals' functions.

    Args:
        task: goals and limits, scaled.
        form: of the rows.
        calls: largest number of distinct objects whose goals are computed.
        known: keys of the known objects.
        novel: whether these are rejected without a call.
    """

    def __init__(
        self,
        task: DesignTask,
        form: RowForm,
        calls: int,
        known: Container[Hashable] = (),
        *,
        novel: bool = False,
    ) -> None:
        self.task = task
        self.form = form
        self.calls = calls
        self.called = 0
        self.known = known
        self.novel = novel
        self._failures = 0
        self._last_failure = ""
        self._outcomes: dict[Hashable, Outcome] = {}
        self._limits: dict[Hashable, tuple[tuple[float, ...], str]] = {}

    @property
    def exhausted(self) -> bool:
        """Whether all calls are used."""
        return self.called >= self.calls

    def seen(self, row: Any) -> bool:
        """Whether the same object was judged before."""
        return self.form.key(row) in self._outcomes

    def new(self, row: Any) -> bool:
        """Whether ``judge`` would make a call; limits are computed, goals are not."""
        key = self.form.key(row)
        return key not in self._outcomes and not self._admitted(row, key)[1]

    def judge(self, row: Any) -> Outcome:
        """The outcome of a row, from memory if the same object was judged before."""
        key = self.form.key(row)
        if key not in self._outcomes:
            self._outcomes[key] = self._judged(row, key)
        return self._outcomes[key]

    def check_failures(self) -> None:
        """Check that the goals still have values; called after an outcome is recorded.

        Raises:
            DataError: they had none in the last 20 calls.
        """
        if self._failures >= MOST_FAILURES:
            raise DataError(
                f"the objective had no value in {MOST_FAILURES} calls in a row; the last time: "
                f"{self._last_failure}"
            )

    def _admitted(self, row: Any, key: Hashable) -> tuple[tuple[float, ...], str]:
        """(values of the limits, why the row is rejected before a call); computed once."""
        if key not in self._limits:
            self._limits[key] = self._limited(row, key)
        return self._limits[key]

    def _limited(self, row: Any, key: Hashable) -> tuple[tuple[float, ...], str]:
        refused = self.novel and key in self.known
        if problem := KNOWN if refused else self.form.problem(row):
            return (math.nan,) * len(self.task.limits), problem
        found = [one_value(limit, self.form, row) for limit in self.task.limits]
        problems = (
            failure or limit.problem(value)
            for limit, (value, failure) in zip(self.task.limits, found, strict=True)
        )
        return tuple(value for value, _ in found), next(filter(None, problems), "")

    def _judged(self, row: Any, key: Hashable) -> Outcome:
        limits, problem = self._admitted(row, key)
        if problem:
            values = (*(math.nan,) * len(self.task.goals), *limits)
            return Outcome(values, math.nan, problem, 0)
        self.called += 1
        goals = [one_value(goal, self.form, row) for goal in self.task.goals]
        values = (*(value for value, _ in goals), *limits)
        failure = next((failure for _, failure in goals if failure), "")
        self._failures, self._last_failure = self._failures + 1 if failure else 0, failure
        score = (
            math.nan
            if failure
            else float(self.task.score(torch.tensor([values], dtype=torch.float64))[0])
        )
        return Outcome(values, score, failure, self.called)


def one_value(quantity: Goal | Limit, form: RowForm, row: Any) -> tuple[float, str]:
    """(value of one row, ""), or (NaN, reason).

    Raises:
        OptionError: the function does not return numbers.
    """
    try:
        found = quantity.function(form.given([row]))
    except MissingLibraryError:
        raise
    except Exception as error:  # of a function that the caller wrote: the row keeps the reason
        return math.nan, f"{quantity.name}: {type(error).__name__}: {error}"
    value = float(_numbers(quantity.name, found, 1)[0])
    if math.isfinite(value):
        return value, ""
    return math.nan, f"{quantity.name} is {value}"


def values_of(
    task: DesignTask, form: RowForm, rows: Sequence[Any], progress: Progress | None = None
) -> Tensor:
    """All quantities of known rows, (rows, quantities) float64, NaN where there is no value.

    Args:
        progress: called with (values computed, values).

    Raises:
        OptionError: a function does not return one number for each row.
        DataError: a quantity has no value on any row; the message has the last reason.
    """
    columns: list[Array] = []
    for number, quantity in enumerate(task.quantities):
        parts: list[Array] = []
        failure = ""
        for start in range(0, len(rows), AT_ONCE):
            if progress is not None:
                progress(number * len(rows) + start, len(task.quantities) * len(rows))
            values, failure = _values(quantity, form, rows[start : start + AT_ONCE])
            parts.append(values)
        columns.append(np.concatenate(parts))
        if not np.isfinite(columns[-1]).any():
            raise DataError(
                f"{quantity.name} has no value on any of {len(rows):,} rows; the last time: "
                f"{failure}"
            )
    return torch.from_numpy(np.stack(columns, 1))


def _values(quantity: Goal | Limit, form: RowForm, rows: Sequence[Any]) -> tuple[Array, str]:
    """(values, why the last row without a value has none): one call for all rows; where it fails,
    one for each."""
    try:
        found = quantity.function(form.given(rows))
    except MissingLibraryError:
        raise
    except Exception:  # of a function that the caller wrote
        judged = [one_value(quantity, form, row) for row in rows]
        failures = [failure for _, failure in judged if failure]
        return np.array([value for value, _ in judged]), failures[-1] if failures else ""
    values = _numbers(quantity.name, found, len(rows))
    absent = values[~np.isfinite(values)]
    failure = f"{quantity.name} is {absent[-1]}" if len(absent) else ""
    return np.where(np.isfinite(values), values, np.nan), failure


def _numbers(name: str, found: Any, rows: int) -> Array:
    """One number for each row.

    Raises:
        OptionError: they are not.
    """
    needed = "and an objective is a number for each row"
    try:
        values = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        raise OptionError(f"{name} returned {_no_number(found)}, {needed}") from None
    if values.shape == () and rows == 1:
        return values.reshape(1)
    if values.shape != (rows,):
        returned = f"{counted(values.size, 'number')} for {counted(rows, 'row')}"
        raise OptionError(f"{name} returned {returned}, {needed}")
    return values


def _no_number(found: Any) -> str:
    """What a function returned in the place of numbers: the first cell that is none."""
    cells = [found] if isinstance(found, str) or not isinstance(found, Iterable) else [*found]
    cell = next((cell for cell in cells if not _is_number(cell)), found)
    if isinstance(cell, str):
        return f"text ({str(cell)[:SHOWN]!r})"
    return f"a value of type {type(cell).__name__}"


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True
