"""Tables with durations and times of day: what is read, filled in and drawn."""

from __future__ import annotations

import datetime
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.applications.release.evidence import AuditedTables
from lowerbound.cli import main
from lowerbound.data import history_frame, load, to_frame
from lowerbound.data.tables.on_disk import load_on_disk
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_on_disk_have_the_schema_of_rows_in_memory(
    suffix: str, complete: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kinds and notations, found on all rows or on a sample of them."""
    data = tmp_path / f"data{suffix}"
    frame = pd.concat([table().assign(price=[f"${n},000" for n in range(1, ROWS + 1)])] * 5)
    (frame.to_csv if suffix == ".csv" else frame.to_parquet)(data, index=False)
    if not complete:
        monkeypatch.setattr("lowerbound.data.tables.on_disk.SAMPLED_CELLS", 1_000, raising=False)
        monkeypatch.setattr(
            "lowerbound.data.tables.disk_sample.SAMPLED_CELLS", 1_000, raising=False
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = load_on_disk(data, tmp_path / "cache", missing="model").schema
        expected = load(data, missing="model").schema
    assert [(c.name, c.kind, c.notation) for c in found.columns] == [
        (c.name, c.kind, c.notation) for c in expected.columns
    ]


@pytest.mark.slow
@pytest.mark.parametrize("gap", [None, float("nan")])
def test_a_row_without_a_duration_gets_one_of_the_type_of_the_fit(gap: Any) -> None:
    model = VAEImputer(minutes=0.01, random_state=0).fit(table().drop(columns="lap"))
    row = pd.DataFrame({"size": [0.3], "wait": [gap], "start": [gap]})
    filled = model.transform(row)
    assert isinstance(filled["wait"][0], pd.Timedelta)
    assert isinstance(filled["start"][0], datetime.time)


def test_parts_of_a_second_are_written(tmp_path: Path) -> None:
    lags = pd.to_timedelta(100 + 7 * np.arange(ROWS) % 900, unit="ms")
    frame = table()[["size"]].assign(lag=lags)
    frame.to_parquet(data := tmp_path / "t.parquet")
    model, out = str(tmp_path / "m.lb"), tmp_path / "o.csv"
    assert main(["fit", str(data), "-o", model, *SHORT]) == 0
    assert main(["sample", model, "-n", "50", "-o", str(out)]) == 0
    drawn = pd.to_timedelta(pd.read_csv(out)["lag"]).dt.total_seconds()
    assert drawn.nunique() > 10


def test_audits_read_durations_in_every_table() -> None:
    frame = table()
    tables = AuditedTables.of(frame, frame.sample(frac=1, random_state=0))
    assert tables.notations.keys() == {"wait", "start", "lap"}
    wrong = table()
    wrong.loc[5, "lap"] = "soon"
    with pytest.raises(DataError, match="SYNTHETIC: column 'lap'"):
        AuditedTables.of(frame, wrong)


@pytest.mark.filterwarnings("ignore")
def test_events_of_a_frame_and_of_a_file_agree(tmp_path: Path) -> None:
    frame = table().assign(who=np.arange(ROWS) // 6, at=np.arange(ROWS) % 6 + 0.5)
    frame.to_parquet(path := tmp_path / "events.parquet")
    names = {"entity": "who", "time": "at"}
    found, expected = (load(source, **names) for source in (frame, path))
    assert found.schema.features == expected.schema.features
    again = load(frame, schema=expected.schema)
    assert torch.equal(again.x.nan_to_num(), expected.x.nan_to_num())
    long = history_frame(expected.schema, expected.x, expected.observed)
    assert long["wait"].dtype == frame["wait"].dtype


def test_a_cell_that_is_no_duration_is_named() -> None:
    schema = load(table(), missing="model").schema
    wrong = table().astype({"lap": object})
    wrong.loc[5, "lap"] = "soon"
    with pytest.raises(DataError, match=r"'lap' holds numbers that are written as .*row 5: 'soon'"):
        load(wrong, schema=schema)


def read(path: Path) -> Any:
    return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)


@pytest.mark.parametrize("form", ["hh:mm:ss", "[h]:mm:ss", "h:mm"])
@pytest.mark.parametrize("days", [(0.0, 0.9), (0.0, 2.5), (1.1, 20.0)])
def test_durations_of_a_workbook_pass_a_day(
    tmp_path: Path, form: str, days: tuple[float, float]
) -> None:
    """A workbook says neither date nor duration: cells of hh:mm:ss beyond a day come as dates."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["took", "size"])
    seconds = np.rint(np.random.default_rng(0).uniform(*days, 60) * 86_400)
    for row, value in enumerate(seconds):
        sheet.append([value / 86_400, row**1.5])
        sheet.cell(row=row + 2, column=1).number_format = form
    book.save(tmp_path / "rows.xlsx")
    found = load(tmp_path / "rows.xlsx")
    assert [column.name for column in found.schema.columns] == ["took", "size"]
    values = found.schema.decode(found.batch(torch.arange(60)).x)[:, 0]
    np.testing.assert_allclose(values, seconds, atol=0.51)


def test_dates_of_a_workbook_stay_dates(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    born = pd.date_range("1900-01-02", periods=60, freq="D")[:50]
    noted = pd.date_range("1899-12-31", periods=50, freq="400D") + pd.Timedelta("7h")
    frame = pd.DataFrame({"born": born, "noted": noted[-50:], "size": np.arange(50) ** 1.5})
    frame.loc[:, "noted"] = frame["noted"] + pd.Timedelta("30D")
    frame.to_excel(tmp_path / "rows.xlsx", index=False)
    found = load(tmp_path / "rows.xlsx", kinds={"born": "datetime"})
    assert [column.kind for column in found.schema.columns[:2]] == ["datetime"] * 2
