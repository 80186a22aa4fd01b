r"""Analogies: the style of a row in every class.

.. math::
    z = \mathbb{E}[z \mid x, y_{\text{own}}], \qquad x'_c = \mathbb{E}[x \mid z, y = c]

The style is encoded with the row's own class, so it does not contain what the class explains.
Source: Kingma et al. 2014, figure 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lowerbound.data.dataset import Dataset
from lowerbound.inference.passes import collected
from lowerbound.models import Classifies, Imagines, Model, require
from lowerbound.trace import Batch, Continue, Mean

ROWS_AT_ONCE = 256


def in_every_class(model: Model, dataset: Dataset, classes: int) -> Tensor:
    """Decoder means of every row in every class, (rows, classes, *event), model units.

    Args:
        model: a conditional model, or one with the class as a latent.
        dataset: rows with their own class as label; unlabeled rows use the likeliest class.
        classes: number of classes.

    Raises:
        UnsupportedError: the model has no prior and cannot generate rows.
    """
    require(model, Imagines, "make rows of a class")

    def each(_: slice, batch: Batch) -> list[Tensor]:
        style = _style(model, batch)
        made = [_made(model, batch, style, index, classes) for index in range(classes)]
        return [torch.stack(made, 1)]

    return collected(model, dataset, ROWS_AT_ONCE, each)[0]


def _style(model: Model, batch: Batch) -> Sequence[Tensor]:
    """The latents other than the class, top down."""
    if not isinstance(model, Classifies):
        return [step.z for step in model(batch, Mean()).steps]
    own = _own_class(model, batch)
    return [model(batch, Continue((own,), Mean())).steps[1].z]


def _own_class(model: Classifies, batch: Batch) -> Tensor:
    """One-hot, (1, rows, classes)."""
    probability: Tensor = model.class_posterior(batch).probs
    likeliest = probability.argmax(-1)
    if batch.label is not None:
        likeliest = torch.where(batch.label >= 0, batch.label, likeliest)
    return one_hot(likeliest, model.classes).to(probability)


def _made(model: Model, batch: Batch, style: Sequence[Tensor], index: int, classes: int) -> Tensor:
    assert isinstance(model, Imagines)
    y = one_hot(torch.full((len(batch),), index, device=style[0].device), classes).to(style[0])
    above = (y.unsqueeze(0), *style) if isinstance(model, Classifies) else tuple(style)
    trace = model.imagine(Batch(condition=y), Continue(above, Mean()))
    mean: Tensor = trace.likelihood.best[0]
    return mean
