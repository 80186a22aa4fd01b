r"""Geodesics: the shortest path between codes in the space of decoded rows, and path lengths there.

Distances between codes have no unit of the data; distances between decoded rows have one. With
decoder means :math:`g(z)` in model units, the geodesic from a to b minimizes the energy

.. math:: E(z_1, \dots, z_{n-2}) = \sum_{i=0}^{n-2} \lVert g(z_{i+1}) - g(z_i) \rVert^2,
    \qquad z_0 = a,\; z_{n-1} = b

(Shao, Kumar & Fletcher 2018; Chen et al. 2018). At the minimum all steps have equal length, so
equal steps of t change the picture equally. For a linear decoder it is the straight line.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.errors import OptionError
from lowerbound.inference.latent_space.paths import (
    NODES,
    PATHS,
    Decode,
    LatentPath,
    Lerp,
    PathContext,
    Polyline,
)
from lowerbound.inference.passes import as_taken, evaluation_mode
from lowerbound.models import Decodes, Model, require

MOST_UPDATES = 200
ENOUGH = 1e-7  # relative gain of an update, below which float32 does not improve
PER_NODE = 8  # points between two nodes at which a length is measured


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
