"""Compare the kinds of paths over random pairs of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.applications.base import Reporter
from lowerbound.applications.io.conditions import one_hot
from lowerbound.data.dataset import Dataset
from lowerbound.errors import OptionError
from lowerbound.evaluation.latents.path_figures import PathFigures, compare_paths
from lowerbound.evaluation.samples.acceptance import fit_realism_classifier
from lowerbound.fitting import Fitted
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.estimate import Estimate, Skipped
from lowerbound.inference.latent_space.paths import PathContext

UNSEEN = 0.2  # share of rows for the pairs; the classifier learns from the others


@dataclass(frozen=True)
class PathComparison:
    """One kind of path over random pairs of rows.

    Attributes:
        path: its kind.
        pairs: number of pairs.
        straightness: length of the line divided by that of the path, for the decoder.
        accepted: share of middles of which a classifier is as confident as of 95 % of real rows;
            None without a classifier.
        judge_accuracy: accuracy of that classifier on unseen real rows.
        reason: why there is no classifier.
    """

    path: str
    pairs: int
    straightness: Estimate
    accepted: Estimate | None
    judge_accuracy: float | None
    reason: str


def about_comparison(found: PathComparison) -> str:
    """The comparison as one sentence."""
    error = found.straightness.standard_error or 0.0
    text = (
        f"{found.path}, {found.pairs:,} pairs: line / path {found.straightness.mean:.3f} ± "
        f"{error:.3f}"
    )
    if found.accepted is None:
        return f"{text}; the middles were not classified: {found.reason}"
    share = found.accepted.scaled(100)
    return f"{text}, {share.mean:.1f} ± {share.standard_error or 0.0:.1f} % of the middles accepted"


def compare_kinds(
    fitted: Fitted,
    data: Dataset,
    around: PathContext,
    kinds: Sequence[str],
    pairs: int,
    seed: int,
    reporter: Reporter,
) -> tuple[PathComparison, ...]:
    """Compare every kind over ``pairs`` pairs of rows that the classifier has not seen.

    Raises:
        OptionError: ``pairs`` is negative, or there are too few rows for that many different pairs.
    """
    if pairs < 0:
        raise OptionError(f"--pairs must be at least 0, not {pairs}")
    if not pairs:
        return ()
    training, unseen = data.split(UNSEEN, seed)
    first, last = random_pairs(len(unseen), pairs, seed)
    codes = encode_rows(fitted.model, unseen).mean
    found = compare_paths(
        fitted.model,
        codes[first],
        codes[last],
        around,
        kinds=kinds,
        judge=fit_realism_classifier(training, unseen, seed=seed),
        conditions=_conditions(fitted, unseen, first),
        progress=lambda done, total: reporter.advance("pairs of rows", done, total),
    )
    return tuple(_comparison(kind, figures) for kind, figures in found.items())


def random_pairs(rows: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw ``count`` disjoint pairs of rows, as two lists of row numbers.

    Raises:
        OptionError: there are too few rows.
    """
    if count > rows // 2:
        raise OptionError(
            f"--pairs: {rows:,} unseen rows make {rows // 2:,} pairs without sharing, not {count:,}"
        )
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    return order[:count], order[count : 2 * count]


def _conditions(fitted: Fitted, unseen: Dataset, first: Tensor) -> Tensor | None:
    """The condition along each path: the class of its first row."""
    if not fitted.options.model.conditional or unseen.label is None:
        return None
    return one_hot(fitted, unseen.label[first])


def _comparison(kind: str, figures: PathFigures) -> PathComparison:
    middles = figures.middles
    if isinstance(middles, Skipped):
        return PathComparison(kind, figures.pairs, figures.straightness, None, None, middles.reason)
    return PathComparison(
        kind, figures.pairs, figures.straightness, middles.rate, middles.judge_accuracy, ""
    )
