"""The page of an audit: one HTML file with its pictures, for people who decide on a release."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lowerbound import __version__
from lowerbound.evaluation.release import figures
from lowerbound.evaluation.release.conclusions import Conclusions, conclude, notes
from lowerbound.evaluation.release.release_audit import ReleaseAudit
from lowerbound.evaluation.release.utility.margins import MarginError
from lowerbound.evaluation.report.figures.style import to_png
from lowerbound.evaluation.report.templates import render
from lowerbound.inference.estimate import Skipped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = {1: "single columns", 2: "pairs of columns", 3: "triples of columns"}
VERDICTS = {
    "leak": "Training rows are revealed",
    "suspicious": "The control group does not fit",
    "no leak found": "No leak found by these attacks",
    "unknown": "Privacy was not measured",
}


@dataclass(frozen=True)
class Names:
    """The names of the three tables."""

    real: str
    synthetic: str
    holdout: str


def audit_page(audit: ReleaseAudit, names: Names, command: str = "", seed: int = 0) -> str:
    """The page as HTML.

    Args:
        audit: the findings.
        names: of the tables.
        command: command that makes this page again; shown at its end.
        seed: of the audit, shown at its end.
    """
    conclusions = conclude(audit)
    useful = None if isinstance(audit.usefulness, Skipped) else audit.usefulness
    floor = None if isinstance(audit.floor, Skipped) else audit.floor
    found = None if isinstance(audit.membership, Skipped) else audit.membership
    attacks = None if isinstance(audit.attacks, Skipped) else audit.attacks
    shown = {"columns": figures.column_errors(audit.fidelity, floor)}
    if useful is not None:
        shown["learners"] = figures.learners(useful)
    if found is not None:
        shown["membership"] = figures.membership_areas(found)
    if attacks:
        shown["attacks"] = figures.attack_rates(attacks)
    return render(
        "audit.html.j2",
        audit=audit,
        names=names,
        conclusions=conclusions,
        verdict=VERDICTS[conclusions.verdict],
        tiles=tiles(audit, conclusions),
        notes=notes(audit),
        useful=useful,
        floor=floor,
        margins=margin_lines(audit),
        membership=found,
        attacks=attacks,
        nearest=None if isinstance(audit.nearest, Skipped) else audit.nearest,
        canaries=None if isinstance(audit.canaries, Skipped) else audit.canaries,
        figures={key: _embedded(figure) for key, figure in shown.items()},
        command=command,
        seed=seed,
        version=__version__,
    )


def write_page(
    path: Path, audit: ReleaseAudit, names: Names, command: str = "", seed: int = 0
) -> None:
    """Write the page; arguments as for ``audit_page``."""
    path.write_text(audit_page(audit, names, command, seed), encoding="utf-8")


def tiles(audit: ReleaseAudit, conclusions: Conclusions) -> list[tuple[str, str, str]]:
    """(name, figure, meaning) of the main findings."""
    found = []
    if not isinstance(audit.usefulness, Skipped):
        measure = audit.usefulness.main_measure
        real, synthetic = audit.usefulness.best(measure)
        meaning = f"best model trained on synthetic rows; on real rows: {real.real:.3f}"
        found.append((f"usefulness: {measure}", f"{synthetic.synthetic:.3f}", meaning))
    test = audit.fidelity.two_sample
    meaning = "a classifier distinguishes synthetic from real rows; 0.5 is ideal"
    found.append(("likeness: AUROC", f"{test.value:.3f}", meaning))
    if (strongest := audit.strongest) is not None:
        meaning = "strongest attack that recognizes training rows; 0.5 is guessing"
        found.append(("membership: AUROC", f"{strongest.area.value:.3f}", meaning))
    copied, chance = audit.copies.synthetic, audit.copies.by_chance.value
    meaning = f"synthetic rows equal to a training row; of fresh rows {chance:.2%} are"
    found.append(("exact copies", f"{copied:,}", meaning))
    return found


def margin_lines(audit: ReleaseAudit) -> list[tuple[str, MarginError, MarginError | None]]:
    """(name, error, error of real rows) for single columns, pairs and triples."""
    usual: list[MarginError | None] = [None] * len(audit.fidelity.margins)
    if not isinstance(audit.floor, Skipped):
        usual = list(audit.floor.margins)
    pairs = zip(audit.fidelity.margins, usual, strict=True)
    return [(SIZES[error.size], error, floor) for error, floor in pairs]


def _embedded(figure: Figure) -> str:
    return base64.b64encode(to_png(figure)).decode()
