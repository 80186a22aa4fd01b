r"""Paths from one code to another, whose points decode to rows between two rows; their measures.

A path is a curve z(t) in latent space, t from 0 to 1, that starts at a and ends at b. With
:math:`c` the prior's mean and :math:`\omega` the angle between a - c and b - c,

.. math::
    \text{lerp: } & z(t) = (1 - t)\, a + t\, b \\
    \text{slerp: } & z(t) = c + r(t)\,
        \frac{\sin((1 - t)\,\omega)\, \hat a + \sin(t\,\omega)\, \hat b}{\sin \omega} \\
    \text{norm: } & z(t) = c + r(t)\, \frac{\operatorname{lerp}(t) - c}
        {\lVert \operatorname{lerp}(t) - c \rVert}

where :math:`\hat a, \hat b` are the directions from c and
:math:`r(t) = (1 - t) \lVert a - c \rVert + t \lVert b - c \rVert`.

In d dimensions draws of N(0, I) lie near the sphere of radius sqrt(d). The middle between two of
them lies at sqrt(d / 2), where the prior draws nothing. slerp (Shoemake 1985, White 2016) and norm
stay on the sphere. Posterior means lie nearer to the center than draws of the prior, so lerp
between them may be better. Measure to decide.

The fourth path, the geodesic, is the shortest path in the space of decoded rows. Distances between
codes have no unit of the data; distances between decoded rows have one. With decoder means
:math:`g(z)` in model units, the geodesic from a to b minimizes the energy

.. math:: E(z_1, \dots, z_{n-2}) = \sum_{i=0}^{n-2} \lVert g(z_{i+1}) - g(z_i) \rVert^2,
    \qquad z_0 = a,\; z_{n-1} = b

(Shao, Kumar & Fletcher 2018; Chen et al. 2018). At the minimum all steps have equal length, so
equal steps of t change the picture equally. For a linear decoder it is the straight line.

Paths are measured by their length for the decoder, and by whether a classifier accepts the middles.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.generation import requests
from lowerbound.applications.generation.requests import NODES
from lowerbound.data.arrays import Array
from lowerbound.distributions.keyed_noise import seeded_draw
from lowerbound.errors import DataError, OptionError
from lowerbound.evaluation.samples.acceptance import Acceptance, RealismClassifier
from lowerbound.inference.estimate import Estimate, Skipped
from lowerbound.inference.passes import Progress, as_taken, evaluation_mode
from lowerbound.models.base import Model
from lowerbound.models.powers import Decodes, HasPrior, require
from lowerbound.registry import Registry

Decode = Callable[[Tensor], Tensor]
"""g: codes (points, latent_dim) to decoder means (points, *event), differentiable."""

OPPOSITE = 1e-6  # length of the sum of two directions, below which they are opposite
MOST_UPDATES = 200  # of its energy
ENOUGH = 1e-7  # relative gain of an update, below which float32 does not improve
PER_NODE = 8  # points between two nodes at which a length is measured
MEAN_DRAWS = 4096  # draws that estimate the mean of a prior without a formula


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
PATHS: Registry[Build] = requests.PATHS


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


def decoder_means(model: Model, condition: Tensor | None = None) -> Decode:
    """g of a model: codes (points, latent_dim) to the means of p(x | z), (points, *event).

    Differentiable by the codes; the model's own parameters get no gradient.

    Args:
        model: one with a decoder over one latent.
        condition: the condition at every point, (size,).

    Raises:
        UnsupportedError: it has none; the message names models that have.
    """
    decodes = require(model, Decodes, "decode")

    def decode(z: Tensor) -> Tensor:
        fixed = None if condition is None else as_taken(condition, model).expand(len(z), -1)
        with evaluation_mode(model, gradients=torch.is_grad_enabled()):
            return decodes.decode(as_taken(z, model).unsqueeze(0), fixed).mean[0]

    return decode


def geodesic(
    decode: Decode, a: Tensor, b: Tensor, nodes: int = NODES, most_updates: int = MOST_UPDATES
) -> Polyline:
    """The path of least energy between two codes, by L-BFGS from the straight line.

    It is deterministic and never worse than the line.

    Args:
        decode: codes (points, latent_dim) to decoder means, differentiable.
        a: first code, (latent_dim,).
        b: last code.
        nodes: points on the path, including the ends.
        most_updates: maximal number of updates.

    Raises:
        OptionError: fewer than three nodes.
    """
    if nodes < 3:
        raise OptionError(f"a geodesic needs at least 3 nodes, not {nodes}")
    line = Lerp(a, b).points(nodes)
    start, _ = _energy(decode, line)
    if start == 0.0:  # both ends decode to the same row
        return Polyline(line)
    spread = _smoothing(nodes - 2)

    def path(flat: Array) -> Tensor:
        offsets = spread @ torch.from_numpy(flat).reshape(nodes - 2, -1)
        return torch.cat([line[:1], line[1:-1] + offsets, line[-1:]])

    def relative(flat: Array) -> tuple[float, Array]:
        energy, slope = _energy(decode, path(flat))
        return energy / start, (spread.T @ slope[1:-1]).numpy().ravel() / start

    found, energy = _minimize(relative, (nodes - 2) * line.shape[1], most_updates)
    return Polyline(path(found) if energy < 1.0 else line)


def _minimize(
    function: Callable[[Array], tuple[float, Array]], size: int, most_updates: int
) -> tuple[Array, float]:
    """The end of L-BFGS from zero, and the value there."""
    from scipy.optimize import minimize

    options = {"maxiter": most_updates, "ftol": ENOUGH, "gtol": 0.0}
    found = minimize(function, np.zeros(size), jac=True, method="L-BFGS-B", options=options)
    return found.x, float(found.fun)


def _energy(decode: Decode, z: Tensor) -> tuple[float, Tensor]:
    """E of the nodes and its gradient by them, in float64."""
    z = z.clone().requires_grad_()
    with torch.enable_grad():
        means = decode(z).flatten(1).double()
        energy = (means[1:] - means[:-1]).square().sum()
    (slope,) = torch.autograd.grad(energy, z)
    return float(energy.detach()), slope


def _smoothing(inner: int) -> Tensor:
    r"""S with S S^T = K^{-1}, K the second differences of a chain with fixed ends, (inner, inner).

    Offsets S u precondition the problem: the energy of a linear decoder is equally steep in all of
    u. In the nodes themselves, short waves are steeper than long bends by the square of their
    number.
    """
    two, one = torch.full((inner,), 2.0), torch.full((inner - 1,), 1.0)
    chain = (torch.diag(two) - torch.diag(one, 1) - torch.diag(one, -1)).double()
    spread: Tensor = torch.linalg.inv(torch.linalg.cholesky(chain)).T
    return spread


@PATHS.register("geodesic")
def decoder_geodesic(a: Tensor, b: Tensor, around: PathContext) -> LatentPath:
    """The path along which the decoder's mean changes least."""
    return geodesic(around.decode, a, b, around.nodes)


