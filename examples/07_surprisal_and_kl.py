"""Surprisal, entropy, cross-entropy, Kullback-Leibler divergence, and the evidence lower bound.

Training a variational autoencoder maximizes a lower bound on log p(x), which is the negative
surprisal of the data. The gap between the bound and log p(x) is a Kullback-Leibler divergence. The
two directions of that divergence behave very differently. This script computes every number of
docs/surprisal_and_kl.md.

- The surprisal of an event of probability p is -log p: a rare event has a high surprisal. With the
  natural logarithm its unit is the nat, with base 2 the bit; 1 bit = 0.693 nats.
- The entropy H(p) is the mean surprisal of draws from p.
- The cross-entropy H(p, q) is the mean surprisal under q of draws from p.
- KL(p || q) = H(p, q) - H(p) is the extra surprisal of q instead of p. It is never negative.

    python examples/07_surprisal_and_kl.py [--quick]
"""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from _figures import BLUE, GREEN, GREY, ORANGE, quick, save
from matplotlib.axes import Axes
from torch.distributions import Distribution, Normal

from lowerbound.distributions.divergence import closed_form_kl, monte_carlo_kl
from lowerbound.distributions.reparameterization import diagonal_normal, draw, seeded

NATS_PER_BIT = math.log(2)


def entropy(p: np.ndarray) -> float:
    """H(p) = -sum p log p, nats; outcomes of probability zero contribute nothing."""
    return float(-(p[p > 0] * np.log(p[p > 0])).sum())


def cross_entropy(p: np.ndarray, q: np.ndarray) -> float:
    """H(p, q) = -sum p log q, nats; infinite if q is zero where p is not."""
    with np.errstate(divide="ignore"):
        return float(-(p[p > 0] * np.log(q[p > 0])).sum())


def kl(p: np.ndarray, q: np.ndarray) -> float:
    """KL(p || q) in nats."""
    return cross_entropy(p, q) - entropy(p)


def exact_kl(q: Distribution, p: Distribution) -> float:
    """KL(q || p) of two distributions with a closed form, nats."""
    found = closed_form_kl(q, p)
    assert found is not None
    return float(found)


def surprisal() -> None:
    print("Surprisal -log p")
    for event, p in {
        "a coin shows heads": 1 / 2,
        "a die shows six": 1 / 6,
        "one in a thousand": 1 / 1000,
        "ten heads in a row": 2.0**-10,
    }.items():
        print(f"  {event:20} p = {p:.4f}  {-math.log(p):5.3f} nats = {-math.log2(p):6.3f} bits")


def codes() -> None:
    p, q = np.array([1 / 2, 1 / 4, 1 / 8, 1 / 8]), np.full(4, 1 / 4)
    print("Entropy and cross-entropy: p = (1/2, 1/4, 1/8, 1/8), q uniform")
    for name, value in {
        "H(p)": entropy(p),
        "H(p, q)": cross_entropy(p, q),
        "KL(p || q)": kl(p, q),
    }.items():
        print(f"  {name:10} = {value:.4f} nats = {value / NATS_PER_BIT:.4f} bits")


def asymmetry() -> None:
    print("The divergence is not symmetric")
    for p, q in [((0.9, 0.1), (0.5, 0.5)), ((0.5, 0.5), (1.0, 0.0))]:
        there, back = kl(np.array(p), np.array(q)), kl(np.array(q), np.array(p))
        print(f"  p = {p}, q = {q}: KL(p || q) = {there:.4f}, KL(q || p) = {back:.4f} nats")
    narrow, wide = (diagonal_normal(torch.zeros(1, 1, 1), torch.full((1, 1, 1), s)) for s in (1, 2))
    there, back = exact_kl(narrow, wide), exact_kl(wide, narrow)
    print(f"  KL(N(0, 1) || N(0, 4)) = {there:.4f}, KL(N(0, 4) || N(0, 1)) = {back:.4f} nats")


def shifted_gaussians(draws: int) -> None:
    print(f"KL(N(1, I_d) || N(0, I_d)) = d/2, and its Monte Carlo estimate from {draws:,} draws")
    for d in (1, 2, 10, 100):
        zeros = torch.zeros(1, 1, d, dtype=torch.float64)
        q, p = diagonal_normal(zeros + 1, zeros + 1), diagonal_normal(zeros, zeros + 1)
        with seeded(0):
            log_ratio = monte_carlo_kl(q, p, draw(q, draws))
        error = float(log_ratio.std()) / math.sqrt(draws)
        exact = exact_kl(q, p)
        print(f"  d = {d:3}: {exact:5.1f} nats; {float(log_ratio.mean()):6.3f} ± {error:.3f}")


