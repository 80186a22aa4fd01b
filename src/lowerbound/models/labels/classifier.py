r"""Classical classifiers beside the network of q(y | x), fitted to labels, and the weights of all.

.. math:: q(y \mid x) \propto \Big(\sum_k w_k\, p_k(y \mid x)\Big)^{1/T}

The members are the network (with a temperature of its own), logistic regression and boosted trees.
``member_fits`` fits them; before, q(y | x) is the network's alone. Every choice is made by the
likelihood of labels that the fit did not see: the penalty of logistic regression, the size of the
trees and their number, and the weight of each member.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from lowerbound.classical.boosted_trees import BoostedTrees
from lowerbound.classical.linear_regression import averaged_weights, small_fit
from lowerbound.data.arrays import Array
from lowerbound.models.labels.pools import MemberPool, best_temperature, of_columns
from lowerbound.models.labels.ridge_start import LabeledRows

ABSENT = -50.0  # logit of a class without any label
MEMBERS = ("network", "logistic regression", "boosted trees")
PRIOR = (4.0, 4.0, 1.0)  # of the weights of network, logistic regression, trees: few labels are
# too few for trees. Chosen with STRENGTH on draws of labels that no benchmark reports.
STRENGTH = 16.0  # labels that this prior counts as
ALONE = 0.05  # prior probability that one member alone is the best
PENALTIES = 10.0 ** np.arange(-3.0, 2.1, 0.5)  # C of logistic regression
USUAL, RANGE = 0.3, 2.0  # center, and standard deviation of log C, of its prior
LEAVES = (10, 3)  # fewest labels in a leaf
STEPS = (10, 20, 40, 70)  # trees of each class
RATE = 0.1  # learning rate of the trees
LEAST = 1e-3  # smallest probability of a hidden label, so that no single label decides


class ClassifierPool(MemberPool):
    """Logistic regression and boosted trees beside a network.

    Args:
        features, further: F, numbers of a row that the members see; see the base class.
        classes: number of classes.

    Attributes:
        weights: of the network, logistic regression and boosted trees, (3,); (0,) before the fit.
        temperature: of the network, within the pool.
        slope, intercept: of logistic regression, (classes, F) and (classes,).
        labeled: the classes that have labels, whose logits the trees give, (labeled classes,).
    """

    EMPTY: ClassVar[Mapping[str, Tensor]] = {
        "weights": torch.zeros(0, dtype=torch.float64),
        "temperature": torch.ones((), dtype=torch.float64),
        "slope": torch.zeros(0, 0, dtype=torch.float64),
        "intercept": torch.zeros(0, dtype=torch.float64),
        "labeled": torch.zeros(0, dtype=torch.long),
    }
    temperature: Tensor
    slope: Tensor
    intercept: Tensor
    labeled: Tensor

    def __init__(self, features: int, classes: int, further: int = 0) -> None:
        super().__init__(features, further)
        self.classes = classes
        self.trees = BoostedTrees()

    def empty(self) -> Self:
        return type(self)(self.features, self.classes, self.further)

    def forward(self, logits: Tensor, x: Tensor) -> Tensor:
        """Logits of the pool, (rows, classes), of the type and on the device of ``logits``.

        Args:
            logits: of the network, (rows, classes).
            x: what the members see, (rows, F).
        """
        own = logits.double().cpu() / self.temperature
        each = torch.stack([own, *self.member_logits(x.double().cpu())]).log_softmax(-1)
        pooled = torch.logsumexp(each + self.weights.log().reshape(-1, 1, 1), 0)
        return pooled.to(logits)

    def member_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of logistic regression and of the trees, (rows, classes) each.

        Args:
            x: (rows, F), float64.
        """
        x = x[:, : self.slope.shape[1]]
        return x @ self.slope.T + self.intercept, self._of_trees(self.trees.of_batch(x))

    def _of_trees(self, found: Tensor) -> Tensor:
        """The logits of all classes; trees of two classes give those of the second alone."""
        if found.shape[1] == 1:
            found = torch.cat((torch.zeros_like(found), found), 1)
        every = found.new_full((found.shape[0], self.classes), ABSENT)
        return every.index_copy(1, self.labeled, found)

    def fits(self, state_dict: Mapping[str, Tensor], prefix: str) -> bool:
        roots = state_dict.get(f"{prefix}trees.roots")
        if roots is None or roots.ndim != 2:
            return False
        outputs, labeled = roots.shape[0], self.labeled.flatten().tolist()
        return (
            self.weights.shape == (3,)
            and self.slope.ndim == 2
            and len(self.slope) == self.classes
            and self.sees(self.slope.shape[1])
            and self.intercept.shape == (self.classes,)
            and len(labeled) == max(2, outputs)
            and all(0 <= each < self.classes for each in labeled)
            and of_columns(state_dict, f"{prefix}trees.", self.slope.shape[1])
        )


@dataclass(frozen=True)
class ClassifiedRows(LabeledRows):
    """Labeled rows of so many classes."""

    classes: int


