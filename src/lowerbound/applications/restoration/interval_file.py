"""The calibration of an imputer's intervals, as a JSON file in the model folder."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.errors import DataError
from lowerbound.inference.restoration.interval_calibration import (
    HALF,
    LEVELS,
    IntervalCalibration,
    even_shares,
)
from lowerbound.model_folder.manifest import INTERVALS, read_beside, write_beside
from lowerbound.untrusted import folders


def write_calibration(folder: Path, calibration: IntervalCalibration | None) -> None:
    """Write the file into a model folder atomically; without a calibration, none stays."""
    if calibration is None:
        folders.remove(folder / INTERVALS)
        return
    said = {
        "factors": calibration.factors.tolist(),
        "shares": calibration.shares.tolist(),
        "covered": calibration.covered.tolist(),
        "cells": calibration.cells,
    }
    write_beside(folder / INTERVALS, said)


def read_calibration(folder: Path, columns: int) -> IntervalCalibration | None:
    """Read the file of a model of that many columns; None if there is none.

    Raises:
        ModelFolderError: the file is damaged, or belongs to another model.
    """
    return read_beside(folder / INTERVALS, partial(_calibration, columns))


def _calibration(columns: int, said: Mapping[str, Any]) -> IntervalCalibration:
    factors = np.array(said["factors"], dtype=np.float64)
    covered = np.array(said["covered"], dtype=np.float64)
    # files of earlier versions have no shares, because intervals were only widened
    shares = np.array(said.get("shares", even_shares(columns)), dtype=np.float64)
    for name, values in (("factors", factors), ("shares", shares)):
        if values.shape != (len(LEVELS), columns) or not (values >= 0).all():
            raise DataError(f"{name} of shape {values.shape} for {columns} columns")
    if not (shares <= HALF).all():
        raise DataError(f"a share of {shares.max()} is above one half")
    return IntervalCalibration(factors, shares, covered, int(said["cells"]))
