"""The importance-weighted bound becomes tighter with K; its gradient may become noisier.

    L_K = E[ log 1/K sum_k w_k ],   w_k = p(x, z_k) / q(z_k | x),   z_k ~ q(z | x)

L_1 is the ELBO, L_K never decreases as K grows, and it tends to log p(x) (Burda et al. 2016). The
model here is linear and Gaussian, so log p(x) and the posterior have closed forms. The encoder is
deliberately wrong, so the example can measure every gap to the exact log p(x).

A tighter bound depends less on q. The signal-to-noise ratio of the encoder's plain gradient
therefore falls as K grows (Rainforth et al. 2018). The doubly reparameterized gradient, DReG,
avoids this (Tucker et al. 2018). Sticking the landing, STL, also has little noise, but is biased
for K > 1.

    python examples/08_importance_weighting.py [--quick]
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from _figures import BLUE, GREEN, GREY, ORANGE, quick, save
from torch import Tensor
from torch.distributions import MultivariateNormal

from lowerbound.data import Dataset, load
from lowerbound.distributions.reparameterization import seeded
from lowerbound.inference.likelihood import score
from lowerbound.likelihoods import Gaussian
from lowerbound.models import VariationalAutoencoder
from lowerbound.networks import Linear
from lowerbound.objectives import ImportanceWeighted
from lowerbound.objectives.importance_weighted import Gradient
from lowerbound.posteriors import GaussianPosterior
from lowerbound.priors import StandardNormal
from lowerbound.trace import Batch

FEATURES, LATENT, SIGMA = 6, 2, 0.7
LADDER = (1, 2, 5, 10, 20, 50, 100, 200)
COLORS: dict[Gradient, str] = {"plain": ORANGE, "stl": GREY, "dreg": BLUE}


class LinearGaussian:
    """z ~ N(0, I), x | z ~ N(W z, sigma^2 I): all its distributions have closed forms."""

    def __init__(self, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        shape = (FEATURES, LATENT)
        self.weight = torch.randn(shape, generator=generator, dtype=torch.float64)
        precision = self.weight.T @ self.weight + SIGMA**2 * torch.eye(LATENT, dtype=torch.float64)
        self.gain = torch.linalg.solve(precision, self.weight.T)  # posterior mean = gain @ x
        self.covariance = SIGMA**2 * torch.linalg.inv(precision)

    def rows(self, count: int, seed: int = 1) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(count, LATENT, generator=generator, dtype=torch.float64)
        noise = torch.randn(count, FEATURES, generator=generator, dtype=torch.float64)
        return z @ self.weight.T + SIGMA * noise

    def log_marginal(self, x: Tensor) -> Tensor:
        """log p(x) = log N(x; 0, W W^T + sigma^2 I)."""
        covariance = self.weight @ self.weight.T + SIGMA**2 * torch.eye(FEATURES).double()
        return MultivariateNormal(torch.zeros(FEATURES).double(), covariance).log_prob(x)

    def vae(self, widen: float = 1.3, shift: float = 0.2) -> VariationalAutoencoder:
        """The same model; its diagonal encoder is ``widen`` times too wide and off by ``shift``."""
        network = Linear()
        model = VariationalAutoencoder(
            encoder=network.encoder((FEATURES,), 2 * LATENT),
            posterior=GaussianPosterior(LATENT),
            prior=StandardNormal(LATENT),
            decoder=network.decoder(LATENT, (FEATURES,)),
            likelihood=Gaussian((FEATURES,), scale="fixed", tau=SIGMA),
        ).double()
        encoder: Any = model.encoder
        decoder: Any = model.decoder
        log_variance = torch.log(widen**2 * torch.diagonal(self.covariance))
        raw = 14 * torch.atanh(log_variance / 14)  # the Gaussian posterior bounds it smoothly
        with torch.no_grad():
            for parameter in [*encoder.parameters(), *decoder.parameters()]:
                parameter.zero_()
            encoder.layers[0].weight[:LATENT] = self.gain
            encoder.layers[0].bias[:] = torch.cat([torch.full((LATENT,), shift), raw])
            decoder.layers[0].weight[:] = self.weight
        return model


def gaps(truth: LinearGaussian, rows: int) -> dict[int, tuple[float, float]]:
    """log p(x) - L_K, mean over rows and its standard error, for each K."""
    x = truth.rows(rows)
    exact = truth.log_marginal(x)
    dataset: Dataset = load(x, standardize=False)
    found = {}
    for count in LADDER:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # small K has few effective samples
            scores = score(truth.vae(), dataset, samples=count)
        gap = exact - scores.bound
        found[count] = (float(gap.mean()), float(gap.std()) / math.sqrt(rows))
        print(
            f"  K = {count:4}: L_K = {float(scores.bound.mean()):.4f}, gap "
            f"{found[count][0]:.4f} ± {found[count][1]:.4f} nats, median effective sample size "
            f"{float(scores.effective_sample_size.median()):.1f}"
        )
    return found


def gradients(truth: LinearGaussian, gradient: Gradient, count: int, repeats: int) -> np.ndarray:
    """Repeated gradients of the loss by the encoder's output for one row, (repeats, 2 * LATENT).

    The row fills a whole batch. The rows of a batch draw independently, so one backward is enough.
    """
    model = truth.vae()
    answers = []
    hook = model.encoder.register_forward_hook(
        lambda module, inputs, output: answers.append(output)
    )
    batch = Batch(x=truth.rows(1).expand(repeats, FEATURES))
    with seeded(0):
        loss = ImportanceWeighted(samples=count, gradient=gradient)(model, batch).loss
    hook.remove()
    (found,) = torch.autograd.grad(loss * repeats, answers)
    return found.numpy()


def signal_to_noise(sampled: np.ndarray) -> float:
    """|mean| / standard deviation, averaged over the encoder's outputs."""
    return float((np.abs(sampled.mean(0)) / sampled.std(0)).mean())


