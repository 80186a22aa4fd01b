"""Conversion between rows or classes in the user's form and a ``Dataset``, by scikit-learn's rules.

scikit-learn validates arrays of two dimensions, so its messages apply: number and names of
features, sparse, complex and empty data. ``lowerbound.data`` reads pictures, frames and paths.

Classes are any values with different texts, one per row or one for all.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data
from torch import Tensor

from lowerbound.config import construct
from lowerbound.data.arrays import Array, as_array, without_mask
from lowerbound.data.batches import collected, is_batched
from lowerbound.data.columns.notation import array_without_beyond
from lowerbound.data.dataset import Dataset
from lowerbound.data.kinds import newest_kinds
from lowerbound.data.labels import encode_labels
from lowerbound.data.loading import load
from lowerbound.data.schema import Schema
from lowerbound.data.tables.arrow import is_other_frame, other_frame, plain_frame
from lowerbound.data.tables.duckdb import is_relation, relation_frame
from lowerbound.data.tables.frames import check_unique, to_frame
from lowerbound.errors import DataError, OptionError, unknown

OF_TEXT = ("could not convert string to float", "arrays of bytes/strings")
"""Words of scikit-learn's errors for a matrix with text."""


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


def learn(
    estimator: BaseEstimator,
    X: Any,
    *,
    label: Any = None,
    options: Mapping[str, Any] | None = None,
    least_features: int = 1,
) -> Dataset:
    """Read the training rows; set ``n_features_in_`` and, for named columns, ``feature_names_in_``.

    Args:
        estimator: receives the attributes and is named in messages.
        X: a matrix, pictures, a frame, a relation of DuckDB, a tensor, batches, a path or the name
            of a set.
        label: one value per row, or the name of a column if X has named columns.
        options: keywords of ``lowerbound.data.load``.
        least_features: fewer features raise an error.

    Raises:
        DataError, ValueError, TypeError: the rows cannot be modeled.
        OptionError: an option is unknown.
    """
    X = as_frame(X)
    estimator._given_columns = X.columns if is_frame(X) else None
    if is_frame(X):
        if (options or {}).get("windows") is not None:
            raise OptionError(
                "an estimator reads a frame row by row, without windows: pass "
                "Windows(length).frame(X), or X as the file of a series"
            )
        X = with_text_names(X)
        dataset = _load(X, label, options)
        validate_data(estimator, X[_modeled(dataset.schema)], skip_check_array=True)
        return dataset
    if not is_matrix(X):
        dataset = _load(X, label, options)
        describe(estimator, dataset.schema)
        return dataset
    X = checked_numbers(
        estimator,
        X,
        ensure_all_finite=False,  # the reader's own error names column and rows
        ensure_min_samples=2,
        ensure_min_features=least_features,
    )
    return _load(X, label, options)


def read(
    estimator: BaseEstimator,
    X: Any,
    schema: Schema,
    *,
    label: Any = None,
    options: Mapping[str, Any] | None = None,
) -> Dataset:
    """Read rows for a fitted estimator.

    Raises:
        DataError, ValueError, TypeError: they are not of the kind of the training rows.
    """
    options = {**(options or {}), "schema": schema}
    X = as_frame(X)
    if is_path(X):
        return _load(X, label, options)
    if is_frame(X):
        X = with_text_names(X)
        passed_over = [name for name in _passed_over(schema) if name in X.columns]
        validate_data(estimator, X.drop(columns=passed_over), reset=False, skip_check_array=True)
    elif schema.data_kind.matrix:
        X = checked_numbers(estimator, X, reset=False, ensure_all_finite=False)
    return _load(X, label, options)


def describe(estimator: BaseEstimator, schema: Schema) -> None:
    """Set ``n_features_in_`` and ``feature_names_in_`` from a schema alone."""
    estimator.n_features_in_ = len(schema.columns) or schema.dimension
    if schema.data_kind.named_columns:
        estimator.feature_names_in_ = np.array(_modeled(schema), dtype=object)
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_


