"""Event tables are protected by entity, and draws of their models bear no rare value."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.data import Events, history_frame, load
from lowerbound.data.dataset import Dataset
from lowerbound.data.protection.record import Protection
from lowerbound.errors import DataError
from lowerbound.fitting import FitOptions, fit
from lowerbound.inference.histories import sample_histories
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
    assert len(made) == len(rows)
    assert "island" not in levels(dataset)


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
