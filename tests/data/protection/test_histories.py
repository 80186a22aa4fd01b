"""Event tables are protected by entity, and draws of their models bear no rare value."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.applications.generation.sample import sample_histories
from lowerbound.data import Events, history_frame, load
from lowerbound.data.dataset import Dataset
from lowerbound.data.protection.record import Protection
from lowerbound.data.sequences.event_layout import EventLayout
from lowerbound.errors import DataError
from lowerbound.fitting import FitOptions, fit
from lowerbound.training import TrainingOptions


def visits(entities: int = 120) -> pd.DataFrame:
    """Visits of patients, of whom one alone has 30 visits to a place of her own."""
    draw = np.random.default_rng(0)
    who = np.r_[np.repeat(np.arange(entities), draw.integers(1, 6, entities)), np.full(30, 7)]
    rows = len(who)
    place = draw.choice(["north", "south", "east"], rows).astype(object)
    place[-30:] = "island"
    birth = draw.choice(["AT", "DE"], entities).astype(object)
    birth[3] = "Tuvalu"
    return pd.DataFrame(
        {
            "patient": [f"P-{1000 + 37 * number}" for number in who],
            "name": [f"Anna {chr(97 + n % 26)}{chr(97 + n // 26)}lo" for n in who],
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 300, rows), "D"),
            "place": place,
            "birth": birth[who],
            "cost": np.exp(draw.normal(5, 1, rows)).round(2),
            "note": [f"the patient said {n} words to me" for n in range(rows)],
        }
    )


def protected(least: int = 10) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load(Events(visits(), "patient", "day"), least_people=least)


def levels(dataset: Dataset) -> set[object]:
    return {level for feature in dataset.schema.features for level in feature.levels}


def test_values_of_few_entities_go() -> None:
    rows, dataset = visits(), protected()
    record = Protection.of(dataset.schema.details)
    assert record is not None
    assert (record.entity, record.entities) == ("patient", 120)
    roles = {each.name: each.role for each in record.columns}
    assert roles["place"] == roles["birth"] == "level"
    assert (roles["note"], roles["name"], roles["cost"]) == ("free text", "identifier", "number")
    made = history_frame(dataset.schema, dataset.x, dataset.observed, names=dataset.ids)
    assert set(made["place"]) == {"north", "south", "east"}
    assert set(made["birth"]) == {"AT", "DE"}
    assert made.groupby("patient")["birth"].nunique().max() == 1
    assert made["name"].isna().all()
    assert made["cost"].max() < rows.groupby("patient")["cost"].max().nlargest(10).min()
    assert len(made) < len(rows)
    assert "island" not in levels(dataset)


def kth(values: pd.Series, place: int) -> float:
    """The value of the k-th entity from an end, k = 10."""
    return float(values.sort_values().iloc[place])


def test_times_waits_and_lengths_are_bounded_by_the_kth_entity() -> None:
    rows, dataset = visits(), protected()
    made = history_frame(dataset.schema, dataset.x, dataset.observed, names=dataset.ids)
    by = rows.groupby("patient")["day"]
    assert by.min().sort_values().iloc[9] <= made["day"].min()
    assert made["day"].max() <= by.max().sort_values().iloc[-10]
    assert made.groupby("patient").size().max() <= kth(rows.groupby("patient").size(), -10)
    waits = [
        frame.sort_values(["patient", "day"]).groupby("patient")["day"].diff().dt.days.dropna()
        for frame in (rows, made)
    ]
    longest = waits[0].groupby(rows["patient"]).max()
    assert waits[1].max() <= kth(longest, -10)


def test_drawn_times_end_with_the_table() -> None:
    dataset = protected()
    ends = EventLayout.of(dataset.schema).ends
    x = dataset.x.clone()
    x[..., EventLayout.of(dataset.schema).wait] *= 50  # waiting times that pass the end
    made = history_frame(dataset.schema, x, dataset.observed)
    seconds = made["day"].astype("datetime64[s]").astype("int64")
    assert ends[0] <= seconds.min()
    assert seconds.max() <= ends[1]
    assert made["patient"].nunique() == len(x)
    given = history_frame(dataset.schema, x, dataset.observed, names=dataset.ids)
    assert len(given) > len(made)  # given events stay


def test_names_are_fresh_and_one_for_each_entity() -> None:
    rows, dataset = visits(), protected()
    parts = [
        history_frame(
            dataset.schema, dataset.x[at : at + 60], dataset.observed[at : at + 60], first=at
        )
        for at in (0, 60)
    ]
    made = pd.concat(parts)
    assert not set(made["name"]) & set(rows["name"])
    assert made["name"].str.fullmatch("Anna [a-z]{4}").all()
    assert (made.groupby("patient")["name"].nunique() == 1).all()
    assert made["name"].nunique() == made["patient"].nunique()


def test_histories_shorter_than_those_of_k_entities_are_left_out() -> None:
    draw, count = np.random.default_rng(0), 60
    who = np.repeat(np.arange(count), np.r_[1, np.full(count - 1, 4)])
    frame = pd.DataFrame(
        {
            "who": who,
            "day": draw.integers(0, 100, len(who)),
            "kind": draw.choice(["a", "b"], len(who)),
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = load(Events(frame, "who", "day"), least_people=2)
    assert "0" not in dataset.ids


def test_too_few_entities_with_a_second_event() -> None:
    frame = pd.DataFrame(
        {"who": [*range(30), 0], "day": [*range(30), 31], "kind": ["a", "b", "a"] * 10 + ["b"]}
    )
    with pytest.raises(DataError, match="fewer than 10 values of 'who' have a second event"):
        load(Events(frame, "who", "day"), least_people=10)


def test_without_protection_all_values_stay() -> None:
    dataset = protected(1)
    assert {"island", "Tuvalu"} <= levels(dataset)


def test_too_few_entities() -> None:
    with pytest.raises(DataError, match="has 120 values of 'patient', and no value is drawn"):
        load(Events(visits(), "patient", "day"), least_people=200)


@pytest.mark.slow
def test_draws_have_fresh_entities_and_no_rare_value() -> None:
    rows, dataset = visits(), protected()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit(dataset, FitOptions(training=TrainingOptions(updates=5)))
    drawn = history_frame(fitted.schema, torch.cat(list(sample_histories(fitted.model, 60))))
    assert not set(drawn["patient"]) & set(rows["patient"])
    assert set(drawn["place"]) <= {"north", "south", "east"}
    assert drawn["note"].isna().all()
