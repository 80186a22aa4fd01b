"""How a classifier of few labels answers, as a JSON file in the model folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.errors import DataError
from lowerbound.model_folder.manifest import ANSWERS, read_beside, write_beside

FLOAT = "float"  # such numbers are text in the file, because JSON has no NaN


def write_answers(folder: Path, abstain_below: float, unlabeled_value: Any) -> None:
    """Write the file into a model folder atomically.

    An ``unlabeled_value`` that is no number, text, boolean or None is not kept.
    """
    value = unlabeled_value.item() if isinstance(unlabeled_value, np.generic) else unlabeled_value
    if isinstance(value, float):
        value = {FLOAT: repr(value)}
    elif not isinstance(value, bool | int | str):
        value = None
    said = {"abstain_below": float(abstain_below), "unlabeled_value": value}
    write_beside(folder / ANSWERS, said)


def read_answers(folder: Path) -> dict[str, Any]:
    """The parameters in the file; none of an older folder.

    Raises:
        ModelFolderError: the file is damaged, or belongs to another model.
    """
    return read_beside(folder / ANSWERS, _parameters) or {}


def _parameters(said: Mapping[str, Any]) -> dict[str, Any]:
    value = said["unlabeled_value"]
    if isinstance(value, dict):
        value = float(value[FLOAT])
    if isinstance(value, list):
        raise DataError("unlabeled_value is a list")
    return {"abstain_below": float(said["abstain_below"]), "unlabeled_value": value}
