"""What an imputer adds to the model folder: trees of columns as safetensors, intervals as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowerbound import durable, untrusted
from lowerbound.applications.restoration.column_trees import ColumnTrees
from lowerbound.applications.restoration.extra_trees import STORED, ExtraTrees
from lowerbound.applications.restoration.group_means import STORED as STORED_MEANS, GroupMeans
from lowerbound.applications.restoration.intervals import (
    HALF,
    LEVELS,
    IntervalCalibration,
    even_shares,
)
from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.errors import DataError, ModelFolderError
from lowerbound.fitting.manifest import (
    INTERVALS,
    MODEL,
    TREES,
    WEIGHTS,
    check_belongs,
    hashes,
    read_beside,
    write_beside,
)
from lowerbound.untrusted import folders

SHARES, LEAVES, PASSES = "weights", "leaves", "passes"
MOST_PASSES = 2


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


@folders.closing
def write_trees(folder: Path, trees: ColumnTrees | None) -> None:
    """Write the file into the model folder of their model atomically; without trees, none stays."""
    if trees is None:
        folders.remove(folder / TREES)
        return
    arrays = {SHARES: trees.weights, LEAVES: trees.leaves, PASSES: np.array([trees.passes])}
    for place, own in trees.trees.items():
        arrays |= {f"{place}.{name}": array for name, array in own.arrays().items()}
    for place, means in trees.means.items():
        arrays |= {f"{place}.{name}": array for name, array in means.arrays().items()}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    facts = {MODEL: hashes(folder)[WEIGHTS]}
    durable.write_tensors(folder / TREES, tensors, facts)


@folders.closing
def read_trees(folder: Path, columns: Sequence[Column]) -> ColumnTrees | None:
    """Read the file of a model with these columns; None if there is none.

    Raises:
        ModelFolderError: the file is damaged, or belongs to another model.
    """
    path = folder / TREES
    if not path.exists():
        return None
    content = untrusted.content(path, ModelFolderError)
    facts = untrusted.metadata(content, str(path), ModelFolderError)
    check_belongs(path, facts.get(MODEL, ""))
    found = untrusted.tensors(content, str(path), ModelFolderError)
    with untrusted.guarded(str(path), ModelFolderError):
        arrays = {name: tensor.numpy() for name, tensor in found.items()}
        return _read(arrays, columns)


def _read(arrays: dict[str, Array], columns: Sequence[Column]) -> ColumnTrees:
    weights, leaves = arrays.pop(SHARES), arrays.pop(LEAVES)
    passes = int(arrays.pop(PASSES, np.ones(1)).item())  # files of earlier versions have none
    features = sum(column.modeled for column in columns) - 1
    most = np.array([float(column.modeled) for column in columns])
    if not weights.shape == leaves.shape == most.shape:
        raise DataError(f"weights of shape {weights.shape} for {len(columns)} columns")
    if not ((weights >= 0) & (weights <= most)).all():
        raise DataError("a weight of its trees is not a share")
    if not 1 <= passes <= MOST_PASSES:
        raise DataError(f"trees for {passes} passes")
    trees, means = {}, {}
    for place in np.flatnonzero(weights).tolist():
        own = {name: arrays.pop(f"{place}.{name}") for name in STORED}
        width = features
        if f"{place}.{STORED_MEANS[0]}" in arrays:
            given = {name: arrays.pop(f"{place}.{name}") for name in STORED_MEANS}
            means[place] = GroupMeans.of(given, len(columns))
            width += means[place].width
        trees[place] = ExtraTrees.of(own, width, len(columns[place].levels))
    if arrays:
        raise DataError(f"trees of {next(iter(arrays))}, a column without a weight")
    return ColumnTrees(tuple(columns), trees, weights, leaves, means, passes)
