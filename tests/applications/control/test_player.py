"""Records of an agent that another program wrote are numbers, or refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lowerbound.applications.control.player import RECORDS, read_records
from lowerbound.cli import main
from lowerbound.errors import OptionError

RECORD = {"steps": 10, "updates": 2, "episodes": 1, "seconds": 0.5, "recent": None}


def folder(place: Path, **changed: Any) -> Path:
    scores = {"sampled": [1.0, 2.0], "greedy": [3.0]}
    lines = [{**RECORD, **scores}, {**RECORD, "steps": 20, **scores, **changed}]
    (place / RECORDS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return place


@pytest.mark.parametrize(
    "changed",
    [
        {"sampled": [1.0, "much"]},
        {"sampled": "much"},
        {"greedy": [None]},
        {"greedy": [[1.0]]},
        {"sampled": [True]},
        {"sampled": {"a": 1}},
        {"steps": "20"},
        {"updates": None},
        {"recent": "much"},
        {"seconds": {}},
    ],
)
def test_what_is_no_number_is_named(
    tmp_path: Path, changed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    place = folder(tmp_path, **changed)
    (name,) = changed
    with pytest.raises(OptionError, match=rf"line 2: option '{name}' "):
        read_records(place)
    assert main(["control", "compare", f"a={place}"]) == 2
    assert f"line 2: option '{name}' " in capsys.readouterr().err


def test_records_are_read_as_they_are(tmp_path: Path) -> None:
    assert [record.steps for record in read_records(folder(tmp_path))] == [10, 20]
    assert main(["control", "compare", f"a={tmp_path}"]) == 0
