"""Latents in several levels: the Markov chain of the textbook, and the ladder of current practice.

The chain draws z_T from the prior, each lower level from the one above, and x from z_1 alone. Its
encoder runs in the opposite direction:

    p(x | z_1) p(z_1 | z_2) ... p(z_T)        q(z_1 | x) q(z_2 | z_1) ... q(z_T | z_{T-1})

    log p(x) >= E_q[log p(x | z_1)] - sum over levels of the rate of that level

The bound of every hierarchy has this form: one distortion, and a rate for each level. A chain often
stops using its upper levels, because z_1 alone can encode x and every upper level acts through z_1.
In a ladder the encoder reads the data first. Prior and posterior then share one path from the
coarsest level down, so each level adds information to the levels above it.

    python examples/11_hierarchy.py [--quick]
"""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import torch
from _figures import quick, save, show_sheet

from lowerbound.data import Dataset, load
from lowerbound.distributions.reparameterization import seeded
from lowerbound.evaluation.samples.acceptance import RealismClassifier, fit_realism_classifier
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.inference.likelihood import score
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.models import Imagines
from lowerbound.models.options import ModelOptions
from lowerbound.trace import Batch, Continue, Draw, Mean
from lowerbound.training import TrainingOptions

LATENT, LEVELS = 16, 3


def fitted_models(train: Dataset, epochs: int) -> dict[str, Fitted]:
    """A model with one latent, a chain and a ladder of three levels, with the same training."""
    training = TrainingOptions(epochs=epochs, learning_rate=2e-3, seed=0)
    kinds = {"vae": {}, "hierarchical": {"levels": LEVELS}, "ladder": {"levels": LEVELS}}
    return {
        kind: fit(
            train,
            FitOptions(
                ModelOptions(kind, LATENT, network="mlp", model_options=options), training=training
            ),
        )
        for kind, options in kinds.items()
    }


def evaluate(kind: str, fitted: Fitted, test: Dataset, judge: RealismClassifier) -> torch.Tensor:
    """Print the bound on unseen digits, each level's rate and the accepted share of samples."""
    summary = score(fitted.model, test, samples=100).summary()
    samples = sample_prior(fitted.model, 1000)
    rates = ", ".join(f"{rate.mean:.2f}" for rate in summary.rates)
    print(f"{kind}: ELBO {summary.elbo}, L_100 {summary.bound} nats")
    print(f"  distortion {summary.distortion.mean:.2f}, rates from the top down: {rates} nats")
    print(f"  {judge.accept(samples.mean).rate.mean:.1%} of prior samples accepted")
    return samples.mean[:40]


def redrawn(fitted: Fitted, columns: int) -> list[torch.Tensor]:
    """Prior samples that share the latents of the upper levels: none, one or two of them."""
    model = fitted.model
    assert isinstance(model, Imagines)
    with seeded(3), torch.no_grad():
        first = model.imagine(Batch(), Draw(1)).steps
        sheets = []
        for kept in range(len(first)):
            above = [step.z.expand(columns, *step.z.shape[1:]) for step in first[:kept]]
            trace = model.imagine(Batch(), Continue(above, Draw(columns)))
            sheets.append(trace.likelihood.mean[:, 0])
        all_kept = Continue([step.z for step in first], Mean())
        sheets.append(model.imagine(Batch(), all_kept).likelihood.mean[:, 0])
    return sheets


def draw(shown: dict[str, torch.Tensor], ladder: Fitted, train: Dataset) -> None:
    figure = plt.figure(figsize=(9, 4.6))
    above, below = figure.subfigures(2, 1, squeeze=False)[:, 0]
    for panel, (kind, mean) in zip(above.subplots(1, len(shown)), shown.items(), strict=True):
        pictures = train.schema.decode(mean, rounded=False)
        show_sheet(panel, pictures, across=10, title=f"samples: {kind}")
    sheets = redrawn(ladder, 20)
    names = ["everything redrawn", "level 0 kept", "levels 0 and 1 kept"]
    for panel, sheet, name in zip(below.subplots(1, 3), sheets, names, strict=False):
        pictures = train.schema.decode(sheet, rounded=False)
        show_sheet(panel, pictures, across=5, title=f"ladder, {name}")
    save(figure, "hierarchy.png")


def main() -> None:
    warnings.simplefilter("ignore", UserWarning)
    short = quick(__doc__)
    train, test = load("digits").split(0.2, seed=0)
    judge = fit_realism_classifier(train, test)
    assert isinstance(judge, RealismClassifier)
    models = fitted_models(train, 15 if short else 300)
    shown = {kind: evaluate(kind, one, test, judge) for kind, one in models.items()}
    draw(shown, models["ladder"], train)


if __name__ == "__main__":
    main()
