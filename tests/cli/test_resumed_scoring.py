"""--resume of commands that work in parts: what an interrupted run computed is used."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.anomaly import row_scorer
from lowerbound.applications.common import parts
from lowerbound.applications.common.drawn_parts import NumberedRows
from lowerbound.applications.generation import codes, reconstruct
from lowerbound.applications.labels import classify
from lowerbound.applications.restoration import impute
from lowerbound.cli import main
from lowerbound.data.tables import chunks as table_chunks
from lowerbound.errors import DataError

COMMANDS = {
    "detect": ("detect", ()),
    "impute": ("impute", ("--samples", "16")),
    "medians": ("impute", ("--samples", "16", "--strategy", "median")),
    "draws": ("impute", ("--samples", "16", "--strategy", "sample", "--draws", "2")),
    "codes": ("encode", ()),
    "reconstructions": ("reconstruct", ()),
    "with uncertainty": ("reconstruct", ("--uncertainty", "--draws", "4")),
    "classes": ("classify", ()),
}
PLACES = {
    "detect": (row_scorer, "compared"),
    "impute": (impute, "fill"),
    "encode": (codes, "encode_rows"),
    "reconstruct": (reconstruct, "collected"),
    "classify": (classify, "class_probabilities"),
}


@pytest.fixture(autouse=True)
def chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_chunks, "MOST_ROWS", 30)  # the 80 people come in three parts


@pytest.fixture(scope="module")
def classifier(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("classifier") / "m.lb"
    words = ("--model", "semi_supervised", "--label", "kind", "--missing", "model")
    assert main(["fit", str(table), "-o", str(place), *words, "--updates", "5", "--no-report"]) == 0
    return place


@pytest.fixture
def people(table: Path, tmp_path: Path) -> Path:
    """The people with a few missing ages, in the file that they came in."""
    path = tmp_path / "people.csv"
    rows = pd.read_csv(table)
    rows.loc[::7, "age"] = np.nan
    rows.to_csv(path, index=False)
    return path


class Counted:
    """Counts the calls of a function, and interrupts one of them."""

    def __init__(
        self, work: Callable[..., Any], fails: int = 0, by: type[BaseException] = DataError
    ):
        self.work, self.fails, self.by, self.calls = work, fails, by, 0

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        self.calls += 1
        if self.calls == self.fails:
            raise self.by("stopped")
        return self.work(*arguments, **keywords)


def counted(
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    fails: int = 0,
    by: type[BaseException] = KeyboardInterrupt,
) -> Counted:
    module, name = PLACES[command]
    work = getattr(module, name)
    counter = Counted(work.work if isinstance(work, Counted) else work, fails, by)
    monkeypatch.setattr(module, name, counter)
    return counter


def contents(folder: Path, name: str) -> dict[str, bytes]:
    return {path.name.replace(name, ""): path.read_bytes() for path in folder.glob(f"{name}*.csv")}


@pytest.mark.parametrize(
    ("case", "by"),
    [
        ("detect", DataError),
        *((case, KeyboardInterrupt) for case in COMMANDS),
        *(pytest.param(c, DataError, marks=pytest.mark.slow) for c in COMMANDS if c != "detect"),
    ],
)
def test_a_resumed_run_writes_the_same_bytes_and_computes_only_what_is_left(
    table_model: Path,
    classifier: Path,
    people: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
    by: type[BaseException],
    capsys: pytest.CaptureFixture[str],
) -> None:
    command, flags = COMMANDS[case]
    model = classifier if command == "classify" else table_model
    words = [command, str(model), str(people), *flags, "-o"]
    before = counted(monkeypatch, command)
    assert main([*words, str(tmp_path / "whole.csv")]) == 0
    extra = before.calls - 3  # the pictures or rows that are scored besides
    capsys.readouterr()

    counted(monkeypatch, command, fails=3, by=by)
    assert main([*words, str(tmp_path / "parts.csv")]) != 0
    said = capsys.readouterr().err
    assert "60 rows are done and kept in" in said
    assert "--resume" in said
    assert not (tmp_path / "parts.csv").exists()
    assert len(list((tmp_path / "parts.csv.unfinished").glob("*.safetensors"))) == 2

    left = counted(monkeypatch, command)
    assert main([*words, str(tmp_path / "parts.csv"), "--resume"]) == 0
    assert left.calls == 1 + extra
    assert contents(tmp_path, "parts") == contents(tmp_path, "whole")
    assert not (tmp_path / "parts.csv.unfinished").exists()


@pytest.fixture
def interrupted(
    table_model: Path, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The command of a run that was interrupted in its last part."""
    words = ["detect", str(table_model), str(people), "-o", str(tmp_path / "scores.csv")]
    counted(monkeypatch, "detect", fails=3)
    assert main(words) == 130
    return words


