"""Transform coding as a variational autoencoder: rounded coefficients of blocks and their prior.

A pass decides the coefficients group by group, and knows those that it has decided.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import Parameter, functional as F

from lowerbound.config import option
from lowerbound.data.dataset import Dataset
from lowerbound.data.kinds import Default
from lowerbound.distributions.point import Point, Quantized
from lowerbound.distributions.rounded_logistic import RoundedLogistic, nearest_worth
from lowerbound.errors import OptionError
from lowerbound.likelihoods.base import GaussianEmission, Likelihood
from lowerbound.models.base import DRAW, MODELS, Model, starting_rows
from lowerbound.networks.block_transform import (
    TURNS,
    BlockTransform,
    CoefficientGroup,
    GroupContext,
    Recentering,
    blocks_at,
    groups_of,
    places,
)
from lowerbound.networks.restoration import Restoration
from lowerbound.parts import AUTO
from lowerbound.trace import Batch, Choose, Given, Mean, Step, Trace

if TYPE_CHECKING:
    from lowerbound.data.schema import Schema
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.parts import ModelParts

GREYS = 255.0  # of a picture
MIDDLE = 128.0  # grey, which blocks are centered at
FINEST = 4.0  # the smallest step, in grey values
PER_OCTAVE = 24  # steps
STEPS = 113
USUAL = 66  # level of a step
FRACTIONS = 64  # log scales are rounded to multiples of 1 / 64
BLOCKS = (2, 4, 8, 16, 32)
MOST_COLORS = 16  # its filters grow with the square of the colors


@dataclass(frozen=True)
class KnownCoefficients:
    """The state of a pass.

    Attributes:
        level: level of each row's step, (rows,), or of each block's step, (rows, *blocks).
        step: size of that step in grey values, (rows, 1, 1, 1) or (rows, 1, *blocks).
        blocks: height and width of the map of blocks.
        values: coefficients of each group so far, whole numbers, zero if not yet known,
            (rows, group, *blocks).
        locations: locations of their priors, of the same shape.
        log_scales: log scales of their priors, of the same shape.
    """

    level: Tensor
    step: Tensor
    blocks: tuple[int, int]
    values: tuple[Tensor, ...] = ()
    locations: tuple[Tensor, ...] = ()
    log_scales: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        return len(self.level)

    def settled(
        self, turn: int, at: Tensor, z: Tensor, expected: RoundedLogistic
    ) -> KnownCoefficients:
        """Add the blocks ``at`` of the next group, or of the newest group in its second turn."""

        def more(groups: tuple[Tensor, ...], new: Tensor) -> tuple[Tensor, ...]:
            new = new.reshape(len(self), *new.shape[2:])
            if not turn:
                groups = (*groups, new.new_zeros(*new.shape[:2], *self.blocks))
            *before, last = groups
            return (*before, last.flatten(2).index_copy(2, at.to(new.device), new).view_as(last))

        return replace(
            self,
            values=more(self.values, z),
            locations=more(self.locations, expected.location),
            log_scales=more(self.log_scales, expected.log_scale),
        )

    def repeated(self, times: int) -> KnownCoefficients:
        """Repeat the state for each of several draws."""

        def again(x: Tensor) -> Tensor:
            return x.repeat(times, *[1] * (x.dim() - 1))

        def all_again(groups: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(map(again, groups))

        return KnownCoefficients(
            again(self.level),
            again(self.step),
            self.blocks,
            all_again(self.values),
            all_again(self.locations),
            all_again(self.log_scales),
        )


@dataclass(frozen=True)
class TransformOptions:
    """Options of a transform coder, except the number of coefficients per block."""

    block: int = option(16, "pixels of a block's side; fewer where a picture has fewer")
    width: int = option(128, "channels of the prior's networks")
    restoration: int = option(64, "channels of the network that removes errors from the picture")
    depth: int = option(2, "residual blocks of that network")
    grain: float = option(0.0, "share of the missing texture that is drawn anew, 0 to 1")

    def __post_init__(self) -> None:
        if self.block not in BLOCKS:
            raise OptionError(f"block is one of {', '.join(map(str, BLOCKS))}, not {self.block}")
        if min(self.width, self.restoration, self.depth) < 1:
            raise OptionError("width, restoration and depth are at least 1")
        if not 0 <= self.grain <= 1:
            raise OptionError(f"grain is a share, 0 to 1, not {self.grain}")

    def fitting(self, event_shape: tuple[int, ...]) -> int:
        """The side of a block that fits into the picture."""
        fitting = [side for side in BLOCKS if side <= min(self.block, *event_shape[1:])]
        return max(fitting, default=BLOCKS[0])

    def coefficients(self, event_shape: tuple[int, ...]) -> int:
        """Number of coefficients of a block."""
        return int(event_shape[0]) * self.fitting(event_shape) ** 2

    def networks(
        self, event_shape: tuple[int, ...], kept: int
    ) -> tuple[BlockTransform, Restoration]:
        """The transform and the decoder's restoration network."""
        block = self.fitting(event_shape)
        return (
            BlockTransform(event_shape[0], block, kept),
            Restoration(event_shape[0], block, self.restoration, self.depth, self.grain),
        )


