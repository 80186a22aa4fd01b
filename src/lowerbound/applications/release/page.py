"""The page of an audit: one HTML file with its figures, for people who decide on a release."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lowerbound._version import __version__
from lowerbound.applications.release.attacks import AttackRate
from lowerbound.applications.release.conclusions import Conclusions, conclude, notes
from lowerbound.applications.release.margins import MarginError
from lowerbound.applications.release.membership import Membership
from lowerbound.applications.release.release_audit import Fidelity, ReleaseAudit
from lowerbound.applications.release.usefulness import Usefulness
from lowerbound.evaluation.report.figure_style import (
    HAIRLINE,
    INK,
    MUTED,
    PALETTE,
    legend,
    new_figure,
    shared_legend,
    short,
    style,
    to_png,
)
from lowerbound.evaluation.report.templates import render
from lowerbound.inference.estimate import Skipped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REAL, SYNTHETIC, CONTROL = PALETTE[3], PALETTE[0], PALETTE[3]
MOST_BARS = 20
SIZES = {1: "single columns", 2: "pairs of columns", 3: "triples of columns"}
VERDICTS = {
    "leak": "Training rows are revealed",
    "suspicious": "The control group does not fit",
    "no leak found": "No leak found by these attacks",
    "unknown": "Privacy was not measured",
}


def learners(found: Usefulness) -> Figure:
    """Each learner trained on real and on synthetic rows, a panel for each measure."""
    measures = list(dict.fromkeys(c.measure for c in found.comparisons))
    names = list(dict.fromkeys(c.learner for c in found.comparisons))
    figure = new_figure(9.0, 0.9 + 0.42 * len(names))
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        style(axes, measure, grid=True).locator_params(axis="x", nbins=4)
        for place, name in enumerate(names):
            (line,) = [c for c in found.comparisons if (c.learner, c.measure) == (name, measure)]
            ends = [line.real, line.synthetic]
            axes.plot(ends, [place, place], color=HAIRLINE, linewidth=3, zorder=1)
            axes.scatter(
                line.real, place, color=REAL, s=42, zorder=2, marker="D", label="real rows"
            )
            axes.scatter(line.synthetic, place, color=SYNTHETIC, s=42, zorder=3, label="synthetic")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
    handles, _ = panels[0].get_legend_handles_labels()
    figure.legend(
        handles[:2],
        ["trained on real rows", "trained on synthetic rows"],
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=8,
        labelcolor=INK,
    )
    return figure


def column_errors(found: Fidelity, floor: Fidelity | None) -> Figure:
    """The error of each column, the largest first, beside that of real rows."""
    order = sorted(found.columns, key=lambda name: -found.columns[name])[:MOST_BARS]
    figure = new_figure(9.0, 0.9 + 0.24 * len(order))
    axes = style(figure.subplots(), x="total variation distance", grid=True)
    places = range(len(order))
    drawn = [found.columns[name] for name in order]
    axes.barh(places, drawn, height=0.62, color=SYNTHETIC, label="synthetic rows")
    if floor is not None:
        usual = [floor.columns[name] for name in order]
        axes.scatter(usual, places, color=INK, marker="|", s=90, label="training rows", zorder=3)
    axes.set_yticks(places, [short(name, 28) for name in order])
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlim(left=0)
    legend(axes, loc="lower right")
    return figure


def membership_areas(found: Sequence[Membership]) -> Figure:
    """AUROC of each membership attack with its interval; 0.5 is guessing."""
    figure = new_figure(9.0, 0.9 + 0.4 * len(found))
    axes = style(figure.subplots(), x="AUROC with 95 % interval", grid=True)
    axes.axvline(0.5, color=INK, linewidth=1, linestyle="--")
    axes.text(0.5, -0.62, "guessing", ha="center", fontsize=8, color=MUTED)
    axes.text(1.0, -0.62, "every row recognized", ha="right", fontsize=8, color=MUTED)
    for place, attack in enumerate(found):
        _whisker(axes, place, attack.area.value, attack.area.low, attack.area.high, SYNTHETIC)
    axes.set_yticks(range(len(found)), [attack.attack for attack in found])
    axes.set_ylim(len(found) - 0.5, -0.75)
    axes.set_xlim(min(0.4, *(attack.area.low for attack in found)), 1.01)
    return figure


def attack_rates(found: Sequence[AttackRate]) -> Figure:
    """Success on training rows beside success on the control group."""
    shown = sorted(found, key=lambda attack: -attack.excess.value)[:MOST_BARS]
    figure = new_figure(9.0, 1.0 + 0.36 * len(shown))
    axes = style(figure.subplots(), x="share of attempts that succeed", grid=True)
    for place, attack in enumerate(shown):
        for rate, shift, color in (
            (attack.training, -0.14, SYNTHETIC),
            (attack.control, 0.14, CONTROL),
        ):
            _whisker(axes, place + shift, rate.value, rate.low, rate.high, color)
    axes.scatter([], [], color=SYNTHETIC, s=36, label="training rows")
    axes.scatter([], [], color=CONTROL, s=36, label="control group")
    names = [f"{attack.attack}: {short(attack.target, 26)}" for attack in shown]
    axes.set_yticks(range(len(shown)), names)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(-0.01, 1.01)
    shared_legend(figure, axes)
    return figure


def _whisker(axes: Axes, place: float, value: float, low: float, high: float, color: str) -> None:
    """A point with its interval."""
    axes.plot([low, high], [place, place], color=color, linewidth=2, solid_capstyle="butt")
    axes.scatter(value, place, color=color, s=36, zorder=3)


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
    shown = {"columns": column_errors(audit.fidelity, floor)}
    if useful is not None:
        shown["learners"] = learners(useful)
    if found is not None:
        shown["membership"] = membership_areas(found)
    if attacks:
        shown["attacks"] = attack_rates(attacks)
    return render(
        "audit.html.j2",
        __package__,
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
        figures={key: base64.b64encode(to_png(one)).decode() for key, one in shown.items()},
        command=command,
        seed=seed,
        version=__version__,
    )


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
