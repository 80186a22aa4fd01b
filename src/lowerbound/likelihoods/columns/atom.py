"""Real columns with an atom: p(atom) = pi(z), else (1 - pi) N(u; mu(z), sigma^2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.continuous import HIGHEST, LOWEST
from lowerbound.data.columns.mixed import ATOM, is_atom
from lowerbound.likelihoods.columns.continuous import ScaledColumns
from lowerbound.likelihoods.columns.expectation_curve import ExpectationCurve
from lowerbound.likelihoods.columns.group import COLUMN_FAMILIES, Averages, DiscreteEmission
from lowerbound.likelihoods.gaussian_emission import GaussianEmission
from lowerbound.trace import Emission


class AtomEmission(DiscreteEmission):
    r"""log p(atom) = log pi; log p(u) = log(1 - pi) + log N(u; mu, sigma^2) elsewhere.

    ``mean`` is ``ATOM`` if pi is above one half, else mu. ``variance`` is that of the continuous
    part, sigma^2, because the distance to the atom is meaningless.

    Args:
        logit: of pi, (samples, batch, columns).
        loc: mu, model units, likewise.
        scale: sigma, (columns,).
    """

    def __init__(self, logit: Tensor, loc: Tensor, scale: Tensor) -> None:
        self.logit, self.rest = logit, GaussianEmission(loc, scale)
        super().__init__(logit.shape[:2], logit.shape[2:], validate_args=False)

    def _terms(self, x: Tensor) -> Tensor:
        atom = is_atom(x)
        # the atom is far from every mu, so its square is excluded from the density and gradient
        density = self.rest.terms(torch.where(atom, 0.0, x))
        return torch.where(atom, F.logsigmoid(self.logit), F.logsigmoid(-self.logit) + density)

    @property
    def mean(self) -> Tensor:
        return torch.where(self.logit > 0, ATOM, self.rest.loc.clamp(LOWEST, HIGHEST))

    @property
    def variance(self) -> Tensor:
        return self.rest.variance

    def probabilities(self, column: int) -> Tensor:
        """Probabilities of the atom and of all other values, (samples, batch, 2)."""
        logit = self.logit[..., column]
        return torch.sigmoid(torch.stack([logit, -logit], -1))

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        atom = torch.bernoulli(torch.sigmoid(self.logit).expand(sample_shape + self.logit.shape))
        # no continuous draw may equal the atom
        return torch.where(atom > 0, ATOM, self.rest.sample(sample_shape).clamp(LOWEST, HIGHEST))


@COLUMN_FAMILIES.register("mixed")
class AtomColumns(ScaledColumns):
    """Columns of the kind "mixed"; two parameters each, the logit of pi and mu."""

    @classmethod
    def averages(cls, columns: Sequence[Column], emission: Emission) -> Averages:
        """pi * atom + (1 - pi) * the expectation of the others."""
        assert isinstance(emission, AtomEmission)
        rest = ExpectationCurve(columns, emission.rest.scale)
        atoms = [column.rules.averaged(np.array(column.atom)).item() for column in columns]
        atom = torch.tensor(atoms, dtype=torch.float64, device=emission.logit.device)

        def given(emission: Emission) -> Tensor:
            assert isinstance(emission, AtomEmission)
            share = torch.sigmoid(emission.logit.double())
            return share * atom + (1 - share) * rest.given(emission.rest)

        return given

    @property
    def numbers(self) -> int:
        return 2

    def forward(self, parameters: Tensor) -> AtomEmission:
        logit, loc = self.by_column(parameters).unbind(-1)
        return AtomEmission(logit, loc, self.scale())

    def initialize(self, x: Tensor) -> None:
        rest, mean = _rest(x)
        square = torch.where(rest, (x - mean).square(), 0.0).sum(0) / rest.sum(0).clamp_min(1)
        # a column with only its atom does not determine the spread
        self.scale.set(torch.where(rest.any(0), square.sqrt(), 1.0))

    def initial_bias(self, x: Tensor) -> Tensor:
        """Log-odds of the atom, with one added to both counts; mean of the other values."""
        rest, mean = _rest(x)
        count = rest.sum(0).to(x.dtype)
        logit = torch.log(len(x) - count + 1) - torch.log(count + 1)
        return torch.stack([logit, mean], -1).flatten()


def _rest(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mask of values that are not the atom, (rows, columns), and their means, (columns,)."""
    rest = ~is_atom(x)
    return rest, torch.where(rest, x, 0.0).sum(0) / rest.sum(0).clamp_min(1)
