r"""Lower bounds on log p(x) of held-out rows.

.. math::
    \mathrm{ELBO} = \mathbb{E}_q[\log p(x \mid z)] - \mathrm{KL}(q \,\|\, p), \qquad
    L_K = \log \frac{1}{K} \sum_{k=1}^{K} w_k, \quad w_k = \frac{p(x, z_k)}{q(z_k \mid x)}

Both are in nats per row and in the data's own units. Source: Burda et al. 2016.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.errors import DataError, UnsupportedError, unknown
from lowerbound.inference.estimate import Tail
from lowerbound.inference.passes import (
    MEMORY,
    ChunkPlan,
    Progress,
    check_samples,
    collected,
    dry_run,
    first_row,
)
from lowerbound.inference.scores import Precision, Protocol, Scores
from lowerbound.models.base import Model
from lowerbound.models.powers import HasMarginal, name_of
from lowerbound.networks.matrix_products import native_bf16, short_products
from lowerbound.networks.processor import in_precision
from lowerbound.objectives.base import (
    allowed_samples,
    require_bounded_densities,
    require_exact_densities,
)
from lowerbound.trace import Batch, Trace

MANY_SAMPLES = 20
MEMORY_OF_MANY = 4 * MEMORY  # else the steps on single draws, which are small, are mostly overhead
IRRATIONAL = ((math.sqrt(5) - 1) / 2, math.sqrt(2) - 1)  # whose multiples are unlike, modulo 1


def score(
    model: Model,
    dataset: Dataset,
    *,
    samples: int = 1,
    seed: int = 0,
    first: int = 0,
    memory: int | None = None,
    split: str = "",
    precision: Precision = "float32",
    progress: Progress | None = None,
) -> Scores:
    """Score every row: ELBO, L_K with exactly K = ``samples`` draws, and their parts.

    The noise of a draw depends on the row's content, ``seed`` and the draw's number, so a row's
    scores depend neither on the other rows nor on the chunks. float64 data is scored by a float64
    copy of the model.

    Args:
        model: a model with a prior.
        dataset: the rows to score.
        samples: K; it becomes 1 if the posterior is deterministic.
        seed: of the draws.
        first: number of the first draw, for the draws that follow those of another call.
        memory: working memory in bytes; it limits the chunks for every K. None: 64 MB, or 256 MB
            for many samples.
        split: name of the rows, such as "test", for the protocol stamp.
        precision: "bf16" rounds the factors of matrix products to 8 binary digits where the
            processor has such products in hardware, and the products as well if it has no AMX;
            densities and weights stay as they are. It is faster for many samples; see "Products
            in bf16" in docs/evaluation.md.
        progress: called with (rows done, rows) after each chunk.

    Raises:
        UnsupportedError: the model has no prior and therefore no bound, a density is missing, or a
            density is only a bound and K > 1.
        OptionError: there is no such precision.
        DataError: the bound of a row is not a number.
    """
    model = in_precision(model, dataset.x.dtype)
    footprint = dry_run(model, first_row(dataset, model))
    if precision not in get_args(Precision):
        raise unknown("precision", precision, get_args(Precision))
    rounded = precision == "bf16" and footprint.device.type == "cpu" and native_bf16()
    refuse_no_latents(model, footprint.trace)
    if all(step.quantized for step in footprint.trace.steps):
        samples = 1
    plan = ChunkPlan.within(_memory(samples) if memory is None else memory, footprint, samples)
    _require_densities(footprint.trace, samples)

    def measure(_: slice, batch: Batch) -> list[Tensor]:
        tally, tail = WeightTally.empty(len(batch), len(footprint.trace.steps)), Tail(samples)
        with short_products() if rounded else nullcontext():
            for count, trace in plan.traces(model, batch, samples, seed, first):
                tail.add(tally.add(trace, batch, count))
        return tally.columns(tail.shape())

    found = collected(model, dataset, plan.rows, measure, progress=progress)
    tally = WeightTally(*found)
    scores = Scores(
        elbo=tally.elbo(samples),
        bound=tally.log_weights - math.log(samples),
        effective_sample_size=torch.exp(2 * tally.log_weights - tally.log_squares),
        distortion=tally.distortion / samples,
        rates=tally.rates.T.contiguous() / samples,
        log_marginal=_log_marginal(model, dataset, plan.rows),
        samples=samples,
        mass=model.mass,
        protocol=_protocol(footprint.trace, dataset, seed, split, rounded),
        pareto_k=tally.pareto_k,
        fingerprint=rows_fingerprint(dataset),
    ).shifted(dataset.log_jacobian(mass=model.mass))
    _refuse_nan(scores)
    if scores.effective_sample_size_low:
        warnings.warn(scores.low_sample_size_message(), UserWarning, stacklevel=2)
    return scores


def _memory(samples: int) -> int:
    """Default working memory in bytes of a chunk.

    Raises:
        OptionError: the number of samples is no whole number from 1.
    """
    check_samples(samples)
    return MEMORY if samples < MANY_SAMPLES else MEMORY_OF_MANY


def _require_densities(trace: Trace, samples: int) -> None:
    """Raise UnsupportedError if a density that a bound of so many samples needs is missing."""
    if samples > 1:
        require_exact_densities(trace, "a bound of several samples")
    else:
        require_bounded_densities(trace)


def _refuse_nan(scores: Scores) -> None:
    """Raise an error where a bound is no number, so that no mean hides it.

    Raises:
        DataError: it is; the message counts the rows.
    """
    gone = scores.elbo.isnan()
    if bool(gone.any()):
        raise DataError(
            f"the bound of {int(gone.sum()):,} of {len(gone):,} rows is not a number, first in "
            f"row {int(gone.nonzero()[0])}, counted from 0: these rows hold extreme values, or the "
            "model is damaged"
        )


def most_samples(model: Model, dataset: Dataset, samples: int) -> int:
    """K of ``score``: ``samples``, or 1 where a density of the model is only a lower bound."""
    check_samples(samples)
    model = in_precision(model, dataset.x.dtype)
    return allowed_samples(dry_run(model, first_row(dataset, model)).trace, samples)


def refuse_no_latents(model: Model, trace: Trace) -> None:
    """Raise an error for a model without a prior, because it has no bound on log p(x).

    Raises:
        UnsupportedError: the pass has no latent.
    """
    if not trace.steps:
        raise UnsupportedError(
            f"{name_of(model)} has no prior, so it has no bound on log p(x); use its "
            "reconstruction error instead, or fit a model with a prior: vae or pca"
        )


@dataclass
class WeightTally:
    """Sums over samples, in float64.

    Attributes:
        distortion: (rows,).
        rates: (rows, levels).
        log_weights, log_squares: logarithms of the sums of w and w^2, (rows,).
        pareto_k: shape of the largest weights, (rows,); None: too few samples.
    """

    distortion: Tensor
    rates: Tensor
    log_weights: Tensor
    log_squares: Tensor
    pareto_k: Tensor | None = None

    @classmethod
    def empty(cls, rows: int, levels: int) -> WeightTally:
        """The sums over no samples."""
        zeros = torch.zeros(rows, 1 + levels, dtype=torch.float64)
        nothing = torch.full((2, rows), -math.inf, dtype=torch.float64)
        return cls(zeros[:, 0], zeros[:, 1:], nothing[0], nothing[1])

    def add(self, trace: Trace, batch: Batch, samples: int) -> Tensor:
        """Add one chunk of samples of the rows; their log weights, (samples, rows)."""
        assert batch.x is not None
        log_likelihood = trace.likelihood.log_prob(batch.x, batch.observed).double()
        log_weights = _over_samples(trace.weighted(log_likelihood), samples, len(batch))
        for level, step in enumerate(trace.steps):
            rate = _over_samples(step.rate(analytic=True), samples, len(batch))
            self.rates[:, level] += rate.sum(0)
        self.distortion -= _over_samples(log_likelihood, samples, len(batch)).sum(0)
        self.log_weights = _log_add(self.log_weights, log_weights)
        self.log_squares = _log_add(self.log_squares, 2 * log_weights)
        return log_weights

    def columns(self, pareto_k: Tensor | None) -> list[Tensor]:
        """The sums as ``collected`` joins them."""
        sums = [self.distortion, self.rates, self.log_weights, self.log_squares]
        return sums if pareto_k is None else [*sums, pareto_k]

    def elbo(self, samples: int) -> Tensor:
        """The ELBO of each row."""
        return -(self.distortion + self.rates.T.contiguous().sum(0)) / samples


def _log_add(total: Tensor, log_terms: Tensor) -> Tensor:
    """log(exp(total) + sum of exp(log_terms) over samples)."""
    return torch.logaddexp(total, torch.logsumexp(log_terms, 0))


def _over_samples(values: Tensor, samples: int, rows: int) -> Tensor:
    return values.double().cpu().expand(samples, rows)


def _log_marginal(model: Model, dataset: Dataset, rows: int) -> Tensor | None:
    """Exact log p(x) in model units, if the model has it."""
    if not isinstance(model, HasMarginal):
        return None

    def exact(_: slice, batch: Batch) -> list[Tensor]:
        return [model.log_marginal(batch.filled, batch.observed)]

    (found,) = collected(model, dataset, rows, exact)
    return found.double()


def _protocol(trace: Trace, dataset: Dataset, seed: int, split: str, rounded: bool) -> Protocol:
    schema, kind = dataset.schema, dataset.schema.data_kind
    return Protocol(
        rows=len(dataset),
        dimensions=kind.values_per_row(dataset),
        likelihood=type(trace.likelihood).__name__.removesuffix("Emission"),
        conditional=schema.condition is not None,
        levels=schema.levels,
        binarize=schema.binarize,
        sha256=data_sha256(dataset),
        seed=seed,
        split=split,
        data=dataset.source,
        value=kind.value_name(schema),
        precision="bf16" if rounded else "float32",
    )


def data_sha256(dataset: Dataset) -> str:
    """SHA-256 of the rows in order: of their bits if binary, otherwise of their model units."""
    if dataset.schema.binary:
        return dataset.binarized().bits_sha256
    return hashlib.sha256(dataset.x.cpu().contiguous().numpy().tobytes()).hexdigest()


def rows_fingerprint(dataset: Dataset) -> Tensor | None:
    """Numbers by which ``marginal_difference`` knows that two models scored the same rows.

    Each model has its own units, so they are of cells in the data's own: with the median m and the
    spread s of a column, u = arcsinh((cell - m) / s), which no outlier dominates. They are two sums
    of u over the columns for each row, with different weights, then arcsinh(m / s) and log s of
    each column; None: the rows have no columns.
    """
    schema = dataset.schema
    if not schema.columns or schema.binary or schema.windows is not None:
        return None
    cells = np.nan_to_num(schema.decode(dataset.x, rounded=False).astype(np.float64))
    if dataset.observed is not None:
        cells[schema.data_kind.laid_out(schema, ~dataset.observed.cpu().numpy())] = 0.0
    center = np.median(cells, 0)
    spread = np.median(np.abs(cells - center), 0)
    spread = np.where(spread > 0, spread, np.abs(cells - center).mean(0))
    spread[spread == 0] = 1.0
    scaled = np.arcsinh((cells - center) / spread)
    places = np.arange(1, cells.shape[1] + 1)
    sums = [scaled @ (0.5 + places * ratio % 1.0) for ratio in IRRATIONAL]
    return torch.from_numpy(np.concatenate([*sums, np.arcsinh(center / spread), np.log(spread)]))