@dataclass(frozen=True)
class HiddenLabels:
    """Answers for labels that were hidden from the fits.

    Attributes:
        logits: of the pool before its temperature, (labels, classes).
        label: the labels, (labels,).
    """

    logits: Tensor
    label: Tensor

    def sentence(self, pool: ClassifierPool | None, temperature: float) -> str:
        """How good the answers are, and of what q(y | x) consists."""
        said = []
        if len(self.label):
            accuracy = float((self.logits.argmax(1) == self.label).double().mean())
            said.append(
                f"cross-validation is right about {accuracy:.1%} of {len(self.label):,} labels, "
                "each hidden from the fits that answer"
            )
        if pool is not None:
            shares = zip(MEMBERS, pool.weights.tolist(), strict=True)
            said.append("q(y | x): " + ", ".join(f"{share:.0%} {name}" for name, share in shares))
        return "; ".join([*said, f"temperature {temperature:.2f}"])


def fit_pool(pool: ClassifierPool, rows: ClassifiedRows, network: Tensor) -> HiddenLabels:
    """Fit all members, and weigh them beside the network.

    Args:
        pool: changed in place.
        rows: the labeled rows.
        network: its logits for the hidden labels, fold after fold, (labels, classes).
    """
    label = torch.from_numpy(rows.label[rows.hidden])
    own = best_temperature(network, label)
    with small_fit():
        line, of_line = _logistic_regression(rows)
        trees, of_trees = _boosting(rows)
    each = torch.stack([network.double() / own, of_line, of_trees]).log_softmax(-1)
    right = each.gather(2, label.expand(3, -1).unsqueeze(2)).squeeze(2).exp()
    prior = torch.tensor(PRIOR, dtype=torch.float64)
    pool.weights = averaged_weights(right, prior / prior.sum(), STRENGTH, ALONE, LEAST)
    pool.temperature = torch.tensor(own, dtype=torch.float64)
    pool.labeled = torch.from_numpy(line.classes_.astype(np.int64))
    pool.slope, pool.intercept = _of_every_class(line, rows)
    pool.trees = BoostedTrees.of(trees)
    pooled = torch.logsumexp(each + pool.weights.log().reshape(-1, 1, 1), 0)
    return HiddenLabels(pooled, label)


def _logistic_regression(rows: ClassifiedRows) -> tuple[Any, Tensor]:
    """The fitted learner, and its logits for the hidden labels."""
    from sklearn.linear_model import LogisticRegression

    x, found = rows.standardized, []
    for penalty in PENALTIES:
        learner = LogisticRegression(C=penalty, max_iter=1_000)
        parts = [
            _spread(learner.fit(x[seen], rows.label[seen]), x[fold], rows.classes)
            for seen, fold in rows.splits()
        ]
        found.append(_together(parts, rows.classes))
    unlikely = np.square(np.log(PENALTIES / USUAL) / RANGE) / 2
    best = int(np.argmax([_fit(each, rows) for each in found] - unlikely))
    line = LogisticRegression(C=PENALTIES[best], max_iter=1_000).fit(x, rows.label)
    return line, found[best]


def _boosting(rows: ClassifiedRows) -> tuple[Any, Tensor]:
    """The fitted learner, and its logits for the hidden labels."""
    found: dict[tuple[int, int], list[Tensor]] = {key: [] for key in product(LEAVES, STEPS)}
    for (seen, fold), leaf in product(rows.splits(), LEAVES):
        learner = _trees(leaf, max(STEPS)).fit(rows.x[seen], rows.label[seen])
        stages = list(learner.staged_decision_function(rows.x[fold]))
        for steps in STEPS:
            found[leaf, steps].append(_placed(stages[steps - 1], learner.classes_, rows.classes))
    joined = {key: _together(parts, rows.classes) for key, parts in found.items()}
    leaf, steps = max(joined, key=lambda key: _fit(joined[key], rows))
    return _trees(leaf, steps).fit(rows.x, rows.label), joined[leaf, steps]


def _trees(leaf: int, steps: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        learning_rate=RATE,
        max_iter=steps,
        min_samples_leaf=leaf,
        early_stopping=False,
        random_state=0,
    )


def _fit(logits: Tensor, rows: ClassifiedRows) -> float:
    """Nats of the hidden labels; 0 if there are none."""
    label = torch.from_numpy(rows.label[rows.hidden])
    right = logits.softmax(-1).gather(1, label.unsqueeze(1))
    return float(torch.log(right + LEAST).sum())


def _spread(learner: Any, x: Array, classes: int) -> Tensor:
    """Logits of every class, (rows, classes)."""
    return _placed(learner.decision_function(x), learner.classes_, classes)


def _placed(found: Array, labeled: Array, classes: int) -> Tensor:
    """Logits of every class from scikit-learn's, which are of the second of two classes alone."""
    if found.ndim == 1:
        found = np.stack([np.zeros_like(found), found], 1)
    every = np.full((len(found), classes), ABSENT)
    every[:, labeled] = found
    return torch.from_numpy(every)


def _together(parts: Sequence[Tensor], classes: int) -> Tensor:
    return torch.cat([torch.zeros(0, classes, dtype=torch.float64), *parts])


def _of_every_class(line: Any, rows: ClassifiedRows) -> tuple[Tensor, Tensor]:
    """Slope (classes, F) and intercept (classes,) of every class, in the units of x."""
    both = len(line.classes_) == 2
    slope = np.zeros((rows.classes, line.coef_.shape[1]))
    intercept = np.full(rows.classes, ABSENT)
    slope[line.classes_] = np.vstack([0 * line.coef_, line.coef_]) if both else line.coef_
    intercept[line.classes_] = np.append(0.0, line.intercept_) if both else line.intercept_
    slope = slope / rows.scale
    return torch.from_numpy(slope), torch.from_numpy(intercept - slope @ rows.shift)
