"""The base of pools: classical predictors of a label beside the network of q(y | x)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

from torch import Tensor, nn

from lowerbound.classical.stored_fit import StoredFit


class MemberPool(StoredFit):
    """Predictors of a label, fitted to the labeled rows, and their weights.

    It stays on the processor and in float64, so that a device and a precision change no number.

    Args:
        features: F, numbers of a row that the members see.
        further: how many of these, the last ones, members of older files do not see.

    Attributes:
        weights: of the network and each member, (1 + members,); (0,) before the fit.
    """

    weights: Tensor

    def __init__(self, features: int, further: int = 0) -> None:
        super().__init__()
        self.features, self.further = features, further
        self.register_load_state_dict_pre_hook(_with_defaults)  # type: ignore[no-untyped-call]
        self.register_state_dict_post_hook(_unless_empty)  # type: ignore[no-untyped-call]

    @property
    def fitted(self) -> bool:
        """Whether it has members beside the network."""
        return bool(self.weights.shape[0])

    def sees(self, count: int) -> bool:
        """Whether members may see so many numbers."""
        return count in (self.features, self.features - self.further)

    @abstractmethod
    def empty(self) -> Self:
        """A pool of the same sizes before its fit."""

    @abstractmethod
    def fits(self, state_dict: Mapping[str, Tensor], prefix: str) -> bool:
        """Whether stored members are of these sizes.

        Args:
            state_dict, prefix: the stored tensors, those of the members among them.
        """

    def flaw(self, state_dict: Mapping[str, Tensor], prefix: str) -> str:
        wrong = self.fitted and not self.fits(state_dict, prefix)
        return "weights: members of another model" if wrong else ""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return self


def of_columns(state_dict: Mapping[str, Tensor], prefix: str, features: int) -> bool:
    """Whether stored trees split so many features, and no other."""
    feature = state_dict.get(f"{prefix}feature")
    return feature is not None and bool(((feature >= 0) & (feature < features)).all())


def _with_defaults(pool: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """A stored model without members gives an empty pool."""
    assert isinstance(pool, MemberPool)
    if f"{prefix}weights" not in state:
        state.update({prefix + name: value for name, value in pool.empty().named_buffers()})


def _unless_empty(pool: nn.Module, state: dict[str, Tensor], prefix: str, metadata: Any) -> None:
    """An empty pool stores nothing, so that models without members are stored as ever."""
    assert isinstance(pool, MemberPool)
    if not pool.fitted:
        for name, _ in pool.named_buffers():
            state.pop(prefix + name, None)
