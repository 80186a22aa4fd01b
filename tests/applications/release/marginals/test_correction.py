from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import dp_accounting
import numpy as np
import pandas as pd
import pytest
import torch
from dp_accounting import pld, rdp

from lowerbound.applications.release.marginals.correction import (
    CorrectedTree,
    CorrectionFit,
    CorrectionOptions,
    corrected_tree,
    features,
)
from lowerbound.applications.release.marginals.hub_tree import (
    UNKNOWN,
    HubTree,
    Measuring,
    clipped_sum,
)
from lowerbound.applications.release.marginals.model import MarginalModel, fit_marginals
from lowerbound.errors import OptionError
from lowerbound.training.private.engine import SecretRandomness, SeededRandomness

SIZES = (3, 2, 4)


class Silent(SecretRandomness):
    """Noise of zero."""

    def normal(self, update: int, count: int) -> torch.Tensor:
        return torch.zeros(count)

    def uniform(self, update: int, count: int) -> torch.Tensor:
        raise AssertionError


def small_tree(seed: int = 0) -> HubTree:
    """Three values of the hub, and two variables of two and four values, the latter in groups."""
    draw = np.random.default_rng(seed)
    within = draw.random((3, 4)) + 0.2
    group = np.array([0, 0, 1, 1])
    for g in (0, 1):
        within[:, group == g] /= within[:, group == g].sum(1, keepdims=True)
    return HubTree(
        draw.dirichlet(np.ones(3)),
        (-1, 0),
        (np.array([0, 1]), group),
        (draw.dirichlet(np.ones(2), (3, 1)), draw.dirichlet(np.ones(2), (3, 2))),
        (np.ones((3, 2)), within),
    )


def small_model(seed: int = 0, scale: float = 1.0) -> CorrectedTree:
    weights = scale * np.random.default_rng(seed + 1).normal(size=(5, 3))
    return corrected_tree(small_tree(seed), weights)


def every_row() -> np.ndarray[Any, Any]:
    return np.array(list(itertools.product(*map(range, SIZES))))


# the distribution ---------------------------------------------------------------------------------


def test_log_p_sums_to_one_and_keeps_the_other_variables_of_the_tree() -> None:
    model, rows = small_model(), every_row()
    joint = np.exp(model.log_prob(rows)).reshape(SIZES)
    assert joint.sum() == pytest.approx(1.0)
    before = np.exp(model.tree.log_prob(rows)).reshape(SIZES)
    np.testing.assert_allclose(joint.sum(0), before.sum(0))
    assert np.abs(joint - before).max() > 0.01


def test_the_target_has_the_odds_of_the_tree_times_those_of_the_correction() -> None:
    model, rows = small_model(), every_row()
    joint = np.exp(model.log_prob(rows)).reshape(SIZES)
    exact = np.exp(model.tree.log_prob(rows)).reshape(SIZES)
    for h, x, y in itertools.product(*map(range, SIZES)):
        group = model.tree.groups[1][y]
        exact[h, x, y] *= np.exp(
            model.intercept[h] + model.weights[0][x, h] + model.weights[1][group, h]
        )
    np.testing.assert_allclose(joint / joint.sum(0), exact / exact.sum(0))


def test_draws_have_the_joint_distribution() -> None:
    model, count = small_model(), 40_000
    random = np.random.default_rng(3)
    drawn = model.sample(np.full((count, 3), UNKNOWN), random.random((count, 5)), random)
    shares = np.bincount(np.ravel_multi_index(tuple(drawn.T), SIZES), minlength=24) / count
    exact = np.exp(model.log_prob(every_row()))
    assert (np.abs(shares - exact) < 5 * np.sqrt(exact / count) + 1e-4).all()


