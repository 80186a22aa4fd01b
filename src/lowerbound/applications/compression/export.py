"""A fitted model in whole numbers: ``export_integer``.

The copy has the same traversal as the original model. Exact layers (``exact_layers``) replace its
layers of weights. Table lookups replace the computations of its heads, from a network's output to a
Gaussian on a grid, of its prior and of its likelihood; the export makes the tables and stores them
with the model. The remaining parts, rectifiers, additions and changes of shape, are the same on
every machine.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.applications.compression.emissions import CodedBernoulli, CodedLogistics
from lowerbound.applications.compression.exact_layers import Ranges, exact_layers_in, put, ranges_in
from lowerbound.applications.compression.grid_normal import (
    LEAST_WIDTH,
    MOST_WIDTH,
    PER_DEVIATION,
    POINTS,
    REACH,
    UNIT_WIDTH,
    GridNormal,
)
from lowerbound.data.dataset import Dataset
from lowerbound.distributions.divergence import normal_kl
from lowerbound.distributions.reparameterization import base_normal, seeded
from lowerbound.errors import UnsupportedError
from lowerbound.inference.codes import refuse_beside_rows
from lowerbound.likelihoods.bernoulli import Bernoulli
from lowerbound.likelihoods.discretized_logistic import DiscretizedLogistic
from lowerbound.likelihoods.discretized_logistic_mixture import DiscretizedLogisticMixture
from lowerbound.models.base import Model
from lowerbound.models.hierarchical import HierarchicalVariationalAutoencoder
from lowerbound.models.ladder import LadderVariationalAutoencoder
from lowerbound.models.powers import Chains, Mixes, name_of
from lowerbound.models.vae import VariationalAutoencoder
from lowerbound.networks.mlp import DenseDecoder, DenseEncoder
from lowerbound.networks.pictures.convolutional import (
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    ResidualBlock,
    Upsample,
)
from lowerbound.networks.pictures.ladder import BottomUp, Down, Rung, TopDown
from lowerbound.networks.pictures.linear_path import LatentMapDecoder, LatentMapEncoder, LinearPath
from lowerbound.posteriors.gaussian import GaussianHeads, GaussianPosterior, gaussian_heads
from lowerbound.priors.base import Encode, Prior
from lowerbound.priors.flow import StandardNormal
from lowerbound.trace import Batch, Step

PER_UNIT = 32  # entries of the exponentials' table per unit of the head
MOST_HEAD = 40  # largest output of a head that its tables hold
RATIO_ONE = 1 << 12  # the ratio 1 in whole numbers
CALIBRATION_ROWS = 2000  # from which ranges of inputs are observed
PASS_ROWS = 250  # in memory at once
NEGLIGIBLE = 1e-3  # of all rates together
EXACT_AS_THEY_ARE = (
    nn.ReLU,
    nn.Sequential,
    nn.ModuleList,
    nn.Identity,
    BottomUp,
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    DenseDecoder,
    DenseEncoder,
    Down,
    LinearPath,
    ResidualBlock,
    Rung,
    TopDown,
    Upsample,
)
CODED: dict[type, Callable[[Any], nn.Module]] = {
    Bernoulli: CodedBernoulli,
    DiscretizedLogistic: CodedLogistics,
    DiscretizedLogisticMixture: CodedLogistics,
}
KINDS = (
    VariationalAutoencoder,
    HierarchicalVariationalAutoencoder,
    LadderVariationalAutoencoder,
)


class GridHeads(GaussianHeads):
    """Replaces ``GaussianHeads``.

    Args:
        coded: which of the latent's numbers are coded, (*event,); the others have the prior's
            expected value. None: all.
    """

    widths: Tensor
    ratios: Tensor
    coded: Tensor | None

    def __init__(self, coded: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("coded", coded)
        entries = torch.arange(-MOST_HEAD * PER_UNIT, MOST_HEAD * PER_UNIT + 1) / PER_UNIT
        _, scale = gaussian_heads(torch.stack([entries, entries]).double(), axis=0)
        scale = scale.flatten()
        widths = torch.round(scale * UNIT_WIDTH).clamp(LEAST_WIDTH, MOST_WIDTH)
        self.register_buffer("widths", widths.int())
        self.register_buffer("ratios", torch.round(scale * RATIO_ONE).clamp(1, 2**30).int())

    def forward(self, numbers: Tensor) -> GridNormal:
        loc, raw = numbers.chunk(2, 2)
        m = torch.round(loc * POINTS).clamp(-REACH, REACH).long()
        return GridNormal(m, self.widths[_entry(raw)].long(), self.coded)

    def relative(self, prior: Distribution, change: Tensor) -> GridNormal:
        """The prior shifted by a number of deviations and widened, all in whole numbers."""
        assert isinstance(prior, GridNormal)
        moved, raw = change.chunk(2, 2)
        steps = torch.round(moved * POINTS).clamp(-REACH, REACH).long()
        m = prior.m + torch.div(steps * prior.width * PER_DEVIATION, POINTS, rounding_mode="floor")
        if self.coded is not None:
            m = torch.where(self.coded, m, prior.m)
        width = prior.width * self.ratios[_entry(raw)].long()
        width = torch.div(width + RATIO_ONE // 2, RATIO_ONE, rounding_mode="floor")
        return GridNormal(m, width, self.coded)


class GridPosterior(GaussianPosterior):
    """Replaces ``GaussianPosterior``; latents that are not coded are 0.

    Args:
        latent_dim: d.
        coded: which numbers are coded, (d,); None: all.
    """

    def __init__(self, latent_dim: int, coded: Tensor | None = None) -> None:
        super().__init__(latent_dim)
        self.heads = GridHeads(coded)

    def forward(self, parameters: Tensor) -> GridNormal:
        found = self.heads(parameters.unsqueeze(0))
        assert isinstance(found, GridNormal)
        if found.coded is None:
            return found
        return GridNormal(torch.where(found.coded, found.m, 0), found.width, found.coded)


class GridPrior(Prior):
    """Replaces the standard normal prior."""

    coded: Tensor | None

    def __init__(self, latent_dim: int, coded: Tensor | None = None) -> None:
        super().__init__(latent_dim)
        self.register_buffer("coded", coded)

    def forward(self, encode: Encode | None = None) -> GridNormal:
        zeros = torch.zeros(1, 1, self.latent_dim, dtype=torch.long)
        return GridNormal(zeros, torch.full_like(zeros, UNIT_WIDTH), self.coded)


def _entry(raw: Tensor) -> Tensor:
    limit = MOST_HEAD * PER_UNIT
    return torch.round(raw * PER_UNIT).clamp(-limit, limit).long() + limit


def export_integer(model: Model, rows: Dataset, seed: int = 0) -> Model:
    """Copy the model in whole numbers to the CPU in evaluation mode; ``model`` is unchanged.

    Args:
        model: a VAE, chain or ladder of perceptrons or convolutions with rectifiers.
        rows: training rows, which calibrate the ranges of the layers' inputs.
        seed: seed of the latents drawn for this.

    Raises:
        UnsupportedError: a part of it has no exact form; the message names it and suggests an
            alternative.
    """
    check_exact(model)
    exported = copy.deepcopy(model).cpu().float().eval()
    found = _statistics(exported, rows.thinned(CALIBRATION_ROWS), seed)
    _settle(exported, found.ranges, used_latents(exported, found.rates))
    return exported.requires_grad_(False)


def bare(model: Model) -> Model:
    """Structure of an exported model, into which its tensors can be loaded."""
    check_exact(model)
    form = copy.deepcopy(model).cpu().float().eval()
    _settle(form, {}, used_latents(form, [torch.ones(shape) for shape in _latent_shapes(form)]))
    return form.requires_grad_(False)


def used_latents(model: Model, rates: list[Tensor]) -> list[Tensor | None]:
    """Numbers of each latent that are coded, top down: all except those with hardly any rate.

    The stack must supply a latent's bits even if it has no information. Numbers that together
    carry less than a thousandth of all rates are therefore set to the prior's expected value.
    """
    if isinstance(model, Chains):
        return [None] * model.levels  # priors of a chain are unknown when a latent is popped
    flat = torch.cat([rate.flatten() for rate in rates])
    ordered, order = flat.sort()
    used = torch.ones_like(flat, dtype=torch.bool)
    used[order[ordered.cumsum(0) < NEGLIGIBLE * flat.sum()]] = False
    sizes = [rate.numel() for rate in rates]
    return [part.view(rate.shape) for part, rate in zip(used.split(sizes), rates, strict=True)]


def _settle(exported: Model, ranges: Ranges, used: Sequence[Tensor | None]) -> None:
    """Replace parts of the model by exact ones."""
    exact_layers_in(exported, ranges)
    for name, part in list(exported.named_modules()):
        if isinstance(part, GaussianPosterior):
            put(exported, name, GridPosterior(part.latent_dim, used[-1]))
        elif isinstance(part, StandardNormal):
            put(exported, name, GridPrior(part.latent_dim, used[0]))
        elif isinstance(part, GaussianHeads) and not name.startswith("posterior"):
            level = name.rpartition(".")[2]
            put(exported, name, GridHeads(used[int(level)] if level.isdigit() else None))
        elif type(part) in CODED:
            put(exported, name, CODED[type(part)](part))


def takes(model: Model) -> bool:
    """Whether the model's class may have an exact form."""
    return isinstance(model, KINDS)


