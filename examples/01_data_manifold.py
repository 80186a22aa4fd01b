"""The manifold hypothesis: data with many numbers per row lie near a surface of few dimensions.

A rolled-up sheet has two coordinates, the angle and the height. Here it lies in 20 dimensions with
a little noise in each. Two classical methods estimate its intrinsic dimension:

- Local PCA: in a small neighborhood a smooth surface is almost flat, so the points vary along few
  principal directions. The estimate counts those with more than a tenth of the largest variance.
- Nearest neighbors (Levina & Bickel 2004): in d dimensions the number of points within radius r
  grows like r^d. The maximum-likelihood estimate of d at a point is the inverse of the mean of
  log(r_k / r_j) over its k nearest neighbors, at distances r_1 <= ... <= r_k.

Both depend on the size of the neighborhood. If it is hardly larger than the noise, they count the
noise's 20 dimensions too. If it reaches the next turn of the roll, they count three. The intrinsic
dimension is the plateau between. An autoencoder needs that many latent numbers; PCA needs more.

    python examples/01_data_manifold.py [--quick]
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from _figures import BLUE, GREY, ORANGE, quick, save
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from lowerbound.data import load, rolled_sheet

AMBIENT = 20
SIZES = (5, 10, 20, 40, 80, 160, 320, 640, 1280)


def local_pca(x: np.ndarray, neighbors: np.ndarray, at: np.ndarray) -> float:
    """Mean number of strong principal directions over the neighborhoods of the points ``at``."""
    return float(np.mean([strong_directions(x[neighbors[i]]) for i in at]))


def strong_directions(x: np.ndarray) -> int:
    """Directions with more than a tenth of the variance of the first."""
    variances = np.linalg.eigvalsh(np.cov(x.T))
    return int((variances > 0.1 * variances.max()).sum())


def nearest_neighbor_estimate(distances: np.ndarray) -> float:
    """Levina & Bickel's estimate from (points, k) sorted distances; 1/d is averaged over points."""
    logs = np.log(distances[:, -1:] / distances[:, :-1])
    return float((distances.shape[1] - 2) * len(logs) / logs.sum())


def estimates(x: np.ndarray, sizes: tuple[int, ...]) -> dict[int, tuple[float, float]]:
    """(local PCA, nearest neighbors) for each size of the neighborhood."""
    distances, neighbors = NearestNeighbors(n_neighbors=max(sizes) + 1).fit(x).kneighbors(x)
    at = np.random.default_rng(0).choice(len(x), min(len(x), 200), replace=False)
    return {
        k: (local_pca(x, neighbors[:, :k], at), nearest_neighbor_estimate(distances[:, 1 : k + 1]))
        for k in sizes
    }


def draw(x: np.ndarray, turn: np.ndarray, found: dict[int, tuple[float, float]]) -> None:
    flat = PCA(3).fit_transform(x)  # the roll's own three dimensions: the others hold only noise
    figure = plt.figure(figsize=(9, 3.6))
    space = figure.add_subplot(1, 2, 1, projection="3d")
    space.scatter(*flat.T, c=turn, s=2, cmap="viridis", alpha=0.7, lw=0)
    space.set_title(f"{len(x):,} rows of {AMBIENT} numbers: a rolled sheet")
    space.view_init(elev=58, azim=20)
    space.set_box_aspect(np.ptp(flat, axis=0), zoom=1.35)
    space.set_axis_off()
    axes = figure.add_subplot(1, 2, 2)
    sizes = list(found)
    axes.axhline(2, color=GREY, lw=1, ls="--")
    for i, (name, color) in enumerate([("local PCA", BLUE), ("nearest neighbors", ORANGE)]):
        values = [found[k][i] for k in sizes]
        axes.plot(sizes, values, "o-", color=color, ms=4, label=name)
    axes.set(xscale="log", xlabel="neighbors", ylabel="dimension", ylim=(0, 5))
    axes.set_title("Its dimension, by size of the neighborhood")
    axes.legend()
    save(figure, "data_manifold.png")


def main() -> None:
    rows = 2_000 if quick(__doc__) else 10_000
    x, coordinates = rolled_sheet(rows, noise=0.05, dimension=AMBIENT)
    found = estimates(x, SIZES)
    print(f"A rolled sheet: {rows:,} rows of {AMBIENT} numbers")
    variances = PCA().fit(x).explained_variance_
    kept = int(np.searchsorted(variances.cumsum() / variances.sum(), 0.99)) + 1
    print(f"  global PCA needs {kept} dimensions for 99 % of the variance: it cannot unroll")
    for k, (principal, nearest) in found.items():
        print(f"  {k:4} neighbors: local PCA {principal:5.2f}, nearest neighbors {nearest:5.2f}")
    draw(x, coordinates[:, 0], found)
    digits = load("digits").all().filled.flatten(1).numpy()
    principal, nearest = estimates(digits, (20,))[20]
    print(f"Real digits: {len(digits):,} rows of {digits.shape[1]} numbers, 20 neighbors")
    print(f"  local PCA {principal:.1f}, nearest neighbors {nearest:.1f}")


if __name__ == "__main__":
    main()
