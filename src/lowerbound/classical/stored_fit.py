"""The base of classical models whose fitted form is tensors, stored and read like a network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


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