def check_exact(model: Model) -> None:
    """Raise UnsupportedError if a part of the model has no exact form."""
    if not takes(model):
        raise UnsupportedError(
            f"{name_of(model)} cannot compress without loss: that takes a vae, hierarchical "
            "or ladder model"
        )
    refuse_beside_rows(model)
    known = (*EXACT_AS_THEY_ARE, *CODED, *KINDS, nn.Linear, nn.Conv2d)
    known += (GaussianPosterior, GaussianHeads, StandardNormal)
    for name, part in model.named_modules():
        if isinstance(part, Rung) and part.everywhere:
            raise UnsupportedError("a style averages over pixels, which is not exact; fit without")
        if isinstance(part, LinearPath) and part.is_open and not part.full_size:
            raise UnsupportedError(
                "the linear path of this model averages over pixels, which is not exact; fit with "
                "--set model.linear_start=false"
            )
        if isinstance(part, LatentMapEncoder | LatentMapDecoder):
            raise UnsupportedError(
                "the latent of this model is a map, which has no exact form; files that decode "
                "everywhere take a latent that is a vector: fit without model.stride, and with an "
                "mlp or convolutional network"
            )
        if not isinstance(part, known):
            raise UnsupportedError(
                f"{name} is a {type(part).__name__}, which has no exact form; files that decode "
                "everywhere take a model fitted with --set network.activation=relu (of chains "
                "and ladders also model.activation=relu), an mlp or "
                "convolutional network, the gaussian posterior, the standard_normal prior and the "
                "bernoulli, discretized_logistic or discretized_logistic_mixture likelihood"
            )


