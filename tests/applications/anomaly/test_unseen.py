"""Values that the fit did not see: their cells, their costs, and that they always count."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound import VAEDetector
from lowerbound.applications.anomaly.broken import unseen_costs, unseen_nats
from lowerbound.applications.anomaly.normal_rows import with_planted_cells
from lowerbound.applications.anomaly.scores import raw_scores
from lowerbound.data import load
from lowerbound.data.dataset import joined

pytestmark = [
    pytest.mark.filterwarnings("ignore:column"),
    pytest.mark.filterwarnings("ignore:no variation"),
]


def people(count: int = 200, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    size = rng.normal(size=count)
    return pd.DataFrame(
        {
            "size": size,
            "weight": 2 * size + 0.3 * rng.normal(size=count),
            "city": rng.choice(["Bonn", "Ulm", "Wien"], count),
            "rooms": rng.integers(1, 6, count),
            "country": "DE",
            "floor": 1,
        }
    )


@pytest.fixture(scope="module")
def detector() -> VAEDetector:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return VAEDetector(epochs=3, random_state=0).fit(people())


def test_the_cells_are_found_and_missing_ones_are_not_among_them() -> None:
    known = load(people())
    new = people(6, seed=1)
    new.loc[0, "city"], new.loc[1, "rooms"] = "Graz", 9
    new.loc[2, "country"], new.loc[3, "floor"] = "AT", 2
    new.loc[4, "city"] = None
    rows = load(new, schema=known.schema)
    assert rows.unseen is not None
    names = [column.name for column in known.schema.columns]
    found = {(int(row), names[column]) for row, column in rows.unseen.nonzero()}
    assert found == {(0, "city"), (1, "rooms"), (2, "country"), (3, "floor")}
    assert load(people(6, seed=1), schema=known.schema).unseen is None
    subset = rows.subset([3, 5]).unseen
    assert subset is not None
    assert subset[:, names.index("floor")].tolist() == [1.0, 0.0]
    both = joined([known, rows]).unseen
    assert both is not None
    assert (len(both), int((both > 0).sum())) == (206, 4)


def test_ordered_numbers_beyond_the_levels_have_a_distance() -> None:
    """In ranges of the levels, here from 1 to 5; floors, a constant, and codes have none."""
    known = load(people())
    new = people(6, seed=1).assign(rooms=[3, 0, 6, 45, -39, 2], floor=[1, 1, 1, 900, 1, 1])
    rows = load(new, schema=known.schema)
    assert rows.unseen is not None
    names = [column.name for column in known.schema.columns]
    assert rows.unseen[:, names.index("rooms")].tolist() == [0, 1.25, 1.25, 11, 11, 0]
    assert rows.unseen[:, names.index("floor")].tolist() == [0, 0, 0, 1, 0, 0]
    nats = unseen_nats(rows.unseen.numpy(), np.full(len(names), 2.0))
    assert nats[:, names.index("rooms")] == pytest.approx(
        [0, *2 + np.log([1.25, 1.25, 11, 11]), 0], rel=1e-6
    )


def test_a_cell_beyond_all_others_has_a_finite_score(detector: VAEDetector) -> None:
    """The code of a far row may be decoded to numbers whose squares overflow."""
    rows = load(people(3), schema=detector.fitted_.schema)
    raw = raw_scores(detector.model_, rows)
    far = replace(raw, place=raw.place * np.array([[1.0], [1e4], [1e200]]))
    found = detector.reference_.components(far)
    assert np.isfinite(found["latent"]).all()
    assert (np.diff(found["combined"]) > 1).all()
    assert np.isfinite(found["combined"]).all()


def test_the_further_a_number_beyond_the_levels_the_higher_its_score(
    detector: VAEDetector,
) -> None:
    new = people(4, seed=5).iloc[[0] * 4].assign(rooms=[3, 6, 40, 10**6])
    scores = detector.anomaly_score(new)
    assert (np.diff(scores) > 0.5).all()
    assert detector.explain(new.tail(2))["rooms"].diff().iloc[1] == pytest.approx(
        np.log((10**6 - 1) / 39), rel=1e-3
    )


def test_costs_are_those_of_good_and_turing() -> None:
    frame = pd.DataFrame({"a": [*"xxyyzzuvw"], "b": [1.0, 2, 3, 4, 5, 6, 7, 8, 9.5], "c": "k"})
    frame.loc[0, "a"] = None
    costs = unseen_costs(load(frame, kinds={"a": "categorical", "b": "real"}))
    # x, u, v and w occur once among 8 cells
    assert costs is not None
    np.testing.assert_allclose(costs, [np.log(9 / 5), np.log(10), np.log(10)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "value"), [("city", "Graz"), ("rooms", 40), ("country", "AT"), ("floor", 2)]
)
@pytest.mark.parametrize("contamination", ["clean", "auto"])
def test_a_new_value_always_raises_the_score(
    contamination: str, column: str, value: object, detector: VAEDetector
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if contamination == "auto":
            detector = VAEDetector(contamination="auto", random_state=0).fit(people())
        new = people(100, seed=2)
        planted = new.assign(**{column: value})
        assert (detector.anomaly_score(planted) > detector.anomaly_score(new)).all()
        if contamination == "clean":  # anomalies among the calibration rows raise the threshold
            assert (detector.predict(planted) == -1).mean() > 0.95


def test_a_saved_detector_knows_new_values(tmp_path: Path, detector: VAEDetector) -> None:
    detector.save(tmp_path / "m.lb")
    new = people(20, seed=3).assign(city="Graz")
    again = VAEDetector.load(tmp_path / "m.lb")
    pd.testing.assert_frame_equal(again.components(new), detector.components(new))
    assert (detector.components(new)["unseen"] == detector.reference_.costs[2]).all()


def test_a_new_value_is_among_the_shares_of_its_column(detector: VAEDetector) -> None:
    new = people(3, seed=4)
    new.loc[0, "city"], new.loc[1, "country"] = "Graz", "AT"
    whole = detector.explain(new, excess=False)
    np.testing.assert_allclose(whole.sum(axis=1), detector.components(new)["bound"], atol=1e-6)
    assert list(whole) == ["size", "weight", "city", "rooms", "country", "rate"]
    assert detector.explain(new).idxmax(axis=1).tolist()[:2] == ["city", "country"]
    assert list(detector.explain(new.tail(1))) == ["size", "weight", "city", "rooms", "rate"]


def test_planted_rows_have_usual_cells() -> None:
    frame = people(300).assign(city=None)
    frame.loc[::2, "city"] = "Ulm"
    frame.loc[::3, "city"] = "Wien"
    rows = load(frame)
    planted = with_planted_cells(rows, 0)
    assert planted.observed is not None
    assert rows.observed is not None
    for column in range(rows.x.shape[1]):
        assert set(planted.x[:, column].tolist()) <= set(rows.x[:, column].tolist())
    changed = (planted.x != rows.x) | (planted.observed != rows.observed)
    assert 0.15 < float(changed.float().mean()) < 0.45
