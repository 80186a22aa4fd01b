"""An audit as a few lines of text."""

from __future__ import annotations

from lowerbound.evaluation.release.conclusions import Conclusions, notes
from lowerbound.evaluation.release.page import margin_lines
from lowerbound.evaluation.release.privacy.membership import Membership
from lowerbound.evaluation.release.release_audit import ReleaseAudit
from lowerbound.evaluation.release.utility.usefulness import Usefulness
from lowerbound.inference.estimate import Skipped

SHOWN_ATTACKS = 3


def audit_lines(audit: ReleaseAudit, conclusions: Conclusions) -> list[str]:
    """The conclusions, then the main figures."""
    return [
        *conclusions.sentences,
        *(f"evidence: {words}" for words in conclusions.evidence),
        *(f"note: {words}" for words in notes(audit)),
        "usefulness:",
        *(f"  {line}" for line in _useful(audit)),
        f"distributions, compared with the {audit.fidelity.compared_with}:",
        *(f"  {line}" for line in _distributions(audit)),
        "privacy:",
        *(f"  {line}" for line in _privacy(audit)),
    ]


def _useful(audit: ReleaseAudit) -> list[str]:
    found = audit.usefulness
    if isinstance(found, Skipped):
        return [f"not measured: {found.reason}"]
    words = "predicting " + found.label + ": trained on real rows -> on synthetic rows"
    return [words, *_learner_lines(found)]


def _learner_lines(found: Usefulness) -> list[str]:
    """The measures, and the figures of each learner, in columns."""
    rows = {"": list(dict.fromkeys(c.measure for c in found.comparisons))}
    for name in dict.fromkeys(c.learner for c in found.comparisons):
        own = [c for c in found.comparisons if c.learner == name]
        rows[name] = [f"{c.real:.4g} -> {c.synthetic:.4g}" for c in own]
    width = max(20, 2 + max(len(cell) for cells in rows.values() for cell in cells))
    return [
        f"{name:18}" + "".join(f"{cell:>{width}}" for cell in cells) for name, cells in rows.items()
    ]


def _distributions(audit: ReleaseAudit) -> list[str]:
    """Each error, and that of as many training rows."""
    floor = None if isinstance(audit.floor, Skipped) else audit.floor
    beside = "" if floor is None else f"; training rows {floor.two_sample}"
    lines = [f"two-sample AUROC by boosting: {audit.fidelity.two_sample}{beside}"]
    for name, error, usual in margin_lines(audit):
        beside = "" if usual is None else f"; training rows {usual.mean:.3f}"
        worst = f"largest {error.worst:.3f}: {', '.join(error.columns)}"
        lines.append(f"error of {name}: {error.mean:.3f} ({worst}){beside}")
    if audit.fidelity.trends is not None:
        usual_trends = None if floor is None else floor.trends
        beside = "" if usual_trends is None else f"; training rows {usual_trends.mean:.3f}"
        lines.append(f"error of trends: {audit.fidelity.trends.mean:.3f}{beside}")
    if audit.coverage.rare:
        words = f"{audit.coverage.covered} of {audit.coverage.rare}"
        lines.append(f"rare categories that occur: {words}")
    return lines


def _privacy(audit: ReleaseAudit) -> list[str]:
    copied = audit.copies
    lines = [
        f"exact copies of training rows: {copied.synthetic:,} of {copied.synthetic_rows:,} "
        f"synthetic rows; of fresh rows {copied.by_chance.value:.2%} would be"
    ]
    if isinstance(audit.membership, Skipped):
        lines.append(f"attacks not run: {audit.membership.reason}")
    else:
        lines += [_membership_line(found) for found in audit.membership]
    if not isinstance(audit.attacks, Skipped):
        worst = sorted(audit.attacks, key=lambda found: -found.excess.low)[:SHOWN_ATTACKS]
        lines += [
            f"{found.attack} of {found.target}: success {found.training.value:.1%}, control group "
            f"{found.control.value:.1%}, excess {found.excess}"
            for found in worst
        ]
    if not isinstance(audit.canaries, Skipped):
        planted = audit.canaries
        lines.append(
            f"canaries: AUROC {planted.area}; epsilon is at least {planted.epsilon:.2f} at delta "
            f"{planted.delta:g}, with {planted.confidence:.0%} confidence"
        )
    if not isinstance(audit.nearest, Skipped):
        near = audit.nearest
        lines.append(
            f"smoke test only: median distance to the closest record {near.released[1]:.3f}, "
            f"control group {near.holdout[1]:.3f}"
        )
    return lines


def _membership_line(found: Membership) -> str:
    tails = "".join(
        f", {tail.true_positives.value:.1%} recognized at {tail.allowed:.1%} false alarms"
        for tail in found.tails
    )
    return f"membership by {found.attack}: AUROC {found.area}{tails}"
