"""The class of each row: by name for users, as one-hot for conditional models."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.errors import OptionError, unknown
from lowerbound.fitting import Fitted
from lowerbound.models import Classifies


def one_hot(fitted: Fitted, label: Tensor | None) -> Tensor | None:
    """The condition of each row, (rows, classes); None for a model that is not conditional.

    Raises:
        OptionError: a conditional model gets no class, or another model gets one.
    """
    names = fitted.schema.class_names
    if not fitted.options.model.conditional:
        if label is not None and isinstance(fitted.model, Classifies):
            raise OptionError("the codes hold the class already: leave --label out")
        if label is not None:
            raise OptionError(
                "this model is not conditional: leave --label out, or fit one with --conditional"
            )
        return None
    if label is None:
        raise OptionError(f"this conditional model needs a class, one of: {', '.join(names)}")
    return _one_hot(label, len(names))


def class_condition(fitted: Fitted, label: Tensor | None) -> Tensor | None:
    """The condition of rows to be sampled, (rows, classes).

    A model with the class among its latents also takes classes; None then means y ~ p(y).
    """
    if not isinstance(fitted.model, Classifies):
        return one_hot(fitted, label)
    return None if label is None else _one_hot(label, fitted.model.classes)


def _one_hot(label: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(label, classes).to(torch.get_default_dtype())


def label_indices(fitted: Fitted, labels: Sequence[str]) -> Tensor:
    """Class indices of class names, (rows,); "3.0" is the class "3".

    Raises:
        OptionError: a name is not a class; the message suggests the nearest one. Or the label of
            the model is a number.
    """
    names = fitted.schema.class_names
    if labels and fitted.schema.target is not None:
        raise OptionError(
            "the label of this model is a number, and --label takes a class: leave it out; in "
            "Python, sample(y=...) takes numbers"
        )
    return torch.tensor([_index(label, names) for label in labels], dtype=torch.long)


def _index(label: str, names: Sequence[str]) -> int:
    """The index of a class: of its name, or of a name that is the same number."""
    if label in names:
        return names.index(label)
    with suppress(ValueError):
        whole = f"{float(label):.0f}"
        if whole in names and float(whole) == float(label):
            return names.index(whole)
    raise unknown("class", label, names)


def label_names(dataset: Dataset) -> tuple[str, ...] | None:
    """The class of each row by name, "" where unknown; None if no row has a class."""
    if dataset.label is None:
        return None
    names = (*dataset.schema.class_names, "")  # index -1 is the last
    return tuple(names[index] for index in dataset.label.tolist())


def class_column(fitted: Fitted, label: Tensor | None) -> dict[str, list[str]]:
    """The column with the class of each row; none without classes."""
    if label is None:
        return {}
    names = fitted.schema.class_names
    return {fitted.schema.label_column or "label": [names[index] for index in label.tolist()]}