def as_given(schema: Schema, x: Tensor, *, exact: bool, like: Any = None) -> Any:
    """Rows in model units in the user's form: a frame, a matrix, or pictures.

    Args:
        schema: schema of the fit.
        x: (rows, *event).
        exact: True for valid values of the data (whole numbers are whole, types are kept); False
            for expectations, which may be fractions.
        like: the corresponding input rows; a frame gets their index and names.
    """
    if schema.data_kind.named_columns:
        frame = to_frame(schema, x, rounded=exact)
        made = frame.set_index(like.index) if is_frame(like) and not exact else frame
        return with_names_of(made, like)
    values = schema.decode(x, rounded=exact)
    if exact:
        return values
    return values.astype(np.float32) if schema.dtype == "float32" else values.astype(np.float64)


def deviation_as_given(schema: Schema, mean: Tensor, deviation: Tensor, like: Any = None) -> Any:
    """Standard deviations in the user's units, like ``as_given``; NaN for a column with levels or
    an atom, whose values have no distance."""
    values = schema.decode(mean + deviation, rounded=False) - schema.decode(mean, rounded=False)
    if not schema.data_kind.named_columns:
        return values.astype(np.float32) if schema.dtype == "float32" else values
    import pandas as pd

    for i, column in enumerate(schema.columns):
        if not column.rules.has_deviation:
            values[:, i] = np.nan
    index = like.index if is_frame(like) else None
    return with_names_of(pd.DataFrame(values, columns=_modeled(schema), index=index), like)


def is_path(X: Any) -> bool:
    """Whether X is a path or a name instead of the rows themselves."""
    return isinstance(X, (str, os.PathLike))


def is_frame(X: Any) -> bool:
    """Whether X is a pandas frame; ``as_frame`` makes one of a frame of another library."""
    return hasattr(X, "columns") and hasattr(X, "set_axis")


def is_matrix(X: Any) -> bool:
    """Whether scikit-learn validates X: no path, no pictures, no other kind of data.

    Other invalid input, such as a list of text, raises an error in scikit-learn.
    """
    other = any(kind.reads(X) for kind in newest_kinds())
    return not (is_path(X) or other or _dimensions(X) in (3, 4))


def _dimensions(X: Any) -> int:
    """Dimensions of an array, a picture, or nested lists of them, by the first item of each."""
    if isinstance(X, (list, tuple)):
        return 1 + (_dimensions(X[0]) if X else 0)
    return int(X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim)


def as_frame(X: Any) -> Any:
    """A relation of DuckDB or a frame of another library as a pandas frame, and batches as an
    array of all rows; a frame of pandas with plain columns (``plain_frame``); else unchanged."""
    if is_batched(X):
        X = collected(X)[0]
    elif is_other_frame(X):
        X = other_frame(X)
    elif is_relation(X):
        X = relation_frame(X)
    return plain_frame(X) if is_frame(X) else X


def with_labels(X: Any, y: Any) -> tuple[Any, Any]:
    """X and y; without y, the rows and the labels of batches that have both."""
    return collected(X) if y is None and is_batched(X) else (X, y)


def as_numbers(X: Any) -> Any:
    """Tensors as arrays, masked arrays with NaN; anything else unchanged."""
    return as_array(X) if isinstance(X, Tensor) else without_mask(X)


def checked_numbers(estimator: BaseEstimator, X: Any, **checks: Any) -> Any:
    """A matrix of numbers, validated by scikit-learn.

    Args:
        estimator: receives the attributes and is named in messages.
        X: a matrix; of a masked array, masked cells become NaN.
        checks: keywords of scikit-learn's ``validate_data``.

    Raises:
        ValueError, TypeError: it is none; the message says how text is passed.
    """
    try:
        return validate_data(estimator, as_numbers(X), **checks)
    except ValueError as error:
        if not any(words in str(error) for words in OF_TEXT):
            raise
        raise ValueError(
            f"{str(error).rstrip('.')}; a matrix takes numbers alone: pass columns of text as a "
            "frame, such as pandas.DataFrame(X).infer_objects()"
        ) from None


