r"""Normal rows with which new rows are compared: all anomaly scores, and their combination.

Besides the scores of the model (``scores``), tables have three: two distances without the model,
"neighbors" and "mahalanobis" (``neighbors``), and the cost of what the fit did not see, "unseen":
new values, and dependencies of columns that a row breaks (``broken``). Pictures have one more,
"surroundings" (``surfaces``). No score is best everywhere, so the default adds up rarities:

.. math:: \text{combined: } \sum_c w_c r_c, \qquad r_c = -\log p_c(s_c(x)),

where p_c is the share of normal rows that score at least as high (Fisher's method to combine
tests), and w_c are the ``Votes``. The two scores in nats are strongly related and share one vote.
The scores in nats are sums over the observed cells. A missing cell adds what its feature usually
has, so the scores of rows with and without gaps compare, in any unit of the data.
A value that the fit did not see costs -log p, "unseen". The model cannot score its cell, so these
nats are added to both scores in nats. Distances treat the cell as missing, so their rarity is at
least ``NEW_VALUES`` of these nats. A broken dependency counts like such a value, and a formula,
or a lookup that no known row breaks, in full. No labels are needed.

Example: of 99 normal rows of a table, 9 score at least as high as a row in each score in nats, 36
in "latent" and 49 in "neighbors". Its rarities are -log .10 = 2.3, -log .37 = 1.0 and
-log .50 = 0.7, so the combined score is 4.0. With a new value of 8 nats no vote is below 4, and the
combined score is at least 12. With a broken formula of 4 nats instead, the votes are at least 6.3,
5.0 and 4.7: at least 16.0.

Scores need two float64 coordinates for each number of a row. A table has few; a folder of pictures
would need many times its own size. So normal rows are thinned, and others are scored in parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from lowerbound.applications.anomaly.broken import NormalDependencies, unseen_costs, unseen_nats
from lowerbound.applications.anomaly.neighbors import (
    MOST_NUMBERS,
    InputSpace,
    kth_distance,
    same_rows,
)
from lowerbound.applications.anomaly.scores import RawScores, raw_scores
from lowerbound.applications.anomaly.surfaces import (
    FARTHEST,
    LEAST_SIDE,
    Surface,
    UpperTail,
    has_surroundings,
    is_surface,
)
from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.errors import DataError, UnsupportedError, unknown
from lowerbound.inference.passes import Progress
from lowerbound.inference.shares import SAMPLES, Shares, shares
from lowerbound.models.base import Model

IN_NATS = ("bound", "reconstruction")
SURROUNDINGS = "surroundings"
SCORES = ("combined", *IN_NATS, "latent", "neighbors", "mahalanobis", "unseen", SURROUNDINGS)
NEIGHBORS = 5  # k of the latent score
MANY = 20  # k of the distances without the model if anomalies, which may be near another, are known
NEW_VALUES = 0.5  # with more, normal rows with a new value rank above most attacks on a network
MOST_REFERENCES = 5_000  # reference rows that are kept
MOST_DIRECTIONS = 32  # of the nearest-neighbor search
DIRECTION_NUMBERS = 2**23  # of the rows in which those of large pictures are found
LEAST_SQUARE = 1e-6  # of a direction, over that of the first
USUAL_ROWS = 1_000  # rows for the average share of a feature
PART_NUMBERS = 2**22  # numbers whose coordinates are in memory at once
REFERENCE_NUMBERS = 2**23  # of the normal rows
LEAST_REFERENCES = 500  # rows, however large


@dataclass(frozen=True)
class Votes:
    """How the combined score is made.

    Attributes:
        weights: of each component.
        inputs: k of the distances without the model; 0: there are none of these.
        shape: of pictures with the score "surroundings"; (): they do not have it.
    """

    weights: Mapping[str, float]
    inputs: int = 0
    shape: tuple[int, ...] = ()


OF_CODES = Votes({"nats": 1, "latent": 1})
OF_ROWS = Votes({"nats": 1, "latent": 1, "neighbors": 1}, inputs=1)
OF_PICTURES = Votes({"nats": 1})
"""For pictures, because distances by the deviation of each pixel are not useful."""

OF_SURFACES = Votes({SURROUNDINGS: 1})
"""For pictures in which the place of a pixel says nothing: a code of the whole finds no defect."""

AMONG_ANOMALIES = Votes({"bound": 1, "latent": 1})
"""If anomalies were fitted on, because those are reconstructed too."""

ROWS_AMONG_ANOMALIES = Votes({"bound": 1, "neighbors": 1, "mahalanobis": 1}, inputs=MANY)


@dataclass(frozen=True)
class Reference:
    """Scores and decoded positions of normal rows, with which new rows are compared.

    Attributes:
        tails: upper tail of each component of the model.
        places: decoded mean codes of reference rows, in standard deviations along
            ``directions``, (rows, directions).
        shift, scale: standardize the coordinates of a row, (numbers,).
        directions: (numbers, directions), orthonormal columns.
        neighbors: k of the latent score.
        votes: how the combined score is made.
        inputs: the normal rows themselves; None without a score of them.
        costs: nats of a value that the fit did not see, (columns,); None without that score.
        surface: of pictures; None without the score of their surroundings.
        usual: average nats of each feature, which a missing cell adds, (features,); None: nothing.
        unit_free: whether the scores leave out the units of columns with an atom; older files do
            not.
        dependencies: between columns, which new rows may break; None: none are known.
    """

    tails: Mapping[str, UpperTail]
    places: Array
    shift: Array
    scale: Array
    directions: Array
    neighbors: int = NEIGHBORS
    votes: Votes = OF_CODES
    inputs: InputSpace | None = None
    costs: Array | None = None
    surface: Surface | None = None
    usual: Array | None = None
    unit_free: bool = True
    dependencies: NormalDependencies | None = None

    @classmethod
    def of(
        cls,
        raw: RawScores,
        fresh: RawScores | None = None,
        neighbors: int = NEIGHBORS,
        votes: Votes = OF_CODES,
        unseen: Array | None = None,
        usual: Array | None = None,
        dependencies: NormalDependencies | None = None,
    ) -> Reference:
        """The reference by the raw scores of normal rows.

        Args:
            raw: of training rows, which are the neighbors.
            fresh: of held-out normal rows, for the tails of scores in nats, because a model gives
                its training rows higher bounds; None: use ``raw``. Distances are to other rows, so
                training rows give no bias there.
            neighbors: k of the latent score; at most the number of other rows.
            votes: how the combined score is made.
            unseen: nats of a value that the training rows do not have, (columns,); None: not
                scored.
            usual: average nats of each feature, (features,).
            dependencies: of the normal rows.

        Raises:
            DataError: fewer than two rows.
        """
        if len(raw) < 2:
            raise DataError(f"a reference takes at least 2 normal rows, and there are {len(raw)}")
        index = _spread(len(raw))
        shift, scale = _moments(raw.row)
        standard = (raw.place - shift) / scale
        directions = _directions(standard)
        k = min(neighbors, len(index) - 1)
        places = standard[index] @ directions
        bare = cls({}, places, shift, scale, directions, k, votes, usual=usual)
        # each reference row is its own nearest neighbor, so k + 1 neighbors are needed
        scores = bare._scores_by_model(raw.rows(index), k + 1)
        if fresh is not None:
            held_out = bare._scores_by_model(fresh, k)
            scores |= {name: score for name, score in held_out.items() if name in IN_NATS}
        if votes.inputs:
            rows = raw.row if fresh is None else np.concatenate([raw.row, fresh.row])
            rows = rows[_spread(len(rows))]
            bare = replace(bare, inputs=InputSpace.of(rows))
            scores |= bare._distances_of_inputs(rows, itself=True)
        if votes.shape:
            others = None if fresh is None else fresh.row
            bare = replace(bare, surface=Surface.of(raw.row, votes.shape, others))
            scores |= bare._score_of_surroundings(raw.row[index] if others is None else others)
        return replace(
            bare,
            costs=unseen,
            tails={name: UpperTail.of(score) for name, score in scores.items()},
            dependencies=dependencies,
        )

    def components(self, raw: RawScores) -> dict[str, Array]:
        """Every score of the rows, "combined" first, (rows,) each; higher is more anomalous."""
        scores = self._scores_by_model(raw, self.neighbors) | self._distances_of_inputs(raw.row)
        scores |= self._score_of_surroundings(raw.row)
        new_values = np.zeros(len(raw))
        if self.costs is not None and raw.unseen is not None:
            new_values = unseen_nats(raw.unseen, self.costs).sum(1)
        broken = np.zeros((len(raw), 2)) if raw.broken is None else raw.broken
        without_unseen = scores
        if self.costs is not None:
            unseen = new_values + broken.max(1)
            scores = {name: s + unseen if name in IN_NATS else s for name, s in scores.items()}
            scores |= {"unseen": unseen}
        certain, likely = broken[:, 0], NEW_VALUES * (new_values + broken[:, 1])
        combined = np.zeros(len(raw))
        for name, weight in self.votes.weights.items():
            vote = self._rarity(name, scores)
            if vote is None:
                continue
            vote = np.maximum(vote, np.where(likely > 0, likely, -np.inf))
            usual = self._rarity(name, without_unseen) if certain.any() else None
            if usual is not None:
                vote = np.maximum(vote, np.where(certain > 0, usual + certain, -np.inf))
            combined += weight * vote
        return {"combined": combined, **scores}

    def nats_of_columns(self, rows: Dataset) -> Array:
        """Nats of the values that the fit did not see, and of the dependencies that are broken, in
        equal shares of their columns, (rows, columns of the schema)."""
        known = self.dependencies
        if known is None:
            nats = np.zeros((len(rows), len(rows.schema.columns)))
        else:
            nats = known.nats_of_columns(rows)
        if self.costs is not None and rows.unseen is not None:
            nats += unseen_nats(rows.unseen.cpu().numpy(), self.costs)
        return nats

    def by_surroundings(self, kind: str) -> bool:
        """Whether a score comes from the pixels around each pixel, and not from the model."""
        of_combined = set(self.votes.weights) == {SURROUNDINGS}
        return kind == SURROUNDINGS or (kind == "combined" and of_combined)

    def check(self, kind: str) -> None:
        """Raise an error if the model does not have this score.

        Raises:
            OptionError: there is no score of that name.
            UnsupportedError: the model or the data does not have it.
        """
        check_score(kind)
        if (
            kind == "combined"
            or kind in self.tails
            or (kind == "unseen" and self.costs is not None)
        ):
            return
        if kind == "bound":
            raise UnsupportedError(
                "the model has no prior and so no bound: take the score 'reconstruction', "
                "'latent' or 'combined'"
            )
        if kind == SURROUNDINGS:
            raise UnsupportedError(
                f"the score {kind!r} is for pictures of at least {LEAST_SIDE} x {LEAST_SIDE} "
                "pixels that the detector was fitted to by this version: take 'combined'"
            )
        raise UnsupportedError(
            f"the score {kind!r} is for tables that the detector was fitted to by this version "
            f"(and 'mahalanobis' for at most {MOST_NUMBERS:,} coordinates): take 'combined'"
        )

    def _rarity(self, name: str, scores: Mapping[str, Array]) -> Array | None:
        """The rarity of a component, or of both in nats; None if the model does not have it."""
        names = IN_NATS if name == "nats" else (name,)
        rarities = [self.tails[score](scores[score]) for score in names if score in self.tails]
        return np.asarray(np.mean(rarities, axis=0)) if rarities else None

    def _scores_by_model(self, raw: RawScores, k: int) -> dict[str, Array]:
        """The components by the model in their own units."""
        gaps = self._nats_of_missing_cells(raw)
        bound = {} if raw.bound is None else {"bound": raw.bound + gaps}
        return {
            **bound,
            "reconstruction": raw.reconstruction + gaps,
            "latent": self._distance_through_codes(raw, k),
        }

    def _nats_of_missing_cells(self, raw: RawScores) -> Array:
        """Nats that the missing cells of each row usually have, (rows,)."""
        usual, hidden = self.usual, raw.hidden
        if usual is None or hidden is None or hidden.shape[1] != len(usual):
            return np.zeros(len(raw))
        return np.asarray(hidden @ usual)

    def _distances_of_inputs(self, row: Array, itself: bool = False) -> dict[str, Array]:
        """The distances without the model; ``itself``: the rows are the normal rows."""
        space = self.inputs
        if space is None:
            return {}
        return space.distances(row, min(self.votes.inputs, len(space.rows) - 1) + itself)

    def _score_of_surroundings(self, row: Array) -> dict[str, Array]:
        """The score of pictures without the model."""
        return {} if self.surface is None else {SURROUNDINGS: self.surface.scores(row)}

    def _distance_through_codes(self, raw: RawScores, k: int) -> Array:
        """Distance to the k-th nearest reference row through the codes, in deviations, (rows,)."""
        standard = (raw.place - self.shift) / self.scale
        inside = standard @ self.directions
        with np.errstate(over="ignore"):
            to_code = np.square((raw.row - raw.place) / self.scale).sum(1)
            distance = np.sqrt(to_code + np.square(self._distance_along_directions(inside, k)))
        return np.asarray(np.minimum(distance, FARTHEST))

    def _distance_along_directions(self, inside: Array, k: int) -> Array:
        """Distance to the k-th nearest reference row along ``directions``, (rows,); equal rows are
        searched once."""
        same = same_rows(np.ascontiguousarray(inside))
        distinct = inside if same is None else inside[same[0]]
        distances = kth_distance(self.places, distinct, k)
        return distances if same is None else distances[same[1]]


def votes_for(dataset: Dataset, clean: bool = True) -> Votes:
    """How the combined score is made.

    Args:
        dataset: normal rows of the kind that is scored.
        clean: whether no anomalies were fitted on.
    """
    schema = dataset.schema
    if schema.columns:
        return OF_ROWS if clean else ROWS_AMONG_ANOMALIES
    pictures, shape = schema.data_kind.pictures, tuple(schema.event_shape)
    if not pictures or not has_surroundings(shape):
        return _of_codes(clean, pictures)
    some = dataset.subset(_spread(len(dataset))).all().filled.cpu()
    return replace(OF_SURFACES if is_surface(some) else _of_codes(clean, True), shape=shape)


def _of_codes(clean: bool, pictures: bool) -> Votes:
    if not clean:
        return AMONG_ANOMALIES
    return OF_PICTURES if pictures else OF_CODES


def check_score(kind: str) -> None:
    """Raise an error for an unknown score.

    Raises:
        OptionError: the message suggests the nearest name.
    """
    if kind not in SCORES:
        raise unknown("score", kind, SCORES)


def _spread(rows: int) -> Array:
    """At most ``MOST_REFERENCES`` row numbers, evenly spaced."""
    return np.asarray(np.linspace(0, rows - 1, min(rows, MOST_REFERENCES)).round().astype(int))


def _moments(row: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each number; an infinite deviation excludes a constant one."""
    scale = row.std(0)
    return row.mean(0), np.where(scale > 0, scale, np.inf)


