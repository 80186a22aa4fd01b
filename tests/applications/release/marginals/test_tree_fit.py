from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import dp_accounting
import numpy as np
import pandas as pd
import pytest
from dp_accounting import pld, rdp

from lowerbound.applications.release.marginals import model as model_module
from lowerbound.applications.release.marginals.charged_schema import chosen, epsilon_of, rho_for
from lowerbound.applications.release.marginals.hub_tree import Measuring
from lowerbound.applications.release.marginals.model import MarginalModel, fit_marginals
from lowerbound.applications.release.marginals.tree_fit import (
    TreeFit,
    TreeOptions,
    directed,
    merged,
    on_simplex,
    raked,
    raked_with_hub,
    shrunk,
)
from lowerbound.errors import DataError, OptionError
from lowerbound.training.private.engine import SecretRandomness, SeededRandomness
from lowerbound.training.private.grid import Grid

DECLARED: dict[str, dict[str, Any]] = {
    "age": {"low": 0, "high": 79, "whole": True},
    "town": {"levels": ["A", "B", "C"]},
    "code": {"levels": ["a", "b", "c"]},
    "paid": {"low": 0, "high": 1000, "log": True, "atom": 0, "missing": True},
    "rich": {"levels": ["no", "yes"]},
}


def table(rows: int = 20_000) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    town = draw.choice(3, size=rows, p=[0.5, 0.3, 0.2])
    rich = draw.random(rows) < 0.2 + 0.2 * town
    paid = np.where(draw.random(rows) < 0.6, 0.0, draw.gamma(2.0, 80.0, rows).clip(0, 1000))
    return pd.DataFrame(
        {
            "age": draw.binomial(79, np.where(rich, 0.6, 0.4)),
            "town": np.array(["A", "B", "C"])[town],
            "code": np.array(["a", "b", "c"])[town],  # town again
            "paid": np.where(draw.random(rows) < 0.1, np.nan, paid),
            "rich": np.where(rich, "yes", "no"),
        }
    )


# accounting --------------------------------------------------------------------------------------


@pytest.mark.parametrize("deviation", [0.7, 3.0, 30.0])
@pytest.mark.parametrize("delta", [1e-5, 1.7e-7])
def test_epsilon_of_a_noisy_table_agrees_with_another_library(
    deviation: float, delta: float
) -> None:
    event = dp_accounting.GaussianDpEvent(deviation)
    found = epsilon_of(1 / (2 * deviation**2), delta)
    orders = [1 + x / 100 for x in range(1, 1000)] + [*range(11, 1000)]
    same = rdp.RdpAccountant(orders).compose(event).get_epsilon(delta)
    exact = pld.PLDAccountant().compose(event).get_epsilon(delta)
    assert found == pytest.approx(same, rel=1e-3)
    assert found >= exact


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0])
def test_rho_is_the_inverse(epsilon: float) -> None:
    rho = rho_for(epsilon, 1e-6)
    assert epsilon_of(rho, 1e-6) == pytest.approx(epsilon, rel=1e-6)
    assert epsilon_of(1.01 * rho, 1e-6) > epsilon


def test_the_exponential_mechanism_has_its_probabilities() -> None:
    scores, epsilon_0 = np.array([0.0, 1.0, 3.0]), 1.2
    uniform = (np.arange(10_000) + 0.5) / 10_000
    picks = np.bincount([chosen(scores, epsilon_0, float(u)) for u in uniform], minlength=3)
    exact = np.exp(epsilon_0 * scores / 2)
    np.testing.assert_allclose(picks / len(uniform), exact / exact.sum(), atol=2e-4)


@pytest.mark.parametrize("options", [TreeOptions(), TreeOptions(tree=False)])
def test_no_more_than_rho_is_spent(options: TreeOptions) -> None:
    codes = np.random.default_rng(0).integers(0, 2, (3_000, 5))
    measuring = Measuring(codes, SeededRandomness(1))
    TreeFit(measuring, (2,) * 5, (False,) * 4, 0.3, options).tree()
    assert 0.3 * (options.single if options.tree else 1) <= measuring.rho <= 0.3 * (1 + 1e-9)


def test_one_row_more_moves_counts_and_scores_by_at_most_one() -> None:
    class Silent(SecretRandomness):
        """Noise of zero, so that the sensitivity is visible."""

        def normal(self, update: int, count: int) -> Any:
            import torch

            return torch.zeros(count)

        def uniform(self, update: int, count: int) -> Any:
            raise AssertionError

    codes = np.random.default_rng(0).integers(0, 3, (200, 3))
    more = np.vstack((codes, [[2, 0, 1]]))
    one, other = Measuring(codes, Silent()), Measuring(more, Silent())
    moved = one.noisy((0, 2), (3, 3), 1.0) - other.noisy((0, 2), (3, 3), 1.0)
    assert math.sqrt((moved**2).sum()) == 1.0
    expected = np.full((3, 3), 20.0)
    gap = one.distance((1, 2), (3, 3), expected) - other.distance((1, 2), (3, 3), expected)
    assert abs(gap) <= 1.0


