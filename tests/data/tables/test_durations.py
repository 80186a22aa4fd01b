"""Tables with durations and times of day: what is read, filled in and drawn."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.cli import main
from lowerbound.data import load, to_frame
from lowerbound.errors import DataError
from lowerbound.estimators import TableSynthesizer, VAEImputer

ROWS = 120
SHORT = ["--updates", "3", "--no-report", "--test", "0", "--gap-rows", "0", "--threads", "1"]


def table() -> pd.DataFrame:
    """A number, and what takes as long in three forms; some cells are missing."""
    random = np.random.default_rng(0)
    size = random.normal(size=ROWS)
    spans = pd.to_timedelta(np.rint(np.exp(6 + 0.8 * size)), unit="s")
    noon = datetime.datetime(2020, 1, 1, 12)
    minutes = [datetime.timedelta(minutes=int(200 * np.tanh(x))) for x in size]
    frame = pd.DataFrame(
        {
            "size": size,
            "wait": spans,
            "start": [(noon + each).time() for each in minutes],
            "lap": [str(datetime.timedelta(seconds=each.seconds)) for each in spans],
        }
    )
    for place, name in enumerate(("wait", "start", "lap")):
        frame.loc[place::7, name] = None
    return frame


def test_a_frame_comes_back_in_its_types() -> None:
    frame = table()
    dataset = load(frame, missing="model")
    assert [column.kind for column in dataset.schema.columns][1] in ("positive", "real")
    x = dataset.x.masked_fill(~dataset.observed, float("nan"))
    back = to_frame(dataset.schema, x)
    pd.testing.assert_series_equal(back["wait"], frame["wait"])
    assert back["start"].tolist() == frame["start"].tolist()
    assert back["lap"].notna().tolist() == frame["lap"].notna().tolist()


def test_estimators_answer_in_the_types_of_the_frame() -> None:
    frame = table()
    filled = VAEImputer(minutes=0.01, random_state=0).fit_transform(frame)
    assert filled["wait"].dtype == frame["wait"].dtype
    assert filled.notna().all(axis=None)
    synthesizer = TableSynthesizer(minutes=0.01, random_state=0).fit(frame)
    drawn = synthesizer.sample(50, random_state=0)
    for made in (filled, drawn):
        assert all(isinstance(cell, datetime.time) for cell in made["start"].dropna())
        assert all(re.fullmatch(r"\d+:\d\d:\d\d(\.\d+)?", cell) for cell in made["lap"].dropna())
    assert drawn["wait"].dtype == frame["wait"].dtype
    assert drawn["wait"].min() >= frame["wait"].min()
    given = {"wait": pd.Timedelta("7 minutes"), "lap": "0:07:00"}
    found = synthesizer.sample(3, given=given, complete=True)
    assert (found["wait"] == given["wait"]).all()
    assert (found["lap"] == given["lap"]).all()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_commands_write_what_they_read(suffix: str, tmp_path: Path) -> None:
    """Given cells stay, and filled and drawn ones can be read again by the same model."""
    data, model, out = tmp_path / f"data{suffix}", str(tmp_path / "m.lb"), tmp_path / f"o{suffix}"
    frame = table()
    (frame.to_csv if suffix == ".csv" else frame.to_parquet)(data, index=False)
    assert main(["fit", str(data), "-o", model, "--missing", "model", *SHORT]) == 0
    assert main(["impute", model, str(data), "-o", str(out), "--samples", "2"]) == 0
    before, after = read(data), read(out)
    for name in frame.columns:
        known = before[name].notna()
        assert after[name][known].tolist() == before[name][known].tolist()
    assert after.notna().all(axis=None)
    assert main(["sample", model, "-n", "9", "-o", str(out)]) == 0
    assert main(["detect", model, str(out)]) == 0
    assert read(out)["wait"].dtype == before["wait"].dtype


def test_a_cell_that_is_no_duration_is_named() -> None:
    schema = load(table(), missing="model").schema
    wrong = table().astype({"lap": object})
    wrong.loc[5, "lap"] = "soon"
    with pytest.raises(DataError, match=r"'lap' holds numbers that are written as .*row 5: 'soon'"):
        load(wrong, schema=schema)


def read(path: Path) -> Any:
    return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
