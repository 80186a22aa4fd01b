"""A discrete latent: its rate in bits is exact, and several codebooks refine each other.

Each digit becomes four codes. Each code is the index of a vector of a codebook. The posterior is
deterministic, so the bound has no entropy term, and its rate is the cost of the codes:

    log p(x) >= log p(x | c_z) - sum over codes of -log p(z)

The cost of a code is log K under a uniform prior, and less under a prior that learns the frequency
of each code. With several codebooks, each one quantizes the residual of those before it. Training
drops some of them at random, so one model works with few or many codebooks, at several rates.

    python examples/14_codes.py [--quick]
"""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import torch
from _figures import quick, save, show_sheet

from lowerbound.data import Dataset, load
from lowerbound.fitting import FitOptions, fit
from lowerbound.inference.codes import codebook_use
from lowerbound.inference.likelihood import score
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.inference.reconstruction import reconstruction_error
from lowerbound.models import VectorQuantizedVariationalAutoencoder
from lowerbound.models.options import ModelOptions
from lowerbound.trace import Mean
from lowerbound.training import TrainingOptions

CODES, QUANTIZERS, SHOWN = 64, 4, 20


def fitted(train: Dataset, epochs: int, **options: object) -> VectorQuantizedVariationalAutoencoder:
    """A model of four codes of 64."""
    chosen = ModelOptions("vq_vae", network="mlp", model_options={"codes": CODES, **options})
    training = TrainingOptions(epochs=epochs, seed=0)
    model = fit(train, FitOptions(chosen, training=training)).model
    assert isinstance(model, VectorQuantizedVariationalAutoencoder)
    return model


def evaluate(name: str, model: VectorQuantizedVariationalAutoencoder, test: Dataset) -> None:
    """Print the bound on unseen digits, its parts, and the use of the codebook."""
    summary = score(model, test).summary()
    (use,) = codebook_use(model, test)
    print(f"{name} prior: ELBO {summary.elbo} nats")
    print(f"  distortion {summary.distortion.mean:.2f}, rate {summary.rates[0].mean:.2f} nats")
    print(f"  {use.used:.0%} of {CODES} codes are used, perplexity {use.perplexity:.1f}")


def pictures_of(model: VectorQuantizedVariationalAutoencoder, rows: Dataset) -> torch.Tensor:
    """The decoder's mean at the codes of the rows."""
    with torch.no_grad():
        mean: torch.Tensor = model(rows.all().to(torch.float32), Mean()).likelihood.mean
    return mean[0]


def main() -> None:
    short = quick(__doc__)
    train, test = load("digits").split(0.2, seed=0)
    epochs = 10 if short else 200
    for prior in ("uniform", "marginal"):
        model = fitted(train, epochs, prior=prior)
        evaluate(prior, model, test)

    print(f"{QUANTIZERS} codebooks, by the number in use:")
    several = fitted(train, epochs, quantizer="residual", quantizers=QUANTIZERS, dropout=0.5)
    rows = test.subset(range(SHOWN))
    shown = {"digits": rows.all().filled}
    for several.depth in range(1, QUANTIZERS + 1):
        explained = reconstruction_error(several, test).explained
        bits = score(several, test).rates.sum(0).mean() / math.log(2)
        print(f"  {several.depth}: {bits:3.0f} bits a digit, {explained:.1%} of the variance kept")
        shown[f"{bits:.0f} bits"] = pictures_of(several, rows)
    shown["samples, marginal prior"] = sample_prior(model, SHOWN).mean

    figure, panels = plt.subplots(2, 3, figsize=(9, 4.6))
    for panel, (name, mean) in zip(panels.flat, shown.items(), strict=True):
        show_sheet(panel, train.schema.decode(mean, rounded=False), across=5, title=name)
    save(figure, "codes.png")


if __name__ == "__main__":
    main()
