r"""Paths from one row to another: encode both, interpolate between the codes, decode the points.

.. math:: z(t) \text{ from } \operatorname{E} q(z \mid a) \text{ to } \operatorname{E} q(z \mid b),
    \qquad x(t) = \operatorname{E} p(x \mid z(t))

The kinds of paths are compared over random pairs of rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import torch
from torch import Tensor

from lowerbound.applications.common.application import Reporter, WrittenReport, written
from lowerbound.applications.common.conditions import label_indices, one_hot
from lowerbound.applications.common.drawings import Strip
from lowerbound.applications.common.requested_rows import check_rows, picked_rows
from lowerbound.applications.common.rows import row_files
from lowerbound.applications.common.sources import open_data
from lowerbound.applications.generation.arithmetic import row_name
from lowerbound.applications.generation.paths import (
    PATHS,
    LatentPath,
    Lerp,
    PathContext,
    PathFigures,
    compare_paths,
    decoded_length,
    path_context,
    ratio,
)
from lowerbound.applications.generation.requests import EVERY, InterpolateRequest
from lowerbound.data.dataset import Dataset, joined
from lowerbound.errors import DataError, OptionError
from lowerbound.evaluation.samples.acceptance import fit_realism_classifier, real_rows
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.decoding import decode_codes
from lowerbound.inference.estimate import Estimate, Skipped
from lowerbound.models.powers import Decodes, Encodes, HasPrior, require

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


@dataclass(frozen=True)
class Way:
    """One path.

    Attributes:
        path: its kind.
        length: path length of the decoder's mean, in model units.
        straightness: length of the straight line divided by that of this path, for the decoder.
    """

    path: str
    length: float
    straightness: float


@dataclass(frozen=True)
class InterpolateReport(WrittenReport):
    """Paths were written.

    Attributes:
        rows: names of the rows on the path.
        points: number of points of each path.
        ways: the paths.
        verdicts: comparison of kinds over random pairs; empty if not requested.
    """

    rows: tuple[str, ...]
    points: int
    ways: tuple[Way, ...]
    verdicts: tuple[PathComparison, ...]

    def text(self) -> str:
        lines = [f"{self.points:,} points through {', '.join(self.rows)}: {self.where}"]
        measured = [way for way in self.ways if math.isfinite(way.length)]
        lines += [f"  {about_way(way)}" for way in measured]
        lines += [f"  {about_comparison(found)}" for found in self.verdicts]
        return "\n".join(lines)


def about_way(way: Way) -> str:
    """The length of a path, and its ratio to the line."""
    compared = "" if way.path == "lerp" else f", line / path {way.straightness:.3f}"
    return f"{way.path}: length {way.length:.3g} for the decoder{compared}"


def interpolate(
    request: InterpolateRequest, reporter: Reporter, fitted: Fitted
) -> InterpolateReport:
    """Decode points on paths between rows, and write them.

    Raises:
        UnsupportedError: the model has no encoder or no decoder.
        OptionError: fewer than two frames or rows, rows out of range, or two equal rows in
            sequence.
        DataError: the data is not of the kind that the model was fitted on.
    """
    path = Path(request.output)
    row_files(fitted.schema).check_strip(path)
    require(fitted.model, Encodes, "encode")
    require(fitted.model, Decodes, "decode")
    if request.frames < 2:
        raise OptionError(f"--frames must be at least 2, not {request.frames}")
    data = open_data(request.data, fitted, on_error=request.on_error)
    stops = _stops(request, data, fitted)
    ends, condition = stops.dataset, _condition(fitted, stops.dataset, request.label)
    check_rows(fitted, request.frames * (len(ends) - 1), f"--frames {request.frames}")
    check_rows(fitted, request.nodes, f"--nodes {request.nodes}")
    codes = encode_rows(fitted.model, ends).mean
    around = path_context(
        fitted.model, _all_codes(fitted, data), condition=condition, nodes=request.nodes
    )
    kinds = tuple(PATHS) if request.path == EVERY else (request.path,)
    walks = _walks(kinds, codes, around, reporter)
    strip = _decoded(fitted, walks, stops, request.frames, condition)
    files = row_files(fitted.schema).write_strip(path, strip, request.fps)
    line = _length([Lerp(a, b) for a, b in pairwise(codes)], around)
    ways = tuple(_way(kind, walk, line, around) for kind, walk in walks.items())
    compared = compare_kinds(fitted, data, around, kinds, request.pairs, request.seed, reporter)
    return InterpolateReport(stops.names, len(strip.columns), ways, compared, **written(files))


@dataclass(frozen=True, eq=False)
class _Stops:
    """The given rows of a path, in order."""

    dataset: Dataset
    names: tuple[str, ...]


def _stops(request: InterpolateRequest, data: Dataset, fitted: Fitted) -> _Stops:
    """The requested rows; raises if two neighbors are equal."""
    if request.other:
        if request.rows:
            raise OptionError("give either --rows or a second file, not both")
        other = open_data(request.other, fitted, on_error=request.on_error)
        both = joined([data.subset([0]), other.subset([0])])
        stops = _Stops(both, both.ids or ("A", "B"))
    else:
        chosen = picked_rows(request.rows or "0,1", data)
        names = tuple(row_name(data, row) for row in chosen)
        stops = _Stops(data.subset(chosen), names)
    if request.close:
        again = [*range(len(stops.names)), 0]
        stops = _Stops(stops.dataset.subset(again), (*stops.names, stops.names[0]))
    if len(stops.names) < 2:
        raise OptionError("a path needs two rows: --rows I,J, or two files")
    x, mask = stops.dataset.x, stops.dataset.mask
    for i in range(len(x) - 1):
        same = torch.where(mask[i] & mask[i + 1], x[i] == x[i + 1], mask[i] == mask[i + 1])
        if bool(same.all()):
            raise OptionError(
                f"{stops.names[i]} and {stops.names[i + 1]} are the same: a path needs two rows "
                "that differ"
            )
    return stops


def _condition(fitted: Fitted, ends: Dataset, label: str) -> Tensor | None:
    """The condition along the whole path, (classes,): a single class."""
    if label or not fitted.options.model.conditional:
        classes = label_indices(fitted, [label]) if label else None
    else:
        classes = None if ends.label is None else ends.label.unique()
    if classes is not None and len(classes) > 1:
        raise OptionError(
            "the rows are of several classes, and a path of a conditional model needs one: "
            "choose it with --label"
        )
    condition = one_hot(fitted, classes)
    return None if condition is None else condition[0]


def _all_codes(fitted: Fitted, data: Dataset) -> Tensor | None:
    """All codes, whose mean replaces the prior's mean; None if the model has a prior."""
    if isinstance(fitted.model, HasPrior):
        return None
    return encode_rows(fitted.model, data).mean


