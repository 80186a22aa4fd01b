from __future__ import annotations

from typing import Any

import pytest
import torch

from lowerbound.objectives import ELBO, SemiSupervised
from lowerbound.training import plan as arithmetic, plan as planning
from lowerbound.training.engine import Update
from lowerbound.training.plan import TrainingPlan, decide, sentence
from tests.training.cases import (
    FEATURES,
    LATENTS,
    assert_same_weights,
    grey_rows,
    options,
    real_rows,
    vae,
    weights,
)

AUTO = {"precision": "auto", "compile": "auto"}


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor with bf16, a compiler, and updates that are large enough."""
    monkeypatch.setattr(planning, "native_bf16", lambda: True)
    monkeypatch.setattr(arithmetic, "compiler", lambda: "g++")
    monkeypatch.setattr(planning, "LARGE_UPDATE", 1.0)


def plan_of(likelihood: str = "bernoulli", **changes: Any) -> TrainingPlan:
    dataset = grey_rows() if likelihood == "bernoulli" else real_rows()
    return decide(vae(likelihood), ELBO(), dataset, None, options(**changes))


@pytest.mark.usefixtures("able")
def test_what_is_said_is_done() -> None:
    plan = plan_of(precision="bf16", compile="on")
    assert (plan.precision, plan.compiled, plan.reason) == ("bf16", True, "")


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(
    ("minutes", "precision", "compiled"),
    [(0.5, "float32", False), (2.0, "bf16", False), (30.0, "bf16", True)],
)
def test_longer_runs_are_worth_more_preparation(
    minutes: float, precision: str, compiled: bool
) -> None:
    plan = plan_of(updates=None, minutes=minutes, **AUTO)
    assert (plan.precision, plan.compiled) == (precision, compiled)


@pytest.mark.parametrize(("updates", "compiled"), [(1_000, False), (100_000, True)])
def test_on_cuda_a_long_run_is_compiled_in_float32(
    monkeypatch: pytest.MonkeyPatch, updates: int, compiled: bool
) -> None:
    monkeypatch.setattr(planning.Work, "device", torch.device("cuda"))
    monkeypatch.setattr(planning.Work, "cost", arithmetic.UpdateCost(10**9, 140))
    plan = plan_of(updates=updates, **AUTO)
    assert (plan.precision, plan.compiled) == ("float32", compiled)


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(("asked", "compiled"), [("auto", False), ("on", True)])
def test_updates_of_changing_shapes_are_compiled_if_asked_for(asked: str, compiled: bool) -> None:
    told = options(updates=None, minutes=60.0, precision="auto", compile=asked)
    plan = decide(vae(), SemiSupervised(), grey_rows(), None, told)
    assert (plan.precision, plan.compiled) == ("bf16", compiled)


@pytest.mark.usefixtures("able")
def test_a_density_over_real_columns_keeps_float32() -> None:
    plan = plan_of("gaussian", updates=None, minutes=60.0, **AUTO)
    assert (plan.precision, plan.compiled) == ("float32", False)
    assert "density" in plan.reason


@pytest.mark.usefixtures("able")
def test_without_bf16_arithmetic_it_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "native_bf16", lambda: False)
    plan = plan_of(updates=None, minutes=60.0, **AUTO)
    assert (plan.precision, plan.compiled) == ("float32", False)
    assert "no bf16" in plan.reason
    chosen = plan_of(precision="bf16")
    assert chosen.precision == "bf16"
    assert "slow" in chosen.reason


def test_small_updates_stay_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "native_bf16", lambda: True)
    plan = plan_of(updates=None, minutes=60.0, **AUTO)
    assert plan.precision == "float32"
    assert "too small" in plan.reason


@pytest.mark.usefixtures("able")
def test_without_a_compiler_it_says_so_and_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "compiler", lambda: None)
    for compile_ in ("on", "auto"):
        plan = plan_of(updates=None, minutes=60.0, precision="bf16", compile=compile_)
        assert not plan.compiled
        assert "no C++ compiler" in sentence(plan, options(), 90, 0)


def test_batches_are_no_larger_than_the_data() -> None:
    assert plan_of(batch_size=1000).batch_size == 90


@pytest.mark.usefixtures("untouched_random_state")
def test_operations_are_counted_without_moving_anything() -> None:
    update = Update(vae(), ELBO())
    before = weights(update)
    flops, calls = arithmetic.update_cost(update, grey_rows().batch(torch.arange(16)))
    inputs = [(FEATURES, 8), (8, 2 * LATENTS), (LATENTS, 8), (8, FEATURES)]
    products = [3 * 2 * 16 * rows * columns for rows, columns in inputs]
    assert flops == sum(products) - 2 * 16 * FEATURES * 8  # no gradient goes to the data itself
    assert 20 < calls < 200
    assert_same_weights(weights(update), before)
    assert all(value.grad is None for value in update.parameters())


def test_the_same_run_decides_the_same() -> None:
    assert plan_of(**AUTO, epochs=7) == plan_of(**AUTO, epochs=7)


def test_one_line_says_all_of_it() -> None:
    chosen = options(updates=None, patience=20, weight_decay=0.01, gradient_clip=5.0, warm_up=10)
    dataset = grey_rows()
    plan = decide(vae(), ELBO(), dataset, grey_rows(20, seed=1), chosen)
    line = sentence(plan, chosen, 90, 20)
    assert "\n" not in line
    for words in [
        "90 rows and 20 held out",
        "2,250 updates (400 epochs)",
        "batches of 16",
        "AdamW 0.01, cosine schedule, warm-up over 10 updates",
        "gradients clipped at 5",
        "float32, not compiled",
        "a record every 50 updates",
        "weights averaged with decay 0.998",
        "stops after 20 validations without gain",
    ]:
        assert words in line


def test_small_updates_take_one_thread_and_what_was_asked_for_is_kept() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        small = plan_of(updates=3)
        asked = plan_of(updates=3, threads=2)
    finally:
        torch.set_num_threads(before)
    assert (small.threads, asked.threads) == (1, 2)
