"""What share of the bare matrix-multiply rate training reaches, as width and batch grow.

The network is 784-width-16-width-784. The rate of ``torch.mm`` on 2048 x 2048 matrices is measured
again before every cell, so a share is of the machine as it was then. Float32 and bf16 with
compilation are each held against the multiply rate of their own precision.
"""

from __future__ import annotations

import statistics
import time

import torch
from _arms import Clock, Flat, options, pictures
from _record import Metric, arguments, write
from torch import nn

from lowerbound.data import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.likelihoods import Bernoulli
from lowerbound.models import VariationalAutoencoder
from lowerbound.objectives import ELBO
from lowerbound.posteriors import GaussianPosterior
from lowerbound.priors import StandardNormal
from lowerbound.training import train

LATENT, SIZE = 16, 2048
CPU = torch.device("cpu")
WIDTHS, BATCHES = (128, 512, 2048), (16, 100, 512, 2048)


def matrix_rate(dtype: torch.dtype, device: torch.device = CPU, size: int = SIZE) -> float:
    """Operations per second of one matrix product, the best of five."""
    a, b = (torch.rand(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        torch.mm(a, b)[0, 0].item()  # waits until the device is idle
        start = time.perf_counter()
        torch.mm(a, b)[0, 0].item()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def operations(width: int) -> int:
    """Multiplications and additions of one row's update: 2 forward, 4 backward per weight, without
    the gradient of the data."""
    weights = 2 * 784 * width + 3 * LATENT * width
    return 6 * weights - 2 * 784 * width


def model(width: int) -> VariationalAutoencoder:
    encoder = Flat(nn.Flatten(), nn.Linear(784, width), nn.ReLU(), nn.Linear(width, 2 * LATENT))
    pixels = nn.Unflatten(1, (1, 28, 28))
    decoder = Flat(nn.Linear(LATENT, width), nn.ReLU(), nn.Linear(width, 784), pixels)
    likelihood = Bernoulli((1, 28, 28))
    return VariationalAutoencoder(
        encoder, GaussianPosterior(LATENT), StandardNormal(LATENT), decoder, likelihood
    )


def share(data: Dataset, width: int, batch: int, setting: str, seconds: float) -> float:
    """Share of the multiply rate, in percent."""
    dtype = torch.bfloat16 if setting.startswith("bf16") else torch.float32
    rate = matrix_rate(dtype)
    per_update = operations(width) * batch
    # a tenth of the multiply rate is what the smallest cell reaches: enough updates for a clock
    updates = max(20, round(seconds * rate / per_update / 2))
    updates = min(updates, 4000)
    with seeded(0):
        network = model(width)
    clock = Clock()
    chosen = options(batch, setting, 0, updates=updates)
    train(network, ELBO(), data, chosen, reporter=clock)
    return 100 * per_update / clock.seconds(1) / rate


def main() -> None:
    chosen = arguments(__doc__ or "").parse_args()
    start = time.perf_counter()
    data = pictures()
    widths, batches = ((512,), (512,)) if chosen.quick else (WIDTHS, BATCHES)
    size = 256 if chosen.quick else SIZE  # bf16 without products in hardware takes minutes
    metrics = [
        Metric(
            f"bare multiply rate, {name}", matrix_rate(dtype, size=size) / 1e9, "GFLOP/s", "higher"
        )
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
    ]
    for setting in ("fp32",) if chosen.quick else ("fp32", "bf16 + compile"):
        for width in widths:
            for batch in batches:
                torch._dynamo.reset()
                rounds = 1 if chosen.quick else 3
                shares = [share(data, width, batch, setting, 2.0) for _ in range(rounds)]
                spread = (max(shares) - min(shares)) / 2
                name = f"{setting}, width {width}, batch {batch}"
                value = statistics.median(shares)
                metrics.append(Metric(name, value, "% of the multiply rate", "higher", spread))
                print(f"{name}: {value:.1f} %", flush=True)
    write(
        "matrix_rate",
        metrics,
        data=[{"file": "mnist.npz", "split": "train", "sha256": data.bits_sha256}],
        seeds=[0],
        minutes=(time.perf_counter() - start) / 60,
        notes="Median of three; the spread is half their range.",
        quick=chosen.quick,
    )


if __name__ == "__main__":
    main()
