"""The trees of an imputer's columns, as a safetensors file in the model folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from lowerbound import durable, untrusted
from lowerbound.classical.extra_trees import STORED, ExtraTrees
from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.errors import DataError, ModelFolderError
from lowerbound.inference.restoration.column_trees import ColumnTrees
from lowerbound.inference.restoration.group_means import STORED as STORED_MEANS, GroupMeans
from lowerbound.model_folder.manifest import MODEL, TREES, WEIGHTS, check_belongs, hashes
from lowerbound.untrusted import folders

SHARES, LEAVES, PASSES = "weights", "leaves", "passes"
MOST_PASSES = 2


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