@pytest.mark.parametrize("known", [(UNKNOWN, 1, UNKNOWN), (UNKNOWN, 0, 3), (2, UNKNOWN, 1)])
def test_conditional_draws_have_the_exact_conditional(known: tuple[int, ...]) -> None:
    model, count, rows = small_model(scale=3.0), 3_000, every_row()
    codes, random = np.tile(known, (count, 1)), np.random.default_rng(4)
    drawn = model.sample(codes, random.random((count, 5)), random)
    fits = ((rows == np.array(known)) | (np.array(known) == UNKNOWN)).all(1)
    exact = np.where(fits, np.exp(model.log_prob(rows)), 0.0)
    exact /= exact.sum()
    shares = np.bincount(np.ravel_multi_index(tuple(drawn.T), SIZES), minlength=24) / count
    assert np.abs(shares - exact).max() < 0.025
    assert (shares[~fits] == 0).all()
    of_tree = np.where(fits, np.exp(model.tree.log_prob(rows)), 0.0)
    assert np.abs(of_tree / of_tree.sum() - exact).max() > 0.05  # what the tree alone would draw


def test_log_p_of_parts_of_a_row() -> None:
    model, rows = small_model(), every_row()
    joint = np.exp(model.log_prob(rows)).reshape(SIZES)
    one = np.exp(model.log_prob(np.array([[UNKNOWN, 1, UNKNOWN]])))
    np.testing.assert_allclose(one, joint[:, 1].sum())
    estimate = np.exp(model.log_prob(np.array([[2, UNKNOWN, 1]])))
    np.testing.assert_allclose(estimate, joint[2, :, 1].sum(), rtol=0.15)


# the gradients ------------------------------------------------------------------------------------


def test_gradients_of_rows_are_clipped_and_summed_as_by_a_loop() -> None:
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(50, 4)), draw.normal(size=(50, 3))
    a[7] = np.nan
    rows = [np.outer(x, y) for x, y in zip(a, b, strict=True) if np.isfinite(x).all()]
    loop = sum(g * min(1.0, 0.8 / np.linalg.norm(g)) for g in rows)
    np.testing.assert_allclose(clipped_sum(a, b, 0.8), loop)
    alone = [np.linalg.norm(clipped_sum(a[[i]], b[[i]], 0.8)) for i in range(50)]
    assert max(alone) <= 0.8 + 1e-12
    np.testing.assert_allclose(clipped_sum(a[:5], b[:5], 1e9), a[:5].T @ b[:5])