# estimates ----------------------------------------------------------------------------------------


def test_the_nearest_table_without_negative_cells() -> None:
    noisy = np.array([[5.0, -2.0], [0.3, 1.0]])
    found = on_simplex(noisy, 4.0)
    assert found.sum() == pytest.approx(4.0)
    assert (found >= 0).all()
    draw = np.random.default_rng(0)
    others = 4.0 * draw.dirichlet(np.ones(4), 20_000).reshape(-1, 2, 2)
    assert ((found - noisy) ** 2).sum() <= ((others - noisy) ** 2).sum((1, 2)).min()


def test_raked_tables_have_their_margins_and_keep_odds() -> None:
    draw = np.random.default_rng(0)
    table, rows, columns = draw.random((2, 2)) + 0.1, np.array([3.0, 1.0]), np.array([2.2, 1.8])
    found = raked(table, rows, columns)
    np.testing.assert_allclose(found.sum(1), rows, rtol=1e-6)
    np.testing.assert_allclose(found.sum(0), columns, rtol=1e-6)
    odds = [t[0, 0] * t[1, 1] / (t[0, 1] * t[1, 0]) for t in (found, table)]
    assert odds[0] == pytest.approx(odds[1], rel=1e-3)


def test_a_table_without_interaction_of_three_is_recovered_from_its_pairs() -> None:
    draw = np.random.default_rng(0)
    hi, hj, ij = (draw.random(shape) + 0.2 for shape in ((2, 1, 3), (2, 4, 1), (1, 4, 3)))
    exact = hi * hj * ij
    found = raked_with_hub(exact.sum(0), exact.sum(2), exact.sum(1))
    np.testing.assert_allclose(found, exact, rtol=1e-3)


def test_shrinkage_keeps_exact_counts_without_noise_and_the_margin_with_it() -> None:
    exact = np.array([[40.0, 10.0, 50.0], [10.0, 40.0, 150.0]])
    hub, group = exact.sum(1), np.array([0, 0, 1])
    np.testing.assert_allclose(shrunk(exact, hub, group, 1e-6, 0.2), exact, rtol=1e-3)
    noisy = exact + 40 * np.random.default_rng(0).normal(size=exact.shape)
    found = shrunk(noisy, hub, group, 40.0, 0.2)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(1), hub, rtol=1e-3)


def test_groups_hold_the_mass_they_must() -> None:
    mass = np.array([50.0, 2, 3, 3, 60, 4, 5, 30])
    ordered = merged(mass, 20, 10, True)
    assert (np.diff(ordered) >= 0).all()
    assert ordered[4] != ordered[3]  # the frequent value is not among the rare ones
    free = merged(mass, 20, 10, False)
    assert len({free[0], free[4], free[7]}) == 3
    assert len(set(free[[1, 2, 3, 5, 6]])) == 1


def test_a_forest_is_directed_from_its_roots() -> None:
    found = directed([(0, 1), (1, 2), (3, 4)], 6)
    assert sorted(child for child, _ in found) in ([0, 2, 3], [0, 2, 4])
    assert {parent for _, parent in found} <= {1, 3, 4}
    seen = [child for child, _ in found]
    assert all(parent not in seen[i:] for i, (_, parent) in enumerate(found))
    assert len(list(pairwise(seen))) == 2


# tables -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [1.0, 100.0])
def test_synthetic_rows_keep_what_was_measured(epsilon: float) -> None:
    real = table()
    made = fit_marginals(real, DECLARED, epsilon, target="rich").sample(20_000, seed=1)
    assert list(made.columns) == list(real.columns)
    assert made["age"].dtype == np.int64
    assert made["age"].between(0, 79).all()
    assert (made["paid"].dropna() == 0).mean() == pytest.approx(0.6, abs=0.05)
    assert made["paid"].isna().mean() == pytest.approx(0.1, abs=0.03)
    for value in ("no", "yes"):
        of_real, of_made = (rows[rows["rich"] == value] for rows in (real, made))
        assert of_made["age"].mean() == pytest.approx(of_real["age"].mean(), abs=1.5)
    # two columns that determine each other still do
    together = made["town"].map({"A": "a", "B": "b", "C": "c"}) == made["code"]
    assert together.mean() > (0.97 if epsilon == 1.0 else 0.995)


