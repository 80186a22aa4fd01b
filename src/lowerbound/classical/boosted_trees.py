"""Gradient-boosted trees whose fitted form is tensors: they are stored and read like a network.

The base of classical models of this form is here too.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

ROWS = 4_096  # in one pass through all trees


class StoredFit(nn.Module):
    """A module of buffers whose sizes are known only after a fit.

    A model is assembled before its weights are read, so the stored sizes are taken first.

    Attributes:
        EMPTY: the buffers before the fit, by name.
    """

    EMPTY: ClassVar[Mapping[str, Tensor]]

    def __init__(self) -> None:
        super().__init__()
        for name, empty in self.EMPTY.items():
            self.register_buffer(name, empty.clone())

    @abstractmethod
    def flaw(self, state_dict: Mapping[str, Tensor], prefix: str) -> str:
        """What is wrong with the tensors just read; "" if nothing is.

        Args:
            state_dict, prefix: the stored tensors, those of submodules among them.
        """

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Tensor], prefix: str, *rest: Any
    ) -> None:
        for name, empty in self.EMPTY.items():
            stored = state_dict.get(prefix + name)
            if stored is not None:
                device = getattr(self, name).device
                setattr(self, name, torch.empty(stored.shape, dtype=empty.dtype, device=device))
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if flaw := self.flaw(state_dict, prefix):
            rest[-1].append(f"{prefix}{flaw}")


class BoostedTrees(StoredFit):
    r"""The sum of regression trees, for each of several outputs o.

    .. math:: f_o(x) = b_o + \sum_t v_{o,t}(x)

    The trees are those of scikit-learn's histogram gradient boosting (Friedman 2001; Ke et al.
    2017). A missing value follows the branch that reduced the loss more in the fit.

    Attributes:
        feature, threshold: of each node; a value at or below the threshold goes left, (nodes,).
        missing_left: whether NaN goes left, (nodes,).
        branches: left and right of each node; a leaf is its own child, (nodes, 2).
        value: of the leaves, (nodes,).
        roots: first node of each tree, (outputs, trees).
        base: b, (outputs,).
        depth: most branches between a root and a leaf.
    """

    EMPTY: ClassVar[Mapping[str, Tensor]] = {
        "feature": torch.zeros(0, dtype=torch.long),
        "threshold": torch.zeros(0, dtype=torch.float64),
        "missing_left": torch.zeros(0, dtype=torch.bool),
        "branches": torch.zeros(0, 2, dtype=torch.long),
        "value": torch.zeros(0, dtype=torch.float64),
        "roots": torch.zeros(0, 0, dtype=torch.long),
        "base": torch.zeros(0, dtype=torch.float64),
    }
    feature: Tensor
    threshold: Tensor
    missing_left: Tensor
    branches: Tensor
    value: Tensor
    roots: Tensor
    base: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0

    @classmethod
    def of(cls, boosting: Any) -> BoostedTrees:
        """The trees of a fitted ``HistGradientBoosting`` without categorical features."""
        trees = [[tree.nodes for tree in step] for step in boosting._predictors]
        nodes = np.concatenate([tree for step in trees for tree in step])
        sizes = [len(tree) for step in trees for tree in step]
        first = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        branches = np.stack([nodes["left"], nodes["right"]], 1) + np.repeat(first, sizes)[:, None]
        leaf = nodes["is_leaf"].astype(bool)
        branches[leaf] = np.flatnonzero(leaf)[:, None]
        found = {
            "feature": np.where(leaf, 0, nodes["feature_idx"]),
            "threshold": nodes["num_threshold"],
            "missing_left": nodes["missing_go_to_left"],
            "branches": branches,
            "value": nodes["value"],
            "roots": first.reshape(len(trees), -1).T,
            "base": np.ravel(boosting._baseline_prediction),
        }
        made = cls()
        for name, empty in cls.EMPTY.items():
            setattr(made, name, torch.from_numpy(found[name].copy()).to(empty.dtype))
        made.depth = made._most_branches()
        return made

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """f(x) of each row, (rows, outputs), float64; NaN is missing.

        Args:
            x: (rows, features).
        """
        return torch.cat([self.of_batch(part.double()) for part in x.split(ROWS)])

    def of_batch(self, x: Tensor) -> Tensor:
        """f(x) of so many rows as fit into memory at once, (rows, outputs).

        Args:
            x: (rows, features), float64.
        """
        node = self.roots.flatten().expand(x.shape[0], -1)
        for _ in range(self.depth):  # a number known before the pass, so that it can be exported
            value = x.gather(1, self.feature[node])
            left = torch.where(
                value.isnan(), self.missing_left[node], value <= self.threshold[node]
            )
            node = self.branches[node].gather(2, (~left).long().unsqueeze(2)).squeeze(2)
        leaves: Tensor = self.value[node].unflatten(1, self.roots.shape)
        return self.base + leaves.sum(2)

    def flaw(self, state_dict: Mapping[str, Tensor], prefix: str) -> str:
        if not self._are_trees():
            return "branches: no trees"
        self.depth = self._most_branches()
        return ""

    def _are_trees(self) -> bool:
        """Whether the sizes agree and every branch leads to a later node, so that a pass ends."""
        nodes = len(self.feature)
        one_each = (self.feature, self.threshold, self.missing_left, self.value)
        if any(each.shape != (nodes,) for each in one_each) or self.branches.shape != (nodes, 2):
            return False
        if self.roots.ndim != 2 or self.base.shape != self.roots.shape[:1]:
            return False
        own = torch.arange(nodes, device=self.branches.device).unsqueeze(1)
        leads_on = (self.branches > own).all(1) | (self.branches == own).all(1)
        indices = torch.cat((self.branches.flatten(), self.roots.flatten()))
        return bool(leads_on.all() & ((indices >= 0) & (indices < nodes)).all())

    def _most_branches(self) -> int:
        """Most branches between a root and a leaf."""
        node, depth = self.roots.flatten().unique(), 0
        while len(node := node[self.branches[node, 0] != node]):
            node, depth = self.branches[node].flatten().unique(), depth + 1
        return depth
