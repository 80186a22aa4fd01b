"""Settings are chosen on training rows: ``--held-out`` scores no row that a result reports."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import _cells
import _faces
import _release_tables
import event_tables
import pandas as pd
import pytest
import table_priors

from lowerbound.data.dataset import Dataset
from lowerbound.errors import DataError

Halves = Callable[[bool], tuple[Any, Any]]
SPLITS: dict[str, Halves] = {
    **{
        name: lambda held_out, name=name: _cells.parts(name, held_out)  # type: ignore[misc]
        for name in ("fashion_mnist", "kodak_tiles")
    },
    "faces": _faces.parts,
    "adult": table_priors.frames,
    **{
        f"release {name}": lambda held_out, name=name: _release_tables.frames(name, held_out)  # type: ignore[misc]
        for name in ("california", "german")
    },
    **{
        f"events {name}": lambda held_out, name=name: event_tables.frames(name, held_out)  # type: ignore[misc]
        for name in event_tables.SOURCES
    },
}


def contents(rows: Any) -> list[str]:
    """A hash of each row."""
    if isinstance(rows, Dataset):
        plain = rows.x.flatten(1).numpy()
        return [hashlib.sha256(row.tobytes()).hexdigest() for row in plain]
    assert isinstance(rows, pd.DataFrame)
    return [str(value) for value in pd.util.hash_pandas_object(rows.astype(str), index=False)]


def overlaps(chosen_on: Sequence[str], trained_on: Sequence[str]) -> int:
    """How many rows that choose settings are not among the training rows of the result."""
    known = set(trained_on)
    return sum(row not in known for row in chosen_on)


@pytest.mark.parametrize("name", SPLITS)
def test_rows_that_choose_are_training_rows_of_the_result(name: str) -> None:
    try:
        (learned, chosen), (trained, reported) = SPLITS[name](True), SPLITS[name](False)
    except DataError as error:
        if "missing" not in str(error) and "no data folder" not in str(error):
            raise
        pytest.skip(str(error))
    training = contents(trained)
    assert overlaps(contents(chosen), training) == 0
    assert overlaps(contents(learned), training) == 0
    assert len(reported)
    assert overlaps(contents(reported), training) > 0.5 * len(reported)


def test_a_reported_row_that_chooses_is_found() -> None:
    assert overlaps(["a", "c"], ["a", "b"]) == 1