def test_one_row_more_changes_a_gradient_by_at_most_the_clip() -> None:
    tree, codes = small_tree(), every_row()

    def gradient(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        def factors(part: Any) -> Any:
            return features(tree, part), np.eye(3)[part[:, 0]] - 0.1

        return Measuring(rows, Silent()).noisy_gradient(factors, 0.4, 1.0)

    for i in range(len(codes)):
        assert np.linalg.norm(gradient(codes) - gradient(np.delete(codes, i, 0))) <= 0.4 + 1e-9


def test_features_have_norm_one() -> None:
    np.testing.assert_allclose(np.linalg.norm(features(small_tree(), every_row()), axis=1), 1.0)


def test_the_gradient_is_that_of_log_p() -> None:
    tree, rows = small_tree(), every_row()
    weights = 0.3 * np.random.default_rng(5).normal(size=(5, 3))
    options = CorrectionOptions(clip=100.0, updates=1)
    found = CorrectionFit(Measuring(rows, Silent()), tree, 0.1, options)._gradient(weights)

    def value(w: Any) -> float:
        probability = corrected_tree(tree, w).hub_log_prob(rows)
        return float(probability[np.arange(len(rows)), rows[:, 0]].sum())

    exact = np.zeros_like(weights)
    for place in np.ndindex(weights.shape):
        step = np.zeros_like(weights)
        step[place] = 1e-5
        exact[place] = (value(weights + step) - value(weights - step)) / 2e-5
    np.testing.assert_allclose(found, exact, atol=1e-6)


def test_without_much_noise_the_conditional_is_found() -> None:
    true, count = small_model(), 20_000
    random = np.random.default_rng(6)
    codes = true.sample(np.full((count, 3), UNKNOWN), random.random((count, 5)), random)
    options = CorrectionOptions(clip=2.0, updates=10, spread=3.0)
    fit = CorrectionFit(Measuring(codes, SeededRandomness(1)), true.tree, 1e5, options)
    rows = every_row()
    found, exact = (np.exp(m.hub_log_prob(rows)) for m in (fit.corrected(count), true))
    before = np.exp(corrected_tree(true.tree, np.zeros((5, 3))).hub_log_prob(rows))
    weight = np.exp(true.log_prob(rows))[:, None]
    assert (weight * np.abs(found - exact)).sum() < 0.1 * (weight * np.abs(before - exact)).sum()


# accounting ---------------------------------------------------------------------------------------


def people(rows: int = 5_000) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    age, town = draw.integers(18, 90, rows), draw.integers(0, 3, rows)
    rich = age + 20 * town + draw.normal(0, 15, rows) > 75
    names = {"age": age, "town": np.array(list("ABC"))[town], "rich": np.where(rich, "yes", "no")}
    return pd.DataFrame(names)


DECLARED: dict[str, dict[str, Any]] = {
    "age": {"low": 18, "high": 89, "whole": True},
    "town": {"levels": ["A", "B", "C"]},
    "rich": {"levels": ["no", "yes"]},
}


def hybrid(epsilon: float = 2.0, rows: int = 5_000) -> MarginalModel:
    given = CorrectionOptions()
    return fit_marginals(people(rows), DECLARED, epsilon, target="rich", hybrid=given)


@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_epsilon_of_both_parts_agrees_with_another_library(epsilon: float) -> None:
    record = hybrid(epsilon).release
    assert record.rho is not None
    assert record.noise_multiplier is not None
    assert record.updates is not None
    of_gradients = record.updates / (2 * record.noise_multiplier**2)
    of_tables = dp_accounting.GaussianDpEvent((2 * (record.rho - of_gradients)) ** -0.5)
    one = dp_accounting.GaussianDpEvent(record.noise_multiplier)
    event = dp_accounting.ComposedDpEvent(
        [of_tables, dp_accounting.SelfComposedDpEvent(one, record.updates)]
    )
    orders = [1 + x / 100 for x in range(1, 1000)] + [*range(11, 1000)]
    same = rdp.RdpAccountant(orders).compose(event).get_epsilon(record.delta)
    exact = pld.PLDAccountant().compose(event).get_epsilon(record.delta)
    assert record.epsilon == pytest.approx(same, rel=1e-3)
    assert exact <= record.epsilon <= epsilon
    assert of_gradients == pytest.approx(0.5 * record.rho, rel=0.02)
    assert record.rate == 1.0
    assert "gradients" in record.mechanism
    assert "count tables" in record.mechanism


@pytest.mark.parametrize(("clip", "multiplier"), [(0.4, 0.0), (0.0, 1.0), (0.4, -1.0)])
def test_a_gradient_without_noise_is_refused(clip: float, multiplier: float) -> None:
    measuring = Measuring(every_row(), Silent())
    with pytest.raises(OptionError, match="no guarantee"):
        measuring.noisy_gradient(lambda part: (part, part), clip, multiplier)
    assert measuring.rho == 0


@pytest.mark.parametrize(
    "wrong", [{"share": 0.0}, {"share": 1.0}, {"updates": 0}, {"clip": 0.0}, {"spread": -1.0}]
)
def test_wrong_options(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        CorrectionOptions(**wrong)


def test_a_hybrid_needs_a_target() -> None:
    with pytest.raises(OptionError, match="target"):
        fit_marginals(people(), DECLARED, 1.0, hybrid=CorrectionOptions())


# the model ----------------------------------------------------------------------------------------


def test_a_saved_hybrid_and_a_file_without_a_correction(tmp_path: Path) -> None:
    model = hybrid()
    model.save(tmp_path / "m.json")
    again = MarginalModel.load(tmp_path / "m.json")
    assert again.release == model.release
    pd.testing.assert_frame_equal(again.sample(50, 3), model.sample(50, 3))
    np.testing.assert_allclose(again.log_prob(people(50)), model.log_prob(people(50)))
    values = json.loads((tmp_path / "m.json").read_text())
    del values["correction"]
    assert MarginalModel.from_mapping(values).corrected is None


def test_rows_follow_the_target_and_conditions_hold() -> None:
    made = hybrid(8.0).sample(5_000, 1)
    ages = [rows.groupby("rich")["age"].mean().diff().iloc[-1] for rows in (made, people())]
    assert ages[0] == pytest.approx(ages[1], abs=4)
    given = pd.DataFrame({"rich": ["yes"] * 200, "town": ["C"] * 200})
    completed = hybrid(8.0).complete(given)
    assert (completed[["rich", "town"]] == given).all(axis=None)
