"""The release record beside a table, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound import durable
from lowerbound.applications.common.release_record import TableRelease
from lowerbound.cli import main


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, others of the same source, and declarations."""
    draw = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("people")
    for name in ("people", "others"):
        z = draw.normal(size=400)
        frame = {"age": (45 + 12 * z).round(), "=town": draw.choice(["A", "B"], 400)}
        pd.DataFrame(frame).to_csv(folder / f"{name}.csv", index=False)
    columns = {"age": {"low": 0, "high": 99, "whole": True}, "=town": {"levels": ["A", "B"]}}
    (folder / "columns.json").write_text(json.dumps({"columns": columns}))
    return folder


def test_a_private_table_has_a_record_and_a_page(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, saved = tmp_path / "out.csv", tmp_path / "m.json"
    given = ("--epsilon", 9, "--public-schema", people / "columns.json")
    source = people / "people.csv"
    assert run("private-table", source, "-o", out, *given, "--save", saved, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    record, page = tmp_path / "out.csv.release.json", tmp_path / "out.csv.release.html"
    assert said["files"] == [str(out), str(record), str(page)]
    release = TableRelease.read(record)
    assert release.sha256 == durable.sha256(out)
    assert (release.file, release.rows, release.columns) == ("out.csv", 400, ("age", "=town"))
    assert release.model is not None
    assert (release.model.name, release.model.sha256) == ("m.json", durable.sha256(saved))
    assert release.data is not None
    assert (release.data.name, release.data.rows, release.data.sha256) == ("people.csv", 400, "")
    assert release.guarantee is not None
    assert release.guarantee.epsilon == said["release"]["epsilon"]
    assert page.read_text() == release.page()
    first = record.read_bytes()
    assert run("private-table", saved, "-o", out, "--json") == 0
    capsys.readouterr()
    assert run("private-table", saved, "-o", out) == 0
    again = TableRelease.read(record)
    assert (again.sha256, again.guarantee) == (release.sha256, release.guarantee)
    assert record.read_bytes() != first  # the command is another
    assert f"record: {record}" in capsys.readouterr().out


def test_a_record_replaces_no_data_and_no_other_result(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, taken = tmp_path / "out.csv", tmp_path / "out.csv.release.json"
    given = ("--epsilon", 9, "--public-schema")
    taken.write_bytes((people / "columns.json").read_bytes())
    assert run("private-table", people / "people.csv", "-o", out, *given, taken) == 2
    assert "out.csv.release.json is the data itself" in capsys.readouterr().err
    assert taken.read_bytes() == (people / "columns.json").read_bytes()
    taken.unlink()
    given = (*given, people / "columns.json")
    assert run("private-table", people / "people.csv", "-o", out, *given, "--save", taken) == 2
    assert "is the release record of" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
def test_an_audit_adds_what_its_attacks_found(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.csv"
    given = ("--epsilon", 9, "--public-schema", people / "columns.json")
    source, others = people / "people.csv", people / "others.csv"
    assert run("private-table", source, "-o", out, *given) == 0
    record = tmp_path / "out.csv.release.json"
    before = TableRelease.read(record)
    assert run("audit", source, out, "--holdout", others, "--record") == 0
    assert f"wrote {record}" in capsys.readouterr().out
    after = TableRelease.read(record)
    assert after.attacks is not None
    assert {"singling out", "membership by density"} <= {a.attack for a in after.attacks.attacks}
    assert after.attacks.sentences[1] in after.page()
    assert (after.sha256, after.guarantee) == (before.sha256, before.guarantee)
    with out.open("a") as file:
        file.write("1,A\n")
    assert run("audit", source, out, "--holdout", others, "--record") == 2
    assert "record of another table" in capsys.readouterr().err
    record.unlink()
    assert run("audit", source, out, "--holdout", others, "--record") == 2
    assert "no release record" in capsys.readouterr().err


@pytest.mark.slow
def test_drawn_histories_have_a_record(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    visits = pd.DataFrame(
        {
            "patient": np.repeat(np.arange(40), 4),
            "day": np.tile(np.arange(4), 40),
            "value": draw.normal(size=160).round(2),
        }
    )
    source, model, out = tmp_path / "visits.csv", tmp_path / "m.lb", tmp_path / "out.csv"
    visits.to_csv(source, index=False)
    brief = ("--updates", 3, "--entity", "patient", "--time", "day", "--no-report")
    assert run("fit", source, "-o", model, *brief) == 0
    assert run("sample", model, "-n", 12, "-o", out) == 0
    release = TableRelease.read(tmp_path / "out.csv.release.json")
    assert release.rows == len(pd.read_csv(out))
    assert release.columns == ("patient", "day", "value")
    assert release.data is not None
    assert release.data.sha256 == durable.sha256(source)
