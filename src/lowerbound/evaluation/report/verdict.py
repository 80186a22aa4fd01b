"""The verdict of a report: is the model good, can the figures be trusted, and what to do next.

It is three sentences, made by the rules in this file from a few figures. Each rule is one function:
``FLAGS`` finds headline figures that are not trustworthy, and the first of ``STEPS`` that applies is
the next step. A rule says nothing that its figures do not support.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lowerbound.config import to_mapping
from lowerbound.evaluation.likelihood.baselines import NATS, Margin
from lowerbound.inference.estimate import Estimate
from lowerbound.inference.pareto import UNRELIABLE
from lowerbound.inference.scores import LARGE_SHARE

MARK = "⚠"
FEW_ROWS = 100  # held-out rows below which every held-out figure is flagged
SIGNIFICANT = 1.96  # standard errors of a 95 % interval
OVERFITTED = 0.25  # of the gain over independent columns, that training rows may score above others
RISING = 0.01  # of that gain, by which the last tenth of training may still raise the bound
UNUSED = 0.5  # share of latent units whose lack of use asks for a smaller code

BOUND, BITS, ACCEPTED = "bound", "bits per dimension", "accepted"


@dataclass(frozen=True)
class Evidence:
    """The figures that the verdict rests on; None: not measured.

    Attributes:
        model: its name in the sentences.
        rows: number of scored rows.
        unseen: whether the model has not been fitted to them.
        samples: K of the bound.
        bound: L_K in nats per row.
        effective_low: the median effective sample size, if it is too low.
        heavy_tailed: share of rows whose importance weights have a heavy tail.
        margins: comparisons with the baselines.
        unjudged: why there is no comparison; empty if there is one.
        rising: nats by which the validation bound rose in the last tenth of a training that ended
            because its budget was used up.
        overfit: nats by which the training bound lies above the validation bound at the end.
        active, units: number of active latent units, and of all.
        accepted: whether samples were judged by a classifier.
    """

    model: str
    rows: int
    unseen: bool = True
    samples: int | None = None
    bound: Estimate | None = None
    effective_low: float | None = None
    heavy_tailed: float | None = None
    margins: tuple[Margin, ...] = ()
    unjudged: str = ""
    rising: float | None = None
    overfit: float | None = None
    active: int | None = None
    units: int | None = None
    accepted: bool = False

    @property
    def gain(self) -> float | None:
        """Nats by which the model lies above independent columns; None if it does not."""
        nats = [each.difference.mean for each in self.margins if each.unit == NATS]
        return nats[0] if nats and nats[0] > 0 else None


@dataclass(frozen=True)
class Flag:
    """A headline figure that is not trustworthy.

    Attributes:
        figure: BOUND, BITS, ACCEPTED, or the name of a baseline.
        reason: why, as a part of a sentence.
    """

    figure: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """Three sentences.

    Attributes:
        quality: whether the model is good, against both baselines.
        trust: whether the headline figures are trustworthy.
        advice: the next step.
        flags: the headline figures that are not trustworthy.
        evidence: the figures behind the sentences.
    """

    quality: str
    trust: str
    advice: str
    flags: tuple[Flag, ...]
    evidence: Evidence

    @property
    def sentences(self) -> tuple[str, str, str]:
        """The three sentences in their order."""
        return (self.quality, self.trust, self.advice)

    def reason(self, figure: str) -> str:
        """Why a figure is flagged; empty if it is not."""
        return "; ".join(flag.reason for flag in self.flags if flag.figure == figure)

    def to_mapping(self) -> dict[str, Any]:
        """JSON-like values."""
        values = to_mapping(self)
        assert isinstance(values, dict)
        return values


def judge(evidence: Evidence) -> Verdict:
    """The verdict on these figures."""
    flags = tuple(flag for rule in FLAGS for flag in rule(evidence))
    flagged = {flag.figure for flag in flags}
    return Verdict(
        quality=_quality(evidence, flagged),
        trust=_trust(evidence, flags),
        advice=next(filter(None, (step(evidence) for step in STEPS))),
        flags=flags,
        evidence=evidence,
    )


# is it good -----------------------------------------------------------------------------------------


def _quality(evidence: Evidence, flagged: set[str]) -> str:
    if not evidence.margins:
        return f"Not compared: {evidence.unjudged}."
    sides = {_side(each) for each in evidence.margins}
    word = (
        "Good"
        if sides == {"above"}
        else "Not good" if sides == {"below"} else "Mixed" if "below" in sides else "Unclear"
    )
    kind = "held-out" if evidence.unseen else "training"
    parts = "; ".join(_compared(each, each.name in flagged) for each in evidence.margins)
    return f"{word}: on {evidence.rows:,} {kind} rows, {evidence.model} {parts}."
