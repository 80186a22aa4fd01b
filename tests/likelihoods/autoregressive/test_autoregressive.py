"""The autoregressive likelihood against enumeration, and its order of pixels."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from lowerbound.errors import DataError, OptionError
from lowerbound.likelihoods import Autoregressive, Bernoulli
from lowerbound.likelihoods.autoregressive.pixels import PixelReading
from lowerbound.networks.pictures.causal import causal_mask
from lowerbound.trace import Emission
from tests.likelihoods.cases import owed

SMALL: dict[str, Any] = {"features": 3, "width": 6, "layers": 2, "context": 2}
COLOR = {"pixels": "mixture", "components": 3, **SMALL}
FORMS = [
    ((1, 4, 5), 2, SMALL),
    ((1, 4, 5), 2, {**SMALL, "reach": 0}),
    ((3, 4, 3), 7, COLOR),
    ((2, 4, 3), 4, {**SMALL, "pixels": "categorical"}),
    ((7,), 5, COLOR),
]
every_form = pytest.mark.parametrize(("shape", "levels", "options"), FORMS)


def trained(
    shape: tuple[int, ...], levels: int, options: dict[str, Any], seed: int = 0
) -> Autoregressive:
    """A likelihood whose network has any weights, since a new one adds nothing; float64."""
    likelihood = Autoregressive(shape, levels=levels, **options).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in likelihood.network.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(parameter + 0.4 * noise)
        if likelihood.predictor is not None:
            for name in ("location", "size", "slopes"):
                table = likelihood.predictor.get_buffer(name)
                noise = torch.randn(table.shape, generator=generator, dtype=torch.float64)
                table.copy_(0.1 * noise)
            mask = causal_mask(likelihood.predictor.context, strict=True)
            likelihood.predictor.location *= mask
            likelihood.predictor.size *= mask
    return likelihood


def emission_of(likelihood: Autoregressive, rows: int, samples: int = 1) -> Emission:
    emission: Emission = likelihood(owed(likelihood, rows, samples))
    return emission


def pixelwise(terms: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Terms summed over the channels of each pixel, (samples, batch, pixels)."""
    channels = 1 if len(shape) == 1 else terms.shape[2]
    return terms.reshape(*terms.shape[:2], channels, -1).sum(2)


def pictures(shape: tuple[int, ...], levels: int = 2) -> Tensor:
    """Every picture there is, (pictures, 1, *shape)."""
    values = torch.linspace(0, 1, levels, dtype=torch.float64)
    every = itertools.product(values.tolist(), repeat=math.prod(shape))
    return torch.tensor(list(every), dtype=torch.float64).reshape(-1, 1, *shape)


@every_form
def test_later_pixels_change_no_earlier_term(
    shape: tuple[int, ...], levels: int, options: dict[str, Any]
) -> None:
    likelihood = trained(shape, levels, options)
    emission = emission_of(likelihood, 4)
    x = emission.sample()[0]
    before = pixelwise(emission.terms(x), shape)
    count = math.prod(likelihood.layout[1:])
    moved = 0
    for pixel in range(count):
        changed = x.reshape(4, -1, count).clone()
        changed[:, :, pixel] = 1 - changed[:, :, pixel]
        after = pixelwise(emission.terms(changed.view_as(x)), shape)
        torch.testing.assert_close(after[:, :, :pixel], before[:, :, :pixel], rtol=0, atol=1e-12)
        moved += int((after - before)[:, :, pixel + 1 :].abs().gt(1e-6).any())
    assert moved >= count - 2  # and it does change later ones


def test_a_pixel_reads_the_whole_context_and_nothing_beyond() -> None:
    likelihood = trained((1, 6, 9), 2, {**SMALL, "reach": 0})
    emission = emission_of(likelihood, 1)
    x = emission.sample()[0]
    before = emission.terms(x)[0, 0, 0]
    read = torch.zeros(6, 9, dtype=torch.bool)
    for top, left in itertools.product(range(6), range(9)):
        changed = x.clone()
        changed[0, 0, top, left] = 1 - changed[0, 0, top, left]
        read[top, left] = (emission.terms(changed)[0, 0, 0] - before)[4, 4].abs() > 1e-9
    context = torch.zeros(6, 9, dtype=torch.bool)
    context[2:4, 2:7] = True
    context[4, 2:5] = True
    assert torch.equal(read, context)


