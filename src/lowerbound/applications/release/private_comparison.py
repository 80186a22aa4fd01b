"""Which private method is best for a table: naive Bayes, marginals or the hybrid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lowerbound.data.arrays import Array
from lowerbound.errors import DataError
from lowerbound.evaluation.release.coded_columns import CodedColumns
from lowerbound.evaluation.release.utility.distinguishing import distinguished
from lowerbound.evaluation.release.utility.learners import BOOSTING
from lowerbound.evaluation.release.utility.usefulness import Task
from lowerbound.training.private.marginals.model import MarginalModel

NOT_COVERED = (
    "the method was chosen by figures of {count} private fits on other rows; the guarantee covers "
    "neither this choice nor the other fits, whose epsilons would add if they were published"
)


@dataclass(frozen=True)
class Method:
    """How a private table is fitted.

    Attributes:
        pairs: whether pairs of columns are measured.
        hybrid: whether the target given the other columns is fitted by noisy gradients.
    """

    pairs: bool
    hybrid: bool


METHODS = {
    "naive Bayes": Method(pairs=False, hybrid=False),
    "marginals": Method(pairs=True, hybrid=False),
    "hybrid": Method(pairs=True, hybrid=True),
}


@dataclass(frozen=True)
class Judged:
    """The figures of a method's rows on the rows of the comparison.

    Attributes:
        method: its name.
        measure: "AUROC", or "R²" if the target is a number.
        learned: of boosting that learned the target from synthetic rows.
        two_sample: AUROC of boosting that distinguishes synthetic rows; 0.5 is best.
    """

    method: str
    measure: str
    learned: float
    two_sample: float


def best_of(
    fit: Callable[[Method], MarginalModel], frame: Any, holdout: Any, target: str, seed: int
) -> tuple[MarginalModel, tuple[Judged, ...]]:
    """The model from whose rows boosting learns the target best, and the figures of all.

    Args:
        fit: makes the model of a method.
        frame: the private rows; as many are drawn from each model.
        holdout: rows of the same source and columns.
        target: column that boosting predicts.
        seed: of the rows that are drawn, and of the judges.

    Raises:
        DataError: the holdout has no rows, or too few with a target.
    """
    if not len(holdout):
        raise DataError("the table to compare on has no rows")
    models = {name: fit(method) for name, method in METHODS.items()}
    codes = CodedColumns.learn(holdout)
    real = codes.encode(holdout)
    task = Task(codes, target, real, seed)
    found = tuple(
        _judged(name, task, codes, real, model.sample(len(frame), seed))
        for name, model in models.items()
    )
    best = models[max(found, key=lambda one: one.learned).method]
    release = best.release
    limits = (*release.not_claimed, NOT_COVERED.format(count=len(METHODS)))
    return replace(best, release=replace(release, not_claimed=limits)), found


def _judged(name: str, task: Task, codes: CodedColumns, real: Array, made: Any) -> Judged:
    synthetic = codes.encode(made)
    measure, learned = task.score(BOOSTING, synthetic)
    two_sample = distinguished(codes, real, synthetic, task.seed).value
    return Judged(name, measure, learned, two_sample)


def comparison_lines(compared: Sequence[Judged]) -> Iterator[str]:
    """A line for each method, the winner and a warning; none without a comparison."""
    if not compared:
        return
    measure = compared[0].measure
    yield f"{'method':<12} {measure} of boosting trained on synthetic rows, two-sample AUROC"
    for one in compared:
        yield f"{one.method:<12} {one.learned:.4f}  {one.two_sample:.4f}"
    best = max(compared, key=lambda one: one.learned)
    yield f"best:   {best.method}, by the {measure}; the rows are its rows"
    yield (
        "warning: the comparison is not covered by the guarantee: its figures come from several "
        "private fits, and from rows that must be public or spent"
    )
