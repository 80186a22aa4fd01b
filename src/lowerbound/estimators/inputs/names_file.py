"""Whole-number names of the columns of a fitted frame, as a JSON file in the model folder."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

from lowerbound.model_folder.manifest import NAMES, read_beside, write_beside
from lowerbound.untrusted import folders


def write_names(folder: Path, columns: Any) -> None:
    """Write the file into a model folder atomically, if all names of an index are whole numbers.

    A schema has text names. Names of other types are not kept.
    """
    if columns is None or not all(isinstance(name, Integral) for name in columns):
        folders.remove(folder / NAMES)
        return
    write_beside(folder / NAMES, {"names": [int(name) for name in columns]})


def read_names(folder: Path) -> Any:
    """The index of the names in the file; None: there is no such file.

    Raises:
        ModelFolderError: the file is damaged, or belongs to another model.
    """
    return read_beside(folder / NAMES, _index)


def _index(said: Mapping[str, Any]) -> Any:
    import pandas as pd

    return pd.Index([int(name) for name in said["names"]])
