"""The temporal prior against a linear-Gaussian process, and what no sequence model may break."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lowerbound.errors import DataError, OptionError
from lowerbound.priors import RecurrentPrior

A = torch.tensor([[0.8, -0.5, 0.0], [0.4, 0.7, 0.1], [0.0, 0.2, 0.5]], dtype=torch.float64)
B = torch.tensor([[0.5, 0.0], [0.0, -0.3], [0.2, 0.1]], dtype=torch.float64)
OFFSET = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
NOISE = torch.tensor([0.2, 0.1, 0.4], dtype=torch.float64)
STEPS = 6


def simulated(frames: int) -> tuple[Tensor, Tensor]:
    """z_{t+1} = A z_t + B a_t + c + noise, and the actions a."""
    generator = torch.Generator().manual_seed(0)
    actions = torch.randn(frames, 2, generator=generator, dtype=torch.float64)
    noise = torch.randn(frames, 3, generator=generator, dtype=torch.float64)
    z = torch.zeros(frames, 3, dtype=torch.float64)
    for t in range(frames - 1):
        z[t + 1] = A @ z[t] + B @ actions[t] + OFFSET + NOISE * noise[t]
    return z, actions


def exact(z: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (steps, 3) and covariance (steps, 3, 3) of the next frames."""
    mean, covariance = z, torch.zeros(3, 3, dtype=torch.float64)
    means, covariances = [], []
    for t in range(STEPS):
        mean = A @ mean + B @ actions[t] + OFFSET
        covariance = A @ covariance @ A.mT + torch.diag(NOISE.square())
        means.append(mean)
        covariances.append(covariance)
    return torch.stack(means), torch.stack(covariances)


def small(**options: object) -> RecurrentPrior:
    """A prior in float64 whose network is far from zero."""
    settings: dict[str, object] = {"actions": 2, "hidden": 7, "dropout": 0.0, **options}
    torch.manual_seed(1)
    prior = RecurrentPrior(3, **settings).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        prior.loc.copy_(torch.tensor([1.0, -2.0, 0.5]))
        prior.scale.copy_(torch.tensor([2.0, 0.5, 1.0]))
        prior.factor.copy_(torch.eye(3) + 0.2 * torch.ones(3, 3).tril(-1))
    return prior.eval()


def clips(rows: int = 4, time: int = 9) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(rows, time, 3, generator=generator, dtype=torch.float64),
        torch.randn(rows, time, 2, generator=generator, dtype=torch.float64),
    )


@pytest.mark.slow
def test_the_start_predicts_a_linear_process_as_its_formulas_do() -> None:
    """Parameters from 40,000 frames; means within 0.05 and covariances within 0.02."""
    z, actions = simulated(40_000)
    prior = RecurrentPrior(3, actions=2, hidden=4).double().eval()
    prior.start_from_clips(z, actions, torch.arange(len(z)) == 0)
    now = slice(100, 100 + STEPS)
    mean, covariance = exact(z[100], actions[now])
    seen = prior.observe(z[None, 95:101], actions[None, 95:101]).memory
    later = actions[None, 101 : 100 + STEPS + 1]
    path = prior.push(seen, torch.zeros(1, STEPS, 3, dtype=torch.float64), later)
    assert torch.allclose(path[0], mean, atol=0.05)
    noise = torch.randn(40_000, STEPS, 3, generator=torch.Generator().manual_seed(3)).double()
    with torch.no_grad():
        draws = prior.push(seen.repeated(len(noise)), noise, later.expand(len(noise), -1, -1))
    for step in range(STEPS):
        assert torch.allclose(torch.cov(draws[:, step].mT), covariance[step], atol=0.02)
        assert torch.allclose(draws[:, step].mean(0), mean[step], atol=0.05)


@pytest.mark.parametrize("frames", [1, 3])
def test_clips_of_one_frame_are_refused(frames: int) -> None:
    prior = RecurrentPrior(3, hidden=4)
    with pytest.raises(DataError, match="no clip to train on has two frames"):
        prior.start_from_clips(torch.randn(frames, 3), None, torch.ones(frames, dtype=torch.bool))


def test_a_linear_process_given_exactly_has_its_exact_density() -> None:
    """With the process's own A, B, c and noise, log p of each frame is that of the process."""
    prior = RecurrentPrior(3, actions=2, hidden=4).double().eval()
    with torch.no_grad():
        prior.linear.weight.copy_(torch.cat([A, B], 1))
        prior.linear.bias.copy_(OFFSET)
        prior.head.bias[3:] = torch.expm1(NOISE - 1e-3).log()
    z, actions = simulated(12)
    found = prior.log_prob_of_clips(z[None], actions[None])[0]
    mean = z[:-1] @ A.mT + actions[:-1] @ B.mT + OFFSET
    process = torch.distributions.Normal(mean, NOISE).log_prob(z[1:]).sum(1)
    assert torch.allclose(found[1:], process, atol=1e-9)
    first = torch.distributions.Normal(torch.zeros(3).double(), 1.0).log_prob(z[0]).sum()
    assert torch.allclose(found[0], first)


