"""Published likelihoods with their protocol, each read in the source that it names.

Nats per picture or bits per dimension of the negative bound: lower is better. A protocol that the
source leaves open stays open here, and such a figure is never placed beside a measured one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Unit = Literal["nats", "bits per dimension"]
Binarization = Literal["dynamic", "static", "none", ""]


@dataclass(frozen=True)
class Figure:
    """One published figure.

    Attributes:
        model: and how it was trained.
        dataset: "mnist", "cifar10", ...
        value: in ``unit``, lower is better.
        unit: nats per picture or bits per dimension.
        samples: K of L_K; 1 is the negative ELBO; 0 where the source does not say.
        binarization: how grey values became bits; empty where the source does not say.
        levels: of the data's values: 2 for bits, 256 for 8 bits; 0 where the source does not say.
        part: of the data set.
        source: where the figure was read.
        doubt: what else stands against comparing it; empty where nothing does.
    """

    model: str
    dataset: str
    value: float
    unit: Unit
    samples: int
    binarization: Binarization
    levels: int
    source: str
    part: str = "test"
    doubt: str = ""

    @property
    def estimator(self) -> str:
        """What was estimated."""
        if not self.samples:
            return "an estimator that is not named"
        return "ELBO" if self.samples == 1 else f"L_{self.samples}"


@cache
def published() -> tuple[Figure, ...]:
    """All of them, from ``published.json``: [model, value, source] in groups of one protocol."""
    groups = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return tuple(
        Figure(model=model, value=value, source=source, **protocol)
        for protocol in groups
        for model, value, source in protocol.pop("figures")
    )
