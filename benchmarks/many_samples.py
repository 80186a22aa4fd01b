"""L_5000 of the 10,000 test digits on two cores: seconds, and what products of bf16 change.

The network is the MLP of ``mnist_likelihood.py`` with 50 latents, trained for 30 epochs. The digits
are scored in ten parts; each part is scored by every arm in turn, after some digits that do not
count: in float32, with factors of matrix products rounded to bf16, in float32 with torch's cross
entropy in place of the sum over bits that scoring has, and in float32 with torch's own matrix
products, from which ours differ on AMD's processors with AVX-512 only. Seconds are wall time,
summed over the parts; the bounds of the arms are paired by digit.

    python benchmarks/many_samples.py
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch
from _cells import fit_on, parts
from _record import Metric, arguments, write
from _rivals import paired
from mnist_likelihood import CELLS
from torch import Tensor

from lowerbound.data import Dataset
from lowerbound.inference.estimate import Estimate
from lowerbound.inference.likelihood import data_sha256, score
from lowerbound.inference.scores import Precision
from lowerbound.likelihoods import bernoulli
from lowerbound.models import Model
from lowerbound.networks import matrix_products

NAME = "many_samples"
THREADS, SAMPLES, PARTS, EPOCHS = 2, 5_000, 10, 30
FLOAT32, BF16 = "float32", "bf16 products"
BEFORE, OWN_PRODUCTS = "torch's cross entropy", "torch's matrix products"
BAR = 120.0  # seconds
TOLERANCE = 0.01  # nats, of the mean bound

Arm = Callable[[Model, Dataset, int], Tensor]


def bounds(precision: Precision) -> Arm:
    """L_K of each row."""

    def measure(model: Model, rows: Dataset, samples: int) -> Tensor:
        return score(model, rows, samples=samples, precision=precision).bound

    return measure


def _never(*_: object) -> bool:
    """A stand-in that keeps none of its arguments, as a mock would."""
    return False


def before(model: Model, rows: Dataset, samples: int) -> Tensor:
    """L_K of each row, the sum over bits as in training."""
    with mock.patch.object(bernoulli, "_fast", _never):
        return bounds("float32")(model, rows, samples)


def own_products(model: Model, rows: Dataset, samples: int) -> Tensor:
    """L_K of each row, matrix products as torch chooses."""
    with mock.patch.object(matrix_products, "ONEDNN_IS_FASTER", False):
        return bounds("float32")(model, rows, samples)


ARMS: dict[str, Arm] = {
    FLOAT32: bounds("float32"),
    BF16: bounds("bf16"),
    BEFORE: before,
    OWN_PRODUCTS: own_products,
}


def measured(
    model: Model, digits: Dataset, samples: int
) -> tuple[dict[str, list[float]], dict[str, Tensor]]:
    """Seconds of each part and the bounds of all rows, by arm."""
    seconds: dict[str, list[float]] = {name: [] for name in ARMS}
    found: dict[str, list[Tensor]] = {name: [] for name in ARMS}
    for arm in ARMS.values():
        arm(model, digits.subset(range(min(20, len(digits)))), samples)
    for rows in torch.arange(len(digits)).chunk(PARTS):
        part = digits.subset(rows)
        for name, arm in ARMS.items():
            began = time.perf_counter()
            found[name].append(arm(model, part, samples))
            seconds[name].append(time.perf_counter() - began)
            print(f"{name}: {len(part)} digits in {seconds[name][-1]:.1f} s", flush=True)
    return seconds, {name: torch.cat(values) for name, values in found.items()}


def metrics(seconds: dict[str, list[float]], found: dict[str, Tensor]) -> Iterator[Metric]:
    for name in (FLOAT32, BF16):
        rivals = [
            paired(each, "float32", seconds[name], seconds[each], "lower", "part of 1,000 digits")
            for each in (BEFORE, OWN_PRODUCTS)
        ]
        yield Metric(
            f"L_{SAMPLES:,} of {len(found[name]):,} digits, {name}",
            sum(seconds[name]),
            "s",
            "lower",
            target=BAR,
            beside={each: sum(seconds[each]) for each in (BEFORE, OWN_PRODUCTS)},
            rivals=rivals,
            beats=[BEFORE],
        )
    for name, limit in ((BF16, TOLERANCE), (BEFORE, None), (OWN_PRODUCTS, None)):
        apart = found[name] - found[FLOAT32]
        difference = Estimate.of(apart)
        yield Metric(
            f"mean bound, {name} minus {FLOAT32}: size",
            abs(difference.mean),
            "nats",
            "lower",
            difference.standard_error,
            limit,
            beside={
                "largest of a digit": float(apart.abs().max()),
                f"mean bound, {FLOAT32}": float(found[FLOAT32].mean()),
            },
        )


def main() -> None:
    chosen = arguments(__doc__ or "").parse_args()
    began = time.perf_counter()
    warnings.simplefilter("ignore", UserWarning)  # few digits have low effective sample sizes
    torch.set_num_threads(THREADS)
    training, digits = parts("mnist", held_out=False)
    cell = replace(CELLS["k1"], epochs=1 if chosen.quick else EPOCHS, seed=chosen.seed)
    if chosen.quick:
        training, digits = training.subset(range(1_000)), digits.subset(range(10))
    place = Path("runs") / NAME / ("quick" if chosen.quick else "mlp")
    fitted, _ = fit_on(place, training, cell.options())
    seconds, found = measured(fitted.model, digits, 100 if chosen.quick else SAMPLES)
    write(
        NAME,
        list(metrics(seconds, found)),
        data=[{"file": "mnist.npz", "split": "test", "sha256": data_sha256(digits)}],
        seeds=[chosen.seed],
        minutes=(time.perf_counter() - began) / 60,
        notes=f"{THREADS} threads. Spreads are standard errors over digits.",
        quick=chosen.quick,
    )


if __name__ == "__main__":
    main()
