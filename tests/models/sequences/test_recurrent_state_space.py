"""The recurrent state-space model: passes, states, resets and gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lowerbound.distributions.one_hot import OneHotCodes
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.objectives import ELBO
from lowerbound.trace import Batch, Draw, Given
from tests.models.sequences.worlds import ACTIONS, FRAME, TIME, batch, world

LATENTS = pytest.mark.parametrize("latents", ["codes", "gaussian"])


def part(whole: Batch, times: slice, state: Tensor | None = None) -> Batch:
    """Some times of a batch."""
    cut = {name: value[:, times] for name, value in whole.tensors.items()}
    return Batch(**cut, state=state)


@LATENTS
def test_a_pass_has_a_step_for_each_time(latents: str) -> None:
    model, rows = world(latents), batch()
    assert rows.x is not None
    trace = model(rows, Draw(2))
    assert len(trace.steps) == TIME
    assert trace.likelihood.mean.shape == (2, 4, TIME, FRAME)
    assert trace.likelihood.log_prob(rows.x).shape == (2, 4)
    terms = trace.likelihood.terms(rows.x)
    torch.testing.assert_close(terms.flatten(2).sum(-1), trace.likelihood.log_prob(rows.x))
    assert trace.predicted is not None
    assert trace.predicted.shape == (2, 4)
    assert trace.likelihood.sample((3,)).shape == (3, 2, 4, TIME, FRAME)


@LATENTS
def test_a_reset_inside_a_sequence_makes_two_sequences(latents: str) -> None:
    model, rows = world(latents), batch()
    assert rows.resets is not None
    rows.resets[:, 3] = True
    with seeded(0):
        drawn = model(rows)
    z = [step.z for step in drawn.steps]
    whole = model(rows, Given(z))
    second = model(part(rows, slice(3, None)), Given(z[3:]))
    torch.testing.assert_close(whole.likelihood.mean[:, :, 3:], second.likelihood.mean)
    for one, other in zip(whole.steps[3:], second.steps, strict=True):
        torch.testing.assert_close(one.rate(), other.rate())
    before = batch(seed=9)
    assert rows.x is not None
    assert before.x is not None
    mixed = replace(rows, x=torch.cat([before.x[:, :3], rows.x[:, 3:]], 1))
    after = model(mixed, Given(z)).likelihood.mean[:, :, 3:]
    torch.testing.assert_close(after, whole.likelihood.mean[:, :, 3:])


@LATENTS
def test_a_state_continues_a_pass(latents: str) -> None:
    model, rows = world(latents), batch()
    with seeded(0):
        z = [step.z for step in model(rows).steps]
    whole = model(rows, Given(z))
    first = model(part(rows, slice(0, 2)), Given(z[:2]))
    rest = model(part(rows, slice(2, None), first.state), Given(z[2:]))
    torch.testing.assert_close(rest.likelihood.mean, whole.likelihood.mean[:, :, 2:])
    torch.testing.assert_close(rest.state, whole.state)


def test_stepping_is_the_pass() -> None:
    """``observe`` and ``step``, which agents use, make the states of ``forward``."""
    model, rows = world(), batch(rows=1)
    assert rows.x is not None
    assert rows.condition is not None
    with seeded(3):
        state = model.initial(1)
        for time in range(TIME):
            action = rows.condition[:, time] * (time > 0)
            state = model.observe(state, action, rows.x[:, time])
    codes = state.latent.unflatten(-1, model.latent.shape)
    assert bool((codes.sum(-1) == 1).all())
    with seeded(4):
        later = model.step(state, rows.condition[:, 0])
    packed = torch.cat(state, -1)
    z = later.latent.unflatten(-1, model.latent.shape).unsqueeze(0)
    imagined = model(Batch(condition=rows.condition[:, :1], state=packed), Given([z]))
    torch.testing.assert_close(imagined.state, torch.cat(later, -1))


def test_hidden_frames_have_their_prior_as_posterior() -> None:
    model, rows = world(), batch()
    assert rows.x is not None
    observed = torch.ones_like(rows.x, dtype=torch.bool)
    observed[:, 2] = False
    trace = model(replace(rows, x=rows.x.masked_fill(~observed, torch.nan), observed=observed))
    rates = torch.stack([step.rate()[0] for step in trace.steps])
    torch.testing.assert_close(rates[2], torch.zeros(4), atol=1e-6, rtol=0)
    assert bool((rates[[0, 1, 3, 4, 5]] > 1e-4).all())
    assert bool(torch.isfinite(trace.log_weights(rows.x, observed)).all())


def test_imagined_passes_are_as_long_as_the_actions() -> None:
    model = world()
    assert model(Batch(count=2)).likelihood.mean.shape == (1, 2, TIME, FRAME)
    actions = torch.zeros(2, 9, ACTIONS)
    assert model(Batch(condition=actions)).likelihood.mean.shape == (1, 2, 9, FRAME)


def test_latents_of_all_times_decode_to_their_frames() -> None:
    model, rows = world(), batch()
    with seeded(0):
        trace = model(rows)
    assert rows.condition is not None
    inside = rows.condition.clone()
    inside[:, 0] = 0.0
    found = model.decode(trace.latents(), inside).mean
    torch.testing.assert_close(found, trace.likelihood.mean)


@LATENTS
def test_balanced_rates_have_the_value_and_shares_of_the_gradient(latents: str) -> None:
    """The prior's gradient is .8 of that of the KL, and the posterior's .2, exactly."""
    model, rows = world(latents), batch()
    with seeded(0):
        step = model(rows).steps[2]
    assert step.posterior is not None

    def parameters(distribution: object) -> list[Tensor]:
        if isinstance(distribution, OneHotCodes):
            return [distribution.logits]
        base = distribution.base_dist  # type: ignore[attr-defined]
        return [base.loc, base.scale]

    apart = replace(
        step,
        posterior=_leaf(step.posterior),
        prior=_leaf(step.prior),
    )
    assert apart.posterior is not None
    q, p = parameters(apart.posterior), parameters(apart.prior)
    torch.testing.assert_close(apart.rate(balance=0.8), apart.rate())
    plain = torch.autograd.grad(apart.rate().sum(), [*q, *p], retain_graph=True)
    shared = torch.autograd.grad(apart.rate(balance=0.8).sum(), [*q, *p])
    for index, (whole, share) in enumerate(zip(plain, shared, strict=True)):
        expected = (0.2 if index < len(q) else 0.8) * whole
        torch.testing.assert_close(share, expected, rtol=1e-5, atol=1e-7)


def test_free_bits_stop_the_gradient_of_small_rates() -> None:
    model, rows = world(), batch()
    head = list(model.prior_head.parameters())
    for bits, moves in ((100.0, False), (0.0, True)):
        with seeded(0):
            loss = ELBO(beta=0.6, kl_balance=0.8, free_bits=bits)(model, rows).loss
        found = torch.autograd.grad(loss, head, allow_unused=True)
        size = sum(float(g.abs().sum()) for g in found if g is not None)
        assert (size > 0) == moves


def test_parts_hold_every_parameter_once() -> None:
    model = world()
    parts = [id(value) for values in model.parts().values() for value in values]
    assert sorted(parts) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"memory": 0}, "at least 1"),
        ({"classes": 1}, "classes at least 2"),
        ({"uniform": 1.0}, "share"),
    ],
)
def test_sizes_are_checked(changed: dict[str, float], said: str) -> None:
    from lowerbound.models.sequences.recurrent_state_space import RecurrentOptions

    with pytest.raises(OptionError, match=said):
        RecurrentOptions(**changed)  # type: ignore[arg-type]


def _leaf(distribution: object) -> object:
    """The same distribution with parameters that are leaves of the graph."""
    if isinstance(distribution, OneHotCodes):
        return OneHotCodes(distribution.logits.detach().requires_grad_(), distribution.uniform)
    from lowerbound.distributions.reparameterization import diagonal_normal

    base = distribution.base_dist  # type: ignore[attr-defined]
    return diagonal_normal(base.loc.detach().requires_grad_(), base.scale.detach().requires_grad_())
