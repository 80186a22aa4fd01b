"""The record of a search, and its measures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lowerbound.applications.design.goals import DesignTask, HeadQuality
from lowerbound.applications.design.oracle import Outcome
from lowerbound.applications.design.rows import RowForm
from lowerbound.errors import DataError, TrainingError

TOP = 10  # of the area under the curve
GAP_ROWS = 20  # proposals with the highest predictions, for the gap
Stop = DataError | TrainingError | KeyboardInterrupt


@dataclass(frozen=True, eq=False)
class Candidate:
    """One proposal.

    Attributes:
        row: what its code decodes to, in original form.
        outcome: the true values; of the same object, if it was judged before.
        repeated: whether it was judged before in this search.
        known: whether the object is one of the known rows.
        z: its code; NaN if it was proposed without one.
        predicted: score predicted from the code.
        mean: predicted values of all quantities.
        deviation: their standard deviations.
        length: |z| standardized by the aggregate posterior.
        log_prior: log p(z), nats.
        drift: root mean square difference between z and the code of the decoded row, in standard
            deviations of the aggregate posterior.
    """

    row: Any
    outcome: Outcome
    repeated: bool
    known: bool
    z: Tensor
    predicted: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    length: float
    log_prior: float
    drift: float

    @property
    def score(self) -> float:
        """The true score; NaN if the row is rejected."""
        return self.outcome.score


@dataclass(frozen=True, eq=False)
class DesignResult:
    """All proposals of a search, in their order.

    Attributes:
        form: of the rows.
        task: goals and limits.
        candidates: proposals.
        calls: largest number of calls.
        best_known: highest score among the known rows; -inf if none meets the limits.
        quality: of the head, for each quantity.
        stopped: what ended the search early: Ctrl-C, an objective that failed 20 times in a row,
            or a retraining that failed; None: nothing did.
    """

    form: RowForm
    task: DesignTask
    candidates: tuple[Candidate, ...]
    calls: int
    best_known: float
    quality: tuple[HeadQuality, ...]
    stopped: Stop | None = None

    @property
    def called(self) -> int:
        """Number of calls made: distinct objects that were judged by the goals."""
        return max((c.outcome.call for c in self.candidates), default=0)

    @property
    def distinct(self) -> list[Candidate]:
        """The first proposal of each object."""
        return [c for c in self.candidates if not c.repeated]

    def ranked(self) -> list[Candidate]:
        """Distinct accepted proposals, the highest true score first."""
        accepted = [c for c in self.distinct if c.outcome.accepted]
        return sorted(accepted, key=lambda c: -c.score)

    def best(self, n: int) -> Any:
        """The table of the ``n`` distinct accepted rows with the highest true scores."""
        return self.frame(self.ranked()[:n])

    @property
    def table(self) -> Any:
        """All proposals in their order as a pandas frame, rejected ones with the reason."""
        return self.frame(self.candidates)

    def frame(self, candidates: Sequence[Candidate]) -> Any:
        """Proposals as a pandas frame; the code's numbers are in the columns z1, z2, ..."""
        import pandas as pd

        columns: dict[str, Any] = dict(self.form.columns([c.row for c in candidates]))
        columns |= {
            "call": [c.outcome.call for c in candidates],
            "repeated": [c.repeated for c in candidates],
            "known": [c.known for c in candidates],
            "rejected": [c.outcome.reason for c in candidates],
            "score": [c.score for c in candidates],
            "predicted_score": [c.predicted for c in candidates],
        }
        for i, quantity in enumerate(self.task.quantities):
            name = quantity.name if quantity.name not in columns else f"{quantity.name}_goal"
            columns[name] = [c.outcome.values[i] for c in candidates]
            columns[f"{name}_predicted"] = [c.mean[i] for c in candidates]
            columns[f"{name}_std"] = [c.deviation[i] for c in candidates]
        columns |= {
            "length": [c.length for c in candidates],
            "log_prior": [c.log_prior for c in candidates],
            "drift": [c.drift for c in candidates],
        }
        size = len(candidates[0].z) if candidates else 0
        columns |= {f"z{i + 1}": [float(c.z[i]) for c in candidates] for i in range(size)}
        return pd.DataFrame(columns)

    @property
    def called_scores(self) -> list[float]:
        """The score of each call in order, NaN where the goals had no value."""
        return [c.score for c in self.distinct if c.outcome.call]

    @property
    def auc_top10(self) -> float:
        """See ``auc_top``; the step is a hundredth of the calls."""
        return auc_top(self.called_scores, self.calls, every=max(1, self.calls // 100))

    @property
    def gap(self) -> float:
        """Mean of predicted minus true score over the accepted rows with the highest predictions.

        Positive if the search exploits errors of the predictions; NaN without predictions. Twenty
        rows count.
        """
        rows = [c for c in self.ranked() if math.isfinite(c.predicted)]
        top = sorted(rows, key=lambda c: -c.predicted)[:GAP_ROWS]
        return float(np.mean([c.predicted - c.score for c in top])) if top else math.nan


def auc_top(scores: Sequence[float], calls: int, *, every: int = 1, top: int = TOP) -> float:
    """Area under the mean of the ``top`` best scores so far against the number of calls, per call.

    The mean is taken every ``every`` calls, starts at 0 and is joined by lines; after the last call
    it stays. Source: PMO, Gao et al. 2022, where scores are 0 to 1. Calls without a score count as
    calls; as long as no call has one, the mean is 0.

    Args:
        scores: of each call in order, NaN where there is none.
        calls: number of calls that were allowed.
        every: calls between two points of the curve.
        top: number of best scores.
    """
    area = previous = 0.0
    last = 0
    for made in [*range(every, min(len(scores), calls), every), len(scores)]:
        best = sorted((s for s in scores[:made] if math.isfinite(s)), reverse=True)[:top]
        mean = float(np.mean(best)) if best else 0.0
        area += (made - last) * (mean + previous) / 2
        previous, last = mean, made
    return (area + max(0, calls - last) * previous) / calls
