"""``lowerbound private-table`` and private fits, from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound.cli import main


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = np.random.default_rng(0)
    z = draw.normal(size=3_000)
    frame = pd.DataFrame(
        {
            "age": np.clip(45 + 12 * z, 18, 90).astype(int),
            "town": np.where(draw.random(3_000) < 0.5, "A", "B"),
            "rich": np.where(z + draw.normal(size=3_000) > 0, "yes", "no"),
        }
    )
    folder = tmp_path_factory.mktemp("people")
    frame.to_csv(folder / "people.csv", index=False)
    columns = {
        "age": {"kind": "count", "low": 18, "high": 90, "whole": True},
        "town": {"kind": "categorical", "levels": ["A", "B", "C"]},
        "rich": {"kind": "binary", "levels": ["no", "yes"]},
    }
    (folder / "columns.json").write_text(json.dumps({"columns": columns}))
    return folder


def run(*words: object) -> int:
    return main([str(word) for word in words])


def test_rows_a_record_and_more_rows_from_the_saved_model(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--epsilon", 4, "--public-schema", people / "columns.json", "--target", "rich")
    made, saved = tmp_path / "made.csv", tmp_path / "m.json"
    source = people / "people.csv"
    assert run("private-table", source, "-o", made, *given, "--save", saved, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert 3 < said["release"]["epsilon"] <= 4
    assert said["rows"] == 3_000
    rows = pd.read_csv(made)
    assert list(rows.columns) == ["age", "town", "rich"]
    assert rows["age"].between(18, 90).all()
    ages = rows.groupby("rich")["age"].mean()
    assert ages["yes"] - ages["no"] > 8  # 13.5 of the real rows
    assert run("private-table", saved, "-o", tmp_path / "more.csv", "-n", 40, "--seed", 1) == 0
    assert len(pd.read_csv(tmp_path / "more.csv")) == 40
    assert "differential privacy" in capsys.readouterr().out
    again = ("--epsilon", 0.1, "--hybrid", "--no-pairs", "--public-schema", "absent.json")
    assert run("private-table", saved, "-o", tmp_path / "no.csv", *again) == 2
    said = capsys.readouterr().err
    assert "leave out --epsilon, --public-schema, --hybrid, --no-pairs" in said


@pytest.mark.filterwarnings("ignore:.*decimal commas", "ignore:200 rows are few")
def test_rows_of_a_saved_model_are_written_as_the_table_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Declared levels such as 12% are no numbers; undeclared ones are numbers in a range."""
    source, made, saved = tmp_path / "x.csv", tmp_path / "made.csv", tmp_path / "m.json"
    source.write_text(
        "pay;rate\n"
        + "".join(f"{1 + row}.{row:03d},50 €;{5 * (row % 2)}%\n" for row in range(200)),
        encoding="utf-8",
    )
    declared = {
        "pay": {"kind": "real", "low": 1000, "high": 201_000},
        "rate": {"kind": "binary", "levels": ["0%", "5%"]},
    }
    (tmp_path / "c.json").write_text(json.dumps({"columns": declared}))
    for schema in ("data", tmp_path / "c.json"):
        fit = ("--epsilon", 20, "--public-schema", schema, "--save", saved)
        assert run("private-table", source, "-o", made, *fit) == 0
        assert "how the file writes numbers" in capsys.readouterr().out
        first = made.read_text(encoding="utf-8")
        header, *lines = first.splitlines()
        assert header == "pay;rate"
        assert {line.partition(";")[2] for line in lines} == {"0%", "5%"}
        assert all(re.fullmatch(r"(\d{1,3}\.)?\d{1,3},\d\d €;\d%", line) for line in lines)
        assert run("private-table", saved, "-o", made) == 0
        capsys.readouterr()
        assert made.read_text(encoding="utf-8") == first


def test_names_are_refused_unless_they_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, made = tmp_path / "x.csv", tmp_path / "made.csv"
    rows = "".join(f"Ann Lee {row},{row},{'AB'[row % 2]},\n" for row in range(2_000))
    source.write_text(f"name,id,town,empty\n{rows}", encoding="utf-8")
    fit = ("--epsilon", 3, "--public-schema", "data")
    assert run("private-table", source, "-o", made, *fit) == 2
    said = capsys.readouterr().err
    assert "column 'name' has" in said
    assert "with --leave-out name --leave-out id" in said
    assert not made.exists()
    named = ("--leave-out", "name", "--leave-out", "id")
    assert run("private-table", source, "-o", made, *fit, *named) == 0
    assert "empty: left out: it has no value" in capsys.readouterr().out
    assert list(pd.read_csv(made).columns) == ["town"]
    assert run("private-table", source, "-o", made, *fit, *named, "--leave-out", "town") == 2
    assert "none is left" in capsys.readouterr().err


