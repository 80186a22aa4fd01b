"""Starting a fit from the weights of another model."""

from __future__ import annotations

import torch

from lowerbound.errors import OptionError
from lowerbound.models import Model


@torch.no_grad()
def start_from_model(model: Model, other: Model) -> None:
    """Copy the weights of ``other`` whose names and shapes agree into ``model``.

    Raises:
        OptionError: fewer than half of the trained weights agree, so the models differ in kind.
    """
    theirs, own = other.state_dict(), model.state_dict()
    alike = {
        name for name, value in own.items() if name in theirs and theirs[name].shape == value.shape
    }
    trained = {name for name, _ in model.named_parameters()}
    if 2 * len(alike & trained) < len(trained):
        raise OptionError(
            f"only {len(alike & trained)} of {len(trained)} weights have the same size in the "
            "model to start from: fit the same kind of model, with the same sizes"
        )
    model.load_state_dict({**own, **{name: theirs[name] for name in alike}})