def test_probabilities_of_all_pictures_sum_to_one() -> None:
    likelihood = trained((1, 3, 3), 2, SMALL)
    every = pictures((1, 3, 3))
    log_prob = emission_of(likelihood, 1).log_prob(every)
    torch.testing.assert_close(log_prob.exp().sum().item(), 1.0, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("shape", "levels", "options"), [((3, 1, 2), 3, COLOR), ((1, 2, 2), 5, COLOR)]
)
def test_probabilities_of_all_levels_sum_to_one(
    shape: tuple[int, ...], levels: int, options: dict[str, Any]
) -> None:
    likelihood = trained(shape, levels, options)
    log_prob = emission_of(likelihood, 1).log_prob(pictures(shape, levels))
    torch.testing.assert_close(log_prob.exp().sum().item(), 1.0, rtol=0, atol=1e-10)


def test_frequencies_of_draws_are_the_probabilities() -> None:
    likelihood = trained((1, 2, 3), 2, SMALL)
    emission = emission_of(likelihood, 1)
    every = pictures((1, 2, 3))
    probability = emission.log_prob(every).exp().flatten()
    draws = 40_000
    code = emission.sample((draws,)).reshape(draws, -1) @ 2.0 ** torch.arange(5, -1, -1).double()
    found = torch.bincount(code.long(), minlength=len(every)) / draws
    error = torch.sqrt(probability * (1 - probability) / draws)
    assert ((found - probability).abs() < 5 * error + 1e-4).all()


@every_form
def test_drawing_pixel_by_pixel_computes_what_scoring_does(
    shape: tuple[int, ...], levels: int, options: dict[str, Any]
) -> None:
    """The numbers of each pixel from kept rows equal those from the whole picture."""
    likelihood = trained(shape, levels, options)
    parameters = owed(likelihood, 3)
    emission = likelihood(parameters)
    x = emission.sample()[0]
    seen = likelihood.seen(torch.Size((1, 3)), x)
    own, features = emission.parameters[0], emission.features[0]
    whole = likelihood.conditional(seen, own, features).reshape(3, -1, *likelihood.layout[1:])
    reading = PixelReading(likelihood, own, features)
    _, height, width = likelihood.layout
    for top, left in itertools.product(range(height), range(width)):
        numbers = reading.numbers(top, left)[:, :, 0, 0]
        torch.testing.assert_close(numbers, whole[:, :, top, left])
        reading.put(left, seen[:, :, top, left])


@pytest.mark.slow
def test_draws_do_not_depend_on_how_many_are_drawn_side_by_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    likelihood = trained((1, 3, 3), 2, SMALL)
    emission = emission_of(likelihood, 4, samples=3)
    monkeypatch.setattr("lowerbound.likelihoods.autoregressive.pixels.PICTURES_AT_ONCE", 5)
    x = emission.sample((400,))
    assert x.shape == (400, 3, 4, 1, 3, 3)
    # draws of the first sample's parameters are likelier under these than under others
    scores = torch.stack([emission.log_prob(draw[0]) for draw in x]).mean(0)
    assert (scores[0] > scores[1:]).all()


def test_green_depends_on_red_and_red_not_on_green() -> None:
    likelihood = trained((3, 1, 1), 9, COLOR)
    emission = emission_of(likelihood, 1)

    def given(channel: int, x: list[float]) -> Tensor:
        """p(levels of the channel | channels before), by summing over those after."""
        after = list(itertools.product(torch.linspace(0, 1, 9).tolist(), repeat=2 - channel))
        rows = [[*x[:channel], level, *rest] for level in torch.linspace(0, 1, 9) for rest in after]
        values = torch.tensor(rows, dtype=torch.float64).reshape(-1, 1, 3, 1, 1)
        mass = emission.log_prob(values).exp().reshape(9, -1).sum(1)
        return mass / mass.sum()

    assert (given(1, [0.0, 0, 0]) - given(1, [1.0, 0, 0])).abs().max() > 1e-3
    observed = torch.tensor([True, False, False]).reshape(1, 3, 1, 1)
    x = torch.rand(1, 3, 1, 1, dtype=torch.float64).mul(8).round() / 8
    other = x.clone()
    other[:, 1:] = 1 - other[:, 1:]
    torch.testing.assert_close(emission.log_prob(x, observed), emission.log_prob(other, observed))