@MODELS.register("transform")
class TransformCoder(Model):
    r"""z ~ p(z_1) p(z_2 | z_1) ..., x ~ N(U z \Delta + r(z), \Delta^2 / 12) for any step \Delta.

    .. math:: -\log p(x) \le \sum_g -\log p(z_g \mid z_{<g}) + \frac{6}{\Delta^2} \|x - \hat x\|^2
        + \text{const}

    z are the coefficients of the picture's blocks in whole steps. The posterior is one point: each
    coefficient is rounded to the value that minimizes rate plus distortion under its prior. The
    decoder's variance is that of rounding noise, :math:`\Delta^2 / 12`. Rate and distortion are
    then exchanged as at the finest steps, so one model serves all steps.

    A Step of the trace is one group of coefficients in one color of a checkerboard of blocks,
    (samples, rows, coefficients, blocks), whole numbers stored as floats.

    Args:
        transform: maps pictures to coefficients and back.
        width: channels of the networks of the prior.
        restoration: network whose output the decoder adds.
        likelihood: gives the shape of rows.

    Attributes:
        level: level of the step outside training, 0 (fine) to ``STEPS - 1`` (coarse); pictures may
            then have any size.
        snaps: whether parameters of the prior are rounded to a grid, which a coder needs.
        steps: sizes of the steps in grey values, (STEPS,).

    Sources: Goyal 2001 (transform coding); Balle et al. 2018, Minnen et al. 2018 (mean and scale
    of each coefficient); He et al. 2022 (groups and checkerboard).
    """

    title: ClassVar[str] = "Transform coder"
    Options: ClassVar[type[Any]] = TransformOptions
    uses: ClassVar[tuple[str, ...]] = ()
    remark: ClassVar[str] = "of each block of pixels; networks and likelihood are its own"
    steps: Tensor
    base: Tensor

    def __init__(
        self,
        transform: BlockTransform,
        width: int,
        restoration: Restoration,
        likelihood: Likelihood,
    ) -> None:
        super().__init__()
        self.transform, self.likelihood, self.decoder = transform, likelihood, restoration
        self.recentering = Recentering()
        coefficients = len(transform.basis)
        self.groups = groups_of(coefficients)
        self.contexts = nn.ModuleList(
            GroupContext(group, coefficients, width) for group in self.groups
        )
        self.level = USUAL
        self.snaps = False
        sizes = FINEST * 2.0 ** (torch.arange(STEPS, dtype=torch.float64) / PER_OCTAVE)
        self.register_buffer("steps", sizes.float())
        self.register_buffer("base", torch.zeros(STEPS, coefficients))
        self._set_base()

    @classmethod
    def check(cls, schema: Schema, options: ModelOptions) -> None:
        if not schema.data_kind.pictures:
            raise OptionError(
                "a transform coder is for pictures: choose vae or vq_vae for other rows"
            )
        if schema.event_shape[0] > MOST_COLORS:
            raise OptionError(
                f"a transform coder is for pictures of at most {MOST_COLORS} colors, and these "
                f"have {schema.event_shape[0]:,}"
            )
        if options.likelihood not in (AUTO, "gaussian") or options.conditional:
            raise OptionError(
                "a transform coder has a gaussian likelihood with the noise of rounding, and "
                "no condition: leave likelihood and conditional out"
            )

    @classmethod
    def default_likelihood(cls, schema: Schema) -> Default:
        return Default("gaussian", "with the noise of rounding")

    @classmethod
    def latent_dim_of(cls, schema: Schema, options: ModelOptions) -> int:
        """Number of coefficients kept of a block, at most all of them."""
        sizes: TransformOptions = cls.own_options(options.model_options)
        most = sizes.coefficients(schema.event_shape)
        return min(options.latent_dim or most, most)

    @classmethod
    def build(cls, parts: ModelParts) -> TransformCoder:
        sizes = parts.own(TransformOptions)
        transform, restoration = sizes.networks(parts.schema.event_shape, parts.latent_dim)
        return cls(transform, sizes.width, restoration, parts.likelihood())

    def start(self, dataset: Dataset) -> None:
        """Start from marginals, and the transform from the principal components of rows."""
        batch = starting_rows(dataset)
        self.start_at_marginals(batch)
        self.transform.start_from(self.padded(batch.filled))
        self._set_base()

    @property
    def latent_dim(self) -> int:
        """Number of coefficients of a row of the fitted size."""
        height, width = self._blocks(*self.likelihood.event_shape[1:])
        return len(self.transform.basis) * height * width

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        if batch.x is None:
            return self.imagine(batch, choose)
        x = batch.filled
        known = self.begin(self._levels(len(x)), x.shape[2:])
        return self._pass(known, choose, x.shape[2:], x)

    def imagine(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        """A pass without data."""
        size = self.likelihood.event_shape[1:]
        return self._pass(self.begin(self._levels(len(batch)), size), choose, size)

    def encode(self, batch: Batch) -> Distribution:
        """The coefficients as one point, batch shape (1, rows)."""
        return Point(self.code(self(batch, Mean())))

    def decode(self, z: Tensor, condition: Tensor | None = None) -> GaussianEmission:
        """p(x | z) for coefficients (samples, rows, latent_dim), in the order of ``code``."""
        height, width = self._blocks(*self.likelihood.event_shape[1:])
        turns = [len(places(height, width, turn)) for turn in range(TURNS)]
        shapes = [(group.stop - group.start, count) for group in self.groups for count in turns]
        parts = z.split([a * b for a, b in shapes], -1)
        given = Given(
            [part.unflatten(-1, shape) for part, shape in zip(parts, shapes, strict=True)]
        )
        emission = self.imagine(Batch(condition=z[0]), given).likelihood
        assert isinstance(emission, GaussianEmission)
        return emission

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        return {"inference": [], "generative": list(self.parameters())}

    def padded(self, x: Tensor) -> Tensor:
        """Rows as grey values around zero, padded to whole blocks by repeating their borders."""
        height, width = self._blocks(*x.shape[2:])
        block = self.transform.block
        below, right = height * block - x.shape[2], width * block - x.shape[3]
        return F.pad(x * GREYS - MIDDLE, (0, right, 0, below), mode="replicate")

    @property
    def turns(self) -> int:
        """Number of Steps of a trace."""
        return TURNS * len(self.groups)

    def begin(self, level: Tensor, size: Sequence[int]) -> KnownCoefficients:
        """The state before a pass over pictures of ``size``, (height, width).

        Args:
            level: level of the step, one for each row, (rows,), or one for each block,
                (rows, *blocks).
            size: of the pictures in pixels.
        """
        level = level.to(self.steps.device)
        step = self.steps[level]
        step = step[:, None] if level.dim() > 1 else step[:, None, None, None]
        return KnownCoefficients(level, step, self._blocks(*size))

    def wanted(self, x: Tensor, known: KnownCoefficients) -> Tensor:
        """Coefficients of rows in steps, not rounded, (rows, coefficients, *blocks)."""
        found: Tensor = self.transform(self.padded(x)) / known.step
        return found

    def expected(self, known: KnownCoefficients, index: int) -> RoundedLogistic:
        """p of the group and turn ``index``, (1, rows, group, blocks of the turn)."""
        number, turn = divmod(index, TURNS)
        group, context = self.groups[number], self.contexts[number]
        scale = self.transform.deviation[None, :, None, None] / known.step
        first = places(*known.blocks, 0)
        hints = known.step.new_zeros(len(known), 2, *known.blocks)
        hints[:, 0] = self._log(known.level)[:, 0]
        if turn:
            hints.flatten(2)[:, 1, first] = 1.0
        at = first if not turn else places(*known.blocks, turn)
        location, log_scale = context(self._seen(known, group, scale), hints, at)
        location = location * (1.0 + _at(scale[:, slice(*group)], at))
        log_scale = log_scale + _at(self._base_of(known, group), at)
        found = RoundedLogistic(location[None], log_scale[None])
        return found.snapped() if self.snaps else found

    def rounded(
        self, wanted: Tensor, expected: RoundedLogistic, index: int, worth: Tensor | None = None
    ) -> Tensor:
        """The values of a group and turn with the least rate plus distortion, like ``expected``.

        Args:
            wanted: coefficients in steps, (rows, coefficients, *blocks).
            expected: their distribution.
            index: of the group and turn.
            worth: factors of the distortion, like ``wanted``; None: 1 everywhere.
        """
        number, turn = divmod(index, TURNS)
        height, width = wanted.shape[2:]
        at = places(height, width, turn)

        def part(x: Tensor) -> Tensor:
            return x[:, slice(*self.groups[number])].flatten(2)[..., at]

        return nearest_worth(part(wanted), expected, None if worth is None else part(worth))

    def settle(
        self, known: KnownCoefficients, index: int, z: Tensor, expected: RoundedLogistic
    ) -> KnownCoefficients:
        """Add the values of a group and turn, (1 | samples, rows, group, blocks)."""
        turn = index % TURNS
        return known.settled(turn, places(*known.blocks, turn), z, expected)

    def pictures(self, known: KnownCoefficients, size: Sequence[int]) -> Tensor:
        """Pictures decoded from coefficients, (rows, channels, *size), in model units."""
        return self._restored(self._rough(known), known, size)

    def _restored(self, rough: Tensor, known: KnownCoefficients, size: Sequence[int]) -> Tensor:
        """Restored pictures of that size, in model units."""
        restored: Tensor = self.decoder(rough, known.step, self._log(known.level))
        return (restored[:, :, : size[0], : size[1]] + MIDDLE) / GREYS

    def _rough(self, known: KnownCoefficients) -> Tensor:
        """Pictures from the inverse transform, in grey values around zero."""
        groups = zip(known.values, known.locations, known.log_scales, strict=True)
        values = torch.cat([self.recentering(*group) for group in groups], 1)
        return self.transform.inverse(values * known.step)

    def _grain(self, rough: Tensor, known: KnownCoefficients, x: Tensor) -> dict[str, Tensor]:
        """The penalty that trains the decoder's grain, (1, rows)."""
        steps = (known.step, self._log(known.level))
        missing = self.decoder.missing(rough.detach(), *steps, self.padded(x))
        return {"grain": -missing[None]}

    def _pass(
        self, known: KnownCoefficients, choose: Choose, size: Sequence[int], x: Tensor | None = None
    ) -> Trace:
        steps: list[Step] = []
        rows, scale = len(known), known.step / (math.sqrt(12.0) * GREYS)
        wanted = None if x is None else self.wanted(x, known)
        for index in range(self.turns):
            expected = _by_sample(self.expected(known, index), rows)
            posterior = None
            if wanted is not None:
                posterior = Quantized(self.rounded(wanted, expected, index))
            z = choose(index, posterior, expected)
            steps.append(Step(z, posterior, expected))
            if len(z) * rows > len(known):
                known, expected = known.repeated(len(z)), expected.expand(z.shape[:2])
            known = self.settle(known, index, z, expected)
        rough = self._rough(known)
        mean = self._restored(rough, known, size).unflatten(0, (-1, rows))
        learns = self.training and self.decoder.grain is not None
        penalties = self._grain(rough, known, x) if learns and x is not None else {}
        return Trace(tuple(steps), GaussianEmission(mean, scale[None]), penalties)

    def _seen(self, known: KnownCoefficients, group: CoefficientGroup, scale: Tensor) -> Tensor:
        """All coefficients up to the end of a group, in units that depend on the step."""
        have = sum(part.shape[1] for part in known.values)
        empty = scale.new_zeros(len(known), group.stop - have, *known.blocks)
        seen: Tensor = torch.cat([*known.values, empty], 1) / (1.0 + scale[:, : group.stop])
        return seen

    def _levels(self, rows: int) -> Tensor:
        """The level of each row: random in training, so that one model serves all levels."""
        if self.training:
            return torch.randint(STEPS, (rows,), device=self.steps.device)
        return torch.full((rows,), self.level, device=self.steps.device)

    def _blocks(self, height: int, width: int) -> tuple[int, int]:
        block = self.transform.block
        return -(-height // block), -(-width // block)

    def _log(self, level: Tensor) -> Tensor:
        """The step's logarithm, equal on every machine, of the shape of ``known.step``."""
        octaves = (level - STEPS // 2).to(self.steps.dtype) / PER_OCTAVE
        return octaves[:, None] if level.dim() > 1 else octaves[:, None, None, None]

    def _base_of(self, known: KnownCoefficients, group: CoefficientGroup) -> Tensor:
        """Log scales of a group without context, (rows, group, *blocks) or (rows, group, 1, 1)."""
        base = self.base[:, slice(*group)][known.level]
        return base.movedim(-1, 1) if known.level.dim() > 1 else base[:, :, None, None]

    def _set_base(self) -> None:
        """Set the prior's log scales of coefficients without context, for each level."""
        scale = self.transform.deviation / self.steps[:, None]
        log_scale = torch.log(0.55 * scale + 0.02)
        self.base.copy_(torch.round(log_scale * FRACTIONS) / FRACTIONS)


def _at(x: Tensor, at: Tensor) -> Tensor:
    """Some blocks of a map of blocks, or the one value of all blocks, (rows, channels, blocks)."""
    return x.flatten(2) if x[0, 0].numel() == 1 else blocks_at(x, at)


def _by_sample(expected: RoundedLogistic, rows: int) -> RoundedLogistic:
    """Unfold (1, samples * rows, ...) to (samples, rows, ...)."""
    parts = (expected.location, expected.log_scale)
    return RoundedLogistic(*(part.squeeze(0).unflatten(0, (-1, rows)) for part in parts))
