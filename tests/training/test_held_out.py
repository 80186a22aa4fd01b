from __future__ import annotations

import json
import math
from typing import Literal

import pytest
import torch

from lowerbound.data.dataset import Dataset
from lowerbound.inference.likelihood import score
from lowerbound.objectives import ELBO, ImportanceWeighted
from lowerbound.training.held_out import Best, HeldOut, evaluating, updates_between
from tests.training.cases import grey_rows, real_rows, vae

CPU = torch.device("cpu")


def held_out(dataset: Dataset, rows: int = 32) -> HeldOut:
    return HeldOut(dataset, CPU, torch.float32, rows)


def test_the_bound_is_the_one_that_evaluation_finds() -> None:
    model = vae()
    scores = score(model, grey_rows(), samples=1, seed=0)
    bound = held_out(grey_rows()).bound(model, ELBO()).value
    assert bound == pytest.approx(scores.elbo.mean().item(), rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*effective sample size")
@pytest.mark.parametrize("gradient", ["plain", "stl", "dreg"])
def test_an_importance_weighted_bound_is_its_own(
    gradient: Literal["plain", "stl", "dreg"],
) -> None:
    model = vae()
    scores = score(model, grey_rows(), samples=5, seed=0)
    objective = ImportanceWeighted(samples=5, gradient=gradient)
    bound = held_out(grey_rows()).bound(model, objective).value
    assert bound == pytest.approx(scores.bound.mean().item(), rel=1e-6)


def test_neither_batch_size_nor_repetition_changes_it() -> None:
    model, objective = vae(), ELBO()
    bounds = [
        held_out(grey_rows(), rows).bound(model, objective).value for rows in (1, 7, 90, 1000)
    ]
    assert bounds == pytest.approx([bounds[0]] * 4, rel=1e-6)
    whole = held_out(grey_rows())
    assert whole.bound(model, objective) == whole.bound(model, objective)


def test_real_columns_in_float64_are_scored_by_a_float32_model() -> None:
    model = vae("gaussian")
    bound = held_out(real_rows()).bound(model, ELBO()).value
    shift = float(real_rows().log_jacobian(mass=False)[0])
    elbo = score(model, real_rows(), samples=1, seed=0).elbo.mean().item()
    assert bound + shift == pytest.approx(elbo, rel=1e-4)


@pytest.mark.usefixtures("untouched_random_state")
def test_it_leaves_no_trace() -> None:
    model, objective = vae(), ELBO()
    model.encoder.eval()
    held_out(grey_rows()).bound(model, objective)
    assert model.training
    assert objective.training
    assert not model.encoder.training
    assert not model._forward_pre_hooks
    assert all(value.grad is None for value in model.parameters())


def test_modes_come_back_after_an_error() -> None:
    model = vae()

    def fail_inside() -> None:
        with evaluating(model):
            assert not model.training
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert model.training


@pytest.mark.parametrize(
    ("rows", "held_out_rows", "batch_size", "slow", "updates"),
    [
        (60_000, 0, 100, False, 600),  # once per epoch
        (60_000, 5_000, 100, False, 600),  # 5,000 rows cost 5 % of 34,000 trained ones
        (60_000, 5_000, 100, True, 1_000),
        (1_000, 100, 128, False, 50),  # epochs of a moment are not worth a record each
        (10_000_000, 0, 128, False, 500),  # epochs of an hour are worth several
    ],
)
def test_records_are_as_frequent_as_their_cost_allows(
    rows: int, held_out_rows: int, batch_size: int, slow: bool, updates: int
) -> None:
    assert updates_between(rows, held_out_rows, batch_size, slow) == updates


def kept_by(*calls: tuple[float, bool], patience: int = 0) -> Best:
    """The best after validations with these (bound, newest), at updates 1, 2, ..."""
    best = Best(patience)
    for update, (bound, newest) in enumerate(calls, 1):
        best.consider(bound, update, torch.nn.Linear(1, 1), newest)
    return best


def test_weights_of_a_warm_up_give_way_to_those_after_it() -> None:
    """The first bound after the warm-up replaces a higher one from within it."""
    warm = [(-1.0, True), (-2.0, True), (-1.5, True)]
    assert kept_by(*warm).update == 3
    assert kept_by(*warm, (-9.0, False)).update == 4
    assert kept_by(*warm, (-9.0, False), (-9.5, False), (-8.0, False), (-8.5, False)).update == 6


def test_a_warm_up_does_not_end_a_run() -> None:
    falling = [(-float(update), True) for update in range(20)]
    assert not kept_by(*falling, patience=3).exhausted
    assert not kept_by(*falling, (-30.0, False), (-31.0, False), patience=3).exhausted
    assert kept_by(
        *falling, *[(-30.0 - update, False) for update in range(4)], patience=3
    ).exhausted


def test_a_bound_that_is_no_number_is_beaten_by_any_other() -> None:
    assert kept_by((-1.0, True), (math.nan, False), (-50.0, False)).update == 3


def test_the_best_comes_back_from_json() -> None:
    for calls in ([(-1.0, True)], [(-1.0, False)], [(math.nan, True)], []):
        best, other = kept_by(*calls), Best(0)
        other.restore(json.loads(json.dumps(best.to_mapping(), allow_nan=False)), best.weights)
        assert other.to_mapping() == best.to_mapping()
        best.consider(-5.0, 9, torch.nn.Linear(1, 1))
        other.consider(-5.0, 9, torch.nn.Linear(1, 1))
        assert other.update == best.update


def test_the_best_bound_and_the_patience_left_are_restored() -> None:
    best, model = Best(patience=3), vae()
    best.consider(-2.0, 10, model)
    best.consider(-3.0, 20, model)
    again = Best(patience=3)
    again.restore(best.to_mapping(), best.weights)
    assert again.to_mapping() == best.to_mapping()
    for bound, update in ((-2.5, 30), (-4.0, 40)):
        assert not again.exhausted
        again.consider(bound, update, model)
    assert again.exhausted
    assert (again.update, again.bound) == (10, -2.0)
