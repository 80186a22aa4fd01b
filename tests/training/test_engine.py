from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import TrainingError
from lowerbound.models import Model, ProbabilisticPrincipalComponents
from lowerbound.objectives import ELBO, Bound, TargetRate
from lowerbound.trace import Batch
from lowerbound.training.engine import Engine, Update
from tests.training.cases import FEATURES, assert_same_weights, options, vae, weights


def batch(rows: int = 6) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch((torch.rand(rows, FEATURES, generator=generator) < 0.3).float())


class PoisonedGradient(torch.autograd.Function):
    """The identity, whose gradient is NaN."""

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return torch.full_like(gradients[0], math.nan)


class Poisoned(ELBO):
    """A finite loss with a gradient that is not finite."""

    def forward(self, model: Model, batch: Batch) -> Bound:
        bound = super().forward(model, batch)
        return replace(bound, loss=PoisonedGradient.apply(bound.loss))


class Infinite(ELBO):
    """A loss that is not finite, with a gradient that is."""

    def forward(self, model: Model, batch: Batch) -> Bound:
        bound = super().forward(model, batch)
        return replace(bound, loss=bound.loss + math.inf)


def everything(engine: Engine) -> dict[str, Tensor]:
    return {**weights(engine.update), **{n: t.clone() for n, t in engine.adam.tensors().items()}}


def test_an_update_raises_the_bound() -> None:
    engine = Engine(Update(vae(), ELBO()), options())
    with seeded(0):
        bounds = [engine.step(batch(), 0.01, 0.0) for _ in range(60)]
    values = [bound.value.mean().item() for bound in bounds if bound is not None]
    assert values[-1] > values[0] + 1


def test_a_batch_of_one_row_is_minibatch_aevb_too() -> None:
    engine = Engine(Update(vae(), ELBO()), options())
    before = weights(engine.update)
    bound = engine.step(batch(rows=1), 0.01, 0.0)
    assert bound is not None
    assert bound.value.shape == (1,)
    assert not torch.equal(before["model.decoder.layers.0.weight"], engine.parameters[-4])


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_batch_with_nan_changes_nothing(clip: float) -> None:
    engine = Engine(Update(vae(), ELBO()), options(gradient_clip=clip))
    engine.step(batch(), 0.01, 0.0)
    before = everything(engine)
    spoiled = batch()
    assert spoiled.x is not None
    spoiled.x[2, 3] = math.nan
    assert engine.step(spoiled, 0.01, 0.0) is None
    assert_same_weights(everything(engine), before)
    assert engine.step(batch(), 0.01, 0.0) is not None


@pytest.mark.parametrize("clip", [0.0, 1.0])
@pytest.mark.parametrize("objective", [Poisoned, Infinite])
def test_neither_loss_nor_gradient_may_be_infinite(objective: type[ELBO], clip: float) -> None:
    engine = Engine(Update(vae(), objective()), options(gradient_clip=clip))
    before = everything(engine)
    assert engine.step(batch(), 0.01, 0.0) is None
    assert_same_weights(everything(engine), before)
    assert all(value.grad is None for value in engine.parameters)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_bad_number_in_one_gradient_is_found(value: float) -> None:
    engine = Engine(Update(vae(), ELBO()), options())
    for parameter in engine.parameters:
        parameter.grad = torch.zeros_like(parameter)
    assert engine._finite_gradient()
    last = engine.parameters[-1].grad
    assert last is not None
    last[-1] = value
    assert not engine._finite_gradient()


def test_a_long_gradient_is_shortened_to_the_clip_and_a_short_one_is_not() -> None:
    engine = Engine(Update(vae(), ELBO()), options(gradient_clip=0.5))
    for scale, expected in ((10.0, 0.5), (1e-6, None)):
        for parameter in engine.parameters:
            parameter.grad = torch.full_like(parameter, scale)
        norm = scale * math.sqrt(sum(value.numel() for value in engine.parameters))
        engine._finite_gradient()
        after = math.sqrt(
            sum(v.grad.square().sum().item() for v in engine.parameters if v.grad is not None)
        )
        assert after == pytest.approx(expected or norm, rel=1e-5)


def test_hooks_follow_updates_that_were_made_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[object] = []
    model, objective = vae(), ELBO()
    monkeypatch.setattr(model, "after_update", lambda batch, progress: seen.append(batch))
    monkeypatch.setattr(objective, "after_update", seen.append)
    engine = Engine(Update(model, objective), options())
    rows = batch()
    bound = engine.step(rows, 0.01, 0.0)
    assert seen == [rows, bound]
    engine.step(Batch(torch.full((2, FEATURES), math.nan)), 0.01, 0.0)
    assert seen == [rows, bound]