def test_the_record_and_the_file(tmp_path: Path) -> None:
    model = fit_marginals(table(), DECLARED, 2.0, target="rich")
    record = model.release
    assert 2.0 - 1e-6 < record.epsilon <= 2.0
    assert record.delta == pytest.approx(20_000**-1.5)
    assert record.rho is not None
    assert epsilon_of(record.rho, record.delta) == record.epsilon
    model.save(tmp_path / "m.json")
    again = MarginalModel.load(tmp_path / "m.json")
    assert again.release == record
    pd.testing.assert_frame_equal(again.sample(50, 3), model.sample(50, 3))


def test_the_guarantee_does_not_depend_on_how_many_pairs_the_rows_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Independent columns need no pair, and leave a part of the budget unused."""
    monkeypatch.setattr(model_module, "SeededRandomness", lambda: SeededRandomness(1))
    columns = {name: {"levels": [0, 1]} for name in "abcdef"}
    bits = np.repeat(np.arange(64)[:, None] >> np.arange(6) & 1, 30, axis=0)  # all combinations
    rows = [bits, np.repeat(bits[:, :1], 6, axis=1)]
    made = [
        fit_marginals(pd.DataFrame(each, columns=list("abcdef")), columns, 5.0) for each in rows
    ]
    assert len(made[0].pairs) < len(made[1].pairs) == 5
    assert made[0].release.epsilon == made[1].release.epsilon
    assert made[0].release.rho == made[1].release.rho


def test_a_count_has_no_fractions() -> None:
    frame = pd.DataFrame({"age": table(2_000)["age"]})
    model = fit_marginals(frame, {"age": {"kind": "count", "low": 0, "high": 600}}, 5.0)
    drawn = model.sample(200)["age"]
    assert (drawn == drawn.round()).all()


def test_rows_are_completed_given_what_is_known() -> None:
    model = fit_marginals(table(), DECLARED, 50.0, target="rich")
    partial = pd.DataFrame({"town": ["C"] * 4_000, "age": [40] * 4_000})
    made = model.complete(partial)
    assert (made["town"] == "C").all()
    assert (made["age"] == 40).all()
    assert (made["code"] == "c").mean() > 0.99
    odds = 1.5 ** (40 - 39) * 0.6 / 0.4  # Bayes: binomial of .6 against .4, "rich" in C
    assert (made["rich"] == "yes").mean() == pytest.approx(odds / (1 + odds), abs=0.06)


def test_log_prob_is_normalized_and_near_the_rows() -> None:
    model = fit_marginals(table(), DECLARED, 50.0, target="rich")
    grid = pd.DataFrame([(a, t) for a in range(80) for t in "ABC"], columns=["age", "town"])
    assert np.exp(model.log_prob(grid)).sum() == pytest.approx(1.0)
    draw = np.random.default_rng(1)
    shuffled = table().apply(lambda column: draw.permutation(column.to_numpy()))
    assert model.log_prob(table()).mean() > model.log_prob(shuffled).mean() + 1


def test_without_a_target_pairs_remain() -> None:
    made = fit_marginals(table(), DECLARED, 20.0).sample(5_000)
    together = made["town"].map({"A": "a", "B": "b", "C": "c"}) == made["code"]
    assert together.mean() > 0.95


@pytest.mark.parametrize("said", DECLARED.values())
def test_codes_decode_to_values_with_the_same_code(said: dict[str, Any]) -> None:
    grid = Grid.of("x", said)
    codes = np.arange(grid.size)
    for uniform in (0.0, 0.5, 0.999999):
        values = grid.decode(codes, np.full(len(codes), uniform))
        np.testing.assert_array_equal(grid.encode(values), codes)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"epsilon": 0.0}, OptionError, "epsilon"),
        ({"delta": 1.0}, OptionError, "delta"),
        ({"target": "income"}, OptionError, "income"),
        ({"declared": {**DECLARED, "x": {"levels": [1]}}}, DataError, "'x'"),
        ({"declared": {"age": {"low": 3}}}, DataError, "low < high"),
        ({"declared": {**DECLARED, "paid": {"low": 0, "high": 9}}}, DataError, "no declared value"),
    ],
)
def test_bad_input(changes: dict[str, Any], error: type[Exception], words: str) -> None:
    given = {"frame": table(2_000), "declared": DECLARED, "epsilon": 5.0, **changes}
    with pytest.raises(error, match=words):
        fit_marginals(**given)


def test_conditions_must_be_declared_values() -> None:
    model = fit_marginals(table(3_000), DECLARED, 5.0)
    for rows, words in [({"town": ["D"]}, "'D'"), ({"age": [90]}, "90"), ({"z": [1]}, "'z'")]:
        with pytest.raises(DataError, match=words):
            model.complete(pd.DataFrame(rows))
    with pytest.raises(OptionError, match="negative"):
        model.sample(-1)


@pytest.mark.filterwarnings("default")
def test_a_large_delta_raises_a_warning() -> None:
    with pytest.warns(UserWarning, match="at least 1 / rows"):
        fit_marginals(table(3_000), DECLARED, 5.0, delta=0.01)
