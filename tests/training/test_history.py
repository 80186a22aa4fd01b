from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from lowerbound.errors import OptionError
from lowerbound.training import History, Record


def record(updates: int, validation: float | None = -1.5, bound: float = -2.0) -> Record:
    return Record(1.5, updates, 0.25, bound, 1.25, (0.5, 0.25), validation, 1e-3, 0)


def test_lines_restore_the_history() -> None:
    history = History((record(10), record(20, None)), "early stop", best=10)
    assert History.from_lines(history.to_lines()) == history
    assert History.from_lines(History().to_lines()) == History()


def test_each_line_is_json_and_the_last_says_how_it_ended() -> None:
    lines = History((record(10),), "finished", best=10, start=-3.0).to_lines().splitlines()
    assert json.loads(lines[0])["bound"] == -2.0
    assert json.loads(lines[-1]) == {"ended": "finished", "best": 10, "start": -3.0}


def test_no_number_is_null_in_json_and_comes_back() -> None:
    lines = History((record(10, bound=math.nan),)).to_lines()
    assert json.loads(lines.splitlines()[0])["bound"] is None
    (restored,) = History.from_lines(lines)
    assert math.isnan(restored.bound)


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", '{"ended": ""}', '{"bound": 1}\n{"ended": "", "best": null}\n']
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        History.from_lines(text)


def test_the_bound_that_counts_is_that_of_the_weights_that_were_kept() -> None:
    history = History((record(10, -3.0), record(20, -1.0), record(30, -2.0)), "finished", best=20)
    assert history.validation == -1.0
    assert history.last == record(30, -2.0)
    assert History().validation is None
    assert History().last is None


def test_readings_are_kept_where_there_are_any() -> None:
    said = replace(record(10), readings={"perplexity": (3.5, 2.0)})
    history = History((record(5), said), "finished", best=10)
    lines = history.to_lines().splitlines()
    assert "readings" not in json.loads(lines[0])
    assert json.loads(lines[1])["readings"] == {"perplexity": [3.5, 2.0]}
    assert History.from_lines(history.to_lines()) == history


def test_the_start_may_be_what_is_kept() -> None:
    kept = History.from_lines(History((record(10),), "finished", best=0, start=-1.5).to_lines())
    assert kept.validation == -1.5
