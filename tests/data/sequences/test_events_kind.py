"""Event tables become histories and come back; the order of rows changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.data import Dataset, Events, Schema, history_frame, load
from lowerbound.data.columns.column import Column
from lowerbound.data.sequences.event_layout import EventLayout, step_of
from lowerbound.errors import DataError, OptionError
from tests.data.sequences.tables import visits

pytestmark = pytest.mark.filterwarnings("ignore:column 'day'. its dates fit")
FORMAT = {"day": "datetime:%d.%m.%Y"}


def histories(frame: Any, **options: Any) -> Dataset:
    return load(frame, entity="patient", time="day", kinds=FORMAT, **options)


def back(dataset: Dataset) -> pd.DataFrame:
    frame: pd.DataFrame = history_frame(
        dataset.schema, dataset.x, dataset.observed, names=dataset.ids
    )
    return frame


def sorted_rows(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(list(frame.columns), ignore_index=True)


def test_a_table_comes_back_with_its_columns_types_and_cells() -> None:
    frame = visits()
    dataset = histories(frame)
    found = back(dataset)
    assert list(found.columns) == list(frame.columns)
    pd.testing.assert_frame_equal(
        sorted_rows(found), sorted_rows(frame), check_dtype=False, rtol=1e-12
    )
    assert [found[name].dtype.kind for name in ("born", "cost", "dose", "tests")] == list("iffi")
    assert (found["cost"] == found["cost"].round(2)).all()


def test_the_layout_of_a_history() -> None:
    dataset = histories(visits())
    schema, x, seen = dataset.schema, dataset.x, dataset.mask
    layout = EventLayout.of(schema)
    names = [feature.name for feature in schema.features]
    assert names[:4] == ["sex", "born", "first day", "day after the event before"]
    assert names[4:] == ["kind", "cost", "dose is present", "dose", "tests", "last event"]
    assert (layout.constants, layout.gates) == (2, (6,))
    assert schema.event_shape == (5, 10)
    assert seen[:, 0, :3].all()
    assert not seen[:, 1:, :3].any()
    assert not seen[:, 0, 3].any()  # no wait before the first event
    lengths = seen[..., -1].sum(1)
    assert lengths.tolist() == [1 + number % 5 for number in range(12)]
    assert (seen.any(2).sum(1) == lengths).all()
    ends = x[..., -1].bool()
    assert (ends.sum(1) == 1).all()
    assert (ends.long().argmax(1) == lengths - 1).all()
    gate, dose = seen[..., 6], seen[..., 7]
    assert torch.equal(dose, gate & x[..., 6].bool())
    assert (x[~seen] == 0).all()
    assert (x[..., layout.grid] == x[..., layout.grid].round()).all()


def test_the_schema_survives_json() -> None:
    schema = histories(visits()).schema
    read = Schema.from_mapping(schema.to_mapping())
    assert EventLayout.of(read) == EventLayout.of(schema)
    assert read.features == schema.features
    assert read.event_shape == schema.event_shape


def test_the_order_of_rows_changes_nothing() -> None:
    frame = visits()
    one = histories(frame)
    assert frame.duplicated(["patient", "day"]).any()  # there are ties
    for seed in range(3):
        other = histories(frame.sample(frac=1, random_state=seed))
        assert one.schema == other.schema
        assert one.ids == other.ids
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.mask, other.mask)


def test_later_tables_are_read_by_the_schema_and_may_be_longer() -> None:
    frame = visits().drop(columns=["born", "tests"])  # their levels would be new
    schema = histories(frame[frame["patient"] < "P-004"]).schema
    later = load(frame, schema=schema)
    assert schema.event_shape[0] == 4
    assert later.x.shape == (12, 5, 8)
    shorter = load(frame[frame["patient"] == "P-001"], schema=schema)
    assert shorter.x.shape[1] == 4
    with pytest.raises(OptionError, match="fitted with the entity 'patient'"):
        load(frame, schema=schema, entity="sex", time="day")


def test_a_csv_keeps_the_zeros_of_its_identifiers(tmp_path: Path) -> None:
    frame = visits().assign(patient=lambda rows: rows["patient"].str[2:])
    frame.to_csv(tmp_path / "visits.csv", index=False)
    dataset = histories(str(tmp_path / "visits.csv"))
    assert dataset.ids is not None
    assert dataset.ids[:2] == ("000", "001")
    fresh = history_frame(dataset.schema, dataset.x, dataset.observed)
    assert fresh["patient"].iloc[0] == "012"
    assert not set(fresh["patient"]) & set(frame["patient"])


def test_dates_written_as_whole_numbers_are_days() -> None:
    frame = pd.DataFrame(
        {
            "who": [1, 1, 2, 2],
            "when": [20210131, 20210201, 20210228, 20210301],
            "what": list("abab"),
        }
    )
    dataset = load(Events(frame, "who", "when"))
    assert dataset.x[:, 1, 1].tolist() == [1.0, 1.0]  # one day, also over the end of a month
    pd.testing.assert_frame_equal(back(dataset).astype({"who": int}), frame, check_dtype=False)


def test_times_may_be_real_numbers() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "who": np.repeat(range(8), 3),
            "when": random.random(24),
            "what": random.choice([*"ab"], 24),
        }
    )
    found = back(load(Events(frame, "who", "when"))).astype({"who": int})
    pd.testing.assert_frame_equal(
        found, frame.sort_values(["who", "when"], ignore_index=True), check_dtype=False
    )


def test_a_density_is_in_the_units_of_the_table_and_whole_steps_have_mass() -> None:
    dataset = histories(visits())
    slopes = dataset.schema.log_slopes(dataset.x, mass=False, observed=dataset.observed)
    dose = next(f for f in dataset.schema.features if f.name == "dose")
    seen = dataset.mask[..., 7]
    np.testing.assert_allclose(slopes[..., 7][seen], -np.log(dose.scale))
    assert (slopes[..., [0, 1, 2, 3, 4, 5, 6, 8, 9]] == 0).all()
    assert (slopes[~dataset.mask] == 0).all()


def bad(change: Any) -> pd.DataFrame:
    frame = visits().astype({"day": object})
    return change(frame)  # type: ignore[no-any-return]


def cell(frame: pd.DataFrame, name: str, value: Any) -> pd.DataFrame:
    frame[name] = frame[name].astype(object)
    frame.loc[3, name] = value
    return frame


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: cell(f, "day", None), r"no time in column 'day' for 1 event, row 3"),
        (lambda f: cell(f, "patient", None), r"no entity in column 'patient' for 1 event, row 3"),
        (lambda f: cell(f, "day", "soon"), r"not in row 3.*'soon'"),
        (lambda f: f.rename(columns={"patient": "patients"}), "did you mean 'patients'"),
        (lambda f: f[f["patient"] == "P-004"], "all events are of one entity, 'P-004'"),
        (
            lambda f: f.drop_duplicates("patient"),
            "no entity in column 'patient' has a second event",
        ),
        (lambda f: f[:0], "the table of events is empty: 0 rows"),
        (lambda f: f.rename(columns={"born": "sex"}), "several columns are named sex"),
    ],
)
def test_what_cannot_be_read(change: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        histories(bad(change))


def test_times_that_are_neither_dates_nor_numbers() -> None:
    frame = visits().assign(day=lambda rows: rows["kind"])
    with pytest.raises(DataError, match="holds no times that can be read"):
        load(frame, entity="patient", time="day")


@pytest.mark.parametrize(
    "times",
    [
        lambda days: days.dt.strftime("%d.%m.%Y"),
        lambda days: days.dt.strftime("%Y-%m-%d"),
        lambda days: days.dt.strftime("%Y%m%d"),
        lambda days: (days.astype("int64") / 1e15).astype(str),
    ],
)
def test_cells_of_the_times_that_hold_none_are_named(times: Any) -> None:
    frame = visits()
    written = times(pd.to_datetime(frame["day"], format=FORMAT["day"].partition(":")[2]))
    written = written.astype(object)
    written.iloc[[3, 5]] = ["soon", "later"]
    with pytest.raises(DataError) as raised:
        load(frame.assign(day=written), entity="patient", time="day")
    assert "column 'day' holds the times of the events, but not in rows 3, 5" in str(raised.value)
    assert "('soon', 'later'): correct those cells, or drop those rows" in str(raised.value)


def test_times_in_another_format_are_to_be_corrected_and_not_emptied() -> None:
    frame = visits()
    format = FORMAT["day"].partition(":")[2]
    fitted = histories(frame)
    frame["day"] = frame["day"].astype(object)
    frame.loc[3, "day"] = "31|31|31"
    for options in ({"kinds": FORMAT}, {"schema": fitted.schema}):
        with pytest.raises(DataError) as raised:
            load(frame, entity="patient", time="day", **options)
        assert f"dates written as {format}, but not in row 3" in str(raised.value)
        assert str(raised.value).endswith("'31|31|31'): correct those cells, or drop those rows")


def test_entity_and_time_are_given_together() -> None:
    with pytest.raises(OptionError, match="give --entity COLUMN and --time COLUMN"):
        load(visits(), entity="patient")
    with pytest.raises(OptionError, match="the same column"):
        load(visits(), entity="day", time="day")


def test_repeated_rows_are_named() -> None:
    frame = visits()
    with pytest.warns(UserWarning, match="2 rows repeat another row"):
        dataset = histories(pd.concat([frame, frame[:2]]))
    assert int(dataset.mask[..., -1].sum()) == len(frame) + 2


def test_a_column_without_any_value_stays_empty() -> None:
    found = back(histories(visits().assign(note=np.nan)))
    assert found["note"].isna().all()


@pytest.mark.parametrize("far", [1e12, 123_456_789_012.34])
def test_one_far_value_leaves_the_others_their_cents(far: float) -> None:
    frame = visits(40).assign(dose=0.0)
    frame.loc[7, "cost"] = far
    dataset = histories(frame)
    layout = EventLayout.of(dataset.schema)
    names = [feature.name for feature in dataset.schema.features if feature.modeled]
    assert names.index("cost") in layout.grid
    assert sorted(back(dataset)["cost"]) == sorted(frame["cost"])


def test_numbers_with_digits_at_random_have_no_step() -> None:
    random = np.random.default_rng(0)
    for size in (1.0, 1e6, 1e12):
        assert step_of(size * (1 + random.random(50)), Column("x")) == 0.0


def test_types_of_a_frame_come_back() -> None:
    frame = visits(20)
    days = pd.to_datetime(frame["day"], format="%d.%m.%Y")
    hours = pd.to_timedelta(np.arange(len(frame)) % 24, unit="h")
    frame = frame.assign(
        day=(days + hours).dt.tz_localize("Europe/Vienna").astype("datetime64[us, Europe/Vienna]"),
        kind=frame["kind"].astype("category"),
        born=frame["born"].astype("Int64"),
        seen=days.dt.tz_localize("America/Lima") + hours,
    )
    dataset = load(frame, entity="patient", time="day")
    found = history_frame(dataset.schema, dataset.x, dataset.observed, names=dataset.ids)
    pd.testing.assert_series_equal(found.dtypes, frame.dtypes)
    pd.testing.assert_frame_equal(sorted_rows(found), sorted_rows(frame), rtol=1e-12)