def test_other_options_or_data_are_refused(
    interrupted: list[str],
    people: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    work = counted(monkeypatch, "detect")
    assert main([*interrupted, "--resume", "--score", "bound"]) == 2
    assert "belongs to a run that differs in score: leave --resume out" in capsys.readouterr().err
    people.write_text(people.read_text() + people.read_text().splitlines()[-1] + "\n")
    assert main([*interrupted, "--resume"]) == 2
    assert "belongs to a run that differs in file for data: leave" in capsys.readouterr().err
    assert not work.calls


def test_a_changed_database_is_refused(
    table_model: Path,
    people: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(tmp_path / "people.db")) as database:
        database.execute(f"CREATE TABLE people AS SELECT * FROM '{people}'")
    address = f"duckdb:{tmp_path / 'people.db'}?table=people"
    words = ["detect", str(table_model), address, "-o", str(tmp_path / "scores.csv")]
    counted(monkeypatch, "detect", fails=3)
    assert main(words) == 130
    with duckdb.connect(str(tmp_path / "people.db")) as database:
        database.execute("UPDATE people SET size = size + 100")
    assert main([*words, "--resume"]) == 2
    assert "belongs to a run that differs in file for data: leave" in capsys.readouterr().err


def test_a_query_without_a_database_is_not_resumed(
    table_model: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("duckdb")
    address = f"duckdb:?query=SELECT * FROM '{people}'"
    words = ["detect", str(table_model), address, "-o", str(tmp_path / "scores.csv")]
    assert main([*words, "--resume"]) == 2
    assert "the files of a query without a database have changed" in capsys.readouterr().err
    assert main(words) == 0


@pytest.mark.slow
def test_a_damaged_part_is_computed_again(
    interrupted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = sorted((tmp_path / "scores.csv.unfinished").glob("*.safetensors"))[0]
    part.write_bytes(part.read_bytes()[:40])
    work = counted(monkeypatch, "detect")
    assert main([*interrupted, "--resume"]) == 0
    assert work.calls == 2


@pytest.mark.slow
def test_without_resume_all_parts_are_computed(
    interrupted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = counted(monkeypatch, "detect")
    assert main(interrupted) == 0
    assert work.calls == 3


@pytest.mark.parametrize(
    ("more", "why"),
    [((), "--resume would go on with them"), (("--score", "bound"), "that run differs in score")],
)
def test_a_run_that_begins_again_says_what_was_done(
    interrupted: list[str],
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
    why: str,
) -> None:
    capsys.readouterr()
    assert main([*interrupted, *more]) == 0
    said = capsys.readouterr().err
    assert f"60 rows are done in {interrupted[-1]}.unfinished, and computed again here: {why}" in (
        said
    )
    assert main(interrupted) == 0
    assert "computed again" not in capsys.readouterr().err


def test_resume_needs_an_output_and_tolerates_that_nothing_is_left(
    table_model: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["detect", str(table_model), str(people), "--resume"]
    assert main(words) == 2
    assert "--resume needs an output: name it with -o" in capsys.readouterr().err
    assert main([*words, "-o", str(tmp_path / "scores.csv")]) == 0
    said = capsys.readouterr().err
    assert "scores.csv.unfinished to resume, so all rows are computed again from the start" in said


def test_a_folder_of_somebody_else_is_left_alone(
    table_model: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "scores.csv.unfinished"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    words = ["detect", str(table_model), str(people), "-o", str(tmp_path / "scores.csv")]
    assert main(words) == 2
    assert "is not an unfinished output: move it away" in capsys.readouterr().err
    assert (other / "mine.txt").read_text() == "mine"


def test_pictures_are_read_as_a_whole(
    picture_model: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["detect", str(picture_model), str(pictures), "-o", str(tmp_path / "scores.csv")]
    assert main([*words, "--resume"]) == 2
    assert "is read as a whole: leave --resume out" in capsys.readouterr().err


def test_a_run_that_keeps_no_parts_removes_those_of_an_ended_run_and_says_so(
    interrupted: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = tmp_path / "scores.csv.unfinished"
    assert kept.exists()
    monkeypatch.setattr(parts, "_obstacle", lambda *_: parts.NOT_IN_PARTS)
    assert main(interrupted) == 0
    assert not kept.exists()
    said = f"60 rows of an interrupted run are removed with {kept}"
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_damaged_record_is_named(
    interrupted: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "scores.csv.unfinished" / "identity.json"
    record.write_text(record.read_text()[:20])
    assert main([*interrupted, "--resume"]) != 0
    said = capsys.readouterr().err
    assert "identity.json" in said
    assert "Traceback" not in said


def test_a_resume_that_fails_at_once_keeps_what_is_done(
    table_model: Path,
    people: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["encode", str(table_model), str(people), "-o", str(tmp_path / "out.csv")]
    counted(monkeypatch, "encode", fails=3)
    assert main(words) != 0
    kept = sorted((tmp_path / "out.csv.unfinished").iterdir())
    monkeypatch.setitem(sys.modules, "ray", None)
    capsys.readouterr()
    assert main([*words, "--resume", "--engine", "ray"]) == 2
    assert "the rows of the interrupted run are done and kept in" in capsys.readouterr().err
    assert sorted((tmp_path / "out.csv.unfinished").iterdir()) == kept
    again = counted(monkeypatch, "encode")
    assert main([*words, "--resume"]) == 0
    assert again.calls == 1


def test_no_run_takes_a_part_of_another(tmp_path: Path) -> None:
    part, ones = NumberedRows(0, 3, 3), {"x": np.ones(3)}
    first = parts.FinishedParts(tmp_path, "1")
    assert (first.kept(part, lambda: ones)["x"] == 1).all()
    assert first.has(part)
    second = parts.FinishedParts(tmp_path, "2")
    assert not second.has(part)
    assert (second.kept(part, lambda: {"x": np.zeros(3)})["x"] == 0).all()
    assert (first.kept(part, dict)["x"] == 1).all()


@pytest.mark.parametrize("big", [False, True])
def test_a_file_is_told_from_another_by_content_or_by_its_time_of_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, big: bool
) -> None:
    monkeypatch.setattr(parts, "HASHED", 2 if big else 10)
    path = tmp_path / "x"
    path.write_text("abc")
    before = parts.stamp(path)
    path.write_text("abd")
    os.utime(path, ns=(0, before[0][2] if big else 1))
    assert (parts.stamp(path) == before) == big
    path.write_text("abc")
    os.utime(path, ns=(0, 2))
    assert (parts.stamp(path) == before) != big
