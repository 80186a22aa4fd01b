"""Point distributions: the codes of an autoencoder, and quantized codes.

Besides: whether ``log_prob`` is exact, a lower bound or undefined, and the error of a model whose
codes, cells or weights are too large for a finite answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from lowerbound.distributions.reparameterization import Pushed, Reparameterized
from lowerbound.errors import NotFiniteError, UnsupportedError

Density = Literal["exact", "bound", "none"]
NOT_FINITE = "the model has no finite answer here: codes, cells or its weights are too large"
# what torch says of probabilities and rates that are NaN, on the processor
NO_PROBABILITY = re.compile("p_in >= 0|probability tensor contains|invalid Poisson rate")


def density_of(distribution: Distribution) -> Density:
    """The kind of the density, which the distribution declares by its attribute ``density``.

    "exact": log p. "bound": a lower bound on log p, or a random estimate whose mean is one. Sums of
    it bound the ELBO, but the mean of its exponential is not a bound, so it cannot be used in
    importance weights. "none": there is no ``log_prob``. Torch's distributions are exact.
    """
    declared: Density | None = getattr(distribution, "density", None)
    if declared is None and isinstance(distribution, Independent):
        return density_of(distribution.base_dist)
    return declared or "exact"


def check_finite(answer: Tensor, gaps: bool = False) -> Tensor:
    """The answer of a model, if it is finite.

    Args:
        answer: the numbers.
        gaps: whether NaN is a missing cell, as of a table or a history, unless all cells are.

    Raises:
        NotFiniteError: it is not.
    """
    absent = answer.isnan()
    wrong = absent.all() if gaps and answer.numel() else absent.any()
    if bool(wrong) or bool(answer.isinf().any()):
        raise NotFiniteError(NOT_FINITE)
    return answer


@contextmanager
def drawn() -> Iterator[None]:
    """Context of draws by torch, which refuses parameters that are not finite.

    Raises:
        NotFiniteError: some are not.
    """
    try:
        yield
    except RuntimeError as error:
        if NO_PROBABILITY.search(str(error)) is None:
            raise
        raise NotFiniteError(NOT_FINITE) from error


class Point(Reparameterized):
    """All probability at ``loc``: every draw is ``loc``, and there is no density.

    Args:
        loc: the code, (1 | samples, rows, dim).
    """

    density: Density = "none"

    def __init__(self, loc: Tensor) -> None:
        self.loc = loc
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """A point has no density.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            "a point has no density: the code of an autoencoder is not a distribution over z; "
            "bounds on log p(x) need a model with a posterior, such as 'vae' or 'pca'"
        )

    def push(self, noise: Tensor) -> Tensor:
        """``loc``, repeated for each draw; only the shape of the noise matters."""
        return self.loc.expand(noise.shape)

    def frozen(self) -> Point:
        return Point(self.loc.detach())

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.loc)

    @property
    def like(self) -> Tensor:
        return self.loc


class Quantized(Pushed):
    r"""q(z) = 1 at ``codes`` and 0 elsewhere: the entropy is zero, so the rate is -log p(codes).

    A draw is the code itself and has no gradient. The model copies the decoder's gradient to the
    encoder (straight-through).

    Args:
        codes: (1 | samples, rows, *shape), int64.
        silent: rows without information at this level, (rows,): their q is p, their rate is zero.
        prior: p(z), used for the silent rows.
    """

    def __init__(
        self, codes: Tensor, silent: Tensor | None = None, prior: Distribution | None = None
    ) -> None:
        self.codes, self.silent, self.prior = codes, silent, prior
        super().__init__(codes.shape[:2], codes.shape[2:], validate_args=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """0 if all codes of a row are equal to ``codes``, else minus infinity, (samples, rows)."""
        same = (z == self.codes).flatten(2).all(-1)
        certain = torch.where(same, 0.0, -math.inf)
        if self.silent is None or self.prior is None:
            return certain
        return torch.where(self.silent, self.prior.log_prob(z), certain)

    def push(self, noise: Tensor) -> Tensor:
        """The codes, repeated for each draw; only the shape of the noise matters."""
        return self.codes.expand(noise.shape)

    @property
    def mean(self) -> Tensor:
        """The codes."""
        return self.codes

    @property
    def like(self) -> Tensor:
        return torch.zeros((), device=self.codes.device).expand(self.codes.shape)
