"""Exported copies of fitted models: those in a model's folder, and the codec in the package.

::

    MODEL/codecs/1f0c…9a.safetensors     named by its hash, which compressed files carry

If a model is fitted again, its new copy is stored beside the old one, so that old files still
decompress. Each copy is complete: tensors, options and schema.

The codec in the package compresses photographs without a fit: ``compress photo.png`` writes
photo.lbz. ``shipped/photographs/README.md`` describes its training data and its quality on other
photographs; ``benchmarks/ship_photographs.py`` makes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowerbound import durable, untrusted
from lowerbound.applications.common.fit_rows import rows_of_fit
from lowerbound.applications.compression.exports import export_of
from lowerbound.applications.compression.lossless import model_hash
from lowerbound.applications.compression.requests import PHOTOGRAPHS
from lowerbound.config import from_mapping, old_names_in_silence, to_mapping
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import LowerboundError, ModelFolderError, OptionError
from lowerbound.fitting.assembly import assemble
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.manifest import WEIGHTS, hashes
from lowerbound.fitting.options import FitOptions
from lowerbound.inference.likelihood import score
from lowerbound.models.base import Model
from lowerbound.models.options import ModelOptions
from lowerbound.networks.processor import AllocationLimit
from lowerbound.training.reporter import History
from lowerbound.untrusted import folders

FOLDER = "codecs"
BOUND_ROWS = 1000  # of which both bounds, of model and copy, are measured
FEWEST_ROWS, BOUND_NUMBERS = 20, 2**22  # at least; fewer rows if they are large
WHOLE = 2**15  # whole numbers below it are stored as such


@dataclass(frozen=True, eq=False)
class ExportedModel:
    """A model in whole numbers: see ``lowerbound.applications.compression.exports``.

    Attributes:
        model: the exported model.
        schema: schema of the rows that it codes.
        hash: identifies the copy in files.
        bound: bound of the fitted model on some rows, nats per row; for a model of codes its rate,
            the part that is stored.
        exported: the same for ``model``.
    """

    model: Model
    schema: Schema
    hash: bytes
    bound: float
    exported: float

    @property
    def lossy(self) -> bool:
        """Whether decompressed rows are approximate."""
        return export_of(self.model).lossy

    @property
    def gap(self) -> float:
        """How much whole numbers increase the code length, as a share of the bound."""
        return self.exported / self.bound - 1


def exported_model(fitted: Fitted, folder: Path, rows: Dataset) -> ExportedModel:
    """The model's copy in a folder; made and written if there is none yet.

    Args:
        fitted: the model.
        folder: the model's folder.
        rows: rows to compress; they calibrate the ranges of layer inputs if the training
            data is missing.

    Raises:
        UnsupportedError: a part of the model has no exact form.
    """
    weights = hashes(folder)[WEIGHTS]
    for path in sorted((folder / FOLDER).glob("*.safetensors")):
        content = untrusted.content(path, ModelFolderError)
        if _facts(content, path).get("weights") == weights:
            return _exported(content, path)
    made = export_model(fitted, _calibration(fitted, folder, rows))
    write_exported(folder, made, fitted.options.model, weights)
    return made


def export_model(fitted: Fitted, rows: Dataset, seed: int = 0) -> ExportedModel:
    """Export a fitted model; ``rows`` calibrate the ranges of its layers' inputs.

    If the model codes bits, the rows must be bits.
    """
    exported = export_of(fitted.model).copy(fitted.model, rows, seed)
    few = rows.thinned(min(BOUND_ROWS, max(FEWEST_ROWS, BOUND_NUMBERS // rows.schema.dimension)))
    bound, after = (_stored(model, few, seed) for model in (fitted.model, exported))
    return ExportedModel(exported, rows.schema, model_hash(exported), bound, after)


@folders.closing
def write_exported(
    folder: Path, exported: ExportedModel, options: ModelOptions, weights: str
) -> None:
    """Write a copy into a model folder."""
    facts = {
        "options": to_mapping(options),
        "schema": exported.schema.to_mapping(),
        "weights": weights,
        "bound": exported.bound,
        "exported": exported.exported,
    }
    path = folder / FOLDER / f"{exported.hash.hex()}.safetensors"
    folders.make(path.parent)
    tensors = {name: _small(value) for name, value in exported.model.state_dict().items()}
    durable.write_tensors(path, tensors, {"codec": json.dumps(facts)})


def read_exported(path: Path) -> ExportedModel:
    """Read a copy from a file.

    Raises:
        ModelFolderError: the file is damaged.
    """
    return _exported(untrusted.content(path, ModelFolderError), path)


def _exported(content: bytes, path: Path) -> ExportedModel:
    """The copy in the content of a file."""
    limit = AllocationLimit(len(content), str(path))
    try:
        with untrusted.guarded(str(path), ModelFolderError), old_names_in_silence():
            facts = _facts(content, path)
            schema = Schema.from_mapping(facts["schema"])
            with seeded(0), limit:
                form = assemble(schema, from_mapping(ModelOptions, facts["options"]))
                tensors = untrusted.tensors(content, str(path), ModelFolderError)
                form.take_layout(tensors)
                model = export_of(form).bare(form)
            model.load_state_dict(tensors)
            bounds = float(facts["bound"]), float(facts["exported"])
            found = ExportedModel(model, schema, model_hash(model), *bounds)
    except LowerboundError as error:
        raise _damaged(path) from error
    if found.hash.hex() != path.stem:
        raise _damaged(path)
    return found


def bits_of(dataset: Dataset, seed: int = 0) -> Dataset:
    """The rows to code; if the model is one of bits, bits drawn by seed and content."""
    return dataset if dataset.schema.binarize == "none" else dataset.binarized(seed)


def _stored(model: Model, rows: Dataset, seed: int) -> float:
    """The part of the bound that is stored, nats per row."""
    scores = score(model, rows, samples=1, seed=seed)
    stored = -scores.rates.sum(0) if export_of(model).lossy else scores.elbo
    return float(stored.double().mean())


def _calibration(fitted: Fitted, folder: Path, rows: Dataset) -> Dataset:
    """The training rows, if they are still available; otherwise ``rows``."""
    known = rows_of_fit(fitted, str(folder))
    return rows if known is None else bits_of(known.seen)


def _facts(content: bytes, path: Path) -> dict[str, Any]:
    """Metadata of a copy's file."""
    try:
        facts = untrusted.metadata(content, str(path), ModelFolderError)
        return untrusted.parsed_mapping(facts["codec"], str(path), ModelFolderError)
    except (ModelFolderError, KeyError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> ModelFolderError:
    return ModelFolderError(
        f"{path} is damaged, and files that it compressed cannot be read without it: restore "
        "it from an intact copy"
    )


def _small(values: Tensor) -> Tensor:
    """Convert to 16 bits, whole or floating-point, if this changes no value."""
    if values.numel() < 2 or values.dtype is torch.bool:
        return values
    whole = values.round()
    if bool((values == whole).all()) and bool((whole.abs() < WHOLE).all()):
        return whole.to(torch.int16)
    half = values.half() if values.is_floating_point() else values
    return half if bool((half == values).all()) else values


@cache
def shipped() -> ExportedModel:
    """The exported transform coder of photographs.

    Raises:
        OptionError: this installation does not include it.
    """
    found = sorted((PHOTOGRAPHS / FOLDER).glob("*.safetensors"))
    if not found:
        raise OptionError("this copy of lowerbound has no codec of its own: name a model folder")
    return read_exported(found[-1])


def shipped_model() -> Fitted:
    """The same as a fitted model."""
    return Fitted(shipped().model, shipped().schema, FitOptions(), History())
