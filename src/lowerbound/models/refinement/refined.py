"""A model with the p(x | z) of its refiner, as what is trained while the model stays fixed."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch.nn import Parameter

from lowerbound.errors import UnsupportedError
from lowerbound.models.base import DRAW, Model
from lowerbound.models.refinement.refiner import Refiner
from lowerbound.trace import Batch, Choose, Trace


def unrefined(model: Model) -> Model:
    """The model without its refiner, and with the same other parts, which are not copied."""
    if model.refiner is None:
        return model
    bare = copy.copy(model)
    parts = {name: part for name, part in model._modules.items() if part is not model.refiner}
    vars(bare)["_modules"] = parts
    bare.refiner = None
    return bare


class Refined(Model):
    """The same latents as a model, and p(x | z) by its refiner.

    Only the refiner's parameters and buffers belong to this module, so that training, checkpoints
    and a moving average of the weights change nothing else. The density of p(x | z) is a bound.

    Args:
        model: in evaluation mode, with a refiner.

    Raises:
        UnsupportedError: the model has no refiner.
    """

    title = "refined model"

    def __init__(self, model: Model) -> None:
        super().__init__()
        if model.refiner is None:
            raise UnsupportedError("this model has no refiner: train one with lowerbound refiner")
        self.refiner: Refiner = model.refiner
        self._unrefined = model.__call__

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        with torch.no_grad():
            trace: Trace = self._unrefined(batch, choose)
        return replace(trace, likelihood=self.refiner(trace.likelihood))

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        return {"generative": list(self.refiner.parameters())}
