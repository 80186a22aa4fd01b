"""A measured likelihood and published ones with the same protocol.

Two figures compare only if data set, part, bits, bit depth and estimator agree. Static and
dynamic binarization of MNIST are about 2 nats apart, 5-bit and 8-bit pictures a factor of four.
L_1000 is up to 3 nats above the ELBO of the same model: more than the models differ by.

Published likelihoods with their protocols, each read in the source that it names.

Figures are nats per picture or bits per dimension of the negative bound: lower is better. If a
source does not state its protocol, the figure is never compared with a measured one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from lowerbound.inference.estimate import Estimate
from lowerbound.inference.scores import Protocol, Summary

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
    groups = json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))
    return tuple(
        Figure(model=model, value=value, source=source, **protocol)
        for protocol in groups
        for model, value, source in protocol.pop("figures")
    )


STATIC = {"binarized_mnist": "mnist", "static_mnist": "mnist"}
"""Names of files that hold fixed bits of a data set."""


@dataclass(frozen=True)
class Standing:
    """A published figure and the measured one beside it.

    Attributes:
        figure: the published figure.
        measured: the same quantity of this model, in the figure's unit; None if refused.
        refusal: why the two do not compare, one sentence; empty if they do.
    """

    figure: Figure
    measured: Estimate | None
    refusal: str = ""


@dataclass(frozen=True)
class Leaderboard:
    """The published figures of one data set, the best first.

    Attributes:
        dataset: its name; empty if nothing is published on the scored data.
        rows: number of scored rows.
        standings: one per figure.
        elsewhere: number of figures of other data sets.
    """

    dataset: str
    rows: int
    standings: tuple[Standing, ...]
    elsewhere: int

    @property
    def comparable(self) -> tuple[Standing, ...]:
        """Figures whose protocol agrees."""
        return tuple(found for found in self.standings if not found.refusal)

    @property
    def refused(self) -> tuple[Standing, ...]:
        """All other figures."""
        return tuple(found for found in self.standings if found.refusal)


def place(summary: Summary, tighter: Mapping[int, Estimate] | None = None) -> Leaderboard:
    """Compare the measured bounds with the published figures of the same data set.

    Args:
        summary: summary of the scores, with ELBO and L_K.
        tighter: bounds of other K on the same rows, nats per row, by K.
    """
    name, _ = dataset_of(summary.protocol)
    bounds = {**(tighter or {}), summary.samples: summary.bound, 1: summary.elbo}
    figures = sorted(published(), key=lambda figure: figure.value)
    same = [figure for figure in figures if figure.dataset == name]
    standings = tuple(_standing(figure, summary, bounds) for figure in same)
    return Leaderboard(
        name if same else "", summary.protocol.rows, standings, len(figures) - len(same)
    )


def dataset_of(protocol: Protocol) -> tuple[str, str]:
    """(name, part) of the scored data by its source: "mnist:test" or "/data/cifar10.npz:test"."""
    place, _, part = protocol.data.rpartition(":")
    name = Path(place or part).stem.lower().replace("-", "_")
    return STATIC.get(name, name), part if place else ""


def _standing(figure: Figure, summary: Summary, bounds: Mapping[int, Estimate]) -> Standing:
    refusal = next(_differences(figure, summary, bounds), "")
    if refusal:
        return Standing(figure, None, refusal)
    bits = figure.unit == "bits per dimension"
    per_value = summary.protocol.dimensions * math.log(2) if bits else 1.0
    return Standing(figure, bounds[figure.samples].scaled(-1 / per_value))


def _differences(figure: Figure, summary: Summary, bounds: Mapping[int, Estimate]) -> Iterator[str]:
    """One sentence for each difference between the protocols."""
    protocol = summary.protocol
    _, part = dataset_of(protocol)
    if protocol.conditional:
        yield "it bounds log p(x), and this model bounds log p(x | y)"
    if part != figure.part:
        yield f"it is of the {figure.part} part, and {part or 'another choice of rows'} was scored"
    yield from _other_values(figure, protocol)
    if summary.bits_per_dimension is None:
        yield "it is of a probability mass, and this model gives a density"
    if figure.doubt:
        yield figure.doubt
    if not figure.samples:
        yield "its source does not state the number of importance samples"
    elif figure.samples not in bounds:
        yield (
            f"it is {figure.estimator}, and this run has {_listed(bounds)}: more importance "
            f"samples give a tighter bound (--samples {figure.samples})"
        )


def _other_values(figure: Figure, protocol: Protocol) -> Iterator[str]:
    """Sentences on binarization and bit depth."""
    mine = binarization_of(protocol)
    if not figure.binarization:
        yield "its source does not state how the grey values were binarized"
    elif figure.binarization != mine and "none" in (figure.binarization, mine):
        theirs = "grey values" if figure.binarization == "none" else "bits"
        yield f"it is of {theirs}, and {'grey values' if mine == 'none' else 'bits'} were scored"
    elif figure.binarization != mine:
        yield (
            f"its bits are those of the {figure.binarization} binarization, and {_said(mine)}: "
            "the two are about 2 nats apart"
        )
    if not figure.levels:
        yield "its source does not state the bit depth"
    elif mine == "none" and figure.levels != protocol.levels:
        levels = "continuous values" if protocol.levels is None else f"{protocol.levels} levels"
        yield f"it is of pictures of {figure.levels} levels, and {levels} were scored"


def binarization_of(protocol: Protocol) -> str:
    """How the scored values became bits: "dynamic", "static", "threshold" or "none"."""
    if protocol.binarize != "none":
        return protocol.binarize
    return "static" if protocol.levels == 2 else "none"


def _said(mine: str) -> str:
    if mine == "threshold":
        return "these were cut at half of white"
    return "these are fixed" if mine == "static" else "these were drawn from grey values (dynamic)"


def _listed(bounds: Mapping[int, Estimate]) -> str:
    return " and ".join("the ELBO" if k == 1 else f"L_{k}" for k in sorted(bounds))
