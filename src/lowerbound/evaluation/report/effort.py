"""How much is measured after a fit, so that measuring takes a small part of the time of training.

The cost is estimated from a few rows. If all measurements take longer than a quarter of the time
of training, and longer than a minute, then fewer rows and samples are measured: half as many, a
quarter, or at least an eighth. Sizes that were requested stay as they are.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from lowerbound.data.dataset import Dataset
from lowerbound.evaluation.likelihood.tighter import InferenceOptions
from lowerbound.evaluation.report.sizes import RequestedSizes, SuiteOptions
from lowerbound.evaluation.report.suites import attempt, draw_samples
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.likelihood import most_samples, score
from lowerbound.models.powers import Decodes, Encodes, HasPrior

OF_TRAINING = 0.25  # largest share of the time of training
LEAST_SECONDS = 60.0  # that measuring may take after any fit
SHARES = (1.0, 0.5, 0.25, 0.125)  # of the default sizes; few, so that two runs seldom differ
TRIED_ROWS = (4, 16, 64)
TRIAL = 0.05  # largest share of the allowed time for a trial that another one follows
BACKWARD = 3  # passes that a pass with its gradient costs


@dataclass(frozen=True)
class Measurement:
    """What is measured.

    Attributes:
        models: the fitted model and its rivals.
        test: the rows that are scored.
        training: the training rows; None if no samples are drawn.
    """

    models: Sequence[Fitted]
    test: Dataset
    training: Dataset | None = None

    @property
    def seconds(self) -> float:
        """Duration of the training of all models."""
        runs = [fitted.history.last for fitted in self.models]
        return sum(run.seconds for run in runs if run is not None)


@dataclass(frozen=True)
class Effort:
    """The sizes of the measurements.

    Attributes:
        options: the sizes.
        remark: one sentence if they are below the default sizes, else "".
    """

    options: SuiteOptions
    remark: str


def affordable(requested: RequestedSizes, measured: Measurement, command: str = "") -> Effort:
    """The largest sizes whose measurements take at most ``OF_TRAINING`` of the time of training.

    They may always take ``LEAST_SECONDS``.

    Args:
        requested: the sizes, None where none is requested.
        measured: what is measured.
        command: measures all; "": the options of the sizes do.
    """
    sizes = [sized(requested, share, len(measured.test)) for share in SHARES]
    if sizes[-1] == sizes[0]:  # all were requested, or the test part is tiny
        return Effort(sizes[0], "")
    allowed = max(LEAST_SECONDS, OF_TRAINING * measured.seconds)
    cost = sum(_seconds(fitted, measured, sizes[0], allowed) for fitted in measured.models)
    affordable = [
        each for each, share in zip(sizes, SHARES, strict=True) if share * cost <= allowed
    ]
    chosen = affordable[0] if affordable else sizes[-1]
    return Effort(chosen, _remark(chosen, sizes[0], command))


def sized(requested: RequestedSizes, share: float, rows: int) -> SuiteOptions:
    """The requested sizes, and this share of the default where none is requested.

    Args:
        requested: the sizes, None where none is requested.
        share: of the default sizes.
        rows: number of rows that can be scored.
    """
    default = SuiteOptions(rows=min(SuiteOptions.rows, rows))
    given = {field.name: getattr(requested, field.name) for field in fields(requested)}
    return SuiteOptions(
        **{
            name: round(share * getattr(default, name)) if value is None else value
            for name, value in given.items()
        }
    )


def _seconds(fitted: Fitted, measured: Measurement, sizes: SuiteOptions, allowed: float) -> float:
    """About how long the measurements of one model take, from few rows to more.

    A trial of few rows overestimates, so more rows are tried while the time seems too long.
    """
    scored = min(sizes.rows or len(measured.test), len(measured.test))
    scored += sizes.gap_rows * _rows_per_gap(fitted, sizes.samples)
    found = 0.0
    for rows in TRIED_ROWS:
        scoring, drawing = _tried(fitted, measured, sizes, rows)
        found = (scoring * scored + drawing * sizes.draws) / rows
        if found <= allowed or scoring + drawing > TRIAL * allowed:
            break
    return found


def _rows_per_gap(fitted: Fitted, samples: int) -> int:
    """How many scored rows cost as much as the amortization gap of one row."""
    if not all(isinstance(fitted.model, power) for power in (Encodes, HasPrior, Decodes)):
        return 0
    options = InferenceOptions()
    passes = BACKWARD * options.updates * 2 * options.pairs + 2 * 2 * options.judging_pairs
    return passes // samples


def _tried(
    fitted: Fitted, measured: Measurement, sizes: SuiteOptions, rows: int
) -> tuple[float, float]:
    """Seconds to score some rows, and to draw as many."""
    model, test = fitted.model, measured.test.thinned(rows)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the measurements warn again
        samples = most_samples(model, test, sizes.samples)
        attempt(lambda: score(model, test, samples=samples, seed=sizes.seed))
    scored = time.perf_counter()
    training = measured.training
    if training is not None and sizes.draws:
        few = replace(sizes, draws=rows, agreement_rows=rows)
        attempt(lambda: draw_samples(model, training, few))
    return scored - start, time.perf_counter() - scored


def _remark(chosen: SuiteOptions, full: SuiteOptions, command: str) -> str:
    """What was reduced, and what measures all."""
    words = {"rows": "held-out rows", "gap_rows": "rows for the gap", "draws": "samples"}
    names = [name for name in words if getattr(chosen, name) != getattr(full, name)]
    if not names:
        return ""
    fewer = [
        f"{getattr(chosen, name):,} of {getattr(full, name):,} {words[name]}" for name in names
    ]
    flags = [f"--{name.replace('_', '-')} {getattr(full, name)}" for name in names]
    return (
        f"measured on {', '.join(fewer)}, because measuring all would take more than a "
        "quarter of the time of training; "
        f"{command or ' '.join(flags)} measures all"
    )
