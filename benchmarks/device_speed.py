"""Pictures per second of training on a GPU, and the share of its matrix-multiply rate.

Models of binary 28 x 28 pictures (MNIST at a threshold of 1/2): an MLP and convolutions as in
``throughput.py``, and a ladder of three levels. The multiply rate is that of ``torch.mm`` in the
precision of the cell, measured again before each cell. What is timed is ``training.train`` itself,
from its first report to its last.

    python benchmarks/device_speed.py
    python benchmarks/device_speed.py --device cuda:1

``--quick`` takes one cell of each model, on any device, also the processor.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
from _arms import Clock, options, our_model, pictures
from _record import Metric, arguments, write
from matrix_rate import matrix_rate

from lowerbound.assembly.build import assemble
from lowerbound.data import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.models import Model
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO
from lowerbound.training import train
from lowerbound.training.engine import Update
from lowerbound.training.settings.device import PROCESSOR, chosen_device
from lowerbound.training.settings.precision import update_flops

MODELS = ("mlp", "convolutional", "ladder")
BATCHES = (128, 512, 2048)
SETTINGS = ("fp32", "bf16", "bf16 + compile")
SECONDS, ROUNDS = 5.0, 3
SIZES = {"cpu": 1024}  # side of the multiplied matrices; a GPU is busy only with larger ones
SIZE = 8192
LADDER = ModelOptions(
    model="ladder",
    network="convolutional",
    latent_dim=8,
    model_options={"levels": 3, "width": 32},
    likelihood="bernoulli",
)


def model_of(kind: str, data: Dataset) -> Model:
    with seeded(0):
        return assemble(data.schema, LADDER) if kind == "ladder" else our_model(kind)


def pictures_per_second(
    kind: str, data: Dataset, batch: int, setting: str, device: torch.device, seconds: float
) -> tuple[float, int]:
    """(rate, operations of a picture): a short run tells how many updates fill the seconds."""
    torch._dynamo.reset()
    flops = update_flops(Update(model_of(kind, data), ELBO()), data.batch(torch.arange(batch)))
    fewest = 20 if seconds >= 1 else 3
    rate, updates = 0.0, fewest
    for _ in range(2):
        clock = Clock()
        chosen = options(batch, setting, 0, updates=updates, device=str(device))
        train(model_of(kind, data), ELBO(), data, chosen, reporter=clock)
        rate = batch / clock.seconds(1)
        updates = min(20_000, max(fewest, round(seconds * rate / batch)))
    return rate, flops // batch


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--device", default="auto", help="the GPU (default: the first)")
    chosen = parser.parse_args()
    device = chosen_device(chosen.device)
    if device.type == PROCESSOR and not chosen.quick:
        print("this machine has no GPU: matrix_rate.py and throughput.py measure the processor")
        return 1
    start, data = time.perf_counter(), pictures()
    metrics = []
    for kind in MODELS:
        for setting in SETTINGS[:1] if chosen.quick else SETTINGS:
            for batch in BATCHES[:1] if chosen.quick else BATCHES:
                metrics += cell(kind, data, batch, setting, device, quick=chosen.quick)
    write(
        "device_speed",
        metrics,
        data=[{"file": "mnist.npz", "split": "train", "sha256": data.bits_sha256}],
        seeds=[0],
        minutes=(time.perf_counter() - start) / 60,
        notes=f"{name_of(device)}. Median of three; the spread is half their range.",
        quick=chosen.quick,
    )
    return 0


def cell(
    kind: str, data: Dataset, batch: int, setting: str, device: torch.device, *, quick: bool
) -> list[Metric]:
    """The two metrics of a model, a batch and a setting."""
    dtype = torch.bfloat16 if setting.startswith("bf16") else torch.float32
    rates, shares = [], []
    for _ in range(1 if quick else ROUNDS):
        bare = matrix_rate(dtype, device, SIZES.get(device.type, SIZE))
        rate, flops = pictures_per_second(
            kind, data, batch, setting, device, 0.5 if quick else SECONDS
        )
        rates.append(rate)
        shares.append(100 * rate * flops / bare)
    name = f"{kind}, {setting}, batch {batch}"
    print(f"{name}: {statistics.median(rates):,.0f} pictures per second", flush=True)
    return [
        Metric(name, statistics.median(rates), "pictures/s", "higher", half_range(rates)),
        Metric(
            f"{name}: share of the multiply rate",
            statistics.median(shares),
            "%",
            "higher",
            half_range(shares),
        ),
    ]


def half_range(values: list[float]) -> float:
    return (max(values) - min(values)) / 2


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


if __name__ == "__main__":
    sys.exit(main())
