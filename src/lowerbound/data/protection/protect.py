"""Protect a table: no value that few entities have stays in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lowerbound.data.columns.inference import Hint
from lowerbound.data.protection.record import LEAST_PEOPLE, Protection
from lowerbound.data.tables.dialect import Dialect


def protect(
    frame: Any,
    least_people: int = LEAST_PEOPLE,
    entity: str | None = None,
    *,
    kinds: Mapping[str, Hint] | None = None,
    dialect: Dialect | None = None,
    constraints: Sequence[str] = (),
    combinations: Sequence[Sequence[str]] = (),
    seed: int = 0,
) -> tuple[Any, Protection]:
    """The frame without values that fewer than ``least_people`` entities have, and the record."""
    raise NotImplementedError