def test_what_is_copied_is_said_and_rare_values_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, made = tmp_path / "x.csv", tmp_path / "made.csv"
    draw = np.random.default_rng(0)
    town = np.where(np.arange(2_000) < 5, "Atlantis", draw.choice(["A", "B"], 2_000))
    paid = np.where(np.arange(2_000) < 3, 987_654, draw.integers(20_000, 60_000, 2_000))
    pd.DataFrame({"town": town, "paid": paid}).to_csv(source, index=False)
    fit = ("--epsilon", 3, "--public-schema", "data")
    assert run("private-table", source, "-o", made, *fit, "--json") == 0
    release = json.loads(capsys.readouterr().out)["release"]
    assert release["copied"]["town"] == {"kind": "binary", "levels": ["A", "B"]}
    assert 59_000 <= release["copied"]["paid"]["high"] < 60_000
    cells = {each["name"]: each["cells"] for each in release["protection"]["columns"]}
    assert cells["town"] == 5
    assert 18 <= cells["paid"] <= 40
    assert "epsilon does not cover them" in release["not_claimed"][0]
    rows = pd.read_csv(made)
    assert set(rows["town"]) == {"A", "B"}
    assert rows["paid"].max() < 60_000
    assert run("private-table", source, "-o", made, *fit) == 0
    said = capsys.readouterr().out
    assert "given what was copied from the rows" in said
    assert "  - town: 2 levels: A, B" in said
    assert run("private-table", source, "-o", made, *fit, "--least-people", 1) == 0
    assert "Atlantis" in capsys.readouterr().out


def test_declared_names_of_people_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, made, file = tmp_path / "x.csv", tmp_path / "made.csv", tmp_path / "columns.json"
    mails = [f"ann{row}@example.org" for row in range(40)]
    pd.DataFrame({"mail": mails * 50, "town": ["A", "B"] * 1_000}).to_csv(source, index=False)
    columns = {"mail": {"levels": mails}, "town": {"levels": ["A", "B"]}}
    file.write_text(json.dumps({"columns": columns}))
    given = ("--epsilon", 4, "--public-schema", file)
    assert run("private-table", source, "-o", made, *given) == 0
    said = capsys.readouterr().err
    assert "40 declared levels of column 'mail' are e-mail addresses" in said
    assert "'town'" not in said
    assert run("private-table", source, "-o", made, *given, "--least-people", 5) == 2
    assert "--least-people is for --public-schema data" in capsys.readouterr().err


