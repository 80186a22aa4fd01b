"""Texts that a spreadsheet would compute when it opens a .csv file.

A cell such as =HYPERLINK(...) that came with a stranger's data would be run on the machine of
whoever opens the file. A ' before it makes it text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

SYMBOLS = "[$\u20ac\u00a3\u00a5\u20b9%\u2030 \u00a0\u202f]*"
NUMBER = re.compile(rf"[+-]{SYMBOLS}(\d[\d .,'\u00a0\u202f]*([eE][+-]?\d+)?{SYMBOLS}|inf)")

keep_formulas: ContextVar[bool] = ContextVar("keep_formulas", default=False)
"""Whether such texts are written as they are."""


@contextmanager
def formulas_kept(kept: bool) -> Iterator[None]:
    """Context in which such texts are written as they are, or not."""
    before = keep_formulas.set(kept)
    try:
        yield
    finally:
        keep_formulas.reset(before)


def quoted_formulas(values: Any) -> tuple[Any, int]:
    """The values with a ' before each text that a spreadsheet would compute, and their number."""
    import numpy as np

    from lowerbound.data.tables.dialect import MARK  # every command imports this module

    if keep_formulas.get() or np.asarray(values).dtype.kind not in "OUT":
        return values, 0
    cells = list(values)
    found = [i for i, cell in enumerate(cells) if isinstance(cell, str) and is_formula(cell)]
    for place in found:
        cells[place] = f"{MARK}{cells[place]}"
    return cells, len(found)


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet would compute a text: =1+1 and -A1, but none of -1, -0:30, A+ and -."""
    from lowerbound.data.columns.durations import is_written
    from lowerbound.data.tables.dialect import BEGINNINGS

    if len(cell) < 2 or cell[0] not in BEGINNINGS:
        return False
    return not (cell[0] in "+-" and (NUMBER.fullmatch(cell) or is_written(cell)))
