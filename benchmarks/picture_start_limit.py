"""What a component must hold for a long run of pictures to start with it, chosen on training rows.

A run of at least 2,000 updates starts with those principal components that hold ``LEAST_NATS`` or
more in the linear model (``lowerbound/models/vae.py``). Here 2,400 updates of the default network
start with several such limits on 80 % of the training rows, and are scored on 1,000 of the others;
no test row is read. ``picture_starts.py`` then compares the chosen start with others on test rows.

    python benchmarks/picture_start_limit.py --list
    python benchmarks/picture_start_limit.py --set mnist    one set
    python benchmarks/picture_start_limit.py                all missing cells, then the result
"""

from __future__ import annotations

import math
from functools import cache
from unittest import mock

import numpy as np
import torch
from _cells import Answer, spent_minutes
from _record import Metric, arguments, part_of, write
from _rivals import paired

from lowerbound.data import Dataset, load
from lowerbound.fitting import FitOptions, fit
from lowerbound.inference.likelihood import data_sha256, score
from lowerbound.models import vae
from lowerbound.training import TrainingOptions

NAME = "picture_start_limit"
SETS = {"mnist": "MNIST, 28x28", "fashion_mnist": "Fashion-MNIST, 28x28"}
LIMITS = (0.0, 1.0, 2.0, 4.0, 8.0)  # nats
UPDATES = 2_400
SCORED_ROWS = 1_000
SEED = 99  # of the split of the training rows


@cache
def rows(name: str) -> tuple[Dataset, Dataset]:
    """Training rows to fit, and others of them to score."""
    training, others = load(name, split="train").split(0.2, seed=SEED)
    return training, others.thinned(SCORED_ROWS)


def measured(name: str, limit: float, updates: int) -> Answer:
    """Bits per dimension of each scored picture, by the ELBO."""
    training = TrainingOptions(updates=updates, threads=1, patience=0)
    with mock.patch.object(vae, "LEAST_NATS", limit):
        found = fit(rows(name)[0], FitOptions(training=training))
    nats = score(found.model, rows(name)[1], samples=4, seed=0).elbo.double()
    dimension = rows(name)[0].schema.dimension
    return {"bits": [round(float(value), 4) for value in -nats / (dimension * math.log(2))]}


def bits(name: str, limit: float) -> list[float]:
    """The bits of a cell, which is measured if it is missing."""
    made = part_of(NAME, name, f"{limit:g} nats", lambda: measured(name, limit, UPDATES))
    return list(made["bits"])


def metric(name: str) -> Metric:
    """The limit of the package beside the others."""
    ours = bits(name, vae.LEAST_NATS)
    rivals = [
        paired(
            f"{limit:g} nats" if limit else "all components",
            "the same network and training with another limit",
            ours,
            bits(name, limit),
            "lower",
            "picture",
        )
        for limit in LIMITS
        if limit != vae.LEAST_NATS
    ]
    error = float(np.std(ours, ddof=1)) / math.sqrt(len(ours))
    title = f"{SETS[name]}: bits per dimension with {vae.LEAST_NATS:g} nats"
    return Metric(title, float(np.mean(ours)), "bits", "lower", error, rivals=rivals)


def choice() -> Metric:
    """The limit with the lowest mean over both sets."""
    means = {
        limit: float(np.mean([np.mean(bits(name, limit)) for name in SETS])) for limit in LIMITS
    }
    beside = {f"{limit:g} nats": value for limit, value in means.items()}
    best = min(means, key=means.__getitem__)
    return Metric("limit with the lowest mean of both sets", best, "nats", "lower", beside=beside)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--list", action="store_true", help="print the sets")
    parser.add_argument("--set", choices=SETS, help="train and score one set, without the result")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.quick:
        print(f"quick, not quoted: {np.mean(measured('mnist', 2.0, 3)['bits']):.3f} bits")
    elif chosen.list:
        print("\n".join(SETS))
    elif chosen.set:
        metric(chosen.set)
    else:
        write(
            NAME,
            [*map(metric, SETS), choice()],
            data=[
                {"file": name, "split": "20 % of train", "sha256": data_sha256(rows(name)[1])}
                for name in SETS
            ],
            seeds=[0],
            minutes=spent_minutes(NAME),
            notes="Spreads are standard errors over pictures. Minutes are processor time.",
        )


if __name__ == "__main__":
    main()