def with_text_names(X: Any) -> Any:
    """A pandas frame whose column names are text.

    Raises:
        DataError: two columns have the same name.
    """
    names = [str(name) for name in X.columns]
    check_unique(names)
    return X.set_axis(names, axis=1)


def with_names_of(made: Any, X: Any) -> Any:
    """A frame of a result with the column names of X, which are text inside the package."""
    return with_names(made, X.columns if is_frame(X) else None)


def with_names(made: Any, columns: Any) -> Any:
    """A frame of a result with the names of the user's columns, such as whole numbers.

    Args:
        made: a frame; an array is returned unchanged.
        columns: an index of pandas; None: the names stay. Names that it does not have stay too.
    """
    if columns is None or not is_frame(made):
        return made
    places = {str(name): place for place, name in enumerate(columns)}
    found = [places.get(str(name), -1) for name in made.columns]
    if -1 not in found:
        return made.set_axis(columns[found], axis=1)  # of one type, with levels and their names
    import pandas as pd

    pairs = zip(found, made.columns, strict=True)
    names = pd.Index([name if place < 0 else columns[place] for place, name in pairs])
    return made.set_axis(names, axis=1)


def precision(dataset: Dataset) -> torch.dtype:
    """The type of the computation: float64 for float64 data, otherwise float32."""
    double = dataset.x.dtype == torch.float64 or dataset.schema.dtype == "float64"
    return torch.float64 if double else torch.float32


def _load(X: Any, label: Any, options: Mapping[str, Any] | None) -> Dataset:
    dataset: Dataset = construct(load, X, options={**(options or {}), "label": label})
    if not len(dataset):
        raise DataError("the data has 0 samples")
    return dataset


def _modeled(schema: Schema) -> list[str]:
    return [column.name for column in schema.columns]


def _passed_over(schema: Schema) -> tuple[str, ...]:
    """Columns that the fit read but did not model."""
    return schema.left_out + ((schema.label_column,) if schema.label_column else ())


LIMIT = 2**31 - 1


def new_seed(random_state: Any) -> int:
    """A seed from ``random_state``.

    An integer is returned unchanged. A RandomState or Generator is drawn from. None asks the
    operating system; scikit-learn would use numpy's global state, which this does not touch.
    """
    if random_state is None:
        return secrets.randbelow(LIMIT)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(LIMIT))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(LIMIT))
    check_random_state(random_state)  # scikit-learn's own error for an invalid seed
    return int(random_state)


def learn_columns(estimator: BaseEstimator, X: Any, options: Mapping[str, Any]) -> Dataset:
    """Read a matrix (rows, columns) of training rows by columns; set ``n_features_in_``.

    A quantile-normal map makes the middle and the tail of each column standard normal, so that a
    value far out in a column is also far out in nats. Its Jacobian keeps the score a density in the
    user's units.

    Args:
        estimator: receives the attributes and is named in messages.
        X: a matrix, or input that scikit-learn converts to one.
        options: keywords of ``lowerbound.data.load``; columns are real unless ``kinds`` is set.

    Raises:
        DataError, ValueError, TypeError: the rows cannot be modeled.
    """
    import pandas as pd

    values = checked_numbers(estimator, X, ensure_all_finite=False, ensure_min_samples=2)
    names = [f"x{index}" for index in range(values.shape[1])]
    kinds = options.get("kinds", "infer")
    kinds = dict.fromkeys(names, "real") if kinds == "infer" else kinds
    chosen = {"missing": "error", **options, "kinds": kinds}
    values = array_without_beyond(values, chosen["missing"] == "model")
    dataset: Dataset = construct(load, pd.DataFrame(values, columns=names), options=chosen)
    # results have no names, like the input
    return replace(dataset, schema=replace(dataset.schema, kind="vectors"))
