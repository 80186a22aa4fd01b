"""Labels as class indices, -1 if unknown, and the names of the classes.

Real numbers beside a row, standardized, NaN if unknown: predicted by its code, or its label.

Quantities are predicted by the code; regression targets are labels.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.values import finite_numbers, numbers, parsed_numbers
from lowerbound.errors import DataError, counted, unknown

UNKNOWN = -1
FOLDS = 5  # parts of the labels, hidden one after another
MOST_COMPARED = 200  # classes whose names are compared in pairs
COMMON = 5  # rows of a class that a class with one row may be a typo of
NEARLY = 0.8  # similarity of two names, above which one may be a typo of the other


def encode_labels(
    values: Any, class_names: Sequence[str] | None = None, minus_one_is_a_class: bool = False
) -> tuple[Tensor, tuple[str, ...]]:
    """Convert labels to (indices (rows,) long, class names).

    NaN, None, pandas' NA and empty text are unknown. The number -1 is unknown, unless -1 and 1 are
    the only two values. Names are sorted, numbers by size.

    Args:
        values: one label per row: numbers, text or booleans; (rows,) or (rows, 1).
        class_names: the classes of an earlier fit; any other label becomes unknown, with a warning.
        minus_one_is_a_class: -1 is never unknown.

    Raises:
        DataError: the values are fractions, not classes, or all are unknown.
    """
    distinct, position = _distinct(values)
    names = [_name(value) for value in distinct]
    if not minus_one_is_a_class and _minus_one_is_unknown(class_names or names, names):
        _warn_minus_one(int((position == names.index("-1")).sum()), len(position))
        names = ["" if name == "-1" else name for name in names]
    if class_names is None:
        class_names = classes_of(names, minus_one_is_a_class)
    else:
        _warn_new(sorted({name for name in names if name}, key=_order), class_names)
    index = {name: i for i, name in enumerate(class_names)}
    codes = np.array([index.get(name, UNKNOWN) for name in names], dtype=np.int64)
    return torch.from_numpy(codes[position]), tuple(class_names)


def label_names(values: Any) -> set[str]:
    """The names of distinct labels; "" if some are unknown.

    Raises:
        DataError: the values are fractions, not classes.
    """
    return {_name(value) for value in _distinct(values)[0]}


def classes_of(names: Collection[str], minus_one_is_a_class: bool = False) -> tuple[str, ...]:
    """The classes in order, numbers by size, of the names of all labels.

    Raises:
        DataError: all labels are unknown.
    """
    gone = not minus_one_is_a_class and _minus_one_is_unknown(names, names)
    unknown = {"", "-1"} if gone else {""}
    if not set(names) - unknown:
        raise DataError("no row has a label")
    return tuple(sorted(set(names) - unknown, key=_order))


def _distinct(values: Any) -> tuple[list[Any], Array]:
    """The distinct values, and for each row its position among them."""
    array = label_column(values)
    if array.dtype.kind in "biuf":
        distinct, position = np.unique(array, return_inverse=True)
        return distinct.tolist(), position
    first: dict[Any, int] = {}
    position = np.array([first.setdefault(value, len(first)) for value in array.tolist()])
    return list(first), position


def label_column(values: Any) -> Array:
    """Labels as an array, one value per row; a DataError if they have another shape."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    array = np.asarray(values, dtype=None if hasattr(values, "dtype") else object)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"labels need one value per row; found shape {array.shape}")
    return array


