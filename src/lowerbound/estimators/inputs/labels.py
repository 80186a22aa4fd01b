"""Classes in the user's form: any values with different texts, one per row or one for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data import encode_labels
from lowerbound.data.arrays import Array
from lowerbound.errors import DataError, unknown


def as_labels(y: Any) -> Array:
    """One label per row, (rows,); objects if they are not numbers. Masked labels are None.

    Raises:
        DataError: y is not a column of labels.
    """
    y = without_masked(y)
    array = np.asarray(y) if hasattr(y, "__array__") else _objects(list(y))
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"y should be a 1d array of classes, got an array of shape {array.shape}")
    return array if array.dtype.kind in "biuf" else _objects(array.tolist())


def without_masked(y: Any) -> Any:
    """A masked array with None for its masked labels, as objects; anything else unchanged."""
    if not isinstance(y, np.ma.MaskedArray):
        return y
    if not np.ma.is_masked(y):
        return y.data
    labels = y.data.astype(object)
    labels[np.ma.getmaskarray(y)] = None
    return labels


def class_indices(y: Any, rows: int, names: Sequence[str]) -> Tensor:
    """Indices into ``names``, (rows,).

    Args:
        y: a class for all rows, or one per row, by its value or its text.
        rows: number of rows.
        names: the classes.

    Raises:
        DataError: the lengths differ.
        OptionError: a class is not among ``names``; the message suggests the nearest one.
    """
    one_for_all = np.isscalar(y) or (isinstance(y, tuple) and class_name(y) in names)
    wanted = (
        [class_name(y)] * rows if one_for_all else [class_name(value) for value in as_labels(y)]
    )
    if len(wanted) != rows:
        raise DataError(f"{rows} rows but {len(wanted)} classes in y")
    position = {name: index for index, name in enumerate(names)}
    for name in wanted:
        if name not in position:
            raise unknown("class", name, names)
    return torch.tensor([position[name] for name in wanted], dtype=torch.long)


def classes_of(labels: Array, minus_one_is_a_class: bool = False) -> Array:
    """The distinct known labels in their own type, in the order of the model's classes."""
    codes, names = encode_labels(labels, minus_one_is_a_class=minus_one_is_a_class)
    first = [int((codes == index).nonzero()[0]) for index in range(len(names))]
    return labels[first]


def classes_from(names: Sequence[str]) -> Array:
    """Class names, as integers if all are integers, otherwise as text."""
    try:
        return np.array([int(name) for name in names])
    except ValueError:
        return _objects(list(names))


def classes_still(known: Any, names: Sequence[str]) -> Array:
    """The classes of an estimator that gets a model: in the type that they have, if they are the
    model's."""
    same = tuple(map(class_name, known)) == tuple(names)
    return np.asarray(known) if same else classes_from(names)


def _objects(values: list[Any]) -> Array:
    """A column of any values, because numpy turns tuples into a matrix."""
    array = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        array[row] = value
    return array


def class_name(value: Any) -> str:
    """A class as its name: 7, 7.0, "7" and numpy's 7 are one class."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
