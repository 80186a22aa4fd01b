"""Codes that depend on those before them: exact probabilities, whichever way they are computed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from lowerbound.distributions.reparameterization import draw, seeded
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.priors import CODE_PRIORS
from lowerbound.priors.autoregressive_codes import (
    AutoregressiveCodes,
    neighbors_around,
    neighbors_before,
    principal,
)
from lowerbound.priors.codes import Narrowing
from lowerbound.priors.sequential_codes import MarkovCodes, SequentialCodes
from lowerbound.trace import Tempered

CODES = 3
FIELDS = {"digit": ["0", "1"], "size": ["small", "large"]}
MAPS: dict[str, tuple[tuple[int, ...], list[tuple[int, ...]]]] = {
    "one map": ((2, 2), []),
    "residual codebooks": ((2, 2), [(2, 2), (2, 2)]),
    "below a coarse map": ((2, 2), [(1, 1)]),
    "frames": ((4,), [(4,)]),
}
every_map = pytest.mark.parametrize("name", MAPS)
sequential = pytest.mark.parametrize("kind", ["autoregressive", "markov"])


def prior_of(kind: str, name: str, codes: int = CODES) -> SequentialCodes:
    """A prior in float64 that is far from even."""
    shape, above = MAPS[name]
    with seeded(1):
        prior = CODE_PRIORS[kind].build(shape, codes, above, {}).double().eval()
        assert isinstance(prior, SequentialCodes)
        for parameter in prior.parameters():
            parameter.data.add_(0.2 * torch.randn_like(parameter))
        if isinstance(prior, MarkovCodes):
            shares = torch.distributions.Dirichlet(torch.ones(codes)).sample((codes + 1,))
            prior.shares.copy_(shares)
    return prior.requires_grad_(False)


def above_of(name: str, rows: int = 1, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = MAPS[name][1]
    return [torch.randint(CODES, (1, rows, *shape), generator=generator) for shape in shapes]


def flat(codes: Sequence[Tensor], rows: int) -> list[Tensor]:
    return [each.expand(1, rows, *each.shape[2:])[0].flatten(1) for each in codes]


def every_sequence(shape: tuple[int, ...]) -> Tensor:
    """(all, 1, *shape)."""
    places = math.prod(shape)
    return torch.cartesian_prod(*[torch.arange(CODES)] * places).reshape(-1, 1, *shape)


@sequential
@every_map
def test_probabilities_of_all_sequences_sum_to_one(kind: str, name: str) -> None:
    prior = prior_of(kind, name)
    every = every_sequence(prior.shape)
    log_prob = prior.given(above_of(name)).log_prob(every)
    assert float(log_prob.exp().sum()) == pytest.approx(1.0, abs=1e-10)
    assert float(log_prob.std()) > 0.1


@sequential
@every_map
def test_later_codes_leave_earlier_logits_unchanged(kind: str, name: str) -> None:
    prior = prior_of(kind, name)
    z = every_sequence(prior.shape).flatten(1)
    conditionals = prior.conditionals(flat(above_of(name), len(z)))
    logits = conditionals.logits(z)
    for place in range(z.shape[1]):
        other = z.clone()
        other[:, place] = (other[:, place] + 1) % CODES
        changed = conditionals.logits(other)
        assert torch.equal(changed[:, : place + 1], logits[:, : place + 1])
        if place + 1 < z.shape[1] and (kind != "markov" or (place + 1) % prior.shape[-1]):
            assert not torch.allclose(changed[:, place + 1], logits[:, place + 1])


@sequential
@every_map
def test_logits_place_by_place_are_those_of_all_places(kind: str, name: str) -> None:
    prior = prior_of(kind, name)
    z = every_sequence(prior.shape).flatten(1)
    conditionals = prior.conditionals(flat(above_of(name), len(z)))
    step, known, found = conditionals.steps(), torch.zeros_like(z), []
    for place in range(z.shape[1]):
        found.append(step(known, place))
        known[:, place] = z[:, place]
    torch.testing.assert_close(torch.stack(found, 1), conditionals.logits(z), atol=1e-12, rtol=0)
    each = torch.log_softmax(torch.stack(found, 1), 2).gather(2, z.unsqueeze(2))
    whole = prior.given(above_of(name)).log_prob(every_sequence(prior.shape))[:, 0]
    torch.testing.assert_close(each.sum((1, 2)), whole, atol=1e-10, rtol=0)


@sequential
def test_draws_have_its_probabilities(kind: str) -> None:
    prior = prior_of(kind, "one map")
    every = every_sequence(prior.shape)
    expected = prior().log_prob(every).exp().flatten()
    with seeded(2):
        z = draw(prior().expand(torch.Size((1, 2))), 10_000)
    assert z.shape == (10_000, 2, 2, 2)
    assert z.dtype == torch.long
    numbers = (z.flatten(0, 1).flatten(1) * CODES ** torch.arange(3, -1, -1)).sum(1)
    found = torch.bincount(numbers, minlength=len(every)) / len(numbers)
    spread = (expected * (1 - expected) / len(numbers)).sqrt()
    assert bool(((found - expected).abs() <= 5 * spread + 1e-9).all())


@sequential
def test_the_mean_is_the_likeliest_code_at_each_place(kind: str) -> None:
    prior = prior_of(kind, "residual codebooks")
    distribution = prior.given(above_of("residual codebooks", rows=5))
    greedy = distribution.mean
    assert greedy.shape == (1, 5, 2, 2)
    logits = prior.conditionals(flat(distribution.above, 5)).logits(greedy[0].flatten(1))
    assert torch.equal(logits.argmax(2), greedy[0].flatten(1))
    prior.temperature = 0.0
    cold = prior.given(above_of("residual codebooks", rows=5))
    assert torch.equal(draw(cold, 3), greedy.expand(3, -1, -1, -1))
    assert torch.equal(Tempered(3, (0.0,))(0, None, distribution), greedy.expand(3, -1, -1, -1))


def test_codes_above_count_at_their_place_and_near_it() -> None:
    prior = prior_of("autoregressive", "residual codebooks")
    one, two = flat(above_of("residual codebooks"), 1)
    z = torch.zeros(1, 4, dtype=torch.long)
    logits = prior.conditionals([one, two]).logits(z)
    for place in range(4):
        other = two.clone()
        other[0, place] = (other[0, place] + 1) % CODES
        assert not torch.allclose(prior.conditionals([one, other]).logits(z)[0, 0], logits[0, 0])


def test_neighbors_are_those_of_the_picture() -> None:
    """Of 2 x 3 places, the fifth (1, 1): numbers row by row, 6 outside."""
    assert neighbors_before((2, 3))[4].tolist() == [0, 1, 2, 3]
    assert neighbors_before((2, 3))[0].tolist() == [6, 6, 6, 6]
    assert neighbors_before((5,))[2].tolist() == [1, 0, 5, 5]
    assert neighbors_around((2, 3), (2, 3))[4].tolist() == [0, 1, 2, 3, 4, 5, 6, 6, 6]
    coarse = neighbors_around((4, 4), (2, 2))
    assert coarse[:, 4].reshape(4, 4).tolist() == [[0, 0, 1, 1]] * 2 + [[2, 2, 3, 3]] * 2


def test_near_vectors_have_near_features() -> None:
    vectors = torch.randn(50, 40, generator=torch.Generator().manual_seed(0))
    vectors[:, 8:] *= 1e-3
    above, own = principal([3 * vectors, vectors])
    assert own.shape == (50, 33)
    torch.testing.assert_close(above, own, atol=1e-4, rtol=1e-4)
    scale = math.sqrt(32) / float(vectors.std(0).square().sum().sqrt())
    distances = torch.pdist(own[:, :32].double()) / torch.pdist(vectors.double())
    torch.testing.assert_close(distances, torch.full_like(distances, scale), rtol=1e-2, atol=0)


def test_the_table_is_that_of_the_left_neighbors() -> None:
    z = torch.randint(0, 2, (400, 2, 3), generator=torch.Generator().manual_seed(0))
    z[:, :, 1] = 2 - z[:, :, 0]
    prior = MarkovCodes((2, 3), 4)
    prior.start_from_codes(z)
    pairs = {(j, k): 0 for j in range(5) for k in range(4)}
    for line in z.flatten(0, 1).tolist():
        for left, own in zip([4, *line[:-1]], line, strict=True):
            pairs[left, own] += 1
    counts = torch.tensor([[pairs[j, k] for k in range(4)] for j in range(5)]).double()
    seen = counts.sum(1) > 0
    expected = counts / counts.sum(1, keepdim=True)
    torch.testing.assert_close(prior.shares.double()[seen], expected[seen], atol=5e-3, rtol=0)
    even = (counts.sum(0) + 0.5) / (counts.sum() + 2)
    torch.testing.assert_close(prior.shares.double()[3], even, atol=1e-6, rtol=0)
    assert float(prior.shares.min()) > 0


@pytest.mark.slow
@sequential
def test_training_on_codes_finds_what_depends_on_what(kind: str) -> None:
    """The left neighbor plus one, but a line's first code is even: log 4 nats a line, and 16 lines
    of 1,024 codes are enough."""
    start = torch.randint(0, 4, (256, 4, 1), generator=torch.Generator().manual_seed(0))
    z = (start + torch.arange(4)) % 4
    with seeded(0):
        prior = CODE_PRIORS[kind].build((4, 4), 4, [], {})
        prior.know_vectors([torch.eye(4)])
        prior.start_from_codes(z)
        parameters = list(prior.parameters())
        if parameters:
            optimizer = torch.optim.Adam(parameters, 3e-3)
            for _ in range(150):
                optimizer.zero_grad()
                prior.terms(z[torch.randint(256, (64,))]).loss.mean().backward()
                optimizer.step()
        cost = -float(prior.eval().terms(z).log_prob.detach().mean())
    assert 4 * math.log(4) - 0.1 < cost < 4 * math.log(4) + 0.4


def conditional() -> AutoregressiveCodes:
    with seeded(0):
        prior = AutoregressiveCodes((2, 2), CODES, fields=FIELDS).double().eval()
        for parameter in prior.parameters():
            parameter.data.add_(0.2 * torch.randn_like(parameter))
    return prior.requires_grad_(False)


def test_a_prompt_changes_the_distribution_of_its_row_alone() -> None:
    prior = conditional()
    prompt = torch.tensor([[0, 1], [1, 1], [-1, -1]])
    distribution = prior.given((), prompt)
    assert distribution.batch_shape == (1, 3)
    z = every_sequence((2, 2)).expand(-1, 3, -1, -1)
    log_prob = distribution.log_prob(z)
    torch.testing.assert_close(log_prob.exp().sum(0), torch.ones(3).double())
    torch.testing.assert_close(log_prob[:, 2:], prior().log_prob(z[:, 2:]))
    assert not torch.allclose(log_prob[:, 0], log_prob[:, 1])
    assert not torch.allclose(log_prob[:, 0], log_prob[:, 2])
    assert draw(distribution, 7).shape == (7, 3, 2, 2)


def test_prompts_and_codes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="takes no prompt"):
        prior_of("autoregressive", "one map").given((), torch.zeros(1, 1, dtype=torch.long))
    with pytest.raises(OptionError, match="has 1 fields"):
        conditional().given((), torch.zeros(1, 1, dtype=torch.long))
    with pytest.raises(UnsupportedError, match="codes of 0 codebooks above, not of 1"):
        prior_of("autoregressive", "one map").given([torch.zeros(1, 1, 2, 2, dtype=torch.long)])


def test_narrowing_keeps_the_likeliest_codes() -> None:
    shares = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).double()
    assert torch.allclose(Narrowing().shares(shares.log()), shares)
    assert (Narrowing(top_k=2).shares(shares.log()) > 0).tolist() == [[True, True, False, False]]
    assert (Narrowing(top_p=0.7).shares(shares.log()) > 0).tolist() == [[True, True, False, False]]
    assert (Narrowing(top_p=0.1).shares(shares.log()) > 0).tolist() == [[True, False, False, False]]
    colder = Narrowing(temperature=0.5).shares(shares.log())
    torch.testing.assert_close(colder, shares**2 / (shares**2).sum())
    assert Narrowing(temperature=0).shares(shares.log()).tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize("values", [{"temperature": -1}, {"top_k": 0}, {"top_p": 0}, {"top_p": 2}])
def test_narrowing_out_of_range_is_refused(values: dict[str, float]) -> None:
    prior = prior_of("autoregressive", "one map")
    for name, value in values.items():
        setattr(prior, name, value)
    with pytest.raises(OptionError):
        prior()


@pytest.mark.parametrize("options", [{"width": 30, "heads": 4}, {"depth": 0}, {"dropout": 1.0}])
def test_sizes_that_do_not_fit_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        AutoregressiveCodes.build((2, 2), 3, [], options)


def test_the_network_is_sized_from_places_and_codes() -> None:
    widths = [
        AutoregressiveCodes.build(shape, codes, [], {}).network.positions.shape[1]  # type: ignore[attr-defined]
        for shape, codes in (((2, 2), 16), ((4, 4), 128), ((8, 8), 512))
    ]
    assert widths == sorted(set(widths))
