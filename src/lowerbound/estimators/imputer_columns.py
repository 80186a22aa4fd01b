"""The columns that an imputer was fitted to, and how it fills them, as a JSON file in the model
folder.

The schema of the model has neither identifiers nor columns without a value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.errors import DataError
from lowerbound.model_folder.manifest import IMPUTER, read_beside, write_beside

INFINITE = ("-Infinity", "Infinity")  # as text, since JSON has no such numbers
KEPT = ("strategy", "n_importance", "add_indicator", "keep_empty_features", "missing_values")


def write_columns(folder: Path, imputer: Any) -> None:
    """Write the file into a model folder atomically."""
    names = getattr(imputer, "feature_names_in_", None)
    said = {
        "names": None if names is None else [str(name) for name in names],
        "empty": imputer.empty_.tolist(),
        "indicator": imputer.indicator_.tolist(),
        "parameters": {name: _plain(getattr(imputer, name)) for name in KEPT},
    }
    write_beside(folder / IMPUTER, said)


def read_columns(folder: Path, imputer: Any) -> dict[str, Any]:
    """Set the columns that the file holds on an imputer; without a file nothing changes.

    Returns:
        The parameters by which the imputer fills rows; none of an older folder.

    Raises:
        ModelFolderError: the file is damaged, or belongs to another model.
    """
    return read_beside(folder / IMPUTER, partial(_set, imputer)) or {}


def _set(imputer: Any, said: Mapping[str, Any]) -> dict[str, Any]:
    empty = np.array(said["empty"], dtype=bool)
    indicator = np.array(said["indicator"], dtype=np.int64)
    names = said["names"]
    if names is not None and len(names) != len(empty):
        raise DataError(f"{len(names)} names of {len(empty)} columns")
    if len(indicator) and not 0 <= indicator.min() <= indicator.max() < len(empty):
        raise DataError("it marks columns that there are not")
    imputer.n_features_in_ = len(empty)
    imputer.empty_, imputer.indicator_ = empty, indicator
    if names is not None:
        imputer.feature_names_in_ = np.array([str(name) for name in names], dtype=object)
    elif hasattr(imputer, "feature_names_in_"):
        del imputer.feature_names_in_
    return _parameters(said.get("parameters", {}))


def _parameters(said: Any) -> dict[str, Any]:
    """The parameters that ``_plain`` wrote."""
    found = {name: dict(said).get(name) for name in KEPT}
    if any(isinstance(value, list | dict) for value in found.values()):
        raise DataError("a parameter is no plain value")
    if (marker := found["missing_values"]) in INFINITE:
        found["missing_values"] = float(marker)
    return {name: value for name, value in found.items() if value is not None}


def _plain(value: Any) -> Any:
    """A parameter as JSON has it; a missing value, which is the default, is null."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and math.isinf(value):
        return INFINITE[value > 0]
    usual = isinstance(value, bool | int | float | str) and value == value
    return value if usual else None
