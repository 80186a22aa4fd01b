"""Eight-bit mass: its edges and tails in float32, its moments, where it starts, colors."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.likelihoods import (
    DiscretizedLogistic,
    DiscretizedLogisticEmission,
    DiscretizedLogisticMixture,
)
from lowerbound.likelihoods.discretized_logistic import fit_logistic, log_mass, logistic_moments
from lowerbound.likelihoods.discretized_logistic_mixture import (
    DiscretizedLogisticMixtureEmission,
    PixelMixture,
)

EVERY_LEVEL = torch.arange(256.0).reshape(-1, 1)


@pytest.mark.parametrize("scale", [0.1 / 255, 1e-3, 0.01, 0.1, 1.0, 100.0])
def test_float32_sums_to_one_without_infinities(scale: float) -> None:
    loc = torch.linspace(-2, 3, 501)
    log_masses = log_mass(EVERY_LEVEL, loc, torch.full_like(loc, scale), 256)
    assert log_masses.dtype == torch.float32
    assert log_masses.isfinite().all()
    assert (log_masses <= 0).all()
    torch.testing.assert_close(log_masses.exp().sum(0), torch.ones(501), rtol=0, atol=1e-5)


def test_naive_difference_would_have_infinities() -> None:
    """The stable form is needed: the textbook difference underflows in a large share of bins."""
    loc, scale = torch.full((1,), 0.5), torch.full((1,), 0.004)
    upper = torch.sigmoid((EVERY_LEVEL + 0.5 - 255 * loc) / (255 * scale))
    lower = torch.sigmoid((EVERY_LEVEL - 0.5 - 255 * loc) / (255 * scale))
    assert torch.log(upper - lower).isinf().float().mean() > 0.2
    assert log_mass(EVERY_LEVEL, loc, scale, 256).isfinite().all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1,)], ids=["gray", "vector"])
def test_float32_mixture_sums_to_one(shape: tuple[int, ...]) -> None:
    likelihood = DiscretizedLogisticMixture(shape, components=10)
    parameters = 2 * torch.randn(1, 300, *likelihood.parameter_shape)
    rows = (EVERY_LEVEL / 255).reshape(256, 1, *shape)
    log_masses = likelihood(parameters.expand(256, -1, *likelihood.parameter_shape)).log_prob(rows)
    assert log_masses.isfinite().all()
    torch.testing.assert_close(log_masses.exp().sum(0), torch.ones(300), rtol=0, atol=1e-5)


def test_float32_color_channels_sum_to_one_given_the_others() -> None:
    """Summed over one channel, the log-probability is that of the channels before it."""
    likelihood = DiscretizedLogisticMixture((3, 1, 1), components=4)
    parameters = torch.randn(1, 1, *likelihood.parameter_shape)
    pixel = torch.tensor([30.0, 100.0, 200.0]) / 255

    def log_prob(rows: Tensor, channels: int) -> Tensor:
        observed = (torch.arange(3) < channels).reshape(3, 1, 1)
        repeated = parameters.expand(1, len(rows), *likelihood.parameter_shape)
        answer: Tensor = likelihood(repeated).log_prob(
            rows.reshape(-1, 3, 1, 1), observed.expand(len(rows), 3, 1, 1)
        )
        return answer[0]

    for channel in range(3):
        rows = pixel.expand(256, 3).clone()
        rows[:, channel] = EVERY_LEVEL[:, 0] / 255
        total = torch.logsumexp(log_prob(rows, channel + 1), 0)
        before = log_prob(pixel[None], channel)[0]  # zero for no channel at all
        assert total.item() == pytest.approx(before.item(), abs=2e-5)


def test_mixture_is_the_explicit_one() -> None:
    """Against loops over components and channels, PixelCNN++'s coefficients included."""
    levels, components = 7, 3
    likelihood = DiscretizedLogisticMixture((3, 1, 2), levels=levels, components=components)
    parameters = torch.randn(1, 1, *likelihood.parameter_shape, dtype=torch.float64)
    x = torch.randint(levels, (1, 3, 1, 2)).double() / (levels - 1)
    # per pixel: logit, three locations, three scales, three slopes, each for every component
    numbers = parameters[0, 0].reshape(10, components, 2).numpy()
    for pixel in range(2):
        red, green, blue = x[0, :, 0, pixel].tolist()
        logits = numbers[0, :, pixel]
        weights = np.exp(logits) / np.exp(logits).sum()
        total = 0.0
        for k in range(components):
            loc, raw = numbers[1:4, k, pixel], numbers[4:7, k, pixel]
            a, b, c = np.tanh(numbers[7:10, k, pixel])
            centers = [loc[0], loc[1] + a * red, loc[2] + b * red + c * green]
            scales = 0.1 / (levels - 1) + np.log1p(np.exp(raw))
            masses = [
                _mass(value, center, scale, levels)
                for value, center, scale in zip((red, green, blue), centers, scales, strict=True)
            ]
            total += weights[k] * math.prod(masses)
        ours = likelihood(parameters).terms(x)[0, 0, 0, 0, pixel].item()
        assert ours == pytest.approx(math.log(total), rel=1e-9)


