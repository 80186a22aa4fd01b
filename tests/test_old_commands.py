"""Every command answers as commit b3aa5924 did: about what that commit stored, and from scratch.

Stored folders and files are asked again, on every machine. All answers, those of fits included, are
equal to the last bit on the machine and the libraries that recorded them:

    python -m tests.fixtures.commands
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.commands import RECORD, every, form, missing, run, unpack, workplace
from tests.fixtures.steps import STEPS

RELATIVE, LEAST = 2e-3, 1e-4
NUMBER = re.compile(r"\d[\d.,e+-]*")
EQUAL = 0.8  # of the whole numbers and words of an array


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return dict(json.loads(RECORD.read_text(encoding="utf-8")))


@pytest.mark.slow
def test_what_was_stored_answers_as_it_did(record: dict[str, Any], tmp_path: Path) -> None:
    unpack(tmp_path)
    asked = [step for step in STEPS if not step.stored and not missing(step)]
    with workplace(tmp_path):
        wrong = {
            step.name: differ
            for step in asked
            if (differ := _unlike(run(step), record[step.name], step.name))
        }
    assert not wrong


@pytest.mark.long
def test_every_command_says_what_it_said(record: dict[str, Any], tmp_path: Path) -> None:
    """Names, types, sentences and exit codes: numbers of a fit depend on the machine."""
    found = every(tmp_path, loud=False)
    assert {name: form(value) for name, value in found.items()} == {
        name: form(record[name]) for name in found
    }


def _unlike(found: Any, was: Any, where: str) -> list[str]:
    """Where answers differ by more than machines do."""
    if isinstance(was, dict) and isinstance(found, dict):
        if found.keys() != was.keys():
            return [f"{where}: {sorted(found.keys() ^ was.keys())}"]
        if was.keys() == {"sha256", "some"}:
            return _unlike_array(found, was, where)
        pairs = [(found[name], was[name], f"{where}/{name}") for name in was]
    elif isinstance(was, list) and isinstance(found, list) and len(found) == len(was):
        pairs = [(a, b, f"{where}/{i}") for i, (a, b) in enumerate(zip(found, was, strict=True))]
    else:
        return [] if _alike(found, was) else [f"{where}: {was!r} became {found!r}"]
    return [line for pair in pairs for line in _unlike(*pair)]


def _unlike_array(found: Any, was: Any, where: str) -> list[str]:
    if found["sha256"] == was["sha256"]:
        return []
    a, b = _flat(found["some"]), _flat(was["some"])
    equal = [_alike(x, y) for x, y in zip(a, b, strict=False)]
    if len(a) == len(b) and sum(equal) >= EQUAL * len(equal):
        return []
    return [f"{where}: {b} became {a}"]


def _flat(value: Any) -> list[Any]:
    return [one for item in value for one in _flat(item)] if isinstance(value, list) else [value]


def _alike(found: Any, was: Any) -> bool:
    if isinstance(was, float) and isinstance(found, float):
        return found == pytest.approx(was, rel=RELATIVE, abs=LEAST, nan_ok=True)
    if isinstance(was, str) and isinstance(found, str):
        return NUMBER.sub("#", found) == NUMBER.sub("#", was)
    return bool(found == was)