class TwoHills:
    """p(x) = 0.6 N(-2, 0.7^2) + 0.4 N(2, 0.7^2) on a grid; sums replace integrals."""

    def __init__(self) -> None:
        self.x = torch.linspace(-12, 12, 4801, dtype=torch.float64)
        self.step = float(self.x[1] - self.x[0])
        hills = Normal(torch.tensor([-2.0, 2.0], dtype=torch.float64), 0.7)
        logits = torch.tensor([0.6, 0.4], dtype=torch.float64).log()
        self.log_p = torch.logsumexp(hills.log_prob(self.x[:, None]) + logits, 1)

    def covering(self) -> tuple[float, float]:
        """The Gaussian with the least KL(p || q): it has p's mean and variance."""
        p = self.log_p.exp() * self.step
        mean = float((p * self.x).sum())
        return mean, math.sqrt(float((p * (self.x - mean) ** 2).sum()))

    def seeking(self, start: float) -> tuple[float, float]:
        """A Gaussian with the locally least KL(q || p), by L-BFGS from a mode."""
        loc = torch.tensor(start, dtype=torch.float64, requires_grad=True)
        log_scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([loc, log_scale], max_iter=200, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            divergence = self.reverse(loc, log_scale.exp())
            divergence.backward()
            return divergence

        optimizer.step(loss)
        return float(loc.detach()), float(log_scale.detach().exp())

    def reverse(self, loc: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """KL(q || p)."""
        log_q = Normal(loc, scale).log_prob(self.x)
        return (log_q.exp() * (log_q - self.log_p)).sum() * self.step

    def forward(self, loc: float, scale: float) -> float:
        """KL(p || q)."""
        log_q = Normal(torch.tensor(loc, dtype=torch.float64), scale).log_prob(self.x)
        return float((self.log_p.exp() * (self.log_p - log_q)).sum() * self.step)


def directions(axes: Axes) -> None:
    hills = TwoHills()
    found = {"mass-covering": hills.covering(), "mode-seeking": hills.seeking(-2.0)}
    print("A Gaussian q for p = 0.6 N(-2, 0.49) + 0.4 N(2, 0.49)")
    axes.fill_between(hills.x, hills.log_p.exp(), color=GREY, alpha=0.35, lw=0, label="p")
    for (name, (loc, scale)), color in zip(found.items(), (BLUE, ORANGE), strict=True):
        forward = hills.forward(loc, scale)
        reverse = float(hills.reverse(*torch.tensor([loc, scale], dtype=torch.float64)))
        print(
            f"  {name:13} q = N({loc:5.2f}, {scale:.2f}^2): KL(p || q) = {forward:.3f}, "
            f"KL(q || p) = {reverse:.3f} nats"
        )
        q = Normal(torch.tensor(loc, dtype=torch.float64), scale)
        direction = "KL(p || q)" if name == "mass-covering" else "KL(q || p)"
        label = f"least {direction}:\n{name}"
        axes.plot(hills.x, q.log_prob(hills.x).exp(), color=color, lw=2, label=label)
    axes.set(xlim=(-5, 6), xlabel="x", ylabel="density", title="Two hills, one Gaussian")
    axes.legend(loc="upper right")


def evidence(axes: Axes) -> None:
    """log p(x) = ELBO + KL(q(z) || p(z | x)), each term computed independently.

    z ~ N(0, 1), x | z ~ N(z, 1/4), x = 1.5: so p(x) = N(0, 5/4), p(z | x) = N(1.2, 1/5).
    """
    x, noise = 1.5, 0.5
    log_evidence = float(Normal(0.0, math.sqrt(1 + noise**2)).log_prob(torch.tensor(x)))
    posterior = gaussian(x / (1 + noise**2), math.sqrt(noise**2 / (1 + noise**2)))
    print(f"log p(x) = {log_evidence:.4f} nats = ELBO + KL(q || posterior)")
    names, bounds = [], []
    for name, loc, scale in [
        ("the posterior", 1.2, math.sqrt(0.2)),
        ("too wide", 1.2, 0.8),
        ("too narrow", 1.2, 0.2),
        ("off the mark", 0.8, 0.45),
        ("the prior", 0.0, 1.0),
    ]:
        rate = exact_kl(gaussian(loc, scale), gaussian(0.0, 1.0))
        squares = (x - loc) ** 2 + scale**2
        distortion = 0.5 * squares / noise**2 + math.log(noise) + 0.5 * math.log(2 * math.pi)
        gap = exact_kl(gaussian(loc, scale), posterior)
        bound = -distortion - rate
        print(
            f"  q = {name:13} N({loc:.1f}, {scale:.2f}^2): ELBO = -{distortion:.4f} - {rate:.4f} = "
            f"{bound:.4f}, KL = {gap:.4f}, sum = {bound + gap:.4f}"
        )
        names.append(name)
        bounds.append(bound)
    places = np.arange(len(names))[::-1]
    gaps = log_evidence - np.array(bounds)
    axes.barh(places, gaps, left=bounds, color=ORANGE, height=0.6, label="KL(q || posterior)")
    axes.scatter(bounds, places, color=BLUE, zorder=3, label="ELBO")
    axes.axvline(log_evidence, color=GREEN, lw=2, label="log p(x)")
    axes.set_yticks(places, [f"q: {name}" for name in names])
    axes.set(xlim=(-7.2, -1.3), xlabel="nats", title="The bound falls short by a divergence")
    axes.legend(loc="upper left")


def gaussian(loc: float, scale: float) -> Distribution:
    """N(loc, scale^2) of one number, in the shape of a latent: (samples, batch, 1)."""
    return diagonal_normal(
        torch.full((1, 1, 1), loc, dtype=torch.float64),
        torch.full((1, 1, 1), scale, dtype=torch.float64),
    )


def main() -> None:
    draws = 2_000 if quick(__doc__) else 100_000
    surprisal()
    codes()
    asymmetry()
    shifted_gaussians(draws)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    directions(left)
    evidence(right)
    save(figure, "surprisal_and_kl.png")


if __name__ == "__main__":
    main()
