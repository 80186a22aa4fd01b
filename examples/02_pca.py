"""Principal component analysis, and its probabilistic form: a VAE with a closed-form solution.

PCA fits a flat plane to the data. Probabilistic PCA (Tipping & Bishop 1999) is the corresponding
latent-variable model,

    z ~ N(0, I),   x | z ~ N(W z + mu, sigma^2 I).

Like a variational autoencoder it has a prior, a likelihood, and a posterior q(z | x). Here the
posterior is exact, so every importance weight p(x, z) / q(z | x) equals p(x) for every z, and the
evidence lower bound equals log p(x).

On a flat sheet this model is sufficient, and the likelihood of held-out rows even shows the number
of dimensions. On a rolled sheet it is not sufficient, because a plane cannot unroll it.

    python examples/02_pca.py [--quick]
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import torch
from _figures import BLUE, GREY, ORANGE, quick, save, show_sheet
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from lowerbound import ProbabilisticPCA
from lowerbound.data import flat_sheet, load, rolled_sheet
from lowerbound.distributions.reparameterization import seeded
from lowerbound.trace import Batch, Draw

DIMENSIONS = (1, 2, 3, 4, 5)


def spectrum(rows: int) -> dict[int, float]:
    """log p of held-out rows of a flat sheet of two dimensions in ten, by latent dimension."""
    x, _ = flat_sheet(2 * rows, rank=2, noise=0.3, dimension=10)
    print(f"A flat sheet: {rows:,} rows of 10 numbers, 2 of them free")
    found = {}
    for d in DIMENSIONS:
        found[d] = ProbabilisticPCA(latent_dim=d).fit(x[:rows]).score(x[rows:])
        theirs = PCA(d).fit(x[:rows]).score(x[rows:])
        print(
            f"  {d} latent: held-out log p(x) = {found[d]:8.4f} nats (scikit-learn {theirs:8.4f})"
        )
    return found


def weights(rows: int) -> None:
    """log w = log p(x, z) - log q(z | x) at draws of the exact posterior."""
    x, _ = flat_sheet(rows, rank=2, noise=0.3, dimension=10)
    pca = ProbabilisticPCA(latent_dim=2).fit(x)
    batch = Batch(x=torch.from_numpy(x[:5]))
    with seeded(0), torch.no_grad():
        trace = pca.model_(batch, Draw(1000))
    log_weights = trace.likelihood.log_prob(batch.x) - trace.steps[0].log_ratio()
    spread = float((log_weights - torch.from_numpy(pca.score_samples(x[:5]))).abs().max())
    print(f"  1,000 draws for each of 5 rows: every log weight is log p(x), within {spread:.0e}")


def unrolling(rows: int) -> dict[int, float]:
    """Share of the unexplained variance, for a flat and for a rolled sheet."""
    print("Unexplained variance by the dimension of the plane")
    rolled, _ = rolled_sheet(rows, noise=0.05, dimension=20)
    flat, _ = flat_sheet(rows, rank=2, noise=0.05, dimension=20)
    found = {}
    for d in (1, 2, 3):
        left = [1 - PCA(d).fit(x).explained_variance_ratio_.sum() for x in (flat, rolled)]
        found[d] = left[1]
        print(f"  {d}: flat sheet {left[0]:7.2%}, rolled sheet {left[1]:7.2%}")
    return found


def digits(figure: Figure) -> None:
    """Reconstruct real digits from 2, 8, 16 and 32 numbers."""
    train, test = load("digits").split(0.2, seed=0)
    x, x_test = (part.schema.decode(part.all().filled) for part in (train, test))
    shown = [x_test[:10]]
    print(f"Real digits: {len(x):,} pictures of 64 numbers, compressed to fewer")
    for d in (2, 8, 16, 32):
        pca = ProbabilisticPCA(latent_dim=d, data_options={"levels": 17}).fit(x)
        back = pca.reconstruct(x_test)
        left = ((back - x_test) ** 2).sum() / ((x_test - x.mean(0)) ** 2).sum()
        print(f"  {d:2} latent: {1 - left:5.1%} of the variance of unseen digits explained")
        shown.append(back[:10])
    axes = figure.subplots()
    show_sheet(axes, np.concatenate(shown), across=10)
    axes.set_title("Unseen digits, and through 2, 8, 16 and 32 numbers")


def main() -> None:
    rows = 500 if quick(__doc__) else 2_000
    found = spectrum(rows)
    weights(rows)
    left = unrolling(rows)
    figure = plt.figure(figsize=(9, 3.4))
    charts, pictures = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.1, 1))[0]
    first, second = charts.subplots(1, 2)
    first.plot(list(found), list(found.values()), "o-", color=BLUE)
    first.axvline(2, color=GREY, lw=1, ls="--")
    first.set(xlabel="latent dimensions", ylabel="held-out log p(x), nats", xticks=DIMENSIONS)
    first.set_title("Flat sheet of 2 in 10")
    second.bar(list(left), list(left.values()), color=ORANGE, width=0.6)
    second.set(xlabel="latent dimensions", ylabel="variance left", xticks=list(left))
    second.set_title("Rolled sheet of 2 in 20")
    digits(pictures)
    save(figure, "pca.png")


if __name__ == "__main__":
    main()
