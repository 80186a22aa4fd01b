"""Event tables go through the commands: fit, evaluate, sample, encode, detect."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import Run, run
from tests.data.sequences.tables import visits

__all__ = ["run"]
pytestmark = pytest.mark.filterwarnings("ignore:the median effective sample size")
COLUMNS = ("--entity", "patient", "--time", "day")
SWAPPED = str.maketrans(",.", ".,")
QUICK = ("--updates", "4", "--samples", "2", "--set", "model.hidden=16", "--set", "model.cells=8")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "visits.csv"
    visits(40).to_csv(path, index=False)
    return path


@pytest.mark.slow
def test_every_command_of_its_page(run: Run, table: Path, tmp_path: Path) -> None:
    model, drawn = tmp_path / "m.lb", tmp_path / "drawn.csv"
    kind = ("--kind", "day=datetime:%d.%m.%Y")
    done = run("fit", table, *COLUMNS, *kind, "-o", model, *QUICK, "--least-people", "1")
    assert done.code == 0, done.err
    assert "histories of 'patient', at most 5 events in the order of 'day'" in done.err
    assert "are missing" not in done.err
    assert "no report.html is written" in done.err
    assert "the rows have no variance" not in done.out
    assert "Next: train longer" in done.err + done.out
    assert run("evaluate", model, table, "--samples", "2", "--json").object["rows"] == 40
    assert run("info", model).code == 0
    assert run("sample", model, "-n", "300", "-o", drawn).code == 0
    found, given = pd.read_csv(drawn), pd.read_csv(table)
    assert list(found.columns) == list(given.columns)
    assert found["patient"].nunique() == 300
    assert found["patient"].iloc[0] == "P-040"
    assert found["day"].str.fullmatch(r"\d\d\.\d\d\.\d{4}").all()
    parquet = tmp_path / "drawn.parquet"
    assert run("sample", model, "-n", "300", "-o", parquet).code == 0
    assert len(pd.read_parquet(parquet)) == len(found)
    assert run("encode", model, table, "-o", tmp_path / "z.csv").code == 0
    codes = pd.read_csv(tmp_path / "z.csv")
    assert len(codes) == 40
    assert codes["id"].iloc[3] == "P-003"
    assert run("reconstruct", model, table, "-o", tmp_path / "again.csv").code == 0
    again = pd.read_csv(tmp_path / "again.csv")
    assert list(again.columns) == list(given.columns)
    assert set(again["patient"]) == set(given["patient"])
    done = run("detect", model, table, "-o", tmp_path / "d.csv")
    assert done.code == 0, done.err
    assert len(pd.read_csv(tmp_path / "d.csv")) == 40


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*decimal commas")
def test_drawn_events_are_written_as_the_table_was(run: Run, tmp_path: Path) -> None:
    frame, table, model = visits(40), tmp_path / "visits.csv", tmp_path / "m.lb"
    frame["cost"] = [f"{1000 + cost:,.2f} €".translate(SWAPPED) for cost in frame["cost"]]
    frame.to_csv(table, index=False, sep=";", decimal=",")
    assert run("fit", table, *COLUMNS, "-o", model, *QUICK).code == 0
    drawn = tmp_path / "drawn.csv"
    assert run("sample", model, "-n", "20", "-o", drawn).code == 0
    found = pd.read_csv(drawn, sep=";", dtype=str)
    assert list(found.columns) == list(frame.columns)
    assert found["cost"].dropna().str.fullmatch(r"-?(\d{1,3}\.)*\d{1,3},\d\d €").all()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--entity", "patients", "--time", "day"), "did you mean 'patient'"),
        (("--entity", "patient"), "give --entity COLUMN and --time COLUMN"),
        ((*COLUMNS, "--model", "pca"), "choose 'event_history'"),
        ((*COLUMNS, "--label", "sex"), "only tables have columns"),
    ],
)
def test_bad_requests(
    run: Run, table: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = run("fit", table, *words, "-o", tmp_path / "m.lb", *QUICK)
    assert done.code == 2
    assert said in done.err


@pytest.mark.slow
def test_samples_are_drawn_without_options_of_other_rows(
    run: Run, table: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m.lb"
    assert run("fit", table, *COLUMNS, "-o", model, *QUICK).code == 0
    done = run("sample", model, "--mean", "-o", tmp_path / "s.csv")
    assert done.code == 2
    assert "drawn without --mean" in done.err
    for option in (("--top-k", "3"), ("--guidance", "2"), ("--complete",)):
        done = run("sample", model, *option, "-o", tmp_path / "s.csv")
        assert done.code == 2
        assert f"histories of events are drawn without {option[0]}" in done.err
    done = run("sample", model, "-o", tmp_path / "s.png")
    assert done.code == 2
    assert "events are written as .csv or .parquet" in done.err


@pytest.mark.slow
def test_longer_histories_and_no_imputation(run: Run, table: Path, tmp_path: Path) -> None:
    model, longer = tmp_path / "m.lb", tmp_path / "longer.csv"
    assert run("fit", table, *COLUMNS, "-o", model, *QUICK, "--no-report").code == 0
    frame = pd.read_csv(table)
    first = frame[frame["patient"] == frame["patient"].iloc[0]]
    many = pd.concat([first.head(1)] * 12).assign(patient="P-900")
    pd.concat([frame, many]).to_csv(longer, index=False)
    for words in (
        ("evaluate", model, longer, "--samples", "2"),
        ("detect", model, longer, "-o", tmp_path / "d.csv"),
    ):
        done = run(*words)
        assert done.code == 0, done.err
    done = run("reconstruct", model, longer, "-o", tmp_path / "again.csv")
    assert done.code == 2
    assert "a history has 12 events, and the model reconstructs at most " in done.err
    done = run("impute", model, table, "-o", tmp_path / "i.csv")
    assert done.code == 2
    assert "fit the events as a table of rows, without --entity" in done.err
