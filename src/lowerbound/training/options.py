r"""The options of training, and the learning rate over the run.

With t the fraction of the run that is done, 0 to 1, it is

.. math::
    \text{constant: } \eta, \qquad \text{linear: } \eta (1 - t), \qquad
    \text{cosine: } \tfrac{\eta}{2} (1 + \cos \pi t)

times min(1, (u + 1) / warm_up) at update u. Source of the cosine: Loshchilov & Hutter 2017.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal

from lowerbound.config import option
from lowerbound.errors import OptionError

NAME = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")
FORMS = "auto, cpu, cuda, cuda:N or mps"


def check_device_name(name: str) -> None:
    """Check the form of a name; whether this machine has the device is checked on use.

    Raises:
        OptionError: it is the name of no device.
    """
    if not NAME.fullmatch(name):
        raise OptionError(f"device must be {FORMS}, not {name!r}")


ScheduleName = Literal["constant", "linear", "cosine"]


SHAPES: dict[ScheduleName, Callable[[float], float]] = {
    "constant": lambda share: 1.0,
    "linear": lambda share: 1.0 - share,
    "cosine": lambda share: 0.5 + 0.5 * math.cos(math.pi * share),
}


@dataclass(frozen=True)
class Schedule:
    """The learning rate as a function of the run's progress.

    Attributes:
        shape: "constant", "linear" or "cosine".
        peak: the highest learning rate.
        warm_up: updates over which the learning rate increases linearly.
    """

    shape: ScheduleName
    peak: float
    warm_up: int = 0

    def __call__(self, update: int, share: float) -> float:
        """The learning rate at an update, counted from 0, and a finished fraction of the run."""
        rate = self.peak * SHAPES[self.shape](min(share, 1.0))
        return rate * (update + 1) / self.warm_up if update < self.warm_up else rate


@dataclass(frozen=True)
class TrainingOptions:
    """The options of training, with defaults for small and large data.

    The first limit that is reached among ``epochs``, ``updates`` and ``minutes`` ends the run. If
    none is given, the number of rows determines the number of epochs, which the log shows.

    Raises:
        OptionError: a value is out of range.
    """

    epochs: int | None = option(
        None, "passes over the training data (default: from its size)", common=True
    )
    updates: int | None = option(None, "optimizer updates")
    minutes: float | None = option(None, "limit of training time in minutes", common=True)
    batch_size: int | None = option(
        None, "rows per update; at most all of them (default: 128; 512 of a large table)"
    )
    learning_rate: float | None = option(
        None, "Adam's step size at its highest (default: 0.001; 0.006 for a large table)"
    )
    schedule: Literal["constant", "linear", "cosine"] = option(
        "cosine", "how the step size falls: constant, linear or cosine"
    )
    warm_up: int | None = option(
        None,
        "updates over which the step size rises from 0 (default: 50 where the network of pictures "
        "starts as a linear model, else 0)",
    )
    weight_average: float = option(
        0.998, "decay of the moving average of the weights that becomes the model; 0 = off"
    )
    gradient_clip: float = option(0.0, "largest norm of a gradient; longer ones shrink; 0 = off")
    weight_decay: float = option(0.0, "decoupled weight decay (AdamW); 0 = off")
    adam_eps: float = option(1e-8, "Adam's epsilon")
    precision: Literal["auto", "float32", "bf16"] = option(
        "auto", "float32, bf16 (arithmetic only), or auto: bf16 where it was measured to pay"
    )
    compile: Literal["auto", "on", "off"] = option(
        "auto", "torch.compile: on, off, or auto: on where it pays"
    )
    masking: float | None = option(
        None,
        "share of the visits to a row that hide some of its cells, so that the model learns "
        "to do without any cell (default: 0.5 where cells may be missing, else 0)",
    )
    speed_change: float | None = option(
        None,
        "largest change of speed, and so of pitch, at a visit to a row of sound, such as 0.25 for "
        "4/5 to 5/4, so that the model meets other voices (default: 0.25 for the objective "
        "spectral, else 0)",
    )
    validation: float = option(0.1, "share of the rows held out for early stopping; 0 = none")
    patience: int = option(20, "validations without gain before training stops; 0 = never")
    seed: int = option(0, "of the order of the rows, the noise and the bits")
    checkpoint_seconds: float = option(60.0, "seconds between checkpoints, where a folder is given")
    threads: int = option(0, "processor threads; 0 = one for small updates, else torch's choice")
    device: str = option("auto", f"where the model computes: {FORMS}", metavar="NAME")

    def __post_init__(self) -> None:
        for name in _POSITIVE_OR_OPEN:
            value = getattr(self, name)
            _check(value is None or value > 0, name, "positive", value)
        _check(self.adam_eps > 0, "adam_eps", "positive", self.adam_eps)
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            _check(value is None or value >= 0, name, "0 or more", value)
        for name in ("weight_average", "validation"):
            value = getattr(self, name)
            _check(0 <= value < 1, name, "at least 0 and below 1", value)
        share = self.masking
        _check(share is None or 0 <= share <= 1, "masking", "between 0 and 1", share)
        change = self.speed_change
        _check(change is None or 0 <= change <= 1, "speed_change", "between 0 and 1", change)
        for name, words in _WORDS.items():
            _check(getattr(self, name) in words, name, " or ".join(words), getattr(self, name))
        for field in fields(self):
            value = getattr(self, field.name)
            finite = not isinstance(value, float) or math.isfinite(value)
            _check(finite, field.name, "finite", value)
        check_device_name(self.device)
        _check(self.threads <= MOST_THREADS, "threads", f"at most {MOST_THREADS:,}", self.threads)


MOST_THREADS = 1_024  # torch's library of threads ends the process far above that
_POSITIVE_OR_OPEN = ("epochs", "updates", "minutes", "batch_size", "learning_rate")
_NOT_NEGATIVE = (
    "warm_up",
    "gradient_clip",
    "weight_decay",
    "patience",
    "seed",
    "checkpoint_seconds",
    "threads",
)
_WORDS = {
    "schedule": ("constant", "linear", "cosine"),
    "precision": ("auto", "float32", "bf16"),
    "compile": ("auto", "on", "off"),
}


def _check(holds: bool, name: str, wanted: str, value: Any) -> None:
    if not holds:
        raise OptionError(f"{name} must be {wanted}, not {value!r}")