def test_the_dual_variable_of_a_target_rate_moves() -> None:
    objective = TargetRate(target=0.001)
    Engine(Update(vae(), objective), options()).step(batch(), 0.01, 0.0)
    assert objective.log_weight > 0


def test_the_objective_is_told_the_progress_in_place() -> None:
    objective = ELBO(warm_up=0.5)
    place = objective.progress.data_ptr()
    Engine(Update(vae(), objective), options()).step(batch(), 0.01, 0.25)
    assert objective.progress.item() == 0.25
    assert objective.progress.data_ptr() == place


def test_bf16_is_for_arithmetic_only() -> None:
    engine = Engine(Update(vae(), ELBO()), options(), precision="bf16")
    seen: list[torch.dtype] = []
    engine.update.model.encoder.layers[0].register_forward_hook(  # type: ignore[union-attr]
        lambda module, inputs, output: seen.append(output.dtype)
    )
    bound = engine.step(batch(), 0.01, 0.0)
    assert seen == [torch.bfloat16]
    assert bound is not None
    assert bound.value.dtype == torch.float32
    assert {value.dtype for value in engine.parameters} == {torch.float32}


def test_a_model_without_parameters_cannot_be_trained() -> None:
    with pytest.raises(TrainingError, match="pca has no parameters"):
        Engine(Update(ProbabilisticPrincipalComponents((FEATURES,), 2), ELBO()), options())


def is_not_supported(function: Callable[..., Any], **_: Any) -> Callable[..., Any]:
    raise RuntimeError(STORY)


def fails_at_once(function: Callable[..., Any], **_: Any) -> Callable[..., Any]:
    def fail(batch: Batch) -> Bound:
        torch.randn(100)  # whatever it drew is undone
        raise RuntimeError(STORY)

    return fail


def fails_in_its_gradient(function: Callable[..., Any], **_: Any) -> Callable[..., Any]:
    passes: list[Bound] = []

    def fail(gradient: Tensor) -> Tensor:
        raise RuntimeError(STORY)

    def forward(batch: Batch) -> Bound:
        passes.append(function(batch))
        if len(passes) == 2:
            passes[-1].loss.register_hook(fail)
        return passes[-1]

    return forward


STORY = "no compiler today\nand a long story"


@pytest.mark.parametrize("broken", [is_not_supported, fails_at_once, fails_in_its_gradient])
def test_where_compilation_fails_training_goes_on_as_if_never_tried(
    monkeypatch: pytest.MonkeyPatch, broken: Callable[..., Any]
) -> None:
    monkeypatch.setattr(torch, "compile", broken)
    said: list[str] = []
    updates = [Update(vae(), ELBO()), Update(vae(), ELBO())]
    for update, compiled in zip(updates, (True, False), strict=True):
        engine = Engine(update, options(), compiled=compiled, say=said.append)
        with seeded(0):
            for _ in range(3):
                engine.step(batch(), 0.01, 0.0)
    assert said == ["torch.compile failed, so training continues without it: no compiler today"]
    assert_same_weights(*map(weights, updates))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_every_engine_is_compiled_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[int] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        traced.append(len(inputs))
        return graph.forward

    compile_with_torch = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda function, **keywords: compile_with_torch(function, backend=backend)
    )
    engines = [Engine(Update(vae(), ELBO()), options(), compiled=True) for _ in range(10)]
    for engine in engines:
        for progress in (0.0, 0.5):
            engine.step(batch(), 0.01, progress)
    assert len(traced) == 10  # torch keeps eight versions of one code object, then gives up


def test_what_a_graph_computes_is_copied_before_its_next_pass() -> None:
    """A graph of CUDA writes the bound of each pass into the same memory."""
    update = Update(vae(), ELBO())
    engine = Engine(update, options())
    engine._graphs = True
    kept: list[Bound] = []

    def same_memory(batch: Batch) -> Bound:
        bound: Bound = update(batch)
        if not kept:
            kept.append(bound)
            return bound
        with torch.no_grad():
            kept[0].value.copy_(bound.value)
        return bound

    engine._forward = same_memory
    first = engine.step(batch(), 0.01, 0.0)
    assert first is not None
    assert not first.loss.requires_grad
    values = first.value.clone()
    engine.step(batch(), 0.01, 0.0)
    assert not torch.equal(kept[0].value, values)
    assert torch.equal(first.value, values)
