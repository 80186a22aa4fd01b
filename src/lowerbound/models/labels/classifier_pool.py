r"""Classical classifiers beside the network of q(y | x), and the weights of all of them.

.. math:: q(y \mid x) \propto \Big(\sum_k w_k\, p_k(y \mid x)\Big)^{1/T}

The members are the network (with a temperature of its own), logistic regression and boosted trees.
``member_fits`` fits them; before, q(y | x) is the network's alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from torch import Tensor

from lowerbound.classical.boosted_trees import BoostedTrees
from lowerbound.models.labels.member_pool import MemberPool, of_columns

ABSENT = -50.0  # logit of a class without any label


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
