"""Labels with missing values, by scikit-learn's conventions for semi-supervised learning."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from lowerbound.data.arrays import Array
from lowerbound.errors import DataError
from lowerbound.estimators.inputs.labels import as_labels, without_masked


def given_labels(y: Any, unlabeled_value: Any = None) -> tuple[Array, Array]:
    """(the known labels (known,), a mask of the labeled rows (rows,)).

    The value -1 among numbers means unlabeled, or ``unlabeled_value`` instead of it. Among other
    values None, NaN, pandas' NA and empty text mean unlabeled.

    Raises:
        DataError, ValueError: labels are fractions, text among other values, NaN among numbers is
            not declared, or no label is known.

    Warns:
        UserWarning: -1 and 1 are the only numbers, so -1 is a class.
    """
    y = without_masked(y)
    if getattr(y, "ndim", 1) == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    labels = _numbers_as_such(as_labels(y))
    if labels.dtype.kind in "biuf":
        known = _known_numbers(labels, unlabeled_value)
    else:
        known = ~np.array([_blank(value) for value in labels.tolist()], bool)
        if unlabeled_value is not None:
            known &= np.array([value != unlabeled_value for value in labels.tolist()], bool)
    if not known.any():
        raise DataError(
            f"no row has a label: all {len(labels):,} values of y mean unlabeled; label some rows "
            "of each class"
        )
    found = _numbers_as_such(labels[known])
    _check_types(found.tolist())
    check_classification_targets(found)
    return found, known


def _numbers_as_such(labels: Array) -> Array:
    """An array of objects that are all numbers as an array of numbers; others unchanged."""
    values, numbers = labels.tolist(), int | float | np.number
    if labels.dtype != object or not all(isinstance(value, numbers) for value in values):
        return labels
    return np.array(values)


def _check_types(values: list[Any]) -> None:
    """Raise DataError for text among values of another type, which have no order."""
    text = next((value for value in values if isinstance(value, str)), None)
    other = next((value for value in values if not isinstance(value, str)), None)
    if text is not None and other is not None:
        raise DataError(
            f"y holds classes of different types, such as {other!r} ({type(other).__name__}) and "
            f"{text!r} ({type(text).__name__}): write all of them as text, such as {str(other)!r}, "
            "and mark unlabeled rows by None"
        )


def _known_numbers(labels: Array, unlabeled_value: Any) -> Array:
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        declared = isinstance(unlabeled_value, float) and np.isnan(unlabeled_value)
        if not declared or np.isinf(labels).any():
            raise DataError(
                f"y holds {'infinity' if np.isinf(labels).any() else 'NaN'}: mark unlabeled rows "
                "by -1, or set unlabeled_value=float('nan')"
            )
        missing: Array = np.isnan(labels)
        return ~missing
    value = -1 if unlabeled_value is None else unlabeled_value
    known: Array = labels != value
    others = np.unique(labels[known])
    if unlabeled_value is None and not known.all() and others.tolist() == [1]:
        warnings.warn(
            f"y contains only -1 and 1, so -1 is a class, of {int((~known).sum()):,} rows; if it "
            "means unlabeled, set unlabeled_value=-1",
            UserWarning,
            stacklevel=4,
        )
        known = np.ones(len(labels), bool)
    return known


def _blank(value: Any) -> bool:
    """Whether a label that is not a number is missing."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or str(value) in ("nan", "<NA>", "NaT")
