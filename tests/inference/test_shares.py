"""No row is odder in cents than in euros, also in a column with an atom."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lowerbound import VAEDetector
from lowerbound.applications.anomaly.reference import compared
from lowerbound.inference.likelihood import score
from lowerbound.inference.shares import shares, unit_nats

COLUMNS = ["bound", "reconstruction", "latent"]


def rows(count: int, seed: int, factor: float = 1.0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    x = random.normal(size=count)
    spent = np.where(x > 0, np.exp(x + 0.2 * random.normal(size=count)), 0.0)
    return pd.DataFrame({"x": x, "spent": factor * spent})


def detector(factor: float) -> VAEDetector:
    return VAEDetector(epochs=3, random_state=0).fit(rows(300, 0, factor))


@pytest.mark.slow
def test_scores_and_explanations_do_not_depend_on_a_unit() -> None:
    euros, cents = detector(1.0), detector(100.0)
    new, same = rows(60, 1), rows(60, 1, 100.0)
    one, other = euros.components(new)[COLUMNS], cents.components(same)[COLUMNS]
    np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(cents.explain(same), euros.explain(new), rtol=1e-4, atol=1e-4)


def incomes(count: int, seed: int, factor: float = 1.0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    table = rows(count, seed)
    return table.assign(income=factor * np.exp(table["x"] + random.normal(size=count)))


@pytest.mark.slow
@pytest.mark.parametrize("contamination", ["clean", "auto"])
@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_no_member_depends_on_a_unit(factor: float, contamination: str) -> None:
    new = incomes(60, 1), incomes(60, 1, factor)
    one, other = (
        VAEDetector(epochs=3, contamination=contamination, random_state=0)
        .fit(incomes(300, 0, each))
        .components(table)
        for each, table in zip((1.0, factor), new, strict=True)
    )
    assert {"combined", "neighbors", "mahalanobis"} <= set(one)
    in_nats = np.isin(one.columns, ["bound", "reconstruction"])  # of a density: log dx more
    expected = one + np.log(factor) * in_nats
    np.testing.assert_allclose(other, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_the_units_are_the_difference_to_the_bound() -> None:
    found = detector(100.0)
    dataset = found._read(rows(60, 1, 100.0))
    nats = unit_nats(dataset, found.model_.mass)
    assert nats is not None
    beside = rows(60, 1)["spent"].to_numpy() > 0
    assert ((nats[:, 1].numpy() != 0) == beside).all()
    column = dataset.schema.columns[1]
    np.testing.assert_allclose(nats[:, 1][beside], np.log(column.scale))
    of_file = replace(found.reference_, unit_free=False)  # an older one
    kwargs = {"samples": 4, "seed": 0}
    free, old = (
        compared(found.model_, one, dataset, **kwargs) for one in (found.reference_, of_file)
    )
    np.testing.assert_allclose(old["bound"] - free["bound"], nats.sum(1), rtol=1e-9)
    bound = score(found.model_, dataset, **kwargs).bound
    np.testing.assert_allclose(old["bound"], -bound, rtol=1e-9)
    whole = shares(found.model_, dataset, unit_free=False, **kwargs)
    parts = shares(found.model_, dataset, **kwargs)
    np.testing.assert_allclose(whole.features - parts.features, nats, atol=1e-9)
