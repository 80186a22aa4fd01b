"""Observed cells of a csv file come back as they are spelled, and dates in their one format."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.common.application import Silent
from lowerbound.applications.generation.requests import SampleRequest
from lowerbound.applications.generation.sample import sample
from lowerbound.applications.restoration.impute import impute
from lowerbound.applications.restoration.requests import ImputeRequest
from lowerbound.data import load
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.training import TrainingOptions

FEW = TrainingOptions(updates=3, validation=0)
ROWS = 260
FORMATS = ["%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d", "%d.%m.%y", "%d/%m/%Y %H:%M"]
SPELLINGS = {
    "size": lambda i: f"{i * 0.37:.2f}" + "0" * (i % 3),
    "visits": lambda i: str(i * 7 % 23),
    "member": lambda i: ["true", "false"][i % 2],
    "code": lambda i: f"{i % 7:03d}",
    "town": lambda i: ["ash ", "elm, south", 'the "oak"'][i % 3],
}


def cells(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def write_table(path: Path, format: str, observed: int = 199) -> None:
    """A column of dates of which some are observed, and others that are spelled in many ways."""
    random = np.random.default_rng(0)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 365, ROWS), "D")
    days += pd.to_timedelta(random.integers(0, 1440, ROWS) if "%H" in format else 0, "min")
    there = random.permutation(ROWS) < observed
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["visit", *SPELLINGS, "note"])
        for i, day in enumerate(days):
            rest = [spell(i) if random.random() < 0.8 else "NA" for spell in SPELLINGS.values()]
            writer.writerow([day.strftime(format) if there[i] else "", *rest, f"row {i:04d}"])


def fitted_on(path: Path) -> Fitted:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the notes name rows; two-digit years have two readings
        return fit(load(path), FitOptions(training=FEW))


@pytest.fixture(scope="module", params=FORMATS)
def dated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, Fitted]:
    path = tmp_path_factory.mktemp("dates") / "visits.csv"
    write_table(path, request.param)
    return request.param, path, fitted_on(path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:column 'town'.* taken for missing:UserWarning")
@pytest.mark.parametrize("strategy", ["mean", "median", "sample"])
def test_observed_cells_come_back_as_they_are_spelled(
    dated: tuple[str, Path, Fitted], strategy: str, tmp_path: Path
) -> None:
    format, path, fitted = dated
    out = tmp_path / "whole.csv"
    impute(
        ImputeRequest("MODEL", str(path), str(out), samples=5, draws=1, strategy=strategy),  # type: ignore[arg-type]
        Silent(),
        fitted,
    )
    given = cells(path)
    for made in (cells(out), cells(tmp_path / "whole-1.csv")):
        assert len(made) == len(given)
        assert made[0] == given[0]
        filled = 0
        for before, after in zip(given[1:], made[1:], strict=True):
            for name, old, new in zip(given[0], before, after, strict=True):
                if old not in ("", "NA"):
                    assert new == old, name
                elif name == "visit":
                    assert pd.to_datetime(new, format=format).strftime(format) == new
                    filled += 1
                else:
                    assert new not in ("", "NA"), name
        assert filled == ROWS - 199
    members = {row[3] for row in cells(out)[1:]}
    assert members == {"true", "false"}


def test_samples_have_dates_of_the_format(dated: tuple[str, Path, Fitted], tmp_path: Path) -> None:
    format, _, fitted = dated
    out = tmp_path / "drawn.csv"
    sample(SampleRequest("MODEL", str(out), number=20), Silent(), fitted)
    drawn = [row[0] for row in cells(out)[1:]]
    days = [day for day in drawn if day]  # as many are missing as in the table
    assert len(drawn) == 20
    assert days
    assert [pd.to_datetime(day, format=format).strftime(format) for day in days] == days


def test_a_table_of_days_stays_one_of_days(tmp_path: Path) -> None:
    """Dates that are no text, in parquet."""
    frame = pd.DataFrame(
        {"day": pd.date_range("2024-01-01", periods=90), "size": np.sqrt(np.arange(90.0))}
    )
    frame["day"] = frame["day"].where(np.arange(90) % 3 > 0)
    frame.to_parquet(tmp_path / "days.parquet")
    fitted = fitted_on(tmp_path / "days.parquet")
    out = tmp_path / "whole.parquet"
    request = ImputeRequest("MODEL", str(tmp_path / "days.parquet"), str(out), samples=5)
    impute(request, Silent(), fitted)
    found = pd.read_parquet(out)["day"]
    assert found.dtype == frame["day"].dtype
    assert (found == found.dt.normalize()).all()
    assert (found[frame["day"].notna()] == frame["day"].dropna()).all()
