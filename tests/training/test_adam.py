from __future__ import annotations

import pytest
import torch
from torch import nn

from lowerbound.training.adam import Adam


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