def _name(value: Any) -> str:
    """The class name of a label; empty if it is unknown."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float) and np.isfinite(value):
        if not value.is_integer():
            raise DataError(
                f"the label holds numbers such as {value:g}, not classes; keep it as a "
                "column, or fit semi_supervised_regression"
            )
        value = int(value)
    text = str(value)
    return "" if text in ("None", "nan", "<NA>", "NaT") else text


def _minus_one_is_unknown(classes: Collection[str], names: Collection[str]) -> bool:
    """Whether -1 is among the names, and not one of the two classes -1 and 1."""
    return "-1" in names and set(classes) != {"-1", "1"}


def _warn_minus_one(count: int, total: int) -> None:
    warnings.warn(
        f"{count:,} of {total:,} labels are -1, which means unknown; if -1 is a class, rename it",
        UserWarning,
        stacklevel=3,
    )


def _order(name: str) -> tuple[int, float, str]:
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


def _warn_new(known: Sequence[str], class_names: Sequence[str]) -> None:
    new = [repr(name) for name in known if name not in class_names]
    if new and class_names:
        warnings.warn(
            f"labels {listed(new)} are not among the model's classes "
            f"({listed([repr(name) for name in class_names])}); those rows count as unlabeled",
            UserWarning,
            stacklevel=3,
        )


def warn_near_classes(label: Tensor, class_names: Sequence[str]) -> None:
    """Warn of classes that may be typos of another one.

    Their names differ from another one only in case, or they have one row and a name that is nearly
    that of a common class. Letters and numbers as names are no typos.

    Args:
        label: class indices, (rows,), -1 if unknown.
        class_names: names of the classes in the order of their indices.
    """
    if not 2 <= len(class_names) <= MOST_COMPARED:
        return
    counts = torch.bincount(label[label >= 0], minlength=len(class_names)).tolist()
    rarest_first = sorted(zip(counts, class_names, strict=True))
    found = []
    for place, (rows, name) in enumerate(rarest_first):
        others = rarest_first[place + 1 :]
        same = next((other for _, other in others if _differ_in_case(name, other)), None)
        near = [other for count, other in others if count >= COMMON and _nearly(name, other)]
        has = f"class {name!r} has {counted(rows, 'row')} and"
        if same is not None:
            found.append(f"{has} differs from {same!r} only in case")
        elif rows == 1 and near:
            found.append(f"{has} is nearly {near[-1]!r}")
    if found:
        warnings.warn(
            f"{listed(found)}: correct the label if it is a typo", UserWarning, stacklevel=2
        )


def _differ_in_case(one: str, other: str) -> bool:
    return len(one) > 1 and one.casefold() == other.casefold()


def _nearly(one: str, other: str) -> bool:
    """Whether the names begin alike, have the same digits, and are otherwise similar."""
    pair = (one.casefold(), other.casefold())
    if pair[0] == pair[1] or pair[0][:1] != pair[1][:1] or len({*map(_digits, pair)}) > 1:
        return False
    return difflib.SequenceMatcher(None, *pair).ratio() > NEARLY


def _digits(name: str) -> str:
    return "".join(filter(str.isdigit, name))


def label_folds(label: Tensor, folds: int = FOLDS, seed: int = 0) -> list[Tensor]:
    """Stratified folds of the labeled rows; empty if a class has only one labeled row.

    Args:
        label: class indices, (rows,), -1 if unknown.
        folds: the largest number of folds.
        seed: of the random assignment.
    """
    if fewest_labels(label) < 2:
        return []
    known = torch.nonzero(label >= 0).flatten()
    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))
    shuffled = known[order]
    ordered = shuffled[label[shuffled].argsort(stable=True)]
    return [part for fold in range(folds) if len(part := ordered[fold::folds])]


def fewest_labels(label: Tensor) -> int:
    """Number of labels of the rarest class that has labels; 0 without labels."""
    counts = torch.bincount(label[label >= 0])
    counts = counts[counts > 0]
    return int(counts.min()) if len(counts) else 0


LEAST_KNOWN = 20


@dataclass(frozen=True)
class TargetScale:
    """The scale of a regression target: models see (value - mean) / deviation."""

    mean: float
    deviation: float

    def standardized(self, values: Tensor) -> Tensor:
        """Convert original units to model units."""
        return (values - self.mean) / self.deviation

    def restored(self, values: Tensor) -> Tensor:
        """Convert model units to original units."""
        return values * self.deviation + self.mean


def encode_targets(values: Any, scale: TargetScale | None = None) -> tuple[Tensor, TargetScale]:
    """Convert labels to (standardized numbers (rows,) float64, their scale).

    NaN, None, pandas' NA, empty text and the usual markers of missing values become NaN.

    Args:
        values: one label per row: numbers, also as text.
        scale: of an earlier fit; None: learned from the known labels.

    Raises:
        DataError: a label is text or infinite, no label is known, or all are equal.
    """
    import pandas as pd

    series = (
        values if isinstance(values, pd.Series) else pd.Series(label_column(values), name="label")
    )
    _check_kind(series)
    found = numbers(series)
    if np.isinf(found).any():
        raise DataError(f"the label contains infinity, such as in row {np.isinf(found).argmax()}")
    if scale is None:
        scale = _learned(found[~np.isnan(found)])
    return scale.standardized(torch.tensor(found)), scale


def _check_kind(series: Any) -> None:
    """Refuse classes.

    Raises:
        DataError: no label is a number, and some are text.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(series.dtype):
        return
    found, text = parsed_numbers(series)
    if text.any() and np.isnan(found).all():
        raise DataError(
            f"the labels of {series.name!r} are text, such as {series[text].iloc[0]!r}, and a "
            "regression needs numbers: to fit classes, use --model semi_supervised"
        )


def _learned(known: np.ndarray[Any, Any]) -> TargetScale:
    if not len(known):
        raise DataError("no row has a label: label some rows, or fit a vae")
    if known.min() == known.max():
        raise DataError(
            f"all {len(known):,} labels are {known[0]:g}: a regression needs two different ones"
        )
    return TargetScale(float(known.mean()), float(known.std()))


@dataclass(frozen=True)
class Quantity:
    """A quantity of rows: its name, and the scale that gives it mean 0 and deviation 1."""

    name: str
    scale: TargetScale


def encode_quantities(values: Mapping[str, Any]) -> tuple[Tensor, tuple[Quantity, ...]]:
    """Standardize quantities.

    Args:
        values: name -> (rows,) numbers, also as text; NaN and the usual markers are unknown.

    Returns:
        (rows, quantities) float32, NaN where unknown, and what they are.

    Raises:
        DataError: a quantity has text, infinity, too few known values, or is constant.
    """
    import pandas as pd

    found = {name: finite_numbers(pd.Series(column, name=name)) for name, column in values.items()}
    each = tuple(Quantity(name, _scale(name, column)) for name, column in found.items())
    columns = [
        one.scale.standardized(torch.tensor(column))
        for one, column in zip(each, found.values(), strict=True)
    ]
    return torch.stack(columns, 1).float(), each


def columns_of(frame: Any, names: Sequence[str]) -> dict[str, Any]:
    """Columns of a table by name.

    Raises:
        OptionError: there is no such column; the message names the nearest one.
    """
    known = [] if frame is None else list(frame.columns)
    for name in names:
        if name not in known:
            raise unknown("column for --predict", name, known)
    return {name: frame[name] for name in names}


def _scale(name: str, values: Array) -> TargetScale:
    known = values[~np.isnan(values)]
    if len(known) < LEAST_KNOWN:
        raise DataError(
            f"{name} is known for {counted(len(known), 'row')}: a prediction needs at least "
            f"{LEAST_KNOWN}"
        )
    if known.min() == known.max():
        raise DataError(f"{name} is {known[0]:g} in all rows: there is nothing to predict")
    return TargetScale(float(known.mean()), float(known.std()))
