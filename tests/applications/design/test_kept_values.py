"""Values of a search that are on disk: given back in order, whatever ended the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.common.parts import VALUES, FinishedParts
from lowerbound.applications.design.goals import DesignTask, Goal, Limit
from lowerbound.applications.design.kept_values import kept_values
from lowerbound.errors import MissingExtraError


class Measured:
    """A function that counts the rows that it is called with."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.rows = list(answers), list[Any]()

    def __call__(self, rows: Any) -> Any:
        self.rows.append(rows)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def calls(folder: Path, function: Measured, *rows: Any, name: str = "size") -> list[Any]:
    """What a goal gives for each of the rows, in a run that keeps its values in ``folder``."""
    found: list[Any] = []
    finished = FinishedParts(folder)
    task = DesignTask((Goal(name, function),), (Limit("weight", function, high=9.0),))
    with kept_values(task, finished) as kept:
        for each in rows:
            try:
                found.append(np.atleast_1d(kept.goals[0].function(each)).tolist())
            except Exception as error:  # as the search does
                found.append((type(error).__name__, str(error)))
    return found


def test_values_are_given_back_in_order_and_only_the_others_are_computed(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    first = Measured(np.array([1.5, np.nan]), ValueError("no 'x'"), 3.25, 4.0)
    before = calls(tmp_path, first, frame, ["CC"], ["CC"], ["CCO"])
    assert before[1:] == [("ValueError", "no 'x'"), [3.25], [4.0]]
    second = Measured(5.0)
    again = calls(tmp_path, second, frame, ["CC"], ["CC"], ["CCO"], ["N"])
    assert repr(again) == repr([*before, [5.0]])  # NaN too
    assert second.rows == [["N"]]
    other = Measured(7.0)
    assert calls(tmp_path, other, ["CC"], name="charge") == [[7.0]]


@pytest.mark.parametrize(
    "end", [b'{"quantity": "size", "ro', b"\x00" * 40, b"[1]\n", b'{"quantity": "size"}\n']
)
def test_a_torn_end_is_removed(tmp_path: Path, end: bytes) -> None:
    calls(tmp_path, Measured(1.0, 2.0), ["C"], ["CC"])
    file = tmp_path / VALUES
    whole = file.read_bytes()
    file.write_bytes(whole + end)
    function = Measured(3.0)
    assert calls(tmp_path, function, ["C"], ["CC"], ["CCC"]) == [[1.0], [2.0], [3.0]]
    assert file.read_bytes().startswith(whole)
    assert [json.loads(line)["values"] for line in file.read_text().splitlines()] == [
        *([1.0], [2.0], [3.0])
    ]


def test_what_failed_last_is_tried_again(tmp_path: Path) -> None:
    first = Measured(1.0, ValueError("no license"), np.array([np.nan]))
    calls(tmp_path, first, ["C"], ["CC"], ["CCC"])
    function = Measured(2.0, 3.0)
    assert calls(tmp_path, function, ["C"], ["CC"], ["CCC"]) == [[1.0], [2.0], [3.0]]


def test_nothing_is_kept_of_what_ends_a_search(tmp_path: Path) -> None:
    calls(tmp_path, Measured(MissingExtraError("x", "y"), "text", [[1.0]]), ["C"], ["C"], ["C"])
    assert (tmp_path / VALUES).read_bytes() == b""


def test_calls_are_counted(tmp_path: Path) -> None:
    calls(tmp_path, Measured(1.0, 2.0), ["C"], ["CC"])
    finished = FinishedParts(tmp_path)
    task = DesignTask((Goal("size", Measured(3.0)),))
    with kept_values(task, finished) as kept:
        kept.goals[0].function(["C"])
        assert finished.rows == 2
        kept.goals[0].function(["CCC"])
        assert finished.rows == 3
