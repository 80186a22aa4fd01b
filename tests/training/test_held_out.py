from __future__ import annotations

from typing import Literal

import pytest
import torch

from lowerbound.data.dataset import Dataset
from lowerbound.inference.likelihood import score
from lowerbound.objectives import ELBO, ImportanceWeighted
from lowerbound.training.held_out import HeldOut, evaluating, updates_between
from tests.training.cases import grey_rows, real_rows, vae

CPU = torch.device("cpu")


def held_out(dataset: Dataset, rows: int = 32) -> HeldOut:
    return HeldOut(dataset, CPU, torch.float32, rows)


def test_the_bound_is_the_one_that_evaluation_finds() -> None:
    model = vae()
    scores = score(model, grey_rows(), samples=1, seed=0)
    bound = held_out(grey_rows()).bound(model, ELBO())
    assert bound == pytest.approx(scores.elbo.mean().item(), rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*effective sample size")
@pytest.mark.parametrize("gradient", ["plain", "stl", "dreg"])
def test_an_importance_weighted_bound_is_its_own(
    gradient: Literal["plain", "stl", "dreg"],
) -> None:
    model = vae()
    scores = score(model, grey_rows(), samples=5, seed=0)
    objective = ImportanceWeighted(samples=5, gradient=gradient)
    bound = held_out(grey_rows()).bound(model, objective)
    assert bound == pytest.approx(scores.bound.mean().item(), rel=1e-6)


def test_neither_batch_size_nor_repetition_changes_it() -> None:
    model, objective = vae(), ELBO()
    bounds = [held_out(grey_rows(), rows).bound(model, objective) for rows in (1, 7, 90, 1000)]
    assert bounds == pytest.approx([bounds[0]] * 4, rel=1e-6)
    whole = held_out(grey_rows())
    assert whole.bound(model, objective) == whole.bound(model, objective)


def test_real_columns_in_float64_are_scored_by_a_float32_model() -> None:
    model = vae("gaussian")
    bound = held_out(real_rows()).bound(model, ELBO())
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