def test_later_frames_and_actions_change_no_earlier_prediction() -> None:
    prior, (z, actions) = small(), clips()
    before = prior.log_prob_of_clips(z, actions)
    other, done = z.clone(), actions.clone()
    other[:, 5] += 1.0
    done[:, 5] += 1.0
    after = prior.log_prob_of_clips(other, done)
    assert torch.equal(before[:, :5], after[:, :5])
    assert bool((before[:, 5:] != after[:, 5:]).all())


def test_a_reset_inside_makes_two_clips() -> None:
    prior, (z, actions) = small(), clips()
    resets = torch.zeros(z.shape[:2], dtype=torch.bool)
    resets[:, 4] = True
    together = prior.log_prob_of_clips(z, actions, resets)
    apart = [prior.log_prob_of_clips(z[:, p], actions[:, p]) for p in (slice(4), slice(4, None))]
    assert torch.allclose(together, torch.cat(apart, 1), atol=1e-12)
    assert not torch.allclose(together[:, 4:], prior.log_prob_of_clips(z, actions)[:, 4:])


def test_one_frame_at_a_time_has_the_density_of_the_whole() -> None:
    prior, (z, actions) = small(), clips()
    whole = prior.log_prob_of_clips(z, actions)
    first = prior.observe(z[:, :1], actions[:, :1])
    found, memory = [prior.log_prob_of_steps(first, z[:, :1])[:, 0]], first.memory
    for time in range(1, z.shape[1]):
        loc, scale = prior.following(memory)
        found.append(torch.distributions.Normal(loc, scale).log_prob(z[:, time]).sum(1))
        memory = prior.remember(memory, z[:, time], actions[:, time])
    assert torch.allclose(torch.stack(found, 1), whole, atol=1e-12)
    parts = prior.observe(z[:, :6], actions[:, :6])
    rest = prior.log_prob_of_clips(z[:, 6:], actions[:, 6:], None, parts.memory)
    assert torch.allclose(rest, whole[:, 6:], atol=1e-12)


def test_draws_have_the_density_that_scores_them() -> None:
    """E[log p(z)] over draws is minus the entropy of each Gaussian step, within 5 errors."""
    prior, (z, actions) = small(), clips(1, 5)
    seen = prior.observe(z, actions).memory
    noise = torch.randn(20_000, 1, 3, generator=torch.Generator().manual_seed(4)).double()
    with torch.no_grad():
        draws = prior.push(seen.repeated(20_000), noise)
        scored = prior.log_prob_of_clips(
            draws, torch.zeros(20_000, 1, 2).double(), None, seen.repeated(20_000)
        )
        scale = prior.following(seen)[1]
    entropy = torch.distributions.Normal(torch.zeros(3), scale).entropy().sum()
    error = float(scored.std()) / len(scored) ** 0.5
    assert float(scored.mean()) == pytest.approx(-float(entropy), abs=5 * error)


def test_the_loss_reads_no_frame_of_the_next_clip() -> None:
    """The path of means ends where a clip does; what follows there changes the density alone."""
    prior, (z, actions) = small(window=9, ahead=4), clips()
    resets = torch.zeros(z.shape[:2], dtype=torch.bool)
    resets[:, 7] = True
    other = z.clone()
    other[:, 7:] += 1.0
    terms, changed = (prior.terms_of_clips(x, actions, resets) for x in (z, other))
    assert not torch.allclose(terms.log_prob, changed.log_prob)
    assert torch.allclose(terms.loss + terms.log_prob, changed.loss + changed.log_prob)
    other[:, 6] += 1.0
    changed = prior.terms_of_clips(other, actions, resets)
    assert not torch.allclose(terms.loss + terms.log_prob, changed.loss + changed.log_prob)
    whole = prior.log_prob_of_clips(z, actions, resets).mean(1)
    assert torch.allclose(terms.log_prob, whole)


def test_actions_of_another_width_are_refused() -> None:
    prior, (z, actions) = small(), clips()
    with pytest.raises(OptionError, match="trained with 2 numbers of an action"):
        prior.observe(z, actions[..., :1])
    with pytest.raises(OptionError, match="the clips have none"):
        prior.observe(z)
    with pytest.raises(OptionError, match="ahead must be"):
        RecurrentPrior(3, window=5, ahead=5)
