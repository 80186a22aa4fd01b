"""``lowerbound synthesizer`` and ``synthesize``, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound import durable
from lowerbound.applications.common.release_record import TableRelease
from lowerbound.cli import main
from tests.data.synthetic.tables import every_type

COLUMNS = ["number", "age", "end", "city", "land", "fives", "postcode"]


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """people.csv, and a model of it."""
    place = tmp_path_factory.mktemp("synthesize")
    every_type(200)[COLUMNS].to_csv(place / "people.csv", index=False)
    words = ("--constraint", "age <= end", "--combination", "city,land", "--minutes", "0.02")
    assert run("synthesizer", place / "people.csv", "-o", place / "m", *words) == 0
    return place


@pytest.mark.slow
def test_rows_of_the_same_form(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "rows.csv"
    assert run("synthesize", folder / "m", "-n", 1200, "-o", out, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["rows"] == 1200
    rows = pd.read_csv(out, dtype=str)
    assert list(rows.columns) == COLUMNS
    assert rows["postcode"].str.fullmatch(r"\d{5}").all()
    assert rows["fives"].dropna().str.fullmatch(r"\d+").all()
    assert rows["number"].is_unique
    assert (rows["age"].astype(int) <= rows["end"].astype(int)).all()


def test_parquet_has_the_same_rows(folder: Path) -> None:
    assert run("synthesize", folder / "m", "-n", 50, "-o", folder / "a.parquet") == 0
    assert run("synthesize", folder / "m", "-n", 1100, "-o", folder / "b.parquet") == 0
    a, b = (pd.read_parquet(folder / name) for name in ("a.parquet", "b.parquet"))
    pd.testing.assert_frame_equal(a, b.head(50))


def test_given_values_and_given_rows(folder: Path) -> None:
    out, like = folder / "given.csv", folder / "like.csv"
    given = ("--given", "land=C", "--given", "age=30")
    assert run("synthesize", folder / "m", "-n", 20, "-o", out, *given) == 0
    rows = pd.read_csv(out)
    assert rows["city"].eq("w").all()
    assert rows["end"].ge(30).all()
    pd.DataFrame({"postcode": ["00123", None], "end": [None, 40]}).to_csv(like, index=False)
    assert run("synthesize", folder / "m", "--like", like, "-o", out) == 0
    rows = pd.read_csv(out, dtype=str)
    assert rows["postcode"][0] == "00123"
    assert rows["end"][1] == "40"
    assert rows["age"].notna().all()


@pytest.mark.slow
def test_impute_fills_cells_by_a_synthesizer(folder: Path, tmp_path: Path) -> None:
    rows = pd.read_csv(folder / "people.csv", dtype=str)
    rows.assign(land=rows["land"].mask(rows.index % 3 == 0)).to_csv(tmp_path / "t.csv", index=False)
    assert run("impute", folder / "m", tmp_path / "t.csv", "-o", tmp_path / "whole.csv") == 0
    found = pd.read_csv(tmp_path / "whole.csv", dtype=str)
    assert (found["land"] == rows["land"])[rows.index % 3 != 0].all()
    assert found["land"].notna().all()


def test_a_model_that_is_there_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "m" / "manifest.json").read_bytes()
    assert run("synthesizer", folder / "people.csv", "-o", folder / "m") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (folder / "m" / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--given", "town=x"), "unknown column 'town'"),
        (("--given", "land"), "COLUMN=VALUE"),
        (("--given", "land=A", "--given", "land=B"), "twice"),
        (("--given", "land=Z"), "unknown level of column 'land'"),
        (("--given", "land=A", "--like", "people.csv"), "not both"),
        (("--like", "nowhere.csv"), "there is no file"),
        (("-n", "0"), "at least 1"),
    ],
)
def test_bad_input_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    out = folder / "never.csv"
    assert run("synthesize", folder / "m", "-o", out, *words) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_another_suffix(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("synthesize", folder / "m", "-o", folder / "rows.xlsx") == 2
    assert ".csv or .parquet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--constraint", "age <= 20"), "of the fitted rows do not fulfill"),
        (("--combination", "city"), "two columns or more"),
        (("--prior", "flows"), "did you mean 'flow'"),
        (("--resume",), "start without --resume"),
    ],
)
def test_bad_options_of_the_fit(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
) -> None:
    assert run("synthesizer", folder / "people.csv", "-o", tmp_path / "m", *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_rows_of_a_plain_fit_have_missing_cells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = np.random.default_rng(0)
    rare = np.where(draw.random(600) < 0.8, np.nan, draw.integers(1, 5, 600) * 0.5)
    price = np.where(draw.random(600) < 0.4, 9.99, draw.normal(20, 4, 600).round(2))
    pd.DataFrame({"price": price, "rare": rare}).to_csv(tmp_path / "t.csv", index=False)
    fit = ("fit", tmp_path / "t.csv", "-o", tmp_path / "m", "--updates", 20, "--rows", 50)
    assert run(*fit) == 0
    card = (tmp_path / "m" / "MODEL_CARD.md").read_text()
    assert "held-out ones with an AUROC" in card
    capsys.readouterr()
    for command in ("sample", "synthesize"):
        out = tmp_path / f"{command}.csv"
        assert run(command, tmp_path / "m", "-n", 500, "-o", out) == 0
        rows = pd.read_csv(out)
        assert rows["rare"].isna().mean() == pytest.approx(0.8, abs=0.06)
        assert set(rows["rare"].dropna()) <= {0.5, 1.0, 1.5, 2.0}
        assert rows["price"].eq(9.99).mean() == pytest.approx(0.4, abs=0.08)
        assert run(command, tmp_path / "m", "-n", 500, "-o", out, "--complete") == 0
        assert not pd.read_csv(out).isna().any(axis=None)
    assert "learned which cells" not in capsys.readouterr().err


def test_the_rows_have_a_release_record(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "released.csv"
    assert run("synthesize", folder / "m", "-n", 20, "-o", out, "--given", "land=C", "--json") == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert files == [str(out), f"{out}.release.json", f"{out}.release.html"]
    release = TableRelease.read(folder / "released.csv.release.json")
    assert (release.rows, list(release.columns), release.given) == (20, COLUMNS, ("land",))
    assert release.sha256 == durable.sha256(out)
    assert release.model is not None
    assert release.model.sha256 == durable.sha256(folder / "m" / "manifest.json")
    assert release.data is not None
    assert release.data.sha256 == durable.sha256(folder / "people.csv")
    assert release.protection is not None
    assert release.protection.least_people == 10
