r"""How odd a row is, by a model that knows normal ones; higher is more anomalous.

.. math::
    \text{bound: } -L_K(x) \qquad
    \text{reconstruction: } -\log p(x \mid z = \mathbb{E}_q[z]) \qquad
    \text{latent: } \sqrt{\|x - \hat{x}\|^2 + \|\hat{x} - \hat{x}_{(k)}\|^2}

The first two are nats per row in the data's own units. The third is the way to the k-th nearest
reference row through the codes: from the row to what its mean code is decoded to, and from there to
what the neighbor's is decoded to, each feature in standard deviations; distances between codes
themselves are in units that only the decoder knows. None is best everywhere, so the default,

.. math:: \text{combined: } \tfrac12 (r_\text{bound} + r_\text{reconstruction}) + r_\text{latent},
    \qquad r_c = -\log p_c(s_c(x)),

weighs them by how rare they are: p_c is the share of normal rows that score as high (Fisher's way
to combine tests; the two in nats tell much the same and have one vote together). Of pictures the
first term is all. No label is needed for any of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial import cKDTree

from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.data.duplicates import distinct, same_rows
from lowerbound.errors import DataError, UnsupportedError, unknown
from lowerbound.inference.anomaly.rebuilt import rebuild
from lowerbound.inference.anomaly.tails import UpperTail
from lowerbound.inference.likelihood import score
from lowerbound.inference.passes import MEMORY, Progress, dry_run, first_row
from lowerbound.models import Model

COMPONENTS = ("bound", "reconstruction", "latent")
IN_NATS = ("bound", "reconstruction")
AMONG_ANOMALIES = ("bound", "latent")
"""What "combined" is made of where anomalies were fitted on: those are reconstructed too."""

OF_PICTURES = ("bound", "reconstruction")
"""And what for pictures: distances in which each pixel counts by its own deviation say little."""

SCORES = ("combined", *COMPONENTS)
SAMPLES = 16  # K
NEIGHBORS = 5
MOST_REFERENCES = 5_000  # rows that are kept to compare with
MOST_DIRECTIONS = 32  # in which places are compared; more directions make every search a full one
LEAF = 64  # places that are compared one by one: in so many directions smaller leaves cost more


@dataclass(frozen=True)
class RawScores:
    """What a model says of rows, before they are compared with normal ones; float64.

    Attributes:
        bound: -L_K, nats, (rows,); None where the model has no prior.
        reconstruction: -log p(x | z = mean code), nats, (rows,).
        row, place: the row and what its mean code is decoded to, as numbers, (rows, numbers).
    """

    bound: Array | None
    reconstruction: Array
    row: Array
    place: Array

    def __len__(self) -> int:
        return len(self.reconstruction)

    def rows(self, index: Array) -> RawScores:
        """The same at some rows only."""
        bound = None if self.bound is None else self.bound[index]
        return RawScores(bound, self.reconstruction[index], self.row[index], self.place[index])


def raw_scores(
    model: Model,
    dataset: Dataset,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    memory: int = MEMORY,
    progress: Progress | None = None,
) -> RawScores:
    """Bound, reconstruction and place of every row; neither order nor company changes a row's.

    Equal rows are scored once.

    Args:
        model: any; without a prior there is no bound.
        dataset: the rows.
        samples: K of the bound.
        seed: of the draws.
        memory: working memory in bytes.
        progress: called with (rows done, rows).

    Raises:
        UnsupportedError: K > 1 and a density is not exact.
    """
    once = distinct(dataset)
    if once is not None:
        dataset, place = once
        found = raw_scores(
            model, dataset, samples=samples, seed=seed, memory=memory, progress=progress
        )
        return found.rows(place)
    bound = None
    if has_bound(model, dataset):
        with warnings.catch_warnings():  # odd rows are those whose draws are uneven
            warnings.filterwarnings("ignore", "the median effective sample size")
            scores = score(
                model, dataset, samples=samples, seed=seed, memory=memory, progress=progress
            )
        bound = -(scores.bound if scores.log_marginal is None else scores.log_marginal).numpy()
    rebuilt = rebuild(model, dataset, memory=memory)
    return RawScores(bound, rebuilt.log_loss, rebuilt.row, rebuilt.place)


def has_bound(model: Model, dataset: Dataset) -> bool:
    """Whether the model has latents with a prior, and so a bound on log p(x)."""
    return bool(dry_run(model, first_row(dataset, model)).trace.steps)


@dataclass(frozen=True)
class Reference:
    """What normal rows score and where they lie: all that scoring a new row takes.

    Attributes:
        tails: of each component that the model has.
        places: what reference rows are decoded to, in standard deviations along ``directions``,
            (rows, directions).
        shift, scale: what standardizes the numbers of a row, (numbers,).
        directions: (numbers, directions), orthonormal columns.
        neighbors: k.
        combined: the components that "combined" is made of, where the model has them.
    """

    tails: Mapping[str, UpperTail]
    places: Array
    shift: Array
    scale: Array
    directions: Array
    neighbors: int = NEIGHBORS
    combined: tuple[str, ...] = COMPONENTS

    @classmethod
    def of(
        cls,
        raw: RawScores,
        fresh: RawScores | None = None,
        neighbors: int = NEIGHBORS,
        combined: tuple[str, ...] = COMPONENTS,
    ) -> Reference:
        """From what the model says of normal rows.

        Args:
            raw: at the rows that it was fitted on: they are the neighbors.
            fresh: at normal rows that it was not fitted on, whose nats the tails are taken from: a
                model gives rows that it has seen higher bounds; None: those of ``raw``. Distances
                are to other rows, and so are as fair among the rows fitted on.
            neighbors: k; at most the number of other rows.
            combined: the components that "combined" is made of.

        Raises:
            DataError: fewer than two rows.
        """
        if len(raw) < 2:
            raise DataError(f"a reference takes at least 2 normal rows, and there are {len(raw)}")
        index = np.linspace(0, len(raw) - 1, min(len(raw), MOST_REFERENCES)).round().astype(int)
        shift, scale = _moments(raw.row)
        standard = (raw.place - shift) / scale
        directions = _directions(standard)
        k = min(neighbors, len(index) - 1)
        bare = cls({}, standard[index] @ directions, shift, scale, directions, k, combined)
        # a reference row is its own nearest neighbor, and does not count
        found = bare._raw(raw.rows(index), k + 1)
        if fresh is not None:
            found |= {name: nats for name, nats in bare._raw(fresh, k).items() if name in IN_NATS}
        return replace(bare, tails={name: UpperTail.of(scores) for name, scores in found.items()})

    def components(self, raw: RawScores) -> dict[str, Array]:
        """Every score of the rows, "combined" first, (rows,) each; higher is more anomalous."""
        found = self._raw(raw, self.neighbors)
        rare = {name: self.tails[name](found[name]) for name in self.tails if name in self.combined}
        nats = [rare[name] for name in IN_NATS if name in rare]
        votes = [np.mean(nats, axis=0)] if nats else []
        votes += [rare[name] for name in rare if name not in IN_NATS]
        return {"combined": np.sum(votes, axis=0), **found}

    def scores(self, raw: RawScores, kind: str = "combined") -> Array:
        """One of them, (rows,).

        Raises:
            OptionError, UnsupportedError: as ``check``.
        """
        self.check(kind)
        return self.components(raw)[kind]

    def check(self, kind: str) -> None:
        """Refuse a score that the model does not have.

        Raises:
            OptionError: there is no score of that name.
            UnsupportedError: the model has no bound.
        """
        check_score(kind)
        if kind == "bound" and kind not in self.tails:
            raise UnsupportedError(
                "the model has no prior and so no bound: take the score 'reconstruction', "
                "'latent' or 'combined'"
            )

    def _raw(self, raw: RawScores, k: int) -> dict[str, Array]:
        """The components in their own units."""
        found = {} if raw.bound is None else {"bound": raw.bound}
        return {**found, "reconstruction": raw.reconstruction, "latent": self._way(raw, k)}

    def _way(self, raw: RawScores, k: int) -> Array:
        """To the k-th nearest reference row through the codes, in standard deviations, (rows,)."""
        own = np.square((raw.row - raw.place) / self.scale).sum(1)
        standard = (raw.place - self.shift) / self.scale
        inside = standard @ self.directions
        return np.asarray(np.sqrt(own + np.square(self._distance(inside, k))))

    def _distance(self, inside: Array, k: int) -> Array:
        """To the k-th nearest reference row among the codes, (rows,); computed once for equal
        rows."""
        same = same_rows(np.ascontiguousarray(inside))
        distinct = inside if same is None else inside[same[0]]
        tree = cKDTree(self.places, LEAF)
        near, _ = tree.query(distinct, k=[k], workers=torch.get_num_threads())
        found: Array = near[:, 0]
        return found if same is None else found[same[1]]


def combination(dataset: Dataset, clean: bool = True) -> tuple[str, ...]:
    """What "combined" is made of.

    Args:
        dataset: rows of the kind that is scored.
        clean: no anomalies were fitted on.
    """
    if not clean:
        return AMONG_ANOMALIES
    return OF_PICTURES if dataset.schema.data_kind.pictures else COMPONENTS


def check_score(kind: str) -> None:
    """Refuse a score that is none.

    Raises:
        OptionError: the nearest name is suggested.
    """
    if kind not in SCORES:
        raise unknown("score", kind, SCORES)


def _moments(row: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each number; infinite where it does not vary, so that it
    counts for nothing."""
    scale = row.std(0)
    return row.mean(0), np.where(scale > 0, scale, np.inf)


def _directions(standard: Array) -> Array:
    """The leading principal directions of places, (numbers, directions); all where they are few."""
    numbers = standard.shape[1]
    if numbers <= MOST_DIRECTIONS:
        return np.eye(numbers)
    rows = torch.from_numpy(standard[: 4 * MOST_REFERENCES])
    _, leading = torch.linalg.eigh(rows.T @ rows)
    return np.asarray(leading[:, -MOST_DIRECTIONS:].numpy())
