"""The ladder VAE: many latents, coarse to fine; prior and posterior share one top-down path."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import Parameter

from lowerbound.config import option
from lowerbound.distributions.point import Point
from lowerbound.errors import OptionError, counted
from lowerbound.likelihoods.base import Likelihood
from lowerbound.models.base import DRAW, MODELS, Model
from lowerbound.networks.base import Picture, as_picture, hidden_widths
from lowerbound.networks.initialization import ACTIVATIONS
from lowerbound.networks.inputs import Input
from lowerbound.networks.pictures.ladder import (
    BottomUp,
    LadderShape,
    TopDown,
    resolutions,
    spread_latents,
)
from lowerbound.parts import AUTO
from lowerbound.posteriors.gaussian import GaussianHeads
from lowerbound.trace import Batch, Choose, Continue, Emission, Given, Mean, Step, Trace

if TYPE_CHECKING:  # names for annotations
    from lowerbound.data.schema import Schema
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.parts import ModelParts

DEEP, SHALLOW = 7, 3  # latents of pictures, and of everything else
MOST_LEVELS, MOST_CHANNELS = 1_000, 1_000_000
CHANNELS = 8  # of the coarsest latent of a picture


@dataclass(frozen=True)
class LadderOptions:
    """Options of a ladder; by default, resolutions and channels follow from the data."""

    levels: int | None = option(
        None, "latents in all, the coarsest first (default: 7 for pictures, 3 otherwise)"
    )
    width: int | None = option(None, "channels of the finest resolution, or of all without any")
    depth: int = option(1, "residual blocks behind each latent")
    bottleneck: bool = option(True, "residual blocks of 1x1, 3x3, 1x1 convolutions, cheaper")
    activation: str = option("silu", "nonlinearity: " + ", ".join(ACTIVATIONS))
    style: int = option(0, "numbers of the last latent, which then holds for the whole picture")

    def __post_init__(self) -> None:
        ACTIVATIONS[self.activation]
        for name, most in (("levels", MOST_LEVELS), ("width", MOST_CHANNELS)):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= most:
                raise OptionError(f"{name} of a ladder is from 1 to {most:,}, not {value}")
        if self.depth < 0:
            raise OptionError(f"depth is a number of blocks, not {self.depth}")
        if self.style < 0:
            raise OptionError(f"style is how many numbers, not {self.style}")

    def shape(
        self,
        event_shape: tuple[int, ...],
        latent_dim: int,
        condition_dim: int = 0,
        flat: bool = False,
    ) -> LadderShape:
        """Sizes of the ladder's networks for this data.

        Args:
            event_shape: shape of a row.
            latent_dim: channels of the widest latent.
            condition_dim: numbers of the condition.
            flat: whether the row is one pixel, so that the ladder is an MLP.

        Raises:
            OptionError: a style was requested for rows without pixels, or without a latent above.
        """
        features = math.prod(event_shape)
        picture = Picture(features, 1, 1) if flat else as_picture(event_shape)
        width = self.width
        if width is None and picture.size == (1, 1):
            width = hidden_widths(features)[0]
        levels = resolutions(picture, width)
        count = self.levels or (DEEP if len(levels) > 1 else SHALLOW)
        if self.style and len(levels) == 1:
            raise OptionError("a style is for pictures: --network convolutional")
        if self.style and count == 1:
            raise OptionError("a style is the last of at least 2 levels")
        latents = spread_latents(count - bool(self.style), levels, latent_dim)
        return LadderShape(
            picture,
            levels,
            latents,
            self.depth,
            self.bottleneck,
            self.activation,
            condition_dim,
            self.style,
        )


@MODELS.register("ladder")
class LadderVariationalAutoencoder(Model):
    r"""p(x | z_{\le L}) prod_l p(z_l | z_{<l}), with q(z_l | z_{<l}, x) on the same path down.

    .. math::
        p_l = N(\mu_l, \sigma_l^2), \quad
        q_l = N(\mu_l + \sigma_l \delta_l, (\sigma_l e^{\epsilon_l})^2)

    The state of the path gives mu_l and sigma_l. The state and the data's features at that
    resolution give delta_l and epsilon_l, so the posterior starts at the prior. Levels count top
    down from 0, the coarsest. A latent of a picture has the shape (channels, height, width).

    Args:
        shape: sizes of the ladder.
        likelihood: the output of the path -> p(x | z).
        inputs: makes the input of the bottom-up network from a row; None: the row unchanged.

    Sources: Sonderby et al. 2016; Vahdat & Kautz 2020; Child 2021.
    """

    title: ClassVar[str] = "ladder VAE"
    Options: ClassVar[type[Any]] = LadderOptions
    uses: ClassVar[tuple[str, ...]] = ("network", "likelihood")

    def __init__(
        self, shape: LadderShape, likelihood: Likelihood, inputs: Input | None = None
    ) -> None:
        super().__init__(inputs)
        self.encoder = BottomUp(shape)
        self.decoder = TopDown(shape, likelihood.parameter_shape)
        self.likelihood = likelihood
        self.latent_shapes: tuple[tuple[int, ...], ...] = shape.top_down
        self.heads = nn.ModuleList(GaussianHeads() for _ in self.latent_shapes)
        self.latent_dim = sum(math.prod(latent) for latent in self.latent_shapes)

    @classmethod
    def check(cls, schema: Schema, options: ModelOptions) -> None:
        if options.network not in ("mlp", "convolutional"):
            raise OptionError(
                f"a ladder takes the network 'mlp' or 'convolutional', not {options.network!r}"
            )
        if options.prior != "standard_normal" or options.posterior not in (AUTO, "gaussian"):
            raise OptionError(
                "a ladder has Gaussian priors and posteriors of its own at every level; leave "
                "prior and posterior out"
            )

    @classmethod
    def latent_dim_of(cls, schema: Schema, options: ModelOptions) -> int:
        """Channels of the coarsest latent of a picture; for other rows, the usual default."""
        if options.latent_dim is None and options.network == "convolutional":
            return CHANNELS
        return super().latent_dim_of(schema, options)

    @classmethod
    def latents_text(cls, parts: ModelParts) -> str:
        sizes = [math.prod(latent) for latent in cls._shape(parts).top_down]
        return f"{counted(len(sizes), 'latent')}, {sum(sizes):,} latent numbers in all"

    @classmethod
    def build(cls, parts: ModelParts) -> LadderVariationalAutoencoder:
        return cls(cls._shape(parts), parts.likelihood(), parts.inputs)

    @classmethod
    def _shape(cls, parts: ModelParts) -> LadderShape:
        flat = parts.options.network == "mlp"
        return parts.own(LadderOptions).shape(
            parts.input_shape, parts.latent_dim, parts.condition_dim, flat
        )

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        features = None if batch.x is None else self.encoder(self.seen(batch), batch.condition)
        return self._descend(features, batch.size, batch.condition, choose)

    def imagine(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        """A pass without data."""
        return self._descend(None, len(batch), batch.condition, choose)

    def mix(self, above: Sequence[Tensor], batch: Batch, choose: Choose = DRAW) -> Trace:
        """A pass with given uppermost latents; the posterior of the others depends on them."""
        trace: Trace = self(batch, Continue(above, choose))
        return trace

    def encode(self, batch: Batch) -> Distribution:
        """The code as one point, (1, batch, latent_dim): each level's mean given those above."""
        return Point(self.code(self(batch, Mean())))

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Emission:
        """p(x | z) for the latents of all levels side by side, (samples, batch, latent_dim)."""
        sizes = [math.prod(latent) for latent in self.latent_shapes]
        parts = zip(z.split(sizes, -1), self.latent_shapes, strict=True)
        latents = [part.unflatten(-1, latent) for part, latent in parts]
        return self._descend(None, z.shape[1], condition, Given(latents)).likelihood

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        proposing = [
            parameter
            for name, parameter in self.decoder.named_parameters()
            if ".see." in name or ".propose." in name
        ]
        chosen = {id(parameter) for parameter in proposing}
        rest = [value for value in self.decoder.parameters() if id(value) not in chosen]
        return {
            "inference": [*self.input_parameters(), *self.encoder.parameters(), *proposing],
            "generative": [*rest, *self.likelihood.parameters()],
        }

    def _descend(
        self,
        features: list[Tensor] | None,
        batch: int,
        condition: Tensor | None,
        choose: Choose,
    ) -> Trace:
        state = self.decoder.begin(batch, condition)
        steps: list[Step] = []
        for place, rung in self.decoder.plan():
            if rung is None:
                state = self.decoder.finer(state, place)
                continue
            heads = self.heads[len(steps)]
            assert isinstance(heads, GaussianHeads)
            expected, gained = rung.prior(state)
            prior = heads(expected.unflatten(0, (-1, batch)))
            posterior = None
            if features is not None:
                change = rung.posterior(state, features[place])
                posterior = heads.relative(prior, change.unflatten(0, (-1, batch)))
            z = choose(len(steps), posterior, prior)
            steps.append(Step(z, posterior, prior))
            samples = z.shape[0] * batch // state.shape[0]
            if samples > 1:
                state, gained = (value.repeat(samples, 1, 1, 1) for value in (state, gained))
            state = rung(state, gained, z.expand(-1, batch, -1, -1, -1).flatten(0, 1))
        numbers = self.decoder.finish(state).unflatten(0, (-1, batch))
        emission: Emission = self.likelihood(numbers)
        return Trace(tuple(steps), emission)