def estimators(
    truth: LinearGaussian, counts: tuple[int, ...], repeats: int
) -> dict[Gradient, list[float]]:
    ratios: dict[Gradient, list[float]] = {name: [] for name in COLORS}
    for count in counts:
        plain = gradients(truth, "plain", count, repeats)
        line = f"  K = {count:3}:"
        for name in COLORS:
            sampled = plain if name == "plain" else gradients(truth, name, count, repeats)
            ratios[name].append(signal_to_noise(sampled))
            noise = sampled.std(0).mean() / plain.std(0).mean()
            error = np.sqrt((sampled.var(0) + plain.var(0)) / repeats)
            z = np.abs((sampled.mean(0) - plain.mean(0)) / error).max()
            line += f" {name} {ratios[name][-1]:5.2f}"
            line += f" (noise x {noise:.2g}, off by {z:.1f} SE)" if name != "plain" else ";"
        print(line)
    return ratios


def main() -> None:
    short = quick(__doc__)
    truth = LinearGaussian()
    print("The bound on a model whose log p(x) is known")
    exact = truth.log_marginal(truth.rows(300 if short else 5_000))
    print(f"  log p(x) = {float(exact.mean()):.4f} nats, mean over {len(exact):,} rows")
    found = gaps(truth, len(exact))
    print("Signal-to-noise ratio of the encoder's gradient, by estimator")
    counts = (1, 4, 16) if short else (1, 2, 4, 8, 16, 32, 64)
    ratios = estimators(truth, counts, 2_000 if short else 20_000)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    means, errors = zip(*found.values(), strict=True)
    left.errorbar(list(found), means, errors, fmt="o-", color=GREEN, ms=4)
    left.set(xscale="log", yscale="log", xlabel="K", ylabel="nats")
    left.set_title("log p(x) - L_K: the bound tightens")
    for name, color in COLORS.items():
        label = "stl (biased for K > 1)" if name == "stl" else name
        right.plot(counts, ratios[name], "o-", color=color, ms=4, label=label)
    right.set(xscale="log", yscale="log", xlabel="K", ylabel="|mean| / standard deviation")
    right.set_title("The encoder's gradient: signal to noise")
    right.legend()
    save(figure, "importance_weighting.png")


if __name__ == "__main__":
    main()