@pytest.mark.parametrize("seed", range(3))
def test_every_mask_gives_probabilities_that_sum_to_one(seed: int) -> None:
    likelihood = trained((1, 3, 3), 2, SMALL)
    emission = emission_of(likelihood, 1)
    mask = torch.rand(1, 1, 3, 3, generator=torch.Generator().manual_seed(seed)) < 0.6
    zero_where_hidden = (pictures((1, 3, 3)) <= mask.double()).flatten(1).all(1)
    every = pictures((1, 3, 3))[zero_where_hidden]  # every value of the observed pixels, once
    total = emission.log_prob(every, mask).exp().sum().item()
    torch.testing.assert_close(total, 1.0, rtol=0, atol=1e-10)


def test_hidden_pixels_that_come_last_are_integrated_out() -> None:
    likelihood = trained((1, 3, 3), 2, SMALL)
    emission = emission_of(likelihood, 1)
    every = pictures((1, 3, 3))
    seen = torch.arange(9).reshape(1, 1, 3, 3) < 5
    x = every[137]
    same = ((every == x) | ~seen).flatten(1).all(1)
    exact = emission.log_prob(every[same]).logsumexp(0, keepdim=True)
    torch.testing.assert_close(emission.log_prob(x, seen), exact)


def test_a_new_one_is_the_likelihood_of_independent_pixels() -> None:
    likelihood = Autoregressive((1, 4, 4), levels=2, **SMALL)
    parameters = owed(likelihood, 5).float()
    independent = Bernoulli((1, 4, 4))(parameters[:, :, :1])
    emission = likelihood(parameters)
    x = emission.sample()[0]
    torch.testing.assert_close(emission.log_prob(x), independent.log_prob(x))
    torch.testing.assert_close(emission.mean, independent.mean)


def test_training_hides_whole_rows_and_single_pixels() -> None:
    x = torch.ones(400, 1, 5, 5)
    rows = torch.Size((1, 400))
    blind = Autoregressive((1, 5, 5), levels=2, **SMALL, blind=0.25).train()
    known = blind.seen(rows, x)[:, 1].flatten(1)
    assert set(known.sum(1).tolist()) == {0.0, 25.0}
    assert 0.15 < 1 - known.mean() < 0.35
    dropping = Autoregressive((1, 5, 5), levels=2, **SMALL, blind=0.0, dropout=0.3).train()
    known = dropping.seen(rows, x)[:, 1].flatten(1)
    assert 0.27 < 1 - known.mean() < 0.33
    assert known.sum(1).unique().numel() > 5
    assert dropping.eval().seen(rows, x)[:, 1].min() == 1


def test_scores_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    likelihood = trained((1, 4, 5), 2, SMALL)
    emission = emission_of(likelihood, 5, samples=3)
    x = emission.sample()[0]
    whole = emission.log_prob(x)
    monkeypatch.setattr("lowerbound.likelihoods.autoregressive.pixels.NUMBERS_AT_ONCE", 4 * 6 * 20)
    with torch.no_grad():
        torch.testing.assert_close(emission.log_prob(x), whole.detach())


def test_what_it_refuses() -> None:
    with pytest.raises(OptionError, match="two levels, and the data has 5"):
        Autoregressive((1, 2, 2), levels=5, pixels="bernoulli")
    with pytest.raises(OptionError, match="pixels"):
        Autoregressive((1, 2, 2), levels=5, pixels="gaussian")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="context must be at least 1"):
        Autoregressive((1, 2, 2), context=0)
    with pytest.raises(OptionError, match="shares below 1"):
        Autoregressive((1, 2, 2), blind=1.0)
    with pytest.raises(DataError, match="values 0 and 1 only"):
        Autoregressive((1, 2, 2), levels=2).check(torch.full((1, 1, 2, 2), 0.5))
