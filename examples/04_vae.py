"""The variational autoencoder: a distribution of codes for each row, matched to a prior.

The encoder returns a distribution q(z | x) = N(mu(x), diag sigma^2(x)) instead of a point. Training
maximizes the evidence lower bound

    ELBO = E_q[log p(x | z)] - KL(q(z | x) || p(z)) = - distortion - rate  <=  log p(x)

A low distortion requires that every z from q(z | x) decodes to x, so the posteriors of different
rows keep apart. A low rate requires that each posterior is similar to the prior, so the posteriors
move together and leave no gaps. The example has three parts:

1. Reparameterization: the gradient of an expectation over z ~ q by the parameters of q. With
   z = mu + sigma * eps it passes through the draw and has much less noise than the score function.
2. The bound, by both estimators of Kingma & Welling (2014): with the KL in closed form (their
   equation 7) and without (equation 6). Both have the same mean. Which one has less variance
   depends on how near q is to the posterior; at the posterior equation 6 has no variance.
3. Prior matching: is the aggregate posterior, q(z) = mean over rows of q(z | x), similar to p(z)?
   If not, the prior draws codes that no row has. A learned prior, here the VampPrior, is more
   similar, and its samples are better digits.

    python examples/04_vae.py [--quick]
"""

from __future__ import annotations

import warnings
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from _figures import BLUE, GREY, ORANGE, quick, save, show_sheet

from lowerbound import VAE
from lowerbound.data import Dataset, load
from lowerbound.distributions.reparameterization import seeded
from lowerbound.evaluation.aggregate import prior_agreement, units
from lowerbound.evaluation.samples.acceptance import RealismClassifier, fit_realism_classifier
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.likelihood import score
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.objectives import ELBO

LATENT = 8


def reparameterization(draws: int) -> None:
    """The gradient by mu of E[z^2], z ~ N(mu, sigma^2), which is 2 mu, in two ways."""
    mu, sigma = 1.5, 0.5
    eps = torch.randn(draws, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = mu + sigma * eps
    through_the_draw = 2 * z  # d z^2 / d mu with z = mu + sigma eps
    score_function = z**2 * (z - mu) / sigma**2  # z^2 times d log q(z) / d mu
    print(f"Gradient of E[z^2] by mu, exactly {2 * mu}, from {draws:,} draws")
    for name, found in [
        ("reparameterized", through_the_draw),
        ("score function", score_function),
    ]:
        print(f"  {name:15}: mean {found.mean():.3f}, standard deviation {found.std():.2f} a draw")


def parts_of_the_bound(vae: VAE, test: Dataset, repeats: int) -> None:
    """Both estimators of the ELBO on the same unseen rows: one mean, two spreads."""
    batch = test.batch(torch.arange(100))
    print("The ELBO of 100 unseen digits, one draw of z for each, repeated")
    for name, analytic in [("closed-form KL (7)", True), ("log-ratio at z (6)", False)]:
        objective = ELBO(samples=1, analytic=analytic)
        with seeded(0), torch.no_grad():
            values = torch.stack([objective(vae.model_, batch).value for _ in range(repeats)])
        spread = float(values.std(0).mean())
        error = float(values.mean(1).std()) / repeats**0.5
        mean = float(values.mean())
        print(f"  {name}: {mean:7.2f} ± {error:.2f} nats, a row varies by {spread:.2f}")


def evaluate(vae: VAE, train: Dataset, test: Dataset, judge: RealismClassifier) -> dict[str, Any]:
    """Print the bound on unseen digits, and how well prior and posteriors agree."""
    summary = score(vae.model_, test, samples=100).summary()
    agreement = prior_agreement(vae.model_, train)
    samples = sample_prior(vae.model_, 1000)
    verdict = judge.accept(samples.mean)
    print(f"A VAE with prior {vae.prior}")
    print(f"  unseen digits: ELBO {summary.elbo} = -{summary.distortion} - {summary.rates[0]} nats")
    print(f"  L_100 {summary.bound} nats = {summary.bits_per_dimension} bits per pixel")
    print(f"  {units(vae.model_, test).count} of {LATENT} latent units are active")
    low, high = max(agreement.kl_low.mean, 0.0), agreement.kl_high.mean
    print(f"  KL(q(z) || p(z)) between {low:.2f} and {high:.2f} nats", end="")
    print(f", {agreement.hole_rate:.1%} of prior draws fall into holes (1 % is none)")
    print(f"  {verdict.rate.mean:.1%} of prior samples accepted", end="")
    print(f", rarest digit {verdict.least_share:.1%} of those")
    return {"pictures": train.schema.decode(samples.mean[:40], rounded=False), "z": samples.z}


def clouds(vae: VAE, train: Dataset) -> np.ndarray:
    """A draw from each training row's posterior, (rows, latent_dim): a sample of q(z)."""
    codes = encode_rows(vae.model_, train)
    eps = torch.randn(codes.mean.shape, generator=torch.Generator().manual_seed(0)).double()
    return (codes.mean + codes.deviation * eps).numpy()


def draw(fitted: dict[str, VAE], shown: dict[str, dict[str, Any]], train: Dataset) -> None:
    figure = plt.figure(figsize=(9, 5.2))
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.2, 1))[:, 0]
    history, *matching = above.subplots(1, 3)
    records = list(fitted["standard_normal"].history_)
    epochs = [record.epoch for record in records]
    history.plot(epochs, [-record.bound for record in records], color=GREY, label="-ELBO")
    history.plot(epochs, [r.distortion for r in records], color=ORANGE, label="distortion")
    history.plot(epochs, [sum(r.rates) for r in records], color=BLUE, label="rate")
    history.set(xlabel="epoch", ylabel="nats", ylim=(0, 160), title="The bound in training")
    history.legend()
    for axes, (name, vae) in zip(matching, fitted.items(), strict=True):
        posterior, prior = clouds(vae, train), shown[name]["z"].numpy()
        plane = np.linalg.svd(posterior - posterior.mean(0))[2][:2].T  # where q(z) varies most
        for z, color, label in [(posterior, BLUE, "all clouds, q(z)"), (prior, ORANGE, "p(z)")]:
            axes.scatter(*(z[:1000] @ plane).T, s=3, lw=0, color=color, alpha=0.7, label=label)
        axes.set(xticks=[], yticks=[], title=f"prior: {name}")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, markerscale=4)
    for panel, (name, found) in zip(below.subplots(1, 2), shown.items(), strict=True):
        show_sheet(panel, found["pictures"], across=10, title=f"samples, prior: {name}")
    save(figure, "vae.png")


def main() -> None:
    warnings.simplefilter("ignore", UserWarning)
    short = quick(__doc__)
    reparameterization(1_000 if short else 100_000)
    train, test = load("digits").split(0.2, seed=0)
    x = train.schema.decode(train.all().filled)
    judge = fit_realism_classifier(train, test)
    assert isinstance(judge, RealismClassifier)
    fitted: dict[str, VAE] = {}
    for prior in ("standard_normal", "vamp"):
        fitted[prior] = VAE(
            latent_dim=LATENT,
            prior=prior,
            epochs=20 if short else 300,
            data_options={"levels": 17},
            random_state=0,
        ).fit(x)
    parts_of_the_bound(fitted["standard_normal"], test, 20 if short else 200)
    shown = {name: evaluate(vae, train, test, judge) for name, vae in fitted.items()}
    draw(fitted, shown, train)


if __name__ == "__main__":
    main()
