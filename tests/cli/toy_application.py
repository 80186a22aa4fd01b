"""An application as somebody would add it: one file, and one line in the list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lowerbound.applications import Report, Reporter
from lowerbound.applications.common.form import REQUIRED
from lowerbound.config import option
from lowerbound.fitting import Fitted


@dataclass(frozen=True)
class ToyRequest:
    """How many units, please."""

    model: str = option(REQUIRED, "model folder", positional=True, metavar="MODEL")
    times: int = option(1, "to be multiplied with", short="-t")
    end: Literal["well", "interrupted", "out of memory", "broken"] = option("well", "how it ends")


@dataclass(frozen=True)
class ToyReport(Report):
    """So many."""

    units: int

    def text(self) -> str:
        return f"{self.units} units"


def toy(request: ToyRequest, reporter: Reporter, fitted: Fitted) -> ToyReport:
    """Count latent units."""
    ends = {"interrupted": KeyboardInterrupt, "out of memory": MemoryError, "broken": RuntimeError}
    if request.end in ends:
        raise ends[request.end]
    reporter.say("counting")
    return ToyReport(request.times * int(fitted.options.model.latent_dim or 0))
