"""The latent space of PCA, an autoencoder and a VAE, with two latent numbers per digit.

Two latent numbers are few for digits, but they can be plotted. Each dot is a digit that the models
were not trained on. Its color is its class, which the models do not use.

- PCA: the plane of largest variance. The classes overlap.
- Autoencoder: the classes are apart, on an arbitrary scale and with gaps. A code in a gap decodes
  to an arbitrary picture.
- VAE: each row has a posterior (the ellipses are one standard deviation of q(z | x)). Posteriors of
  different digits keep apart, and the rate pulls all of them toward N(0, I), so similar digits
  become neighbors. A grid over the quantiles of the prior shows the decoded manifold.

The example also prints numbers: the KL from the aggregate posterior to the prior, the share of
prior draws that fall into holes, and the share of a row's neighbors that have its class. With so
few rows a VAE has holes too. An autoencoder has neither prior nor posterior. Its codes are whitened
and smoothed toward N(0, I) first, so its share of holes is too optimistic.

    python examples/05_latent_space.py [--quick]
"""

from __future__ import annotations

import warnings
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from _figures import quick, save, show_sheet
from matplotlib import colormaps
from matplotlib.axes import Axes

from lowerbound import VAE, Autoencoder, ProbabilisticPCA
from lowerbound.data import Dataset, load
from lowerbound.evaluation.aggregate import prior_agreement
from lowerbound.evaluation.latent_features import FeatureQuality, feature_quality
from lowerbound.inference.codes import EncodedRows, encode_rows
from lowerbound.inference.decoding import decode_codes
from lowerbound.models import Model

SIDE = 13


def measure(name: str, model: Model, train: Dataset, test: Dataset) -> EncodedRows:
    """Print the quality of the latent space; return the codes of unseen rows."""
    agreement = prior_agreement(model, train)
    codes = encode_rows(model, test)
    quality = feature_quality(codes.mean, test.label)
    assert isinstance(quality, FeatureQuality)
    low, high = max(agreement.kl_low.mean, 0.0), agreement.kl_high.mean
    print(
        f"  {name:11}: KL(q(z) || p(z)) {low:5.2f} to {high:5.2f} nats, {agreement.hole_rate:5.1%} "
        f"of prior draws in holes; 10 neighbors of one class {quality.purity:.1%}, "
        f"linear probe {quality.probe.mean:.1%}"
    )
    return codes


def scatter(axes: Axes, name: str, codes: EncodedRows, label: np.ndarray) -> None:
    from matplotlib.patches import Ellipse

    colors = colormaps["tab10"](label)
    z, deviation = codes.mean.numpy(), codes.deviation.numpy()
    axes.scatter(z[:, 0], z[:, 1], c=colors, s=6, lw=0)
    for i in range(0, len(z), 6):
        if deviation[i].any():
            size = 2 * deviation[i]
            axes.add_patch(Ellipse(z[i], *size, fc="none", ec=colors[i], lw=0.7))
    for digit in range(10):
        x, y = np.median(z[label == digit], 0)
        axes.text(x, y, str(digit), weight="bold", ha="center")
    axes.set(title=name, xlabel="z1", ylabel="z2")
    axes.set_aspect("equal", "datalim")


def manifold(model: Model, train: Dataset) -> np.ndarray:
    """The decoder's mean at the prior's quantiles, from the top left to the bottom right."""
    quantiles = torch.special.ndtri((torch.arange(SIDE, dtype=torch.float64) + 0.5) / SIDE)
    z2, z1 = torch.meshgrid(-quantiles, quantiles, indexing="ij")
    z = torch.stack([z1.flatten(), z2.flatten()], 1)
    return train.schema.decode(decode_codes(model, z).mean, rounded=False)


def main() -> None:
    warnings.simplefilter("ignore", UserWarning)
    epochs = 40 if quick(__doc__) else 400
    train, test = load("digits").split(0.2, seed=0)
    assert test.label is not None
    x = train.schema.decode(train.all().filled)
    options: dict[str, Any] = {"data_options": {"levels": 17}, "random_state": 0}
    models = {
        "PCA": ProbabilisticPCA(latent_dim=2, **options).fit(x).model_,
        "autoencoder": Autoencoder(latent_dim=2, epochs=epochs, **options).fit(x).model_,
        "VAE": VAE(latent_dim=2, epochs=epochs, **options).fit(x).model_,
    }
    print("Two latent numbers per digit")
    figure, panels = plt.subplots(2, 2, figsize=(9, 8.4))
    for axes, (name, model) in zip(panels.flat[:3], models.items(), strict=True):
        scatter(axes, name, measure(name, model, train, test), test.label.numpy())
    show_sheet(panels[1, 1], manifold(models["VAE"], train), SIDE, "VAE: the decoded manifold")
    save(figure, "latent_space.png")


if __name__ == "__main__":
    main()