def _mass(value: float, center: float, scale: float, levels: int) -> float:
    step = 1 / (levels - 1)
    upper = (
        1.0 if value > 1 - step / 2 else 1 / (1 + math.exp(-(value + step / 2 - center) / scale))
    )
    lower = 0.0 if value < step / 2 else 1 / (1 + math.exp(-(value - step / 2 - center) / scale))
    return upper - lower


def test_a_channel_behind_a_hidden_one_is_left_out() -> None:
    """Hidden green: what remains is the marginal of red, not a guess at blue."""
    levels = 4
    likelihood = DiscretizedLogisticMixture((3, 1, 1), levels=levels, components=2).double()
    parameters = torch.randn(1, 1, *likelihood.parameter_shape, dtype=torch.float64)
    grid = torch.linspace(0, 1, levels, dtype=torch.float64).tolist()
    red = grid[1]
    rows = torch.tensor([(red, g, b) for g, b in itertools.product(grid, grid)])
    repeated = parameters.expand(1, len(rows), *likelihood.parameter_shape)
    marginal = torch.logsumexp(likelihood(repeated).log_prob(rows.reshape(-1, 3, 1, 1).double()), 1)
    row = torch.tensor([red, math.nan, grid[3]], dtype=torch.float64).reshape(1, 3, 1, 1)
    observed = torch.tensor([True, False, True]).reshape(1, 3, 1, 1)
    torch.testing.assert_close(likelihood(parameters).log_prob(row, observed)[:, 0], marginal)


def hidden_channels(levels: int = 4) -> tuple[Tensor, Tensor, DiscretizedLogisticMixtureEmission]:
    """Two pixels, (3, 1, 2): one with red observed, one with red and green; and their emission."""
    likelihood = DiscretizedLogisticMixture((3, 1, 2), levels=levels, components=3).double()
    generator = torch.Generator().manual_seed(0)
    shape = (1, 1, *likelihood.parameter_shape)
    emission = likelihood(2 * torch.randn(shape, generator=generator, dtype=torch.float64))
    assert isinstance(emission, DiscretizedLogisticMixtureEmission)
    x = torch.tensor([[2.0, 1.0], [torch.nan, 3.0], [torch.nan, torch.nan]]).double() / (levels - 1)
    x = x.reshape(1, 3, 1, 2)
    return x, ~x.isnan(), emission


def exact_channels(pixel: int, levels: int = 4) -> tuple[Tensor, Tensor]:
    """All values of a pixel's hidden channels, and their probability given the observed ones."""
    x, observed, emission = hidden_channels(levels)
    seen = int(observed[0, :, 0, pixel].sum())
    every = torch.tensor(list(itertools.product(range(levels), repeat=3 - seen))).double()
    rows = x.nan_to_num().repeat(len(every), 1, 1, 1)
    rows[:, seen:, 0, pixel] = every / (levels - 1)
    log_prob = torch.stack([emission.terms(row[None])[0, 0, 0, 0, pixel] for row in rows])
    return every / (levels - 1), log_prob.softmax(0)


@pytest.mark.parametrize("pixel", [0, 1])
def test_hidden_channels_are_drawn_given_the_observed_ones(pixel: int) -> None:
    x, observed, emission = hidden_channels()
    values, shares = exact_channels(pixel)
    torch.manual_seed(0)
    count = 20_000
    drawn = emission.complete(x, observed, (count,))[:, 0, 0]
    assert torch.equal(drawn[:, observed[0]], x[0][observed[0]].expand(count, -1))
    hidden = drawn[:, 3 - values.shape[1] :, 0, pixel]
    found = (hidden.unsqueeze(1) - values).abs().amax(2).lt(1e-9).double().mean(0)
    torch.testing.assert_close(found, shares, rtol=0, atol=4 * 0.5 / math.sqrt(count))
    mean = emission.given(x, observed).mean[0, 0, -1, 0, pixel]
    torch.testing.assert_close(mean, (shares @ values)[-1], rtol=0, atol=0.05 * (1 - pixel) + 1e-9)


def test_a_bright_channel_makes_the_others_bright() -> None:
    """Two components, dark and bright: a bright red pixel is of the bright one."""
    mixture = PixelMixture(
        torch.zeros(1, 1, 2, 1, 1),
        torch.tensor([0.1, 0.9]).view(1, 1, 2, 1, 1, 1).expand(1, 1, 2, 3, 1, 1),
        torch.full((1, 1, 2, 3, 1, 1), 0.01),
        torch.zeros(1, 1, 2, 3, 1, 1),
    )
    emission = DiscretizedLogisticMixtureEmission(mixture, 256, (3, 1, 1))
    x = torch.tensor([0.9, 0.0, 0.0]).view(1, 3, 1, 1)
    observed = torch.tensor([True, False, False]).view(1, 3, 1, 1)
    assert emission.complete(x, observed, (200,)).min() > 0.8
    assert emission.given(x, observed).mean.min() > 0.8