def _directions(standard: Array) -> Array:
    """The leading principal directions, (numbers, directions); the axes if there are few."""
    numbers = standard.shape[1]
    if numbers <= MOST_DIRECTIONS:
        return np.eye(numbers)
    if numbers > MOST_NUMBERS:  # their covariance would take minutes
        rows = torch.from_numpy(standard[: max(MOST_DIRECTIONS, DIRECTION_NUMBERS // numbers)])
        squares, weights = torch.linalg.eigh(rows @ rows.T)
        kept = squares[-MOST_DIRECTIONS:] > squares[-1] * LEAST_SQUARE
        along = rows.T @ weights[:, -MOST_DIRECTIONS:][:, kept]
        return np.asarray((along / torch.linalg.vector_norm(along, dim=0)).numpy())
    rows = torch.from_numpy(standard[: 4 * MOST_REFERENCES])
    squares, leading = torch.linalg.eigh(rows.T @ rows)
    # rounding chooses the directions in which the rows do not differ
    kept = squares[-MOST_DIRECTIONS:] > squares[-1] * LEAST_SQUARE
    return np.asarray(leading[:, -MOST_DIRECTIONS:][:, kept].numpy())


def learn_reference(
    model: Model,
    seen: Dataset,
    fresh: Dataset | None = None,
    *,
    usual: Shares | None = None,
    clean: bool = True,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Reference:
    """The reference by normal rows, evenly spaced ones where there are many.

    Args:
        model: that scores them.
        seen: training rows.
        fresh: held-out normal rows; None: the tails are those of training rows.
        usual: average shares of normal rows, which missing cells add; None: nothing.
        clean: whether no anomalies were fitted on.
        samples, seed: as for ``raw_scores``.

    Raises:
        DataError: fewer than two rows.
        UnsupportedError: a density is missing.
    """
    most = max(LEAST_REFERENCES, REFERENCE_NUMBERS // _numbers(seen))

    def raw(rows: Dataset, most: int) -> RawScores:
        return raw_scores(model, rows.thinned(most), samples=samples, seed=seed)

    return Reference.of(
        raw(seen, min(most, MOST_REFERENCES)),
        None if fresh is None else raw(fresh, most),
        votes=votes_for(seen, clean),
        unseen=unseen_costs(seen),
        usual=None if usual is None else usual.features.flatten().numpy(),
        dependencies=NormalDependencies.of(seen, fresh) if clean else None,
    )


def usual_shares(model: Model, rows: Dataset, *, samples: int = SAMPLES, seed: int = 0) -> Shares:
    """The average share of each feature, from some of the rows."""
    some = rows.thinned(USUAL_ROWS)
    return shares(model, some, samples=samples, seed=seed).mean(some.observed)


def compared(
    model: Model,
    reference: Reference,
    rows: Dataset,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Array]:
    """Every score of the rows, "combined" first, (rows,) each; higher is more anomalous.

    Args:
        model: that scores them.
        reference: normal rows, with which they are compared.
        rows: of the same schema.
        samples, seed: as for ``raw_scores``.
        progress: called with (rows done, rows).

    Raises:
        DataError: there are no rows.
        UnsupportedError: a density is missing.
    """
    parts = []
    for first, part in _parts(rows):

        def add(done: int, _: int, first: int = first) -> None:
            if progress is not None:
                progress(first + done, len(rows))

        raw = raw_scores(
            model,
            part,
            samples=samples,
            seed=seed,
            progress=add,
            unit_free=reference.unit_free,
        )
        if reference.dependencies is not None:
            raw = replace(raw, broken=reference.dependencies.nats(part))
        parts.append(reference.components(raw))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _parts(rows: Dataset) -> Iterator[tuple[int, Dataset]]:
    """(number of the first row, some rows), in order; at least one part."""
    size = max(1, PART_NUMBERS // _numbers(rows))
    if len(rows) <= size:
        yield 0, rows
        return
    for first in range(0, len(rows), size):
        yield first, rows.subset(range(first, min(first + size, len(rows))))


def _numbers(rows: Dataset) -> int:
    return max(1, rows.schema.dimension)
