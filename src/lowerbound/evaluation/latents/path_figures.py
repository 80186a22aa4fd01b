"""Measures of paths: their length for the decoder, and whether a classifier accepts the middles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lowerbound.distributions.processor_draws import seeded_draw
from lowerbound.errors import DataError
from lowerbound.evaluation.samples.acceptance import Acceptance, RealismClassifier
from lowerbound.inference.estimate import Estimate, Skipped
from lowerbound.inference.latent_space.geodesics import decoded_length, decoder_means
from lowerbound.inference.latent_space.paths import NODES, PATHS, LatentPath, Lerp, PathContext
from lowerbound.inference.passes import Progress, evaluation_mode
from lowerbound.models import HasPrior, Model

MEAN_DRAWS = 4096  # draws that estimate the mean of a prior without a formula


@dataclass(frozen=True)
class PathFigures:
    """Measures of one kind of path over pairs of codes.

    Attributes:
        pairs: number of pairs.
        straightness: length of the line divided by that of the path, both in the decoder's space;
            1 for the line itself, above 1 for a shortcut, below 1 for a detour.
        middles: number of points at t = 1/2 that a classifier accepts; or why there is none.
    """

    pairs: int
    straightness: Estimate
    middles: Acceptance | Skipped


def path_context(
    model: Model,
    codes: Tensor | None = None,
    *,
    condition: Tensor | None = None,
    nodes: int = NODES,
) -> PathContext:
    """The context that paths between codes of a model need.

    Args:
        model: one with a decoder over one latent.
        codes: codes of rows, (rows, latent_dim); their mean replaces that of a missing prior. Zero
            replaces it without codes.
        condition: the condition along the whole path, (size,).
        nodes: number of nodes of a path that is found by minimizing.

    Raises:
        UnsupportedError: the model has no decoder.
    """
    decode = decoder_means(model, condition)
    return PathContext(decode, _center(model, codes), nodes)


def _center(model: Model, codes: Tensor | None) -> Tensor:
    """The prior's mean, (latent_dim,); estimated from draws if it has no formula."""
    if not isinstance(model, HasPrior):
        return torch.zeros(()) if codes is None else codes.double().mean(0)
    with evaluation_mode(model, gradients=True), torch.no_grad():
        prior = model.prior_distribution()
        try:
            center: Tensor = prior.mean[0, 0]
        except NotImplementedError:
            center = seeded_draw(prior, MEAN_DRAWS, 0)[:, 0].mean(0)
    return center.double().cpu()


def compare_paths(
    model: Model,
    first: Tensor,
    last: Tensor,
    around: PathContext,
    *,
    kinds: Sequence[str] = tuple(PATHS),
    judge: RealismClassifier | Skipped | None = None,
    conditions: Tensor | None = None,
    progress: Progress | None = None,
) -> dict[str, PathFigures]:
    """Figures of each kind of path over the same pairs of codes.

    Args:
        model: one with a decoder over one latent.
        first: first ends of the paths, (pairs, latent_dim).
        last: their second ends.
        around: center and nodes; see ``path_context``.
        kinds: names in ``PATHS``.
        judge: a classifier of the real rows.
        conditions: the condition of each path, (pairs, size).
        progress: called with (pairs done, pairs).

    Raises:
        DataError: no pairs, or different numbers of first and last ends.
        OptionError: an unknown kind, or ends that a kind cannot join.
    """
    if len(first) != len(last) or not len(first):
        raise DataError(f"{len(first)} beginnings of paths do not pair with {len(last)} ends")
    ratios: dict[str, list[float]] = {kind: [] for kind in kinds}
    middles: dict[str, list[Tensor]] = {kind: [] for kind in kinds}
    for pair, (a, b) in enumerate(zip(first, last, strict=True)):
        condition = None if conditions is None else conditions[pair]
        here = replace(around, decode=decoder_means(model, condition))
        line = decoded_length(here.decode, Lerp(a, b))
        for kind in kinds:
            path = PATHS[kind](a, b, here)
            ratios[kind].append(ratio(line, decoded_length(here.decode, path)))
            middles[kind].append(_middle(path, here))
        if progress is not None:
            progress(pair + 1, len(first))
    return {
        kind: PathFigures(
            len(first), Estimate.of(torch.tensor(ratios[kind])), _acceptance(judge, middles[kind])
        )
        for kind in kinds
    }


def ratio(line: float, path: float) -> float:
    """Length of the line divided by that of the path; 1 if both are zero."""
    return line / path if path else 1.0


def _middle(path: LatentPath, around: PathContext) -> Tensor:
    with torch.no_grad():
        return around.decode(path.at(torch.tensor([0.5]))).cpu()


def _acceptance(
    judge: RealismClassifier | Skipped | None, middles: list[Tensor]
) -> Acceptance | Skipped:
    if judge is None:
        return Skipped("no classifier was given")
    return judge if isinstance(judge, Skipped) else judge.accept(torch.cat(middles))
