"""What may be concluded from an audit, and what may not, in three sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lowerbound.applications.common.release_record import Attacks, MeasuredAttack
from lowerbound.applications.release.membership import Membership
from lowerbound.applications.release.release_audit import ReleaseAudit
from lowerbound.data.arrays import listed
from lowerbound.evaluation.intervals import Interval
from lowerbound.inference.estimate import Skipped

Verdict = Literal["leak", "suspicious", "no leak found", "unknown"]

WIDER = 2.394 / 1.960  # three attacks at once: quantiles for 95 % of all and of one interval
LEAK = 0.5


@dataclass(frozen=True)
class Conclusions:
    """Three sentences and a verdict.

    Attributes:
        useful: what the released rows are good for.
        private: what the attacks found.
        limits: what may not be concluded.
        verdict: "leak": an attack recognizes training rows; "suspicious": the holdout is nearer to
            the released rows than the training rows are; "unknown": there is no holdout, or
            one that differs in distribution from the training rows.
        evidence: each attack that succeeded.
    """

    useful: str
    private: str
    limits: str
    verdict: Verdict
    evidence: tuple[str, ...]

    @property
    def sentences(self) -> tuple[str, str, str]:
        """The three sentences."""
        return self.useful, self.private, self.limits


def conclude(audit: ReleaseAudit) -> Conclusions:
    """The conclusions of an audit."""
    evidence = (*_recognized(audit), *_singled_out(audit), *_copied(audit), *_planted(audit))
    verdict = _verdict(audit, evidence)
    return Conclusions(
        _useful(audit), _private(audit, verdict, evidence), _limits(verdict), verdict, evidence
    )


def _verdict(audit: ReleaseAudit, evidence: tuple[str, ...]) -> Verdict:
    if evidence:
        return "leak"
    if isinstance(audit.membership, Skipped):
        return "unknown"
    areas = [found.area for found in audit.membership]
    below = [_above_chance(Interval(1 - a.value, 1 - a.high, 1 - a.low)) for a in areas]
    return "suspicious" if any(below) else "no leak found"


def _useful(audit: ReleaseAudit) -> str:
    test = audit.fidelity.two_sample.value
    distinct = (
        f"a classifier distinguishes synthetic rows from real ones with an AUROC of {test:.3f} "
        "(0.5: it cannot; 1: always)"
    )
    found = audit.usefulness
    if isinstance(found, Skipped):
        return f"Usefulness for a task was not measured, because {found.reason}; {distinct}."
    measure = found.main_measure
    real, synthetic = found.best(measure)
    article = "an" if measure[0] in "AFR" else "a"
    return (
        f"The best model trained on the synthetic rows predicts {found.label!r} for unseen real "
        f"rows with {article} {measure} of {synthetic.synthetic:.3f}, and the best one trained on "
        f"the real rows with {real.real:.3f}; {distinct}."
    )


def _private(audit: ReleaseAudit, verdict: Verdict, evidence: tuple[str, ...]) -> str:
    strongest = audit.strongest
    if verdict == "leak":
        more = len(evidence) - 1
        others = f"; {more} more are listed below" if more else ""
        unknown = f". Attacks were not run, because {audit.mismatch}" if audit.mismatch else ""
        return f"The synthetic rows reveal training rows: {evidence[0]}{others}{unknown}."
    if audit.mismatch:
        return f"Nothing can be concluded about privacy, because {audit.mismatch}."
    if strongest is None:
        return (
            "Nothing can be concluded about privacy, because every attack needs a control group: "
            "rows of the same source that the synthesizer has not seen."
        )
    if verdict == "suspicious":
        return (
            "The control group is nearer to the synthetic rows than the training rows are, so the "
            "two files may have been swapped or drawn from different sources, and nothing can be "
            "concluded about privacy."
        )
    assert not isinstance(audit.membership, Skipped)
    area, attacks = strongest.area, len(audit.membership)
    return (
        f"None of the attacks recognized training rows better than chance: the strongest of "
        f"{attacks} membership attacks reached an AUROC of {area.value:.3f} (0.5: guessing; 95 % "
        f"interval {area.low:.3f} to {area.high:.3f})."
    )


def _limits(verdict: Verdict) -> str:
    if verdict == "leak":
        return (
            "Do not release these rows as anonymous; how many people are affected by attacks that "
            "are not part of this audit is not known."
        )
    if verdict == "unknown":
        return (
            "This page does not show that the rows may be released: it only shows how similar the "
            "distributions are, and copies of training rows are similar too."
        )
    return (
        "This does not prove that the rows are anonymous: the audit covers this file and the "
        "attacks listed below, and only training with differential privacy limits every attack."
    )


def _recognized(audit: ReleaseAudit) -> list[str]:
    """Membership attacks that recognize more training rows than chance explains."""
    if isinstance(audit.membership, Skipped):
        return []
    order = sorted(audit.membership, key=lambda found: -found.area.value)
    return [words for found in order if (words := _membership_words(found))]


def _membership_words(found: Membership) -> str:
    if _above_chance(found.area):
        return (
            f"the attack by {found.attack} recognizes training rows with an AUROC of "
            f"{found.area.value:.3f} (0.5: guessing; 95 % interval {found.area.low:.3f} to "
            f"{found.area.high:.3f})"
        )
    for tail in found.tails:
        rate = tail.true_positives
        if rate.low > tail.reached.high:
            return (
                f"the attack by {found.attack} recognizes {rate.value:.1%} of the training rows at "
                f"{tail.allowed:.1%} false alarms"
            )
    return ""


def _above_chance(area: Interval) -> bool:
    """Whether an AUROC is above 0.5 with 95 % confidence, for three attacks at once."""
    return area.value - WIDER * (area.value - area.low) > LEAK


def _singled_out(audit: ReleaseAudit) -> list[str]:
    if isinstance(audit.attacks, Skipped):
        return []
    return [
        f"{found.attack} of {found.target} succeeds on {found.training.value:.1%} of attempts on "
        f"training rows and on {found.control.value:.1%} on the control group"
        for found in audit.attacks
        if found.significant
    ]


def _copied(audit: ReleaseAudit) -> list[str]:
    """Copies of training rows, if there are more than fresh rows have by chance."""
    found = audit.copies
    if found.released.low <= found.by_chance.high:
        return []
    return [
        f"{found.synthetic:,} of {found.synthetic_rows:,} synthetic rows are exact copies of "
        f"training rows, where {found.by_chance.value:.2%} of fresh rows would be"
    ]


def _planted(audit: ReleaseAudit) -> list[str]:
    found = audit.canaries
    if isinstance(found, Skipped) or found.epsilon <= 0:
        return []
    return [
        f"planted rows prove that training cannot have guaranteed an epsilon below "
        f"{found.epsilon:.2f}"
    ]


def notes(audit: ReleaseAudit) -> list[str]:
    """What a reader of the figures should know about the tables."""
    found = []
    if audit.left_out:
        found.append(f"columns left out, because they identify rows: {listed(audit.left_out)}")
    if audit.constant:
        found.append(f"columns with one value in all training rows: {listed(audit.constant)}")
    for name, levels in audit.coverage.new.items():
        found.append(
            f"column {name} has levels that the training rows do not have: {listed(levels)}"
        )
    if audit.overlap is not None and audit.overlap.rows:
        found.append(
            f"{audit.overlap.rows:,} rows of the holdout equal a training row; about "
            f"{audit.overlap.expected:.0f} are expected, because some rows of the source are equal"
        )
    if not isinstance(audit.usefulness, Skipped) and audit.usefulness.absent:
        found.append(f"the synthetic rows lack the classes {listed(audit.usefulness.absent)}")
    return found


def attacks_of(audit: ReleaseAudit, date: str) -> Attacks:
    """What the attacks of an audit found."""
    found = []
    for one in () if isinstance(audit.membership, Skipped) else audit.membership:
        words = "AUROC of recognizing training rows; 0.5 is guessing"
        found.append(_measured(f"membership by {one.attack}", words, one.area, 0.5))
    for rate in () if isinstance(audit.attacks, Skipped) else audit.attacks:
        words = f"success on training rows, target: {rate.target}"
        found.append(_measured(rate.attack, words, rate.training, rate.control.value))
    conclusions = conclude(audit)
    return Attacks(date, conclusions.verdict, conclusions.sentences, tuple(found))


def _measured(attack: str, measure: str, found: Any, beside: float) -> MeasuredAttack:
    return MeasuredAttack(attack, measure, found.value, found.low, found.high, beside)
