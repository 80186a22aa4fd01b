"""Tokens one after another: probabilities that sum to one, causality and draws."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.likelihoods import AutoregressiveTokens, TokensEmission

PLACES, LEVELS = 4, 3
NETWORKS = ("recurrent", "transformer")


@pytest.fixture(params=NETWORKS)
def likelihood(request: pytest.FixtureRequest) -> AutoregressiveTokens:
    torch.manual_seed(0)
    made = AutoregressiveTokens(
        (PLACES,), levels=LEVELS, network=request.param, width=32, depth=2, features=5, ends=True
    )
    torch.nn.init.normal_(made.network.head.weight, std=0.2)
    return made.double().eval()


def emission(likelihood: AutoregressiveTokens, rows: int = 1) -> TokensEmission:
    return likelihood(emission_parameters(likelihood, rows))


def emission_parameters(likelihood: AutoregressiveTokens, rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (1, rows, *likelihood.parameter_shape)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def sequences() -> Tensor:
    """Every row, (rows, places) in model units."""
    found = []
    for length in range(PLACES + 1):
        for tokens in itertools.product(range(1, LEVELS), repeat=length):
            found.append((*tokens, *[0] * (PLACES - length)))
    return torch.tensor(found, dtype=torch.float64) / (LEVELS - 1)


def exact(likelihood: AutoregressiveTokens) -> Tensor:
    """Probabilities of all rows."""
    return emission(likelihood).log_prob(sequences())[0].exp().detach()


def test_probabilities_sum_to_one(likelihood: AutoregressiveTokens) -> None:
    assert torch.isclose(exact(likelihood).sum(), torch.ones((), dtype=torch.float64))


def test_draws_have_their_probabilities(likelihood: AutoregressiveTokens) -> None:
    with seeded(0):
        drawn = emission(likelihood).sample((20_000,))[:, 0, 0]
    counts = (drawn.unsqueeze(1) == sequences()).all(2).sum(0)
    assert counts.sum() == 20_000
    expected = exact(likelihood)
    often = expected > 1e-3
    total = counts[often].sum()
    shares = expected[often] / expected[often].sum() * total
    assert chisquare(counts[often].numpy(), shares.numpy()).pvalue > 1e-4


def test_later_tokens_change_no_earlier_term(likelihood: AutoregressiveTokens) -> None:
    x = torch.tensor([[0.5, 1.0, 0.5, 0.0]], dtype=torch.float64)
    before = emission(likelihood).terms(x)
    changed = x.clone()
    changed[0, 2] = 1.0
    after = emission(likelihood).terms(changed)
    assert torch.equal(before[..., :2], after[..., :2])
    assert not torch.isclose(before[..., 3], after[..., 3])


def test_tokens_after_the_end_change_nothing(likelihood: AutoregressiveTokens) -> None:
    x = torch.tensor([[0.5, 0.0, 0.5, 1.0], [0.5, 0.0, 0.0, 0.0]], dtype=torch.float64)
    terms = likelihood(emission_parameters(likelihood, 1).expand(1, 2, -1)).terms(x)
    assert torch.equal(terms[0, 0], terms[0, 1])
    assert (terms[0, :, 2:] == 0).all()


def test_the_best_row_has_the_likeliest_token_given_those_before(
    likelihood: AutoregressiveTokens,
) -> None:
    mean = emission(likelihood).best[0, 0]
    for place in range(PLACES):
        options = mean.repeat(LEVELS, 1)
        options[:, place] = torch.linspace(0, 1, LEVELS, dtype=torch.float64)
        terms = emission(likelihood).terms(options)[0, :, place]
        assert options[terms.argmax(), place] == mean[place]
        if mean[place] == 0:
            assert (mean[place:] == 0).all()
            break


def test_a_wide_beam_finds_the_likeliest_of_all_rows(likelihood: AutoregressiveTokens) -> None:
    rows, every = 40, sequences()
    given = likelihood(emission_parameters(likelihood, rows))
    greedy = given.best[0]
    likelihood.beam = len(every)
    found = given.best[0]
    chances = torch.stack([given.log_prob(row.expand(rows, -1))[0] for row in every])
    assert torch.equal(found, every[chances.argmax(0)])
    assert not torch.equal(found, greedy)


def test_a_beam_of_one_is_greedy(likelihood: AutoregressiveTokens) -> None:
    given = likelihood(emission_parameters(likelihood, 40))
    searched = likelihood.beam_search(given.logits[0], given.features[0])
    assert torch.equal(searched, given.best[0])


def test_training_starts_at_independent_tokens() -> None:
    likelihood = AutoregressiveTokens((PLACES,), levels=LEVELS)
    parameters = torch.randn(2, 3, *likelihood.parameter_shape)
    x = torch.randint(LEVELS, (3, PLACES)) / (LEVELS - 1)
    own = parameters[..., : LEVELS * PLACES]
    expected = likelihood.independent(own).terms(x)
    assert torch.allclose(likelihood(parameters).terms(x), expected, atol=1e-6)


def test_word_dropout_hides_tokens_from_later_ones() -> None:
    likelihood = AutoregressiveTokens((PLACES,), levels=LEVELS, word_dropout=0.999)
    torch.nn.init.normal_(likelihood.network.head.weight)
    x = torch.tensor([[0.5, 1.0, 0.5, 0.0]])
    parameters = torch.randn(1, 1, *likelihood.parameter_shape)
    nothing = likelihood(parameters).terms(x, torch.tensor([[False, False, False, True]]))
    with seeded(0):
        dropped = likelihood(parameters).terms(x)
    assert torch.allclose(dropped[..., 3], nothing[..., 3])
    likelihood.eval()
    assert not torch.allclose(likelihood(parameters).terms(x)[..., 3], nothing[..., 3])


def test_gradients_reach_decoder_and_network(likelihood: AutoregressiveTokens) -> None:
    parameters = torch.randn(1, 2, *likelihood.parameter_shape, dtype=torch.float64)
    parameters.requires_grad_()
    x = torch.tensor([[0.5, 1.0, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    likelihood(parameters).log_prob(x).sum().backward()
    assert parameters.grad is not None
    assert bool((parameters.grad != 0).any())
    assert all(p.grad is not None for p in likelihood.network.parameters())


def test_bad_options() -> None:
    with pytest.raises(OptionError, match="unknown network of tokens 'gru'"):
        AutoregressiveTokens((4,), levels=3, network="gru")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="word_dropout"):
        AutoregressiveTokens((4,), levels=3, word_dropout=1.0)
    with pytest.raises(UnsupportedError, match="--likelihood categorical"):
        emission(AutoregressiveTokens((4,), levels=3).double()).given(
            torch.zeros(1, 4), torch.ones(1, 4).bool()
        )
