"""Pixels that depend on the pixels before them: p(x | z) = prod_i p(x_i | z, x_{<i})."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Literal

import torch
from torch import Tensor

from lowerbound.errors import OptionError, UnsupportedError, unknown
from lowerbound.likelihoods.base import LIKELIHOODS, Likelihood, at_least_float32
from lowerbound.likelihoods.bernoulli import Bernoulli
from lowerbound.likelihoods.categorical import Categorical, LevelsLikelihood
from lowerbound.likelihoods.discretized_logistic_mixture import DiscretizedLogisticMixture
from lowerbound.networks.pictures.causal import CausalPredictor, CausalStack, Predicted
from lowerbound.trace import Emission

PICTURES_AT_ONCE = 512  # drawn side by side
MOMENT_POINTS = 32  # of the quadrature of the moments of color
NUMBERS_AT_ONCE = 1 << 22  # in a state of the network, when nothing is differentiated


class AutoregressiveEmission(Emission):
    r"""log p(x | z) = sum_i log p(x_i | z, x_{<i}), the pixels i in the order of reading.

    The parameters of a pixel are the decoder's, plus a function of the decoder's features and of
    the pixels before.

    A hidden pixel is also hidden from later pixels, which see a mask beside the values. Each term
    is then log p(x_i | z, observed pixels before i). For every mask, these probabilities sum to one
    over the observed pixels. Their product is the marginal of p(x | z) if the hidden pixels come
    last. Otherwise it is an approximation that training with hidden pixels improves.

    ``mean`` and ``variance`` are those of each pixel if all other pixels are hidden. Training
    brings them close to those of p(x | z), which have no formula.

    Args:
        likelihood: the masked network, and the distribution of a pixel.
        parameters: of independent pixels, (samples, batch, *likelihood.pixels.parameter_shape).
        features: (samples, batch, features, height, width).
    """

    def __init__(self, likelihood: Autoregressive, parameters: Tensor, features: Tensor) -> None:
        self.likelihood, self.parameters, self.features = likelihood, parameters, features
        shape = torch.Size(likelihood.event_shape)
        super().__init__(parameters.shape[:2], shape, validate_args=False)

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        return self._given(x, observed).terms(x, observed)

    def log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        return self._given(x, observed).log_prob(x, observed)

    def given(self, x: Tensor, observed: Tensor) -> Emission:
        """Refused: a pixel given later pixels has no formula.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            "hidden pixels are drawn from p(x | z), and pixels of the autoregressive likelihood "
            "also depend on each other: fit the model again with another likelihood"
        )

    @property
    def mean(self) -> Tensor:
        return self._given(None).mean

    @property
    def variance(self) -> Tensor:
        return self._given(None).variance

    def _given(self, x: Tensor | None, observed: Tensor | None = None) -> Emission:
        """Every pixel's distribution given the observed pixels before it; None: nothing is."""
        rows = self.batch_shape
        if x is not None:
            rows = torch.broadcast_shapes(rows, x.shape[: x.dim() - len(self.event_shape)])
        features = self.features.expand(rows + self.features.shape[2:]).flatten(0, 1)
        own = self.parameters.expand(rows + self.parameters.shape[2:]).flatten(0, 1)
        seen = self.likelihood.seen(rows, x, observed)
        parameters = self.likelihood.conditional(seen, own, features)
        emission: Emission = self.likelihood.pixels(parameters.view(rows + parameters.shape[1:]))
        return emission

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        shape = sample_shape + self.batch_shape
        parts = [_chunks(each, sample_shape) for each in (self.parameters, self.features)]
        drawn = [self.likelihood.draw(*chunk) for chunk in zip(*parts, strict=True)]
        return torch.cat(drawn).view(shape + self.event_shape)


def _chunks(values: Tensor, sample_shape: torch.Size) -> tuple[Tensor, ...]:
    """Repeat (samples, batch, ...) and split all rows into as many as are drawn side by side."""
    rows = values.expand(sample_shape + values.shape)
    parts: tuple[Tensor, ...] = rows.reshape(-1, *values.shape[2:]).split(PICTURES_AT_ONCE)
    return parts


