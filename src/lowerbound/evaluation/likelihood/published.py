"""Published likelihoods with their protocols, each read in the source that it names.

Figures are nats per picture or bits per dimension of the negative bound: lower is better. If a
source does not state its protocol, the figure is never compared with a measured one.
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
        model: the model and its training.
        dataset: "mnist", "cifar10", ...
        value: in ``unit``, lower is better.
        unit: nats per picture or bits per dimension.
        samples: K of L_K; 1 is the negative ELBO; 0 if the source does not state it.
        binarization: how grey values became bits; empty if the source does not state it.
        levels: levels of the data: 2 for bits, 256 for 8 bits; 0 if the source does not state it.
        part: part of the data set.
        source: source of the figure.
        doubt: further reasons against a comparison; empty if there are none.
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
        """Name of the estimator."""
        if not self.samples:
            return "an estimator that is not named"
        return "ELBO" if self.samples == 1 else f"L_{self.samples}"


@cache
def published() -> tuple[Figure, ...]:
    """All figures of ``published.json``: [model, value, source] in groups of one protocol."""
    groups = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    return tuple(
        Figure(model=model, value=value, source=source, **protocol)
        for protocol in groups
        for model, value, source in protocol.pop("figures")
    )
