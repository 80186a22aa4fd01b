"""Hours and memory of large ladders on pictures of ImageNet: computed, not measured.

A ladder is built without memory (torch's device ``meta``). Of one update of a few pictures, the
operations are counted, as in ``update_cost``, and the bytes that autograd keeps for the backward
pass. The speed of a card comes from two measurements on one NVIDIA H200, whose files are read:

- the lower: a ladder of 12 levels on MNIST in compiled bf16, its whole fit with the compilation
  (``hierarchies.py``, cell ``ladder_gpu``);
- the upper: convolutions in compiled bf16, batches of 2,048 (``device_speed.py``).

Hours are epochs x pictures x operations of a picture over that speed, on one card. Dollars are
hours at an assumed price. Reading of pictures, validation and further cards are left out.

    python benchmarks/scale_on_paper.py
    python benchmarks/scale_on_paper.py --epochs 300 --dollars 2
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import Any

import device_speed
import numpy as np
import torch
from _cells import done
from _record import RESULTS, Metric, arguments, write
from hierarchies import LARGE
from torch import Tensor

from lowerbound.data import Schema, load
from lowerbound.fitting.assembly import assemble
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO
from lowerbound.trace import Batch
from lowerbound.training.engine import Update
from lowerbound.training.plan import update_cost

PICTURES = 1_281_167  # training pictures of ImageNet (ILSVRC 2012)
MNIST = 60_000
CARD = 141e9  # bytes of memory of an H200
STATE = 24  # bytes per weight: 4 each for itself, gradient, two moments, average, best weights
COUNTED = 2  # pictures of the update that is counted
MEASURED = "convolutional, bf16 + compile, batch 2048"
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "64 x 64, 75 levels": (64, {"levels": 75, "width": 512}),
    "256 x 256, 75 levels": (256, {"levels": 75, "width": 512}),
    "64 x 64, a billion weights": (
        64,
        {"levels": 75, "width": 512, "bottleneck": False, "depth": 3},
    ),
}


@dataclass(frozen=True)
class Cost:
    """What a model takes.

    Attributes:
        weights: numbers that are trained.
        flops: operations of an update per picture.
        kept: bytes per picture that the forward pass keeps for the backward pass.
    """

    weights: int
    flops: float
    kept: float

    @property
    def at_once(self) -> float:
        """Pictures that a card holds beside the state of the training."""
        return max(0.0, (CARD - STATE * self.weights) / self.kept)


def cost(schema: Schema, options: ModelOptions, device: str = "meta") -> Cost:
    with torch.device(device):
        update = Update(assemble(schema, options), ELBO()).to(device)
        batch = Batch(torch.zeros(COUNTED, *schema.event_shape))
    weights = sum(value.numel() for value in update.parameters())
    flops = update_cost(update, batch).flops
    return Cost(weights, flops / COUNTED, kept_bytes(update, batch) / COUNTED)


def kept_bytes(update: Update, batch: Batch) -> int:
    """Bytes that autograd keeps of a forward pass, without those of the weights."""
    own = {value.untyped_storage()._cdata for value in update.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(value: Tensor) -> Tensor:
        kept[value.untyped_storage()._cdata] = value
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        update(batch)
    return sum(v.untyped_storage().nbytes() for name, v in kept.items() if name not in own)


def pictures(side: int) -> Schema:
    """The schema of color pictures of 8 bits."""
    random = np.random.default_rng(0)
    return load(random.integers(0, 256, (4, side, side, 3), dtype=np.uint8)).schema


def slower() -> float:
    """Operations per second of the ladder's fit."""
    fit = done("hierarchies")["ladder_gpu"]
    flops = cost(load("mnist", binarize="dynamic").schema, LARGE.model).flops
    visited = fit["epochs"] * MNIST * (1 - LARGE.validation)
    return float(visited * flops / (60 * fit["minutes"]))


def faster() -> float:
    """Operations per second of the convolutions."""
    metrics = json.loads((RESULTS / "device_speed.json").read_text())["metrics"]
    rate = next(each["value"] for each in metrics if each["name"] == MEASURED)
    cell = device_speed.Cell("convolutional", 2048, "bf16 + compile", torch.device("cpu"), False)
    return float(rate * cell.flops() / cell.batch)


def metrics_of(
    name: str, found: Cost, rates: tuple[float, float], epochs: int, dollars: float
) -> list[Metric]:
    hours = [epochs * PICTURES * found.flops / rate / 3600 for rate in rates]
    return [
        Metric(
            f"{name}: hours of one card, at the slower speed",
            hours[0],
            "h",
            "lower",
            beside={"at the faster": hours[1], "dollars": hours[0] * dollars},
        ),
        Metric(
            f"{name}: pictures at once on one card",
            found.at_once,
            "pictures",
            "higher",
            beside={
                "million weights": found.weights / 1e6,
                "GB of weights and optimizer": STATE * found.weights / 1e9,
                "GB kept per picture": found.kept / 1e9,
                "10^9 operations per picture": found.flops / 1e9,
            },
        ),
    ]


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--dollars", type=float, default=3.0, help="of a card and hour (assumed)")
    chosen = parser.parse_args()
    begin, rates = time.perf_counter(), (slower(), faster())
    metrics = [
        Metric(f"speed, {name}", rate / 1e12, "10^12 operations/s", "higher")
        for name, rate in zip(("slower", "faster"), rates, strict=True)
    ]
    for name, (side, sizes) in CASES.items():
        options = ModelOptions(model="ladder", network="convolutional", model_options=sizes)
        found = cost(pictures(side), options)
        metrics += metrics_of(name, found, rates, chosen.epochs, chosen.dollars)
    write(
        "scale_on_paper",
        metrics,
        data=[],
        seeds=[],
        minutes=(time.perf_counter() - begin) / 60,
        notes=f"Computed for {chosen.epochs} epochs of {PICTURES:,} pictures on one NVIDIA H200 at "
        f"{chosen.dollars:g} dollars an hour (assumed). Only the two speeds were measured.",
        quick=chosen.quick,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