@dataclass
class _Statistics:
    """Statistics over rows: each layer's inputs, and nats per number of each latent."""

    ranges: Ranges
    rates: list[Tensor]


@torch.no_grad()
def _statistics(model: Model, rows: Dataset, seed: int) -> _Statistics:
    rates: list[Tensor] = []
    with seeded(seed), ranges_in(model) as ranges:
        for start in range(0, len(rows), PASS_ROWS):
            index = torch.arange(start, min(start + PASS_ROWS, len(rows)))
            batch = rows.batch(index, None)
            trace = model(Batch(batch.x))
            found = [_rate_per_number(step).sum((0, 1)) / len(rows) for step in trace.steps]
            rates = [a + b for a, b in zip(rates, found, strict=True)] if rates else found
    return _Statistics(ranges, rates)


def _rate_per_number(step: Step) -> Tensor:
    """KL of each number of a latent, (samples, batch, *event), nats."""
    assert step.posterior is not None
    q, p = base_normal(step.posterior), base_normal(step.prior)
    assert q is not None
    assert p is not None
    return normal_kl(q, p)


def _latent_shapes(model: Model) -> list[tuple[int, ...]]:
    if isinstance(model, Mixes):
        return list(model.latent_shapes)
    return [(int(model.latent_dim),)]  # type: ignore[arg-type]