@LIKELIHOODS.register("autoregressive")
class Autoregressive(LevelsLikelihood):
    """Each pixel given z and the pixels before it, in the order of reading.

    The decoder returns the parameters of independent pixels and a map of features. A network of
    masked convolutions adds to these parameters what the pixels before say.

    In pictures with a mixture, these parameters are relative to a linear prediction from the pixels
    before, see ``CausalPredictor``. The network also sees the residuals, and at its start it adds
    nothing. So training starts at least squares, and otherwise at independent pixels.

    Args:
        event_shape: (channels, height, width), or (features,) as one row of pixels.
        levels: number of levels.
        pixels: distribution of a pixel; "auto" is "bernoulli" for two levels, else "mixture" (of
            discretized logistics), in which the channels of a pixel depend on each other. Channels
            that are "categorical" do not.
        components: of the mixture.
        features: channels of the map of features.
        width: channels of the masked network.
        layers: residual blocks of the masked network.
        context: rows above, and columns on either side, that its first convolution reads.
        reach: the same for the convolution of a block; 0: a pixel depends on no pixel beyond
            ``context`` except through z.
        dropout: share of pixels that are hidden from later pixels in training.
        blind: share of rows whose pixels are all hidden from later pixels in training, so that
            the code alone has to explain them.

    Source: van den Oord et al. 2016; Gulrajani et al. 2017 (under a latent); Salimans et al. 2017.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        levels: int = 256,
        pixels: Literal["auto", "bernoulli", "categorical", "mixture"] = "auto",
        components: int = 5,
        features: int = 32,
        width: int = 32,
        layers: int = 3,
        context: int = 5,
        reach: int = 1,
        dropout: float = 0.0,
        blind: float = 0.05,
    ) -> None:
        super().__init__(event_shape, levels=levels)
        if min(features, width, context) < 1 or min(layers, reach) < 0:
            raise OptionError(
                "features, width and context must be at least 1, and layers and reach at least 0"
            )
        if not (0 <= dropout < 1 and 0 <= blind < 1):
            raise OptionError(f"dropout and blind are shares below 1, not {dropout} and {blind}")
        self.dropout, self.blind, self.features = dropout, blind, features
        self.layout = (1, 1, *self.event_shape)[-3:]  # channels, height, width
        self.pixels = _independent(self.event_shape, levels, pixels, components)
        self.pixel = _independent((self.layout[0], 1, 1), levels, pixels, components)
        self.predictor = None
        if isinstance(self.pixels, DiscretizedLogisticMixture) and len(self.event_shape) == 3:
            self.predictor = CausalPredictor(self.layout[0], context)
            # without a past, predicted scales are wide, and clipping makes the integrand rough
            self.pixels.moment_points = MOMENT_POINTS
        self.network = CausalStack(
            (2 if self.predictor is None else 3) * self.layout[0],
            features,
            self.pixel.parameter_shape[0],
            width=width,
            layers=layers,
            context=context,
            reach=reach,
        )

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        own, features = self._sizes()
        return (own + features, *self.pixels.parameter_shape[1:])

    def forward(self, parameters: Tensor) -> AutoregressiveEmission:
        own, features = at_least_float32(parameters).split(self._sizes(), 2)
        maps = features.reshape(*features.shape[:2], self.features, *self.layout[1:])
        return AutoregressiveEmission(self, own, maps)

    def check(self, x: Tensor) -> None:
        self.pixels.check(x)

    @property
    def starts_by_itself(self) -> bool:
        return True

    def initialize(self, x: Tensor) -> None:
        if self.predictor is not None:
            self.predictor.fit(x, self.levels)

    def initial_bias(self, x: Tensor) -> Tensor:
        """The bias of independent pixels, and zeros for the features."""
        bias = self.pixels.initial_bias(x)
        if self.predictor is not None:
            assert isinstance(self.pixels, DiscretizedLogisticMixture)
            bias = self.pixels.relative_bias(self.predictor.spread)
        assert bias is not None
        return torch.cat([bias, bias.new_zeros(self._sizes()[1], *bias.shape[1:])])

    def seen(self, rows: torch.Size, x: Tensor | None, observed: Tensor | None = None) -> Tensor:
        """What the network sees: values around zero, and beside them which are observed.

        Args:
            rows: (samples, batch).
            x, observed: broadcastable to (samples, batch, *event); None: nothing is observed.

        Returns:
            (samples * batch, 2 * channels, height, width), zero where hidden.
        """
        shape = (rows.numel(), *self.layout)
        if x is None:
            like = next(self.network.parameters())
            return like.new_zeros(shape[0], 2 * shape[1], *shape[2:])
        values = x.expand(rows + self.event_shape).reshape(shape)
        known = self._known(values, observed, rows)
        return torch.cat([torch.where(known, 2 * values - 1, 0.0), known.to(values.dtype)], 1)

    def conditional(self, pictures: Tensor, own: Tensor, features: Tensor) -> Tensor:
        """The parameters of each pixel given those before it, (rows, numbers, *pixels).

        Args:
            pictures: as ``seen`` returns them.
            own: the decoder's parameters, (rows, numbers, *pixels).
            features: (rows, features, height, width).
        """
        if torch.is_grad_enabled():
            return self._conditional(pictures, own, features)
        size = max(1, NUMBERS_AT_ONCE // (self.network.width * pictures[0, 0].numel()))
        parts = zip(pictures.split(size), own.split(size), features.split(size), strict=True)
        return torch.cat([self._conditional(*part) for part in parts])

    def _conditional(self, pictures: Tensor, own: Tensor, features: Tensor) -> Tensor:
        predicted = None
        if self.predictor is not None:
            predicted, residual = self.predictor(pictures)
            pictures = torch.cat([pictures, residual.to(pictures.dtype)], 1)
        added = at_least_float32(self.network(pictures, features))
        return self.placed(own + added.view(own.shape), predicted)

    def placed(self, parameters: Tensor, predicted: Predicted | None) -> Tensor:
        """Parameters as the distribution of pixels takes them."""
        if self.predictor is None or predicted is None:
            return parameters
        assert isinstance(self.pixels, DiscretizedLogisticMixture)
        return self.pixels.placed(parameters, *predicted, self.predictor.slopes)

    def draw(self, parameters: Tensor, features: Tensor) -> Tensor:
        """Pictures pixel by pixel, (rows, *layout), model units.

        Args:
            parameters: of independent pixels, (rows, ...).
            features: (rows, features, height, width).
        """
        pictures = parameters.new_zeros(len(parameters), *self.layout)
        known = pictures.new_ones(len(pictures), self.layout[0])
        reading = PixelReading(self, parameters, features)
        for top, left in product(*map(range, self.layout[1:])):
            numbers = reading.numbers(top, left)
            drawn = self.pixel(numbers[None]).sample()[0, :, :, 0, 0]
            pictures[:, :, top, left] = drawn
            reading.put(left, torch.cat([2 * drawn - 1, known], 1))
        return pictures

    def _known(self, values: Tensor, observed: Tensor | None, rows: torch.Size) -> Tensor:
        """Which cells later pixels see, (samples * batch, *layout)."""
        known = torch.ones_like(values, dtype=torch.bool)
        if observed is not None:
            known = observed.expand(rows + self.event_shape).reshape(values.shape)
        if self.training and self.dropout:
            known = known & (torch.rand_like(values[:, :1]) >= self.dropout)
        if self.training and self.blind:
            known = known & (torch.rand_like(values[:, :1, :1, :1]) >= self.blind)
        return known

    def _sizes(self) -> list[int]:
        """Entries of the first axis that are the pixels' parameters, and the features."""
        own = self.pixels.parameter_shape[0]
        per_number = own // self.pixel.parameter_shape[0]  # the length of a vector, else one
        return [own, self.features * per_number]


