"""Rows of a table that ``sample`` and ``synthesize`` write: grid, range and missing cells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound.cli import main


def people(rows: int = 500) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    weight = np.round(draw.gamma(3, 20, rows) + 40, 1)
    visits = draw.integers(10, 90, rows).astype(float)
    visits[draw.random(rows) < 0.3] = np.nan
    return pd.DataFrame(
        {
            "weight": weight,
            "rent": draw.integers(4, 60, rows) * 50,
            "visits": visits,
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 90, rows), "D"),
        }
    )


def run(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """people.parquet, and a model of it that draws all columns at once."""
    place = tmp_path_factory.mktemp("drawn")
    people().to_parquet(place / "people.parquet")
    fit = ("fit", place / "people.parquet", "-o", place / "m", "--updates", 60, "--no-report")
    assert run(*fit, "--latent-dim", 2) == 0
    return place


def outside(rows: pd.DataFrame) -> pd.DataFrame:
    given = people()
    return pd.DataFrame(
        {c: rows[c].notna() & ~rows[c].between(given[c].min(), given[c].max()) for c in given}
    )


@pytest.mark.parametrize(
    "words",
    [("sample",), ("sample", "--within-range"), ("sample", "--given", "rent=700"), ("synthesize",)],
)
def test_values_are_on_the_grid_of_the_table(folder: Path, words: tuple[str, ...]) -> None:
    out = folder / "rows.parquet"
    assert run(words[0], folder / "m", "-n", 800, "-o", out, *words[1:]) == 0
    rows = pd.read_parquet(out)
    assert [dtype.kind for dtype in rows.dtypes] == [dtype.kind for dtype in people().dtypes]
    assert np.array_equal(rows["weight"], rows["weight"].round(1))
    assert np.array_equal(rows["rent"] % 50, np.zeros(800))
    visits = rows["visits"].dropna()
    assert np.array_equal(visits, np.rint(visits))
    assert rows["visits"].isna().mean() == pytest.approx(0.3, abs=0.1)
    assert (rows["day"] == rows["day"].dt.normalize()).all()
    assert rows["weight"].nunique() > 200


def test_whole_numbers_have_no_decimal_point_in_text(folder: Path) -> None:
    for command in ("sample", "synthesize"):
        assert run(command, folder / "m", "-n", 50, "-o", folder / "rows.csv") == 0
        rows = pd.read_csv(folder / "rows.csv", dtype=str)
        assert rows["visits"].dropna().str.fullmatch(r"-?\d+").all(), command


def test_corrected_draws_leave_the_range_only_if_asked(folder: Path) -> None:
    out = folder / "rows.parquet"
    for words, inside in {
        ("sample",): True,
        ("sample", "--given", "rent=700"): True,
        ("synthesize",): True,
        ("synthesize", "--beyond-range"): False,
    }.items():
        assert run(words[0], folder / "m", "-n", 3_000, "-o", out, *words[1:]) == 0
        beyond = outside(pd.read_parquet(out)).to_numpy().any()
        assert beyond == (not inside), words


@pytest.fixture(scope="module")
def told(folder: Path) -> Path:
    """The same place, with a model that is told why cells are missing: its draws are its own."""
    fit = ("fit", folder / "people.parquet", "-o", folder / "told", "--updates", 20, "--no-report")
    assert run(*fit, "--latent-dim", 2, "--missingness", "self_masking") == 0
    return folder


@pytest.mark.slow
def test_the_range_of_other_draws_is_kept_if_asked(told: Path) -> None:
    out = told / "rows.parquet"
    for words, inside in {
        ("sample",): False,
        ("sample", "--within-range"): True,
        ("sample", "--given", "rent=700"): False,
        ("sample", "--given", "rent=700", "--within-range"): True,
    }.items():
        assert run(words[0], told / "told", "-n", 3_000, "-o", out, *words[1:]) == 0
        beyond = outside(pd.read_parquet(out)).to_numpy().any()
        assert beyond == (not inside), words


def test_a_note_tells_that_no_cell_is_missing(
    folder: Path, told: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    for command in ("sample", "synthesize"):
        assert run(command, told / "told", "-n", 20, "-o", folder / "rows.csv") == 0
        said = " ".join(capsys.readouterr().err.split())
        assert "30% of the fitted cells of column 'visits' are" in said, command
    assert run("synthesize", told / "told", "--complete", "-o", folder / "rows.csv") == 0
    assert run("synthesize", folder / "m", "-n", 20, "-o", folder / "rows.csv") == 0
    assert "visits" not in capsys.readouterr().err


def test_a_range_needs_a_table_that_has_one(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    asked = ("sample", "--within-range", "-o")
    assert run(*asked, tmp_path / "rows.npz", folder / "m") == 2
    assert "--within-range writes .csv or .parquet" in capsys.readouterr().err
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(90, 3)))
    fit = ("fit", tmp_path / "x.npy", "-o", tmp_path / "m", "--updates", 2, "--no-report")
    assert run(*fit) == 0
    assert run(*asked, tmp_path / "rows.csv", tmp_path / "m") == 2
    assert "--within-range is for rows of a table" in capsys.readouterr().err


def test_the_schema_file_keeps_grid_and_range(folder: Path) -> None:
    columns = json.loads((folder / "m" / "schema.json").read_text())["columns"]
    kept = {each["name"]: (each["lattice"]["step"], each["observed"]) for each in columns}
    assert kept["rent"] == (50.0, [200.0, 2950.0])
    assert kept["weight"][0] == 0.1
    assert kept["day"][0] == 86_400.0