def decoded_length(decode: Decode, path: LatentPath, points: int = PER_NODE * NODES + 1) -> float:
    """The length of a path in the decoder's space: sum of ||g(z_{i+1}) - g(z_i)||, model units.

    There are more points than a geodesic has nodes, so jumps between its nodes count too.
    """
    with torch.no_grad():
        means = decode(path.points(points)).flatten(1).double()
    return float((means[1:] - means[:-1]).norm(dim=1).sum())


@dataclass(frozen=True)
class PathFigures:
    """Measures of one kind of path over pairs of codes.

    Attributes:
        pairs: number of pairs.
        straightness: length of the line divided by that of the path, both in the decoder's space;
            1 for the line itself, above 1 for a shortcut, below 1 for a detour.
        middles: number of points at t = 1/2 that a classifier accepts; or why there is none.
    """

    pairs: int
    straightness: Estimate
    middles: Acceptance | Skipped


def path_context(
    model: Model,
    codes: Tensor | None = None,
    *,
    condition: Tensor | None = None,
    nodes: int = NODES,
) -> PathContext:
    """The context that paths between codes of a model need.

    Args:
        model: one with a decoder over one latent.
        codes: codes of rows, (rows, latent_dim); their mean replaces that of a missing prior. Zero
            replaces it without codes.
        condition: the condition along the whole path, (size,).
        nodes: number of nodes of a path that is found by minimizing.

    Raises:
        UnsupportedError: the model has no decoder.
    """
    decode = decoder_means(model, condition)
    return PathContext(decode, _center(model, codes), nodes)