class PixelReading:
    """The parameters of one pixel at a time, in the order of reading.

    Args:
        likelihood: whose pixels they are.
        own: the decoder's parameters, (rows, numbers, *pixels).
        features: (rows, features, height, width).
    """

    def __init__(self, likelihood: Autoregressive, own: Tensor, features: Tensor) -> None:
        _, height, width = likelihood.layout
        self.likelihood = likelihood
        self.own = own.reshape(len(own), -1, height, width)
        self.state = likelihood.network.pixel_by_pixel(features)
        predictor = likelihood.predictor
        self.linear = predictor and predictor.pixel_by_pixel(len(own), width)
        self.predicted: Predicted | None = None

    def numbers(self, top: int, left: int) -> Tensor:
        """Those of a pixel, (rows, numbers, 1, 1), after every pixel before it was put."""
        self.predicted = self.linear.at(left) if self.linear else None
        numbers = self.own[:, :, top, left] + self.state.outputs(top, left)
        return self.likelihood.placed(numbers[:, :, None, None], self.predicted)

    def put(self, left: int, pixel: Tensor) -> None:
        """Set the pixel, as ``Autoregressive.seen`` returns it, (rows, 2 * channels)."""
        if self.linear and self.predicted:
            residual = self.linear.put(left, pixel, self.predicted.loc[:, :, 0, 0])
            pixel = torch.cat([pixel, residual.to(pixel.dtype)], 1)
        self.state.put(left, pixel)


def _independent(
    event_shape: tuple[int, ...], levels: int, name: str, components: int
) -> Likelihood:
    """The likelihood of independent pixels.

    Raises:
        OptionError: it does not take that many levels.
    """
    kinds: dict[str, Callable[[], Likelihood]] = {
        "bernoulli": lambda: Bernoulli(event_shape),
        "categorical": lambda: Categorical(event_shape, levels=levels),
        "mixture": lambda: DiscretizedLogisticMixture(
            event_shape, levels=levels, components=components
        ),
    }
    kinds["auto"] = kinds["bernoulli" if levels == 2 else "mixture"]
    if name not in kinds:
        raise unknown("pixels", name, kinds)
    built = kinds[name]()
    if levels > 2 and isinstance(built, Bernoulli):
        raise OptionError(f"pixels={name!r} is for two levels, and the data has {levels}")
    return built