def test_masks_of_whole_pixels_change_no_distribution() -> None:
    x, _, emission = hidden_channels()
    whole = torch.tensor([True, False]).expand(1, 3, 1, 2)
    assert emission.given(x.nan_to_num(), whole) is emission


def test_a_channel_observed_after_a_hidden_one_is_refused() -> None:
    x, observed, emission = hidden_channels()
    with pytest.raises(UnsupportedError, match="an observed channel after a hidden one"):
        emission.complete(x, ~observed)


@pytest.mark.parametrize("scale", [0.002, 0.05, 0.4, 3.0])
def test_closed_form_moments_are_the_sums_over_many_levels(scale: float) -> None:
    loc = torch.linspace(-1, 2, 61, dtype=torch.float64)
    scales = torch.full_like(loc, scale)
    edge = (torch.arange(99_999, dtype=torch.float64) + 0.5) / 99_999
    above = torch.sigmoid((loc.unsqueeze(-1) - edge) / scale)
    mean, mean_square = logistic_moments(loc, scales, 100_000)
    torch.testing.assert_close(mean, above.mean(-1), rtol=0, atol=1e-8)
    torch.testing.assert_close(mean_square, (2 * edge * above).mean(-1), rtol=0, atol=1e-8)


def test_spread_of_a_sharp_logistic_survives_float32() -> None:
    loc, scale = torch.full((1, 1, 1), 0.9), torch.full((1, 1, 1), 1e-3)
    deviation = DiscretizedLogisticEmission(loc, scale, 256).variance.sqrt().item()
    assert deviation == pytest.approx(1e-3 * math.pi / math.sqrt(3), rel=1e-3)


def test_start_recovers_the_logistic_behind_the_data() -> None:
    loc = torch.tensor([-0.2, 0.1, 0.5, 0.9]).reshape(1, 1, 4)
    scale = torch.tensor([0.3, 0.06, 0.1, 0.2]).reshape(1, 1, 4)
    x = DiscretizedLogisticEmission(loc, scale, 256).sample((2000,)).reshape(2000, 4)
    fitted_loc, fitted_scale = fit_logistic(x, 256)
    torch.testing.assert_close(fitted_loc, loc[0, 0], rtol=0, atol=0.05)
    torch.testing.assert_close(fitted_scale, scale[0, 0], rtol=0.15, atol=0)


def test_start_recovers_pixels_that_hardly_vary() -> None:
    """A dark background: all values lie between two thresholds of the logits."""
    loc = torch.tensor([10.0, 27.0, 130.0, 200.0]).reshape(1, 1, 4) / 255
    scale = torch.tensor([3.0, 1.5, 2.0, 4.0]).reshape(1, 1, 4) / 255
    x = DiscretizedLogisticEmission(loc, scale, 256).sample((2000,)).reshape(2000, 4)
    fitted_loc, fitted_scale = fit_logistic(x, 256)
    torch.testing.assert_close(fitted_loc, loc[0, 0], rtol=0, atol=1 / 255)
    torch.testing.assert_close(fitted_scale, scale[0, 0], rtol=0.15, atol=0)


def test_start_on_real_digits_is_better_than_a_moment_fit() -> None:
    """Pixels piled up at black: mean and standard deviation would cost 10 % more."""
    from sklearn.datasets import load_digits

    x = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    likelihood = DiscretizedLogistic((64,), levels=17)
    fitted = likelihood(likelihood.initial_bias(x).expand(1, 1, -1)).log_prob(x).mean()
    spread = (x.std(0) * math.sqrt(3) / math.pi).clamp_min(0.01)
    by_moments = DiscretizedLogisticEmission(
        x.mean(0).expand(1, 1, -1), spread.expand(1, 1, -1), 17
    )
    assert fitted > by_moments.log_prob(x).mean() + 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 1}, "levels"),
        ({"scale": "decodr"}, "did you mean 'decoder'"),
        ({"floor": 0.0}, "positive"),
    ],
)
def test_options_out_of_range(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        DiscretizedLogistic((4,), **options)  # type: ignore[arg-type]


def test_mixture_needs_a_component() -> None:
    with pytest.raises(OptionError, match="components"):
        DiscretizedLogisticMixture((4,), components=0)


@pytest.mark.parametrize("first", [1.6, -0.6])
def test_a_channel_beyond_black_and_white_counts_as_these(first: float) -> None:
    """Red is far beyond white, so green is as if red were white; moments against draws."""
    shape = (1, 1, 1, 3, 1, 1)
    loc = torch.tensor([first, 0.5 * (1 - round(min(max(first, 0), 1))), 0.4]).reshape(shape)
    slopes = torch.tensor([0.5, 0.0, 0.0]).reshape(shape)
    mixture = PixelMixture(torch.zeros(1, 1, 1, 1, 1), loc, torch.full(shape, 0.03), slopes)
    emission = DiscretizedLogisticMixtureEmission(mixture, 256, (3, 1, 1))
    torch.manual_seed(0)
    drawn = emission.sample((4_000,))
    torch.testing.assert_close(emission.mean, drawn.mean(0), atol=0.01, rtol=0)
    assert 0.4 < float(emission.mean.flatten()[1]) < 0.6
