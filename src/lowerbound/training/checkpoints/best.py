"""The weights with the best held-out bound, and when to stop looking for better ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class Best:
    """Keeps the weights of the highest held-out bound.

    Args:
        patience: validations without gain before training should stop; 0: never.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.bound = -math.inf
        self.update: int | None = None
        self.without_gain = 0
        self.weights: dict[str, Tensor] = {}

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return bool(self.patience) and self.without_gain >= self.patience

    def consider(self, bound: float, update: int, model: nn.Module) -> None:
        """Keep the model's weights if the bound is the highest so far."""
        self.without_gain += 1
        if bound > self.bound:
            self.bound, self.update, self.without_gain = bound, update, 0
            self.weights = {name: value.clone() for name, value in model.state_dict().items()}

    def apply(self, model: nn.Module) -> None:
        """Give the model the best weights, where there are any."""
        if self.weights:
            model.load_state_dict(self.weights)

    def to_mapping(self) -> dict[str, Any]:
        """JSON values, besides the weights."""
        bound = None if self.update is None else self.bound
        return {"bound": bound, "update": self.update, "without_gain": self.without_gain}

    def restore(self, mapping: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Go on from what ``to_mapping`` answered."""
        self.update, self.without_gain = mapping["update"], mapping["without_gain"]
        self.bound = -math.inf if mapping["bound"] is None else mapping["bound"]
        self.weights = dict(weights)
