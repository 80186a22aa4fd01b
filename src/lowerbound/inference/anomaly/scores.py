r"""Anomaly scores of rows by a model of normal rows; higher is more anomalous.

.. math::
    \text{bound: } -L_K(x) \qquad
    \text{reconstruction: } -\log p(x \mid z = \mathbb{E}_q[z]) \qquad
    \text{latent: } \sqrt{\|x - \hat{x}\|^2 + \|\hat{x} - \hat{x}_{(k)}\|^2}

The first two are nats per row in the data's own units. The third is the distance to the k-th
nearest reference row through the codes: from the row to its decoded mean code, and from there to
the decoded mean code of the neighbor, with each feature in standard deviations. Distances between
the codes themselves have no unit of the data. No score is best everywhere, so the default,

.. math:: \text{combined: } \tfrac12 (r_\text{bound} + r_\text{reconstruction}) + r_\text{latent},
    \qquad r_c = -\log p_c(s_c(x)),

weights them by rarity: p_c is the share of normal rows that score at least as high (Fisher's method
to combine tests). The two scores in nats are strongly related and share one term. For pictures the
first term is the whole score. No labels are needed.
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
from lowerbound.inference.likelihood import most_samples, score
from lowerbound.inference.passes import MEMORY, Progress, dry_run, first_row
from lowerbound.models import Model

COMPONENTS = ("bound", "reconstruction", "latent")
IN_NATS = ("bound", "reconstruction")
AMONG_ANOMALIES = ("bound", "latent")
"""The components of "combined" if anomalies were fitted on, because those are reconstructed too."""

OF_PICTURES = ("bound", "reconstruction")
"""The components for pictures, because distances by the deviation of each pixel are not useful."""

SCORES = ("combined", *COMPONENTS)
SAMPLES = 16  # K
NEIGHBORS = 5
MOST_REFERENCES = 5_000  # reference rows that are kept
MOST_DIRECTIONS = 32  # of the nearest-neighbor search; with more the tree visits every leaf
LEAF = 64  # rows in a leaf of the tree; smaller leaves are slower in so many directions


@dataclass(frozen=True)
class RawScores:
    """Scores of rows before they are compared with normal rows; float64.

    Attributes:
        bound: -L_K, nats, (rows,); None if the model has no prior.
        reconstruction: -log p(x | z = mean code), nats, (rows,).
        row, place: coordinates of the row and of its decoded mean code, (rows, numbers).
    """

    bound: Array | None
    reconstruction: Array
    row: Array
    place: Array

    def __len__(self) -> int:
        return len(self.reconstruction)

    def rows(self, index: Array) -> RawScores:
        """The scores of some rows."""
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
    """Bound, reconstruction and coordinates of every row, independent of the other rows.

    Equal rows are scored once.

    Args:
        model: any; without a prior there is no bound.
        dataset: the rows.
        samples: K of the bound; 1 is used where a density of the model is only a lower bound.
        seed: of the draws.
        memory: working memory in bytes.
        progress: called with (rows done, rows).

    Raises:
        UnsupportedError: a density is missing.
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
        with warnings.catch_warnings():  # anomalies often have uneven weights
            warnings.filterwarnings("ignore", "the median effective sample size")
            most = most_samples(model, dataset, samples)
            scores = score(
                model, dataset, samples=most, seed=seed, memory=memory, progress=progress
            )
        bound = -(scores.bound if scores.log_marginal is None else scores.log_marginal).numpy()
    rebuilt = rebuild(model, dataset, memory=memory)
    return RawScores(bound, rebuilt.log_loss, rebuilt.row, rebuilt.place)


def has_bound(model: Model, dataset: Dataset) -> bool:
    """Whether the model has latents with a prior, and therefore a bound on log p(x)."""
    return bool(dry_run(model, first_row(dataset, model)).trace.steps)


@dataclass(frozen=True)
class Reference:
    """Scores and decoded positions of normal rows, with which new rows are compared.

    Attributes:
        tails: upper tail of each component of the model.
        places: decoded mean codes of reference rows, in standard deviations along
            ``directions``, (rows, directions).
        shift, scale: standardize the coordinates of a row, (numbers,).
        directions: (numbers, directions), orthonormal columns.
        neighbors: k.
        combined: the components of "combined", as far as the model has them.
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
        """The reference by the raw scores of normal rows.

        Args:
            raw: of training rows, which are the neighbors.
            fresh: of held-out normal rows, for the tails of scores in nats, because a model gives
                its training rows higher bounds; None: use ``raw``. Distances are to other rows, so
                training rows give no bias there.
            neighbors: k; at most the number of other rows.
            combined: the components of "combined".

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
        # each reference row is its own nearest neighbor, so k + 1 neighbors are needed
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
        """One of the scores, (rows,).

        Raises:
            OptionError, UnsupportedError: as for ``check``.
        """
        self.check(kind)
        return self.components(raw)[kind]

    def check(self, kind: str) -> None:
        """Raise an error if the model does not have this score.

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
        """The components in their own units, before their tails."""
        found = {} if raw.bound is None else {"bound": raw.bound}
        return {**found, "reconstruction": raw.reconstruction, "latent": self._way(raw, k)}

    def _way(self, raw: RawScores, k: int) -> Array:
        """Distance to the k-th nearest reference row through the codes, in deviations, (rows,)."""
        own = np.square((raw.row - raw.place) / self.scale).sum(1)
        standard = (raw.place - self.shift) / self.scale
        inside = standard @ self.directions
        return np.asarray(np.sqrt(own + np.square(self._distance(inside, k))))

    def _distance(self, inside: Array, k: int) -> Array:
        """Distance to the k-th nearest reference row along ``directions``, (rows,); equal rows are
        searched once."""
        same = same_rows(np.ascontiguousarray(inside))
        distinct = inside if same is None else inside[same[0]]
        tree = cKDTree(self.places, LEAF)
        near, _ = tree.query(distinct, k=[k], workers=torch.get_num_threads())
        found: Array = near[:, 0]
        return found if same is None else found[same[1]]


def combination(dataset: Dataset, clean: bool = True) -> tuple[str, ...]:
    """The components of the combined score.

    Args:
        dataset: rows of the kind that is scored.
        clean: whether no anomalies were fitted on.
    """
    if not clean:
        return AMONG_ANOMALIES
    return OF_PICTURES if dataset.schema.data_kind.pictures else COMPONENTS


def check_score(kind: str) -> None:
    """Raise an error for an unknown score.

    Raises:
        OptionError: the message suggests the nearest name.
    """
    if kind not in SCORES:
        raise unknown("score", kind, SCORES)


def _moments(row: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each number; an infinite deviation excludes a constant one."""
    scale = row.std(0)
    return row.mean(0), np.where(scale > 0, scale, np.inf)


def _directions(standard: Array) -> Array:
    """The leading principal directions, (numbers, directions); the axes if there are few."""
    numbers = standard.shape[1]
    if numbers <= MOST_DIRECTIONS:
        return np.eye(numbers)
    rows = torch.from_numpy(standard[: 4 * MOST_REFERENCES])
    _, leading = torch.linalg.eigh(rows.T @ rows)
    return np.asarray(leading[:, -MOST_DIRECTIONS:].numpy())
