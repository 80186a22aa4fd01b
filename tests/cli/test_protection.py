"""The commands print and record what was protected; fit and sample say that they do not protect."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from lowerbound.cli import main
from tests.data.protection.people import drawn_rare, people

pytestmark = pytest.mark.slow
OPTIONS = ("--minutes", "0.01", "--prior", "standard_normal")


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """people.csv, and a protected model of it."""
    place = tmp_path_factory.mktemp("protection")
    people().to_csv(place / "people.csv", index=False)
    assert run("synthesizer", place / "people.csv", "-o", place / "m", *OPTIONS) == 0
    return place


def test_synthesizer_prints_and_records(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("-o", folder / "entities", "--entity", "patient_id", "--least-people", 5, *OPTIONS)
    assert run("synthesizer", folder / "people.csv", *options, "--json") == 0
    protection = json.loads(capsys.readouterr().out)["protection"]
    assert (protection["entity"], protection["least_people"]) == ("patient_id", 5)
    town = next(each for each in protection["columns"] if each["name"] == "town")
    assert town["role"] == "level"
    assert town["values"] > 0
    assert run("info", folder / "entities") == 0
    said = capsys.readouterr().out
    assert "no value that fewer than 5 values of 'patient_id' have is drawn" in said
    assert "remark: left empty, because it is free text" in said


def test_synthesize_prints_and_draws_no_rare_value(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("synthesize", "sample"):
        out = folder / f"{command}.csv"
        assert run(command, folder / "m", "-n", 1_100, "-o", out) == 0
        said = capsys.readouterr()
        assert ("protected:  no value that fewer than 10" in said.out) == (command == "synthesize")
        assert "are not protected" not in said.err + said.out
        assert drawn_rare(pd.read_csv(out), people()) == {}
        assert "fresh value)" not in out.read_text(encoding="utf-8")


def test_fit_and_sample_say_that_they_do_not_protect(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = folder / "plain"
    quick = ("--updates", 3, "--no-report")
    assert run("fit", folder / "people.csv", "-o", model, *quick) == 0
    assert (
        "that fewer than 10 rows have; lowerbound synthesizer protects" in capsys.readouterr().out
    )
    for command in ("sample", "synthesize"):
        assert run(command, model, "-n", 20, "-o", folder / "plain.csv") == 0
        assert capsys.readouterr().err.count("values are not protected") == 1, command


def test_a_table_of_few_rows_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people(8).to_csv(folder / "few.csv", index=False)
    assert run("synthesizer", folder / "few.csv", "-o", folder / "few") == 2
    assert "--least-people 1" in capsys.readouterr().err
