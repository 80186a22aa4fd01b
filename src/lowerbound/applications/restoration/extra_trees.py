"""Extremely randomized trees as arrays, with the training targets that lie in each leaf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
TREES = 60
MOST_LEAVES = 500  # of a tree, about: more rows have larger leaves
MOST_FEATURES = 20  # tried at each split
ROWS = 4_096  # in one pass through all trees
STORED = {
    "feature": np.int32,
    "threshold": np.float64,
    "branches": np.int32,
    "roots": np.int32,
    "count": np.int32,
    "rows": np.int32,
    "target": np.float64,
}


@dataclass(frozen=True, eq=False)
class ExtraTrees:
    r"""Trees with random thresholds that predict one number or one level (Geurts et al. 2006).

    With the training rows R_t(x) in the leaf of x in tree t, the prediction is a weighted empirical
    distribution of training targets (Meinshausen 2006):

    .. math:: \hat p(y \mid x) = \frac{1}{T} \sum_t \frac{1}{|R_t|} \sum_{i \in R_t(x)} 1[y_i = y]

    Attributes:
        feature, threshold: of each node; a value at or below the threshold goes left, (nodes,).
        branches: left and right of each node; a leaf is its own child, (nodes, 2).
        roots: first node of each tree, (trees,).
        count: number of training rows in each leaf; 0 for other nodes, (nodes,).
        rows: numbers of the training rows in the order of the leaves, (trees * training rows,).
        target: values, or codes of levels, of the training rows, (training rows,).
        levels: number of levels; 0 for a number.
    """

    feature: Array
    threshold: Array
    branches: Array
    roots: Array
    count: Array
    rows: Array
    target: Array
    levels: int

    @classmethod
    def fit(cls, x: Array, target: Array, levels: int, leaf: int, seed: int) -> ExtraTrees:
        """Grow the trees.

        Args:
            x: features without missing values, (rows, features).
            target: values, or codes of levels, (rows,).
            levels: number of levels; 0 for a number.
            leaf: fewest rows in a leaf.
            seed: of the splits.
        """
        share = min(1.0, MOST_FEATURES / x.shape[1])
        spread = float(target.std()) or 1.0
        trees, reached = _grown(
            x.astype(np.float32),
            target if levels else (target - target.mean()) / spread,
            classes=bool(levels),
            max_features="sqrt" if levels else share,
            min_samples_leaf=max(leaf, len(x) // MOST_LEAVES),
            seed=seed,
        )
        arrays = {**_joined(trees, reached), "target": target}
        return cls(**{name: arrays[name].astype(STORED[name]) for name in STORED}, levels=levels)

    @classmethod
    def of(cls, arrays: Mapping[str, Array], features: int, levels: int) -> ExtraTrees:
        """Trees from stored arrays, which anyone may have written.

        Raises:
            ValueError: the arrays are no trees of so many features.
        """
        made = cls(
            **{name: arrays[name].astype(kind, casting="safe") for name, kind in STORED.items()},
            levels=levels,
        )
        made.check(features)
        return made

    def arrays(self) -> dict[str, Array]:
        """What ``of`` reads."""
        return {name: getattr(self, name) for name in STORED}

    def check(self, features: int) -> None:
        """Raise an error unless every descent ends, in a leaf that holds training rows.

        Raises:
            ValueError: it does not.
        """
        nodes = np.arange(len(self.feature))
        leaf = self.branches[:, 0] == nodes
        sizes = [self.threshold.shape, self.count.shape, self.branches[:, 1].shape]
        right = {
            "sizes": sizes == [nodes.shape] * 3,
            "features": _within(self.feature, features),
            "branches": _within(self.branches, len(nodes))
            and bool((self.branches[~leaf] > nodes[~leaf, None]).all())
            and bool((self.branches[leaf] == nodes[leaf, None]).all()),
            "roots": self.roots.size > 0 and _within(self.roots, len(nodes)),
            "leaves": bool((self.count >= leaf).all()) and self.count.sum() == len(self.rows),
            "rows": _within(self.rows, len(self.target)),
            "targets": bool(np.isfinite(self.target).all())
            and (not self.levels or _within(self.target, self.levels)),
        }
        if wrong := [name for name, is_right in right.items() if not is_right]:
            raise ValueError(f"its trees have wrong {wrong[0]}")

    def leaves(self, x: Array) -> Array:
        """The leaf of each row in each tree, (rows, trees).

        Args:
            x: (rows, features); they are rounded to float32, as in the fit.
        """
        parts = [self._leaves(x[start : start + ROWS]) for start in range(0, len(x), ROWS)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.roots)), dtype=np.int64)

    def means(self, leaves: Array) -> Array:
        """The mean of the predicted distribution, (rows, 1); of levels their probabilities,
        (rows, levels)."""
        total = np.zeros((len(leaves), self._values.shape[1]))
        for each in leaves.T:
            total += self._values[each]
        return np.asarray(total / leaves.shape[1])

    def drawn(self, leaves: Array, uniform: Array) -> Array:
        """Draws from the predicted distributions: training targets, (draws, rows).

        Args:
            leaves: (rows, trees).
            uniform: numbers in [0, 1), (draws, rows).
        """
        trees = leaves.shape[1]
        tree = np.minimum((uniform * trees).astype(np.int64), trees - 1)
        node = leaves[np.arange(len(leaves)), tree]
        count = self.count[node].astype(np.int64)
        place = np.minimum(((uniform * trees - tree) * count).astype(np.int64), count - 1)
        return np.asarray(self.target[self.rows[self._first[node] + place]])

    def _leaves(self, x: Array) -> Array:
        x = x.astype(np.float32)
        node = np.broadcast_to(self.roots, (len(x), len(self.roots)))
        row = np.arange(len(x))[:, None]
        while True:
            right = x[row, self.feature[node]] > self.threshold[node]
            below = self.branches[node, right.astype(np.int64)]
            if np.array_equal(below, node):
                return np.asarray(node)
            node = below

    @cached_property
    def _first(self) -> Array:
        """The place of each leaf's first row in ``rows``, (nodes,)."""
        return np.asarray(np.cumsum(self.count) - self.count)

    @cached_property
    def _values(self) -> Array:
        """The mean of each leaf's targets, or the share of each level, (nodes, 1 | levels)."""
        values = np.zeros((len(self.count), max(1, self.levels)))
        node = np.repeat(np.arange(len(self.count)), self.count)
        target = self.target[self.rows]
        if self.levels:
            np.add.at(values, (node, target.astype(np.int64)), 1.0)
        else:
            np.add.at(values[:, 0], node, target)
        return np.asarray(values / np.maximum(self.count, 1)[:, None])


