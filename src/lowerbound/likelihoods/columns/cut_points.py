"""Increasing cut points, and the mass of a logistic between them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class CutPoints:
    r"""c_0 < c_1 < ... of each column, with P(x <= k | l) = sigmoid(c_k - l).

    A logistic with location l is below c_0 for the lowest level, and above the last cut point for
    the highest. With a = c_k - l and b = c_{k-1} - l, the mass between two cut points is a
    difference of numbers near 0 or 1. Its logarithm is computed as

    .. math:: \log(\sigma(a) - \sigma(b))
        = \log\sigma(a) + \log\sigma(-b) + \log(-\mathrm{expm1}(b - a))

    Attributes:
        first: c_0, (columns,).
        gaps: c_{k+1} - c_k, (columns, K - 1), positive; padded to the most levels, K + 1.
        levels: of each column, (columns,).
    """

    first: Tensor
    gaps: Tensor
    levels: Tensor

    @property
    def points(self) -> Tensor:
        """c, (columns, K)."""
        first = self.first.unsqueeze(1)
        return torch.cat([first, first + self.gaps.cumsum(1)], 1)

    def of(self, columns: slice) -> CutPoints:
        """The cut points of some columns."""
        return CutPoints(self.first[columns], self.gaps[columns], self.levels[columns])

    def log_mass(self, code: Tensor, location: Tensor) -> Tensor:
        """log P(code | l) in nats, finite for every l.

        Args:
            code: integers, (..., columns); a code beyond the last level is treated as the last.
            location: l, broadcastable with the code.
        """
        code = code.clamp_min(0).minimum(self.levels - 1)
        each, most = torch.arange(len(self.first), device=code.device), self.gaps.shape[1]
        points, log_between = self.points, torch.log(-torch.expm1(-self.gaps))
        below = F.logsigmoid(points[each, code.clamp_max(most)] - location)
        above = F.logsigmoid(location - points[each, (code - 1).clamp_min(0)])
        between = log_between[each, (code - 1).clamp(0, most - 1)]
        # the lowest level has no lower edge and the highest no upper one; every logarithm is finite
        has_lower = (code > 0).to(location.dtype)
        has_upper = (code < self.levels - 1).to(location.dtype)
        return has_upper * below + has_lower * (above + has_upper * between)

    def table(self, location: Tensor) -> Tensor:
        """P(k | l) of every level, (*location.shape, most levels); 0 beyond the last level."""
        levels = torch.arange(self.gaps.shape[1] + 2, device=location.device)
        code = levels.reshape(-1, *[1] * location.dim()).expand(-1, *location.shape)
        mass = self.log_mass(code, location).exp()
        return torch.where(code < self.levels, mass, 0.0).movedim(0, -1)

    def code(self, value: Tensor) -> Tensor:
        """The number of cut points below each value, (..., columns)."""
        points = self.points
        exists = torch.arange(points.shape[1], device=value.device) < self.levels.unsqueeze(1) - 1
        return ((value.unsqueeze(-1) > points) & exists).sum(-1)