def test_a_model_is_saved_where_it_can_be_read_and_beside_the_rows(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--epsilon", 4, "--public-schema", people / "columns.json")
    made = tmp_path / "made.csv"
    for save, said in (
        (made, "would replace the file of --output"),
        (tmp_path / "m.model", "ends in .json"),
    ):
        assert run("private-table", people / "people.csv", "-o", made, *given, "--save", save) == 2
        assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_columns_that_are_not_declared_are_named(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, file = tmp_path / "made.csv", tmp_path / "c.json"
    file.write_text('{"columns": {"age": {"kind": "count", "low": 18, "high": 90}}}')
    given = ("--epsilon", 4, "--public-schema", file)
    assert run("private-table", people / "people.csv", "-o", made, *given) == 0
    assert f"{file} does not declare the columns town, rich: left out" in capsys.readouterr().err
    file.write_text('{"columns": {"town": {"levels": ["A", "A", "B"]}}}')
    assert run("private-table", people / "people.csv", "-o", made, *given) == 2
    assert "has the levels A more than once" in capsys.readouterr().err


@pytest.mark.slow
def test_a_hybrid_and_a_comparison(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--epsilon", 4, "--public-schema", people / "columns.json", "--target", "rich")
    source, made = people / "people.csv", tmp_path / "made.csv"
    assert run("private-table", source, "-o", made, *given, "--hybrid", "--json") == 0
    release = json.loads(capsys.readouterr().out)["release"]
    assert "gradients" in release["mechanism"]
    assert 3 < release["epsilon"] <= 4
    assert run("private-table", source, "-o", made, *given, "--compare", source) == 0
    said = capsys.readouterr().out
    areas = {}
    for method in ("naive Bayes", "marginals", "hybrid"):
        (line,) = [line for line in said.splitlines() if line.startswith(f"{method:<12} 0.")]
        areas[method] = float(line[12:].split()[0])
    assert f"best:   {max(areas, key=lambda name: areas[name])}" in said
    assert "not covered by the guarantee" in said
    assert "the guarantee covers neither this choice" in said.replace("\n", " ")
    assert len(pd.read_csv(made)) == 3_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--public-schema", "data"), "--epsilon"),
        (("--epsilon", 1), "--public-schema"),
        (("--epsilon", -1, "--public-schema", "data"), "epsilon"),
        (("--epsilon", 1, "--public-schema", "absent.json"), "absent.json"),
        (("--epsilon", 1, "--public-schema", "data", "--target", "income"), "income"),
        (("--epsilon", 1, "--public-schema", "data", "--hybrid"), "target"),
        (("--epsilon", 1, "--public-schema", "data", "--compare", "x.csv"), "--target"),
    ],
)
def test_bad_input_is_one_sentence(
    people: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[object, ...],
    message: str,
) -> None:
    output = tmp_path / "x.csv"
    assert run("private-table", people / "people.csv", "-o", output, *words) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_a_table_to_compare_on_needs_every_column(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    holdout = tmp_path / "holdout.csv"
    pd.read_csv(people / "people.csv").drop(columns="town").to_csv(holdout, index=False)
    given = ("--epsilon", 4, "--public-schema", "data", "--target", "rich", "--compare", holdout)
    assert run("private-table", people / "people.csv", "-o", tmp_path / "x.csv", *given) == 2
    assert "holdout.csv has no column 'town'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_private_fit_says_what_it_guarantees(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "people.lb"
    schema = ("--public-schema", people / "columns.json")
    brief = ("--updates", 3, "--batch-size", 64, "--latent-dim", 2, "--network", "mlp")
    fit = ("fit", people / "people.csv", "-o", folder, "--epsilon", 5, *schema, *brief)
    assert run(*fit, "--set", "network.hidden=[8]") == 0
    assert not (folder / "report.html").exists()
    assert "set_aside" not in (folder / "request.json").read_text()  # hashes of rows
    capsys.readouterr()
    assert run("info", folder) == 0
    said = capsys.readouterr().out
    assert "epsilon 4.99" in said or "epsilon 5" in said
    assert "one row more than the other" in said
    assert "## Privacy" in (folder / "MODEL_CARD.md").read_text()
    assert run("fit", people / "people.csv", "-o", tmp_path / "x", "--epsilon", 5) == 2
    assert "--public-schema" in capsys.readouterr().err


def test_of_dates_only_the_first_and_the_last_day_are_declared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, made, saved = tmp_path / "x.csv", tmp_path / "made.csv", tmp_path / "m.json"
    days = pd.date_range("1931-02-03", periods=800, freq="29D").strftime("%d.%m.%Y")
    towns = ["A", "B"] * 400
    pd.DataFrame({"born": days, "town": towns}).to_csv(source, index=False)
    fit = ("--epsilon", 5, "--public-schema", "data", "--save", saved)
    assert run("private-table", source, "-o", made, *fit) == 0
    grid = json.loads(saved.read_text(encoding="utf-8"))["grids"][0]
    assert grid["name"] == "born"
    assert not grid["levels"]
    drawn = pd.to_datetime(pd.read_csv(made)["born"], format="%d.%m.%Y")
    assert pd.to_datetime(days[0], format="%d.%m.%Y") <= drawn.min()
    assert drawn.max() <= pd.to_datetime(days[-1], format="%d.%m.%Y")
    assert not set(drawn.dt.strftime("%d.%m.%Y")) <= set(days)


def test_the_model_does_not_replace_the_public_schema(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = people / "columns.json"
    before = schema.read_bytes()
    fit = ("--epsilon", 4, "--public-schema", schema, "--save", schema)
    assert run("private-table", people / "people.csv", "-o", tmp_path / "made.csv", *fit) == 2
    assert schema.read_bytes() == before
    assert "columns.json" in capsys.readouterr().err