def _grown(
    x: Array, target: Array, *, classes: bool, seed: int, **options: Any
) -> tuple[list[Any], Array]:
    """The trees of scikit-learn's forest, and the leaf of each row in each, (rows, trees).

    The forest copies and checks an estimator for every tree, which takes longer than to grow a tree
    of a few hundred rows.
    """
    from sklearn import config_context
    from sklearn.tree import ExtraTreeClassifier, ExtraTreeRegressor

    kind = ExtraTreeClassifier if classes else ExtraTreeRegressor
    random = np.random.RandomState(seed)  # the forest draws the seeds of its trees from it
    with config_context(skip_parameter_validation=True):
        trees = [
            kind(random_state=random.randint(np.iinfo(np.int32).max), **options).fit(
                x, target, check_input=False
            )
            for _ in range(TREES)
        ]
        return trees, np.stack([tree.apply(x, check_input=False) for tree in trees], 1)


def _joined(trees: Any, reached: Array) -> dict[str, Array]:
    """The nodes of scikit-learn's trees one after the other, and the rows in their leaves.

    Args:
        trees: fitted.
        reached: the leaf of each training row in each tree, (rows, trees).
    """
    found = [each.tree_ for each in trees]
    sizes = np.array([tree.node_count for tree in found])
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    leaf = np.concatenate([tree.children_left for tree in found]) < 0
    sides = [
        np.concatenate([getattr(t, f"children_{s}") for t in found]) for s in ("left", "right")
    ]
    branches = np.stack(sides, 1) + np.repeat(roots, sizes)[:, None]
    branches[leaf] = np.flatnonzero(leaf)[:, None]
    nodes = (reached + roots).T
    count = np.bincount(nodes.ravel(), minlength=len(leaf))
    order = [np.argsort(each, kind="stable") for each in nodes]
    return {
        "feature": np.where(leaf, 0, np.concatenate([t.feature for t in found])),
        "threshold": np.concatenate([tree.threshold for tree in found]),
        "branches": branches,
        "roots": roots,
        "count": count,
        "rows": np.concatenate(order),
    }


def _within(numbers: Array, limit: int) -> bool:
    return bool(((numbers >= 0) & (numbers < limit)).all())
