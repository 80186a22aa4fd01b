r"""Wiener filter of a fitted model: the input of an encoder of clean rows for noisy rows.

The decoder's means at draws from the prior have a mean m and deviations A, (draws, cells). With the
likelihood's own variance v the model is nearly N(m, A^T A + diag v). The row y = x + noise of
variance t has observed cells o. The latents a of this factor analysis have the posterior mean

.. math:: a = (I + A \Lambda A^T)^{-1} A \Lambda (y - m), \quad
    \Lambda = \operatorname{diag}\!\left(o / (v + t)\right)

and the mean of x given a is m + A^T a plus the share v / (v + t) of the residual of y. For a linear
model this is E[x | y].
"""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.inference.passes import placed
from lowerbound.models import Model
from lowerbound.trace import Batch

DRAWS = 256


class WienerFilter:
    """The filter of a model and noise with one variance per cell.

    Args:
        model: with a prior, in evaluation mode.
        like: rows that supply the conditions.
        variance: t, variance of the noise, broadcastable to a row, model units squared.
        seed: of the draws from the prior.
    """

    @torch.no_grad()
    def __init__(self, model: Model, like: Dataset, variance: Tensor, seed: int = 0) -> None:
        # a conditional model generates rows with the conditions of the data
        some = placed(like.batch(torch.arange(DRAWS, device=like.x.device) % len(like)), model)
        with seeded(seed):
            trace = model(Batch(condition=some.condition, count=DRAWS))
        means = trace.likelihood.mean[0].flatten(1).double()
        self.mean = means.mean(0)
        self.deviations = (means - self.mean) / DRAWS**0.5
        self.own = trace.likelihood.variance[0].flatten(1).double().mean(0)
        noise = variance.double().expand(trace.likelihood.event_shape).flatten()
        self.precision = 1 / (self.own + noise)

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """The filtered rows, (rows, *event), including hidden cells."""
        rest = batch.filled.flatten(1).double() - self.mean
        precision = self.precision.expand(rest.shape)
        if batch.observed is not None:
            precision = torch.where(batch.observed.flatten(1), precision, 0.0)
            expected = torch.cat(
                [self._expected(*row) for row in zip(rest, precision, strict=True)]
            )
        else:
            expected = self._expected(rest, self.precision)
        left = self.own * precision * (rest - expected)
        x: Tensor = (self.mean + expected + left).to(batch.filled).reshape(batch.filled.shape)
        return x

    def _expected(self, rest: Tensor, precision: Tensor) -> Tensor:
        """A^T a of rows with one precision per cell, (rows, cells)."""
        weighted = self.deviations * precision
        identity = torch.eye(DRAWS, dtype=rest.dtype, device=rest.device)
        factor = torch.linalg.cholesky(identity + weighted @ self.deviations.T)
        latents = torch.cholesky_solve(weighted @ rest.reshape(-1, rest.shape[-1]).T, factor)
        expected: Tensor = latents.T @ self.deviations
        return expected
