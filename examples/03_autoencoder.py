"""The autoencoder: a curved surface instead of a plane, and codes without a known distribution.

An encoder f maps each row to a code z = f(x), and a decoder g maps it back, x' = g(z). Both are
trained to make x' similar to x. The surface may be curved: two numbers are enough for the rolled
sheet of 01_data_manifold.py, and PCA needs three.

But the objective does not determine where the codes lie. Their scale is arbitrary, and they form
clusters with gaps between them. There is no p(z), so there is no principled way to draw a new row,
and `sample` raises an error. The example shows three common workarounds:

- draw z ~ N(0, I), which is unrelated to the codes;
- draw from the Gaussian that has the mean and the covariance of the codes;
- fit a mixture of Gaussians to the codes, as a second model.

A classifier of real digits evaluates the samples. It accepts a picture if it is as confident in it
as in 95 % of the real ones. This test is lenient, because classifiers can be confident about
nonsense: look at the pictures too.

    python examples/03_autoencoder.py [--quick]
"""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from _figures import BLUE, ORANGE, quick, save, show_sheet
from sklearn.decomposition import PCA

from lowerbound import Autoencoder
from lowerbound.data import load, rolled_sheet
from lowerbound.errors import UnsupportedError
from lowerbound.evaluation.samples.acceptance import RealismClassifier, fit_realism_classifier
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.decoding import decode_codes, sample_mixture, sample_white_codes


def sheet(rows: int, epochs: int) -> dict[str, list[float]]:
    """Variance of a rolled sheet left unexplained through 1, 2 and 3 numbers."""
    x, _ = rolled_sheet(2 * rows, noise=0.05, dimension=20)
    x, x_new = x[:rows], x[rows:]
    spread = ((x_new - x.mean(0)) ** 2).sum()
    print("A rolled sheet in 20 dimensions: variance of new rows left unexplained")
    left: dict[str, list[float]] = {"PCA": [], "autoencoder": []}
    for d in (1, 2, 3):
        plane = PCA(d).fit(x)
        model = Autoencoder(latent_dim=d, epochs=epochs, random_state=0).fit(x)
        answers = {
            "PCA": plane.inverse_transform(plane.transform(x_new)),
            "autoencoder": model.reconstruct(x_new),
        }
        for name, back in answers.items():
            left[name].append(float(((back - x_new) ** 2).sum() / spread))
        print(f"  {d}: PCA {left['PCA'][-1]:7.2%}, autoencoder {left['autoencoder'][-1]:7.2%}")
    return left


def digits(epochs: int) -> dict[str, np.ndarray]:
    """Pictures drawn from an autoencoder of real digits, for each workaround."""
    train, test = load("digits").split(0.2, seed=0)
    x, x_test = (part.schema.decode(part.all().filled) for part in (train, test))
    options = {"levels": 17}
    model = Autoencoder(latent_dim=8, epochs=epochs, random_state=0, data_options=options).fit(x)
    left = ((model.reconstruct(x_test) - x_test) ** 2).sum() / ((x_test - x.mean(0)) ** 2).sum()
    print(f"Real digits through 8 numbers: {1 - left:.1%} of the variance of unseen ones explained")
    codes = encode_rows(model.model_, train).mean
    scales = codes.std(0)
    print(f"  the codes spread by {scales.min():.1f} to {scales.max():.1f} per direction")
    try:
        model.sample(10)
    except UnsupportedError as error:
        print(f"  sample() raises: {error}")
    generator = torch.Generator().manual_seed(0)
    standard = torch.randn(1000, 8, generator=generator, dtype=torch.float64)
    drawn = {
        "N(0, I)": decode_codes(model.model_, standard).mean,
        "their Gaussian": sample_white_codes(model.model_, codes, 1000).mean,
        "a fitted mixture": sample_mixture(model.model_, codes, 1000).mean,
    }
    judge = fit_realism_classifier(train, test)
    assert isinstance(judge, RealismClassifier)
    print(
        f"  the classifier is right about {judge.accuracy:.1%} of unseen digits "
        "and accepts 95 % of them"
    )
    for name, pictures in drawn.items():
        verdict = judge.accept(pictures)
        print(
            f"  codes from {name:16}: {verdict.rate.mean:5.1%} accepted, "
            f"rarest digit {verdict.least_share:.1%} of those"
        )
    decoded = {f"codes from {n}": train.schema.decode(p, rounded=False) for n, p in drawn.items()}
    return {"reconstructed": model.reconstruct(x_test), **decoded}


def main() -> None:
    warnings.simplefilter("ignore", UserWarning)
    short = quick(__doc__)
    left = sheet(*((1_000, 60) if short else (4_000, 400)))
    shown = digits(60 if short else 300)
    figure = plt.figure(figsize=(9, 3.7))
    chart, pictures = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 2))[0]
    axes = chart.subplots()
    for i, (name, color) in enumerate([("PCA", ORANGE), ("autoencoder", BLUE)]):
        places = np.arange(1, 4) + 0.35 * (i - 0.5)
        axes.bar(places, left[name], width=0.33, color=color, label=name)
    axes.set(xlabel="latent dimensions", ylabel="variance left", xticks=(1, 2, 3))
    axes.set_title("A rolled sheet of 2 in 20")
    axes.legend()
    for panel, (name, rows) in zip(pictures.subplots(2, 2).flat, shown.items(), strict=True):
        show_sheet(panel, rows[:40], across=10, title=name)
    save(figure, "autoencoder.png")


if __name__ == "__main__":
    main()
