"""Rows as bits and back, in groups, for every kind of model that has an exact form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lowerbound.applications.compression import varint
from lowerbound.applications.compression.bits_back import (
    ALL,
    MOST_TOGETHER,
    StackPlan,
    decode_rows,
    encode_rows,
    first_plan,
    lent_bits,
    paying_plan,
    pop_rows,
    push_rows,
)
from lowerbound.applications.compression.export import export_integer
from lowerbound.applications.compression.grid_normal import Ambiguous, GridNormal, Order
from lowerbound.applications.compression.stack import Stack, from_bytes, seed_words, to_bytes
from lowerbound.errors import BitstreamError
from lowerbound.models import Model
from lowerbound.trace import Batch
from tests.applications.compression.small_codecs import KINDS, digits, small_model, without_onednn

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")


def exported(kind: str, grey: bool = False) -> tuple[Model, torch.Tensor]:
    rows = digits(grey)
    return export_integer(small_model(kind, rows), rows.thinned(100)), rows.all().x


@pytest.mark.slow
@pytest.mark.parametrize("grey", [False, True], ids=["bits", "levels"])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_come_back(kind: str, grey: bool) -> None:
    model, x = exported(kind, grey)
    for rows in (1, 2, 33):
        stream = encode_rows(model, x[:rows])
        assert torch.equal(decode_rows(model, stream.payload, rows, stream.plan), x[:rows])


@pytest.mark.parametrize("kind", KINDS)
def test_a_push_costs_the_bound_at_its_latents(kind: str) -> None:
    """bits = -log2 p(x, z) + log2 q(z | x), to the bit and a little."""
    model, x = exported(kind)
    stack = Stack(seed_words(4000))
    batch = Batch(x[:20])
    push_rows(model, batch, stack)
    spent = stack.bits - 4000 * 32
    replayed: list[torch.Tensor] = []

    def pop(level: int, posterior: object, prior: object) -> torch.Tensor:
        z: torch.Tensor = again(level, posterior, prior)
        replayed.append(z)
        return z

    from lowerbound.applications.compression.bits_back import Pop, Swap
    from lowerbound.models import HierarchicalVariationalAutoencoder

    fresh = Stack(seed_words(4000))
    chain = isinstance(model, HierarchicalVariationalAutoencoder)
    again = Swap(fresh, model=model, batch=batch) if chain else Pop(fresh)  # type: ignore[arg-type]
    with torch.no_grad():
        trace = model(batch, pop)  # type: ignore[arg-type]
    expected = -float(trace.log_weights(batch.x).sum()) / math.log(2)  # type: ignore[arg-type]
    assert spent == pytest.approx(expected, rel=2e-4, abs=64)


@pytest.mark.parametrize("kind", KINDS)
def test_popping_restores_what_lay_below(kind: str) -> None:
    model, x = exported(kind)
    stack = Stack(seed_words(800))
    push_rows(model, Batch(x[:7]), stack)
    found = pop_rows(model, 7, stack)
    assert torch.equal(found, x[:7])
    np.testing.assert_array_equal(stack.words(), seed_words(800))


@pytest.mark.long
def test_few_rows_pay_for_few_latents() -> None:
    """The first rows do without latents that nothing could lend bits to."""
    model, x = exported("ladder")
    lent = lent_bits(model, x[:1])
    assert lent == sorted(lent)
    sizes = [
        len(encode_rows(model, x[:100], plan(model, x, 1.3))) for plan in (first_plan, paying_plan)
    ]
    assert sizes[0] < sizes[1]
    assert len(encode_rows(model, x[:100])) == pytest.approx(sizes[0], rel=0.05)


@pytest.mark.slow
def test_a_plan_that_asks_too_much_is_followed_by_one_that_serves() -> None:
    model, x = exported("ladder")
    stream = encode_rows(model, x[:60], StackPlan(2, 1))
    assert stream.plan.seed > 2
    assert stream.plan.divisor > 1
    assert sum(stream.plan.ramp) > 0
    assert torch.equal(decode_rows(model, stream.payload, 60, stream.plan), x[:60])


def test_ambiguous_latents_are_followed_by_a_longer_start(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = exported("mlp")
    plan = StackPlan(50, 1)
    usual, decode = encode_rows(model, x[:5], plan), GridNormal.decode
    calls = []

    def once(self: GridNormal, stack: Stack, order: Order) -> torch.Tensor:
        calls.append(order)
        if len(calls) == 1:
            raise Ambiguous
        return decode(self, stack, order)

    monkeypatch.setattr(GridNormal, "decode", once)
    stream = encode_rows(model, x[:5], plan)
    assert stream.plan.seed > plan.seed
    assert stream.payload[: len(usual.payload)] != usual.payload
    assert torch.equal(decode_rows(model, stream.payload, 5, stream.plan), x[:5])


@pytest.mark.parametrize("rows", [1, 30])
def test_of_few_rows_the_smaller_of_two_plans_is_taken(rows: int) -> None:
    model, x = exported("mlp")
    plans = [plan(model, x[:rows], 1.25) for plan in (first_plan, paying_plan)]
    sizes = [len(encode_rows(model, x[:rows], plan)) for plan in plans]
    assert len(encode_rows(model, x[:rows])) == min(sizes)


def test_another_model_or_plan_is_noticed() -> None:
    model, x = exported("mlp")
    other = export_integer(small_model("mlp", digits(), seed=5), digits().thinned(100))
    stream = encode_rows(model, x[:20])
    with pytest.raises(BitstreamError, match="another model, or is damaged"):
        decode_rows(other, stream.payload, 20, stream.plan)
    with pytest.raises(BitstreamError, match="another model, or is damaged"):
        decode_rows(
            model,
            stream.payload,
            20,
            StackPlan(stream.plan.seed + 1, stream.plan.divisor, stream.plan.ramp),
        )


@pytest.mark.parametrize("payload", [b"", b"123", to_bytes(np.array([5, 0], np.uint32))])
def test_what_is_no_stack_is_refused(payload: bytes) -> None:
    with pytest.raises(BitstreamError):
        from_bytes(payload)


@pytest.mark.slow
def test_the_same_bytes_whatever_the_machine_does() -> None:
    model, x = exported("ladder")
    first = encode_rows(model, x[:8]).payload
    with without_onednn():
        assert encode_rows(model, x[:8]).payload == first
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert encode_rows(model, x[:8]).payload == first
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("rows", [1, 2, 7, 1000])
@pytest.mark.parametrize("plan", [StackPlan(2, 1), StackPlan(2, 4), StackPlan(5, 1, (2, 0, 3))])
def test_groups_follow_the_plan(plan: StackPlan, rows: int) -> None:
    found = list(plan.groups(rows))
    assert list(plan.groups_back(rows)) == found[::-1]
    starts = [group.rows.start for group in found]
    assert starts == [0, *(group.rows.stop for group in found)][:-1]
    assert found[-1].rows.stop == rows
    ramp = sum(plan.ramp)
    for group in found:
        before = group.rows.start
        assert group.size == 1 or group.size <= min(before >> plan.divisor, MOST_TOGETHER)
        assert (group.levels == ALL) == (before >= ramp)


def test_the_ramp_counts_rows_by_levels() -> None:
    levels = [group.levels for group in StackPlan(2, 1, (2, 0, 3)).groups(6)]
    assert levels == [0, 0, 2, 2, 2, ALL]


def test_a_plan_is_written_as_varints() -> None:
    assert varint.decode_all(StackPlan(300, 1, (2, 0, 3)).to_bytes()) == (300, 1, 2, 0, 3)


def test_a_plan_beyond_two_asks_less_than_both() -> None:
    assert StackPlan(2, 3, (4, 0, 1)).beyond(StackPlan(7, 1, (1, 5))) == StackPlan(8, 4, (4, 5, 1))
