"""Pictures per second of training on a GPU, and the share of its matrix-multiply rate.

Models of binary 28 x 28 pictures (MNIST at a threshold of 1/2): an MLP and convolutions as in
``throughput.py``, and a ladder of three levels. The multiply rate is that of ``torch.mm`` in the
precision of the cell, measured again before each cell. What is timed is ``training.train`` itself,
in three parts after its first updates, which compile.

    python benchmarks/device_speed.py
    python benchmarks/device_speed.py --models ladder --batches 512 --device cuda:1

The result is written after each cell. Settings that could not be compiled are left out.
``--quick`` takes the first cell, on any device, also the processor.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import torch
from _arms import options, our_model, pictures
from _record import Metric, arguments, write
from matrix_rate import matrix_rate

from lowerbound.data import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.fitting.assembly import assemble
from lowerbound.models import Model
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO
from lowerbound.training import train
from lowerbound.training.device import PROCESSOR, chosen_device
from lowerbound.training.engine import Update
from lowerbound.training.plan import update_cost

MODELS = ("mlp", "convolutional", "ladder")
BATCHES = (128, 2048)
SETTINGS = ("fp32", "bf16", "fp32 + compile", "bf16 + compile")
SECONDS, PARTS = 0.6, 3
COUNTED = 8  # rows whose operations are counted
WARM_UP = 10  # updates that are not timed
SIZES = {"cpu": 1024}  # side of the multiplied matrices; a GPU is busy only with larger ones
SIZE = 8192
LADDER = ModelOptions(
    model="ladder",
    network="convolutional",
    latent_dim=8,
    model_options={"levels": 3, "width": 32},
    likelihood="bernoulli",
)


class Enough(Exception):
    """All parts of a run were timed."""


class Speed(NamedTuple):
    """Updates per second of each part, the seconds before the first part, and what was said."""

    rates: list[float]
    before: float
    said: list[str]


@dataclass
class Timed:
    """A reporter of ``training.train`` that ends the run when all parts are timed."""

    seconds: float
    parts: int
    started: float = field(default_factory=time.perf_counter)
    marks: list[tuple[int, float]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Nothing to show."""

    def message(self, text: str) -> None:
        self.said.append(text)

    def stop(self) -> None:
        """Nothing was shown."""

    def update(self, progress: Any) -> None:
        now = time.perf_counter()
        if self.marks and now - self.marks[-1][1] < self.seconds:
            return
        if progress.updates >= WARM_UP:
            self.marks.append((progress.updates, now))
        if len(self.marks) > self.parts:
            raise Enough

    def speed(self) -> Speed:
        pairs = zip(self.marks, self.marks[1:], strict=False)
        rates = [(last - first) / (end - begin) for (first, begin), (last, end) in pairs]
        return Speed(rates, self.marks[0][1] - self.started, self.said)


@dataclass(frozen=True)
class Cell:
    """A model, a batch and a setting on a device."""

    kind: str
    batch: int
    setting: str
    device: torch.device
    quick: bool

    @property
    def name(self) -> str:
        return f"{self.kind}, {self.setting}, batch {self.batch}"

    def model(self) -> Model:
        with seeded(0):
            if self.kind == "ladder":
                return assemble(digits().schema, LADDER)
            return our_model(self.kind)

    def flops(self) -> int:
        """Operations of an update, from those of few rows."""
        rows = digits().batch(torch.arange(COUNTED))
        return update_cost(Update(self.model(), ELBO()), rows).flops * self.batch // COUNTED

    def speed(self) -> Speed:
        """The speed of ``train``."""
        torch._dynamo.reset()
        timed = Timed(0.25, 1) if self.quick else Timed(SECONDS, PARTS)
        chosen = options(
            self.batch, self.setting, 0, updates=sys.maxsize >> 8, device=str(self.device)
        )
        with contextlib.suppress(Enough):
            train(self.model(), ELBO(), digits(), chosen, reporter=timed)
        return timed.speed()

    def metrics(self) -> list[Metric]:
        """Speed and share; nothing if it could not be compiled, since the setting is not that."""
        dtype = torch.bfloat16 if self.setting.startswith("bf16") else torch.float32
        bare = matrix_rate(dtype, self.device, SIZES.get(self.device.type, SIZE))
        speed, flops = self.speed(), self.flops()
        if failures := [text for text in speed.said if "compile failed" in text]:
            print(f"{self.name}: not measured. {failures[0]}", flush=True)
            return []
        rates = [self.batch * rate for rate in speed.rates]
        shares = [100 * rate * flops / bare for rate in speed.rates]
        print(f"{self.name}: {statistics.median(rates):,.0f} pictures per second", flush=True)
        beside = {f"seconds before update {WARM_UP}": speed.before}
        return [
            _median(self.name, rates, "pictures/s", beside),
            _median(f"{self.name}: share of the multiply rate", shares, "%", {}),
        ]


def _median(name: str, values: list[float], unit: str, beside: dict[str, float]) -> Metric:
    spread = (max(values) - min(values)) / 2
    return Metric(name, statistics.median(values), unit, "higher", spread, beside=beside)


@cache
def digits() -> Dataset:
    return pictures()


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--device", default="auto", help="the GPU (default: the first)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=SETTINGS)
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    chosen = parser.parse_args()
    device = chosen_device(chosen.device)
    if device.type == PROCESSOR and not chosen.quick:
        print("this machine has no GPU: matrix_rate.py and throughput.py measure the processor")
        return 1
    if chosen.quick:
        chosen.models, chosen.settings = chosen.models[:1], chosen.settings[:1]
        chosen.batches = chosen.batches[:1]
    cells = [
        Cell(kind, batch, setting, device, chosen.quick)
        for kind in chosen.models
        for setting in chosen.settings
        for batch in chosen.batches
    ]
    start, metrics = time.perf_counter(), []
    for cell in cells:
        metrics += cell.metrics()
        if not chosen.quick or cell is cells[-1]:
            keep(metrics, device, (time.perf_counter() - start) / 60, chosen.quick)
    return 0


def keep(metrics: list[Metric], device: torch.device, minutes: float, quick: bool) -> None:
    """Write what was measured so far."""
    write(
        "device_speed",
        metrics,
        data=[{"file": "mnist.npz", "split": "train", "sha256": digits().bits_sha256}],
        seeds=[0],
        minutes=minutes,
        notes=f"{name_of(device)}. Median of three parts of a run; the spread is half their range.",
        quick=quick,
    )


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


if __name__ == "__main__":
    sys.exit(main())