def _walks(
    kinds: tuple[str, ...], codes: Tensor, around: PathContext, reporter: Reporter
) -> dict[str, list[LatentPath]]:
    """For each kind, one path from each code to the next."""
    pieces = list(pairwise(codes))
    walks: dict[str, list[LatentPath]] = {kind: [] for kind in kinds}
    for done, (kind, (a, b)) in enumerate(product(kinds, pieces)):
        if not bool((a != b).any()):
            raise DataError("two rows have the same code, so there is no path between them")
        walks[kind].append(PATHS[kind](a, b, around))
        reporter.advance("paths", done + 1, len(kinds) * len(pieces))
    return walks


def _decoded(
    fitted: Fitted,
    walks: dict[str, list[LatentPath]],
    stops: _Stops,
    frames: int,
    condition: Tensor | None,
) -> Strip:
    """The decoded rows of every path, with t: 0 at the first given row, 1 at the second, ..."""
    z = torch.stack([_points(walk, frames) for walk in walks.values()])
    condition = None if condition is None else condition.expand(len(z.flatten(0, 1)), -1)
    x = decode_codes(fitted.model, z.flatten(0, 1), condition=condition).mean
    pieces = len(stops.names) - 1
    t = torch.linspace(0, pieces, pieces * (frames - 1) + 1, dtype=torch.float64)
    real = real_rows(stops.dataset).cpu()
    return Strip(
        x.unflatten(0, z.shape[:2]),
        tuple(walks),
        tuple(t.tolist()),
        "path",
        "t",
        real[0].expand(len(walks), *real.shape[1:]),
        real[-1].expand(len(walks), *real.shape[1:]),
        stops.names[0],
        stops.names[-1],
    )


def _points(walk: list[LatentPath], frames: int) -> Tensor:
    """Codes along consecutive paths; each meeting point occurs once."""
    parts = [path.points(frames) for path in walk]
    return torch.cat([parts[0], *(part[1:] for part in parts[1:])])


def _length(walk: list[LatentPath], around: PathContext) -> float:
    return sum(decoded_length(around.decode, path) for path in walk)


def _way(kind: str, walk: list[LatentPath], line: float, around: PathContext) -> Way:
    length = _length(walk, around)
    return Way(kind, length, ratio(line, length))