def _center(model: Model, codes: Tensor | None) -> Tensor:
    """The prior's mean, (latent_dim,); estimated from draws if it has no formula."""
    if not isinstance(model, HasPrior):
        return torch.zeros(()) if codes is None else codes.double().mean(0)
    with evaluation_mode(model, gradients=True), torch.no_grad():
        prior = model.prior_distribution()
        try:
            center: Tensor = prior.mean[0, 0]
        except NotImplementedError:
            center = seeded_draw(prior, MEAN_DRAWS, 0)[:, 0].mean(0)
    return center.double().cpu()


def compare_paths(
    model: Model,
    first: Tensor,
    last: Tensor,
    around: PathContext,
    *,
    kinds: Sequence[str] = tuple(PATHS),
    judge: RealismClassifier | Skipped | None = None,
    conditions: Tensor | None = None,
    progress: Progress | None = None,
) -> dict[str, PathFigures]:
    """Figures of each kind of path over the same pairs of codes.

    Args:
        model: one with a decoder over one latent.
        first: first ends of the paths, (pairs, latent_dim).
        last: their second ends.
        around: center and nodes; see ``path_context``.
        kinds: names in ``PATHS``.
        judge: a classifier of the real rows.
        conditions: the condition of each path, (pairs, size).
        progress: called with (pairs done, pairs).

    Raises:
        DataError: no pairs, or different numbers of first and last ends.
        OptionError: an unknown kind, or ends that a kind cannot join.
    """
    if len(first) != len(last) or not len(first):
        raise DataError(f"{len(first)} beginnings of paths do not pair with {len(last)} ends")
    ratios: dict[str, list[float]] = {kind: [] for kind in kinds}
    middles: dict[str, list[Tensor]] = {kind: [] for kind in kinds}
    for pair, (a, b) in enumerate(zip(first, last, strict=True)):
        condition = None if conditions is None else conditions[pair]
        here = replace(around, decode=decoder_means(model, condition))
        line = decoded_length(here.decode, Lerp(a, b))
        for kind in kinds:
            path = PATHS[kind](a, b, here)
            ratios[kind].append(ratio(line, decoded_length(here.decode, path)))
            middles[kind].append(_middle(path, here))
        if progress is not None:
            progress(pair + 1, len(first))
    return {
        kind: PathFigures(
            len(first), Estimate.of(torch.tensor(ratios[kind])), _acceptance(judge, middles[kind])
        )
        for kind in kinds
    }


def ratio(line: float, path: float) -> float:
    """Length of the line divided by that of the path; 1 if both are zero."""
    return line / path if path else 1.0


def _middle(path: LatentPath, around: PathContext) -> Tensor:
    with torch.no_grad():
        return around.decode(path.at(torch.tensor([0.5]))).cpu()


def _acceptance(
    judge: RealismClassifier | Skipped | None, middles: list[Tensor]
) -> Acceptance | Skipped:
    if judge is None:
        return Skipped("no classifier was given")
    return judge if isinstance(judge, Skipped) else judge.accept(torch.cat(middles))
