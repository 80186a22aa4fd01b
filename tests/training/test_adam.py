from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lowerbound.training.adam import Adam, WeightAverage, updates_between
from tests.training.cases import assert_same_weights, average_factors as factors, weights


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(size, generator=generator)) for size in [(3, 4), (4,), ()]]


def give_gradients(values: list[nn.Parameter], update: int, without: int | None = None) -> None:
    generator = torch.Generator().manual_seed(100 + update)
    for number, value in enumerate(values):
        gradient = torch.randn(value.shape, generator=generator)
        value.grad = None if number == without else gradient


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_the_weights_are_those_of_torch_bit_for_bit(weight_decay: float) -> None:
    ours, theirs = parameters(), parameters()
    adam = Adam(ours, eps=1e-4, weight_decay=weight_decay)
    twin = torch.optim.AdamW(theirs, eps=1e-4, weight_decay=weight_decay, fused=True)
    for update in range(12):
        rate = 0.1 / (1 + update)
        twin.param_groups[0]["lr"] = rate
        without = 1 if update in (3, 4) else None  # a parameter that got no gradient is left alone
        for values in (ours, theirs):
            give_gradients(values, update, without)
        adam.step(rate)
        twin.step()
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert adam.counts.tolist() == [12, 10, 12]


def test_plain_adam_is_torchs_too() -> None:
    ours, theirs = parameters(), parameters()
    adam, twin = Adam(ours), torch.optim.Adam(theirs, lr=0.01, fused=True)
    for update in range(5):
        for values in (ours, theirs):
            give_gradients(values, update)
        adam.step(0.01)
        twin.step()
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_the_state_goes_on_where_it_was_saved() -> None:
    straight, broken = parameters(), parameters()
    one, first = Adam(straight), Adam(broken)
    for update in range(6):
        if update == 3:
            saved = {name: value.clone() for name, value in first.tensors().items()}
            first = Adam(broken)
            first.restore(saved)
        for values, adam in ((straight, one), (broken, first)):
            give_gradients(values, update)
            adam.step(0.01)
    assert all(torch.equal(a, b) for a, b in zip(straight, broken, strict=True))


def test_clearing_drops_every_gradient() -> None:
    values = parameters()
    give_gradients(values, 0)
    Adam(values).clear()
    assert all(value.grad is None for value in values)


def moved(decay: float, updates: int) -> tuple[WeightAverage, nn.Linear, list[Tensor]]:
    """An average of weights that move at random, and every place they were at."""
    torch.manual_seed(3)
    module = nn.Linear(3, 2)
    average = WeightAverage(module, decay)
    path = []
    for update in range(1, updates + 1):
        with torch.no_grad():
            module.weight.add_(torch.randn_like(module.weight))
        path.append(module.weight.detach().double().clone())
        average.after(update)
    return average, module, path


def test_the_memory_is_a_sixth_of_a_short_run_and_that_of_the_decay_of_a_long_one() -> None:
    share = 1000
    assert sum(age * f for age, f in enumerate(reversed(factors(0.9999, share)))) == pytest.approx(
        share / 6, rel=0.01
    )
    assert sum(age * f for age, f in enumerate(reversed(factors(0.98, 2000)))) == pytest.approx(
        0.98 / 0.02, rel=0.01
    )


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99, 0.998])
def test_the_average_is_the_closed_form(decay: float) -> None:
    average, _, path = moved(decay, updates=64)
    every = updates_between(decay)
    taken = path[every - 1 :: every]
    expected = sum(f * w for f, w in zip(factors(decay**every, len(taken)), taken, strict=True))
    assert torch.allclose(average.tensors()["weight"].double(), expected, atol=1e-5)


@pytest.mark.parametrize(("decay", "every"), [(0.5, 1), (0.9, 1), (0.98, 5), (0.998, 10)])
def test_slow_averages_are_taken_less_often(decay: float, every: int) -> None:
    assert updates_between(decay) == every


def test_the_first_average_is_the_weights_themselves() -> None:
    average, _, path = moved(0.9, updates=1)
    assert torch.equal(average.tensors()["weight"].double(), path[0])


def test_inside_the_module_holds_the_average_and_after_its_own_weights() -> None:
    average, module, _ = moved(0.9, updates=20)
    own = weights(module)
    with average.applied():
        assert_same_weights(weights(module), dict(average.tensors()))
        assert not torch.equal(module.weight, own["weight"])
    assert_same_weights(weights(module), own)


def test_before_the_first_average_the_weights_stand_in() -> None:
    average, module, _ = moved(0.998, updates=9)
    own = weights(module)
    with average.applied():
        assert_same_weights(weights(module), own)
    average.apply()
    assert_same_weights(weights(module), own)


def test_a_restored_average_goes_on() -> None:
    average, module, _ = moved(0.9, updates=20)
    copy = WeightAverage(module, 0.9)
    copy.restore({name: value.clone() for name, value in average.tensors().items()}, average.count)
    for one in (average, copy):
        one.after(21)
    assert_same_weights(dict(average.tensors()), dict(copy.tensors()))


def test_infinite_constants_stay_as_they_are() -> None:
    module = nn.Linear(3, 2)
    edges = torch.tensor([0.0, 1.0, torch.inf])
    module.register_buffer("edges", edges.clone())
    average = WeightAverage(module, 0.5)
    for update in range(1, 4):
        average.after(update)
    with average.applied():
        assert torch.equal(module.edges, edges)
    assert torch.equal(module.edges, edges)


@pytest.mark.parametrize("decay", [0.9, 0.98, 0.998, 0.9999])
def test_late_in_a_run_the_average_keeps_the_decay_of_the_updates_between(decay: float) -> None:
    module = nn.Linear(1, 1, bias=False)
    average = WeightAverage(module, decay)
    average.restore({"weight": torch.zeros(1, 1)}, 10**9)
    torch.nn.init.ones_(module.weight)
    every = updates_between(decay)
    average.after(every)
    kept = 1 - float(average.tensors()["weight"])
    assert kept == pytest.approx(decay**every, abs=1e-6)
