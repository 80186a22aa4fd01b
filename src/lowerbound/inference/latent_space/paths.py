r"""Paths from one code to another, whose points decode to rows between two rows.

A path is a curve z(t) in latent space, t from 0 to 1, that starts at a and ends at b. With
:math:`c` the prior's mean and :math:`\omega` the angle between a - c and b - c,

.. math::
    \text{lerp: } & z(t) = (1 - t)\, a + t\, b \\
    \text{slerp: } & z(t) = c + r(t)\,
        \frac{\sin((1 - t)\,\omega)\, \hat a + \sin(t\,\omega)\, \hat b}{\sin \omega} \\
    \text{norm: } & z(t) = c + r(t)\, \frac{\operatorname{lerp}(t) - c}
        {\lVert \operatorname{lerp}(t) - c \rVert}

where :math:`\hat a, \hat b` are the directions from c and
:math:`r(t) = (1 - t) \lVert a - c \rVert + t \lVert b - c \rVert`. The fourth path, the geodesic,
is in ``lowerbound.inference.latent_space.geodesics``.

In d dimensions draws of N(0, I) lie near the sphere of radius sqrt(d). The middle between two of
them lies at sqrt(d / 2), where the prior draws nothing. slerp (Shoemake 1985, White 2016) and norm
stay on the sphere. Posterior means lie nearer to the center than draws of the prior, so lerp
between them may be better. Measure to decide.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.errors import OptionError
from lowerbound.registry import Registry

Decode = Callable[[Tensor], Tensor]
"""g: codes (points, latent_dim) to decoder means (points, *event), differentiable."""

NODES = 16
OPPOSITE = 1e-6  # length of the sum of two directions, below which they are opposite


class LatentPath(ABC):
    """A curve from code a to code b, (latent_dim,) each, in float64.

    Raises:
        OptionError: the codes differ in shape or are not vectors.
    """

    def __init__(self, a: Tensor, b: Tensor) -> None:
        if a.ndim != 1 or a.shape != b.shape:
            raise OptionError(
                f"a path needs two codes of one length, not shapes {tuple(a.shape)} and "
                f"{tuple(b.shape)}"
            )
        self.a = a.detach().double()
        self.b = b.detach().double()

    def at(self, t: Tensor) -> Tensor:
        """z(t) for t in [0, 1], (points,) to (points, latent_dim); the ends are exactly a and b."""
        t = t.to(self.a).unsqueeze(1)
        z = torch.where(t <= 0, self.a, self._between(t))
        return torch.where(t >= 1, self.b, z)

    def points(self, count: int) -> Tensor:
        """z at ``count`` equal steps of t, both ends included, (count, latent_dim).

        Raises:
            OptionError: fewer than two.
        """
        if count < 2:
            raise OptionError(f"a path needs at least 2 points, not {count}")
        return self.at(torch.linspace(0, 1, count, dtype=torch.float64))

    @abstractmethod
    def _between(self, t: Tensor) -> Tensor:
        """z(t), t as (points, 1)."""

    def _line(self, t: Tensor) -> Tensor:
        return (1 - t) * self.a + t * self.b


class Lerp(LatentPath):
    """The straight line, at constant speed."""

    def _between(self, t: Tensor) -> Tensor:
        return self._line(t)


class _About(LatentPath):
    """A path whose distance from ``center`` changes linearly from that of a to that of b.

    Raises:
        OptionError: a and b lie opposite each other, so the arc is not unique.
    """

    def __init__(self, a: Tensor, b: Tensor, center: Tensor) -> None:
        super().__init__(a, b)
        self.center = center.detach().to(self.a)
        out_a, out_b = self.a - self.center, self.b - self.center
        self.radius_a, self.radius_b = out_a.norm(), out_b.norm()
        self.toward_a, self.toward_b = _directions(out_a, out_b)
        if self.toward_a.any() and (self.toward_a + self.toward_b).norm() < OPPOSITE:
            raise OptionError(
                "the two codes lie opposite each other about the prior's mean, so the arc "
                "between them is not unique; use the path lerp or geodesic"
            )

    def _radius(self, t: Tensor) -> Tensor:
        radius: Tensor = (1 - t) * self.radius_a + t * self.radius_b
        return radius


class Slerp(_About):
    """The arc of a great circle about ``center``: equal steps of t turn by equal angles.

    If the radii differ, this is a spiral. White's formula has no separate radius and then turns at
    an uneven speed. On a sphere both are equal.
    """

    def _between(self, t: Tensor) -> Tensor:
        u, v = self.toward_a, self.toward_b
        angle = 2 * torch.atan2((u - v).norm(), (u + v).norm())  # exact for small angles too
        if angle < 1e-7:
            turned = (1 - t) * u + t * v
        else:
            turned = torch.sin((1 - t) * angle) * u + torch.sin(t * angle) * v
            turned = turned / torch.sin(angle)
        z: Tensor = self.center + self._radius(t) * turned
        return z


class NormCorrected(_About):
    """The line, with each point scaled to the distance from ``center`` at t."""

    def _between(self, t: Tensor) -> Tensor:
        out = self._line(t) - self.center
        length = out.norm(dim=1, keepdim=True).clamp_min(torch.finfo(out.dtype).tiny)
        z: Tensor = self.center + self._radius(t) * out / length
        return z


class Polyline(LatentPath):
    """Straight pieces between nodes, (nodes, latent_dim), each with an equal share of t."""

    def __init__(self, nodes: Tensor) -> None:
        super().__init__(nodes[0], nodes[-1])
        self.nodes = nodes.detach().double()

    def _between(self, t: Tensor) -> Tensor:
        pieces = len(self.nodes) - 1
        along = t[:, 0].clamp(0, 1) * pieces
        first = along.floor().long().clamp_max(pieces - 1)
        rest = (along - first).unsqueeze(1)
        z: Tensor = (1 - rest) * self.nodes[first] + rest * self.nodes[first + 1]
        return z


def _directions(out_a: Tensor, out_b: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors; an end at the center has no direction and uses the other's."""
    longest = torch.maximum(out_a.norm(), out_b.norm())
    if not out_a.any() or not out_b.any():
        unit = (out_a + out_b) / longest.clamp_min(torch.finfo(longest.dtype).tiny)
        return unit, unit
    return out_a / out_a.norm(), out_b / out_b.norm()


@dataclass(frozen=True)
class PathContext:
    """Model information that a path may need besides its ends.

    Attributes:
        decode: g, for paths that follow the decoder.
        center: the prior's mean, (latent_dim,), for paths around it.
        nodes: number of points of a path that is found by minimization.
    """

    decode: Decode
    center: Tensor
    nodes: int = NODES


Build = Callable[[Tensor, Tensor, PathContext], LatentPath]
PATHS: Registry[Build] = Registry("path")


@PATHS.register("lerp")
def lerp(a: Tensor, b: Tensor, around: PathContext) -> LatentPath:
    """The straight line."""
    return Lerp(a, b)


@PATHS.register("slerp")
def slerp(a: Tensor, b: Tensor, around: PathContext) -> LatentPath:
    """The arc about the prior's mean."""
    return Slerp(a, b, around.center)


@PATHS.register("norm")
def norm_corrected(a: Tensor, b: Tensor, around: PathContext) -> LatentPath:
    """The line, scaled to the distance of its ends from the prior's mean."""
    return NormCorrected(a, b, around.center)
