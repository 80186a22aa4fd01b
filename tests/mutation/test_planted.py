"""The defects that were written by hand: each can be planted where its file is now."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutation.planted import Planted, planted_defects

ROOT = Path(__file__).parents[2]
PLANTED = planted_defects(ROOT)
EXAMPLE = Planted("half is a third", "src/lowerbound/data/shares.py", "x / 2", "x / 3", ())


def test_each_defect_has_a_name_of_its_own_and_tests() -> None:
    assert [name for name, count in Counter(one.name for one in PLANTED).items() if count > 1] == []
    assert [one.name for one in PLANTED if not one.tests] == []
    files = {test.partition("::")[0] for one in PLANTED for test in one.tests}
    assert [file for file in sorted(files) if not (ROOT / file).exists()] == []


def test_each_defect_can_be_planted_where_its_file_is() -> None:
    for one in PLANTED:
        planted = one.planted((ROOT / one.path).read_bytes())
        assert one.before.split() != one.after.split(), one.name
        compile(planted, one.path, "exec", ast.PyCF_ONLY_AST)


def test_the_defects_are_of_every_part_of_the_package() -> None:
    parts = {one.room.partition("/")[0] for one in PLANTED}
    folders = {path.name for path in (ROOT / "src" / "lowerbound").iterdir() if path.is_dir()}
    assert folders - parts - {"shipped", "__pycache__"} == set()


def test_a_defect_is_planted_once() -> None:
    assert EXAMPLE.planted(b"return x / 2\n") == b"return x / 3\n"
    for content in (b"return x\n", b"return x / 2 + x / 2\n"):
        with pytest.raises(ValueError, match="half is a third"):
            EXAMPLE.planted(content)


def test_the_applications_are_rooms_of_their_own() -> None:
    assert (EXAMPLE.file, EXAMPLE.room) == ("data/shares.py", "data")
    places = {"applications/fit/a.py": "applications/fit", "applications/a.py": "applications"}
    places |= {"trace.py": "trace.py"}
    for place, room in places.items():
        assert replace(EXAMPLE, path=f"src/lowerbound/{place}").room == room
