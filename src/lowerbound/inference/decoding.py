"""Rows at codes: given ones, and draws from the codes of a model without a prior.

How well the encoder recovers the codes of what the model draws says how consistent the two are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from lowerbound.classical.linear_regression import small_fit
from lowerbound.distributions.point import check_finite
from lowerbound.distributions.reparameterization import seeded
from lowerbound.inference.codes import Whitening, codes_of
from lowerbound.inference.passes import MEMORY, as_taken, evaluation_mode, placed
from lowerbound.inference.prior_draws import BYTES_PER_VALUE, Samples, refined_by
from lowerbound.models.base import Model
from lowerbound.models.powers import Decodes, Encodes, require
from lowerbound.trace import Batch, Emission

ROWS_AT_ONCE = 1024
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Consistency:
    r"""How well the encoder recovers the code of a sample.

    Attributes:
        r_squared: 1 - sum ||z - E_q[z | x]||^2 / sum ||z - mean z||^2 over all units; 1: exact,
            0: no better than the mean code, as for units that the decoder ignores.
        correlation: between z_j and its estimate, for each unit, (latent_dim,).
    """

    r_squared: float
    correlation: Tensor


def reencode(model: Model, samples: Samples, *, from_mean: bool = False) -> Consistency:
    """Encode samples, z ~ p(z), x ~ p(x | z), and compare the result with their codes.

    Args:
        model: one that encodes.
        samples: drawn from it.
        from_mean: encode E[x | z] instead of x ~ p(x | z).

    Raises:
        UnsupportedError: the model has no encoder over one latent.
    """
    encodes = require(model, Encodes, "encode")
    pictures = samples.mean if from_mean else samples.x
    answers = []
    for start in range(0, len(samples), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        condition = None if samples.condition is None else samples.condition[part]
        batch = placed(Batch.drawn(pictures[part], condition), model)
        with evaluation_mode(model, gradients=True), torch.no_grad():
            answers.append(codes_of(encodes.encode(batch), batch).mean)
    answer = torch.cat(answers)
    z = samples.z.double()
    centered, found = z - z.mean(0), answer - answer.mean(0)
    norms = (centered.norm(dim=0) * found.norm(dim=0)).clamp_min(1e-300)
    unexplained = (z - answer).square().sum() / centered.square().sum()
    return Consistency(float(1 - unexplained), (centered * found).sum(0) / norms)


def decode_codes(
    model: Model,
    z: Tensor,
    *,
    seed: int = 0,
    condition: Tensor | None = None,
    refined: bool = False,
) -> Samples:
    """p(x | z) at given codes, (count, latent_dim): its mean and one draw each.

    Args:
        model: one that decodes.
        z: the codes.
        seed: of the draws.
        condition: of a conditional model, (count, size).
        refined: whether x is drawn by the model's refiner, if it has one.

    Raises:
        UnsupportedError: the model has no decoder over one latent.
    """
    with seeded(seed):
        made = _decode(model, z, condition)
    return refined_by(model, made, seed, 0) if refined else made


@torch.no_grad()
def _decode(model: Model, z: Tensor, condition: Tensor | None = None) -> Samples:
    """As ``decode_codes``, with draws from torch's global state."""
    condition = None if condition is None else as_taken(condition, model)
    if z.is_floating_point():
        check_finite(z)
    pairs = _decoded(model, z, condition, _best_and_drawn)
    means, draws = (torch.cat(each) for each in zip(*pairs, strict=True))
    given = None if condition is None else condition.cpu()
    return Samples(as_taken(z, model).cpu(), means, draws, given)


@torch.no_grad()
def best_rows(model: Model, z: Tensor) -> Tensor:
    """The rows that are shown for codes (count, latent_dim), without draws, (count, *event).

    Raises:
        UnsupportedError: the model has no decoder over one latent.
    """
    return torch.cat(_decoded(model, z, None, lambda emission: emission.best[0].cpu()))


def _best_and_drawn(emission: Emission) -> tuple[Tensor, Tensor]:
    return check_finite(emission.best[0], gaps=True).cpu(), emission.sample()[0].cpu()


def _decoded(
    model: Model, z: Tensor, condition: Tensor | None, use: Callable[[Emission], ResultT]
) -> list[ResultT]:
    """What ``use`` makes of p(x | z) of codes, as many at once as fit into memory.

    It is no generator: one that an error leaves suspended would set torch's mode of gradients when
    it is collected, after others have set theirs.
    """
    decodes = require(model, Decodes, "decode")
    z = as_taken(z, model)
    with evaluation_mode(model, gradients=True):
        return [
            use(
                decodes.decode(z[part].unsqueeze(0), None if condition is None else condition[part])
            )
            for part in _parts(decodes, z, condition)
        ]


def _parts(decodes: Decodes, z: Tensor, condition: Tensor | None) -> list[slice]:
    """Slices of z whose decoded rows fit into memory, by the size of the first row."""
    row = decodes.decode(z[:1].unsqueeze(0), None if condition is None else condition[:1])
    rows = max(1, MEMORY // (BYTES_PER_VALUE * row.mean.numel()))
    return [slice(start, start + rows) for start in range(0, len(z), rows)]


def sample_white_codes(
    model: Model, codes: Tensor, count: int, *, seed: int = 0, condition: Tensor | None = None
) -> Samples:
    """Draw N(0, I) in whitened code space and decode: a simple baseline for an autoencoder.

    Args:
        model: one that decodes.
        codes: of the training rows, (rows, latent_dim).
        count: number of samples.
        seed: of the draws.
        condition: of a conditional model, (count, size).
    """
    with seeded(seed):
        white = torch.randn(count, codes.shape[1], dtype=torch.float64)
        return _decode(model, Whitening.of(codes).color(white), condition)


def sample_mixture(
    model: Model,
    codes: Tensor,
    count: int,
    *,
    components: int = 10,
    seed: int = 0,
    condition: Tensor | None = None,
) -> Samples:
    """Draw from a Gaussian mixture fitted to the codes, and decode.

    Args:
        model: one that decodes.
        codes: of the training rows, (rows, latent_dim).
        count: number of samples.
        components: of the mixture, full covariances.
        seed: of the fit and the draws.
        condition: of a conditional model, (count, size).
    """
    from sklearn.mixture import GaussianMixture

    white = Whitening.of(codes)
    components = max(1, min(components, len(codes) // 2))
    with small_fit():
        mixture = GaussianMixture(components, reg_covar=1e-4, random_state=seed)
        mixture.fit(white.whiten(codes).numpy())
        found = mixture.sample(count)[0]
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    z = white.color(torch.from_numpy(found)[order])  # scikit-learn sorts draws by component
    return decode_codes(model, z, seed=seed, condition=condition)
