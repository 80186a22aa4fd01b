"""The figures of the benchmark of synthetic tables: of one cell, and of ours beside the others'."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from _record import Metric
from _release_tables import SOURCES
from _rivals import Better, paired

from lowerbound.applications.release.usefulness import ACCURACY, AUROC, BOOSTING, F1, LINEAR, R2

BASELINES = {
    "tvae": "SDV's TVAE by its defaults, 300 epochs",
    "ctgan": "SDV's CTGAN by its defaults; fewer epochs on large tables, named in each",
    "gaussian_copula": "SDV's GaussianCopula by its defaults",
    "mixture_copula": "a Gaussian mixture of normal scores; 1, 5 or 20 components by likelihood",
}
COPULA = "normal scores of one Gaussian with full covariance"
REPORTS = ("quality", "diagnostic")
ADULT_F1 = 0.626  # mean of learners; TVAE's paper
ADULT_LINEAR = {F1: 0.659, ACCURACY: 0.840, AUROC: 0.904}
ADULT_BOOSTING = 0.907  # the aim is 0.915
ADULT_QUALITY = 0.90
ADULT_SECONDS = 60.0  # of a fit on two cores
POINTS = 0.05  # of F1 or R² that learners may lose
NEVER_ZERO = 0.001  # F1 of the rarest class

Answer = dict[str, Any]
Target = float | None


# figures of a cell --------------------------------------------------------------------------------


def learned(measure: str, learner: str = "") -> Callable[[Answer], float]:
    """The figure of one learner, or the mean of all."""

    def of(cell: Answer) -> float:
        found = cell["learners"]
        chosen = [found[learner]] if learner else found.values()
        return float(np.mean([figures[measure][0] for figures in chosen]))

    return of


def learned_from_real(measure: str) -> Callable[[Answer], float]:
    """The mean of all learners trained on the training rows."""
    return lambda cell: float(np.mean([f[measure][1] for f in cell["learners"].values()]))


def weakest(cell: Answer) -> float:
    """The lowest F1 of a learner."""
    return float(min(figures[F1][0] for figures in cell["learners"].values()))


def main_measure(source: str) -> str:
    """What learners are compared by: F1, or R² of a number."""
    return R2 if source == "california" else F1


def error_of(what: str) -> Callable[[Answer], float]:
    """One of the errors."""
    return lambda cell: float(cell["errors"][what])


TREND = error_of("trend")


def two_sample(cell: Answer) -> float:
    return float(cell["two_sample"])


def seconds(cell: Answer) -> float:
    """Processor time, which is the time of a fit on one thread."""
    return float(cell["fit"].get("processor", 0.0))


def speed(cell: Answer) -> float:
    return float(cell["rows_per_second"])


def line(cell: Answer) -> str:
    """One cell in one line."""
    measure = main_measure(cell["source"])
    figures = {
        f"{measure} ": learned(measure)(cell),
        "real ": learned_from_real(measure)(cell),
        "boosting ": learned(R2 if measure == R2 else AUROC, BOOSTING.name)(cell),
        "two-sample ": two_sample(cell),
        "trend ": TREND(cell),
        "pairs ": cell["errors"]["pair"],
        **{f"{name} ": cell["reports"][name] for name in REPORTS if name in cell["reports"]},
        "valid ": cell["validity"]["rows"],
    }
    shown = "  ".join(f"{name}{value:.3f}" for name, value in figures.items())
    return f"{cell['cell']:28} {cell['title']:28} {shown}  fit {2 * seconds(cell):.0f} s"


# ours beside the others ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """The cells of one table that are done, by method."""

    source: str
    cells: Mapping[str, list[Answer]]

    @classmethod
    def of(cls, source: str, cells: Mapping[str, Answer]) -> Table:
        found: dict[str, list[Answer]] = {}
        for cell in cells.values():
            if cell["source"] == source:
                found.setdefault(cell["method"], []).append(cell)
        return cls(source, found)

    def others(self, figure: Callable[[Answer], float], references: bool) -> dict[str, float]:
        """The figure of every method but ours, by title; training rows cost no time."""
        return {
            cells[0]["title"]: float(np.mean([figure(cell) for cell in cells]))
            for method, cells in self.cells.items()
            if method in BASELINES or (references and method != "own")
        }

    def mean(self, method: str, figure: Callable[[Answer], float]) -> float:
        """Of a method, over its seeds."""
        return float(np.mean([figure(cell) for cell in self.cells[method]]))

    def metric(
        self,
        what: str,
        figure: Callable[[Answer], float],
        better: Better,
        target: Target = None,
        unit: str = "",
        references: bool = True,
    ) -> Metric:
        """The figure of our cells, mean and standard deviation over seeds, beside the others."""
        values = [figure(cell) for cell in self.cells["own"]]
        return Metric(
            f"{SOURCES[self.source].title}: {what}",
            float(np.mean(values)),
            unit,
            better,
            float(np.std(values, ddof=1)) if len(values) > 1 else None,
            target,
            self.others(figure, references),
        )


def metrics(table: Table) -> Iterator[Metric]:
    """All figures of our synthesizer on one table."""
    adult = table.source == "adult"
    yield from adult_learners(table) if adult else other_learners(table)
    yield table.metric("AUROC of boosting that distinguishes synthetic rows", two_sample, "lower")
    yield table.metric("error of associations of pairs", TREND, "lower")
    for size in ("column", "pair", "triple"):
        yield table.metric(f"total variation, {size}s", error_of(size), "lower")
    yield from quality(table, adult)


def adult_learners(table: Table) -> Iterator[Metric]:
    """What was published for Adult."""
    yield table.metric(
        "F1, mean of four learners trained on synthetic rows", learned(F1), "higher", ADULT_F1
    )
    for measure, bar in ADULT_LINEAR.items():
        yield table.metric(
            f"{measure} of logistic regression trained on synthetic rows",
            learned(measure, LINEAR.name),
            "higher",
            bar,
        )
    yield table.metric(
        "AUROC of boosting trained on synthetic rows, aim 0.915",
        learned(AUROC, BOOSTING.name),
        "higher",
        ADULT_BOOSTING,
    )


def other_learners(table: Table) -> Iterator[Metric]:
    """Within five points of the same learners trained on real rows."""
    measure = main_measure(table.source)
    from_real = learned_from_real(measure)(table.cells["own"][0])
    yield table.metric(
        f"{measure}, mean of four learners trained on synthetic rows",
        learned(measure),
        "higher",
        from_real - POINTS,
    )
    if measure == F1:
        yield table.metric("F1 of the weakest learner", weakest, "higher", NEVER_ZERO)


def quality(table: Table, adult: bool) -> Iterator[Metric]:
    """Reports, validity and costs."""
    bar = ADULT_QUALITY if adult else None
    yield table.metric("QualityReport", lambda cell: cell["reports"]["quality"], "higher", bar)
    yield table.metric("DiagnosticReport", lambda cell: cell["reports"]["diagnostic"], "higher", 1)
    yield table.metric("share of valid rows", lambda cell: cell["validity"]["rows"], "higher", 1)
    yield table.metric(
        "processor seconds of a fit",
        seconds,
        "lower",
        ADULT_SECONDS if adult else None,
        "s",
        False,
    )
    yield table.metric("rows drawn per processor second", speed, "higher", references=False)


def over_tables(tables: list[Table]) -> Iterator[Metric]:
    """Ours beside the others, a figure for each table."""
    tables = [table for table in tables if table.cells.keys() >= {"own", *BASELINES}]
    if len(tables) < 2:
        return
    figures: tuple[tuple[str, Callable[[Answer], float], Better], ...] = (
        ("AUROC of boosting that distinguishes synthetic rows", two_sample, "lower"),
        ("error of associations of pairs", TREND, "lower"),
        ("F1 or R², mean of four learners trained on synthetic rows", usefulness, "higher"),
    )
    for what, figure, better in figures:
        own = [table.mean("own", figure) for table in tables]
        rivals = [
            paired(
                method, how, own, [table.mean(method, figure) for table in tables], better, "table"
            )
            for method, how in BASELINES.items()
        ]
        title = f"{len(tables)} tables: {what}"
        mean = float(np.mean(own))
        yield Metric(title, mean, "", better, rivals=rivals, beats=list(BASELINES))


def of_plain_fits(tables: list[Table]) -> Iterator[Metric]:
    """``lowerbound fit`` beside a Gaussian copula, a figure for each table."""
    tables = [table for table in tables if table.cells.keys() >= {"plain", "copula"}]
    if len(tables) < 2:
        return
    own = [table.mean("plain", two_sample) for table in tables]
    other = [table.mean("copula", two_sample) for table in tables]
    rival = paired("Gaussian copula", COPULA, own, other, "lower", "table")
    title = f"{len(tables)} tables, lowerbound fit: AUROC of boosting that distinguishes rows"
    mean = float(np.mean(own))
    yield Metric(title, mean, "", "lower", rivals=[rival], beats=["Gaussian copula"])


def usefulness(cell: Answer) -> float:
    """What learners are compared by."""
    return learned(main_measure(cell["source"]))(cell)
