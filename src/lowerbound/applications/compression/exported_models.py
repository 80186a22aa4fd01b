"""A fitted model's exported copies, kept in its folder for as long as files may need them.

::

    MODEL/codecs/1f0c…9a.safetensors     named by its hash, which files of data carry

A model that is fitted again gets another copy beside the old one, so that what was compressed
before still decompresses. Each holds all that it takes: tensors, options and schema.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowerbound import durable
from lowerbound.applications.io.fit_rows import rows_of_fit
from lowerbound.assembly.build import assemble
from lowerbound.coding.exports import export_of
from lowerbound.coding.files.container import Container
from lowerbound.coding.lossless import model_hash
from lowerbound.config import from_mapping, old_names_in_silence, to_mapping
from lowerbound.data import Dataset, Schema
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import BitstreamError, LowerboundError, ModelFolderError
from lowerbound.fitting import Fitted
from lowerbound.inference.likelihood import score
from lowerbound.model_folder.manifest import WEIGHTS, hashes
from lowerbound.models import Model
from lowerbound.models.options import ModelOptions

FOLDER = "codecs"
BOUND_ROWS = 1000
FEWEST_ROWS, BOUND_NUMBERS = 20, 2**22  # of large rows fewer, at least so many
WHOLE = 2**15


@dataclass(frozen=True, eq=False)
class ExportedModel:
    """A model in whole numbers: see ``lowerbound.coding.exports``.

    Attributes:
        model: the model.
        schema: of the rows that it codes.
        hash: which files carry.
        bound: of the fitted model on some rows, nats per row; where codes are what is stored, of
            their part of it, the rate.
        exported: that of ``model`` on the same.
    """

    model: Model
    schema: Schema
    hash: bytes
    bound: float
    exported: float

    @property
    def lossy(self) -> bool:
        """Whether what it codes comes back about as it was."""
        return export_of(self.model).lossy

    @property
    def gap(self) -> float:
        """By how much whole numbers are worse, as a share of the bound."""
        return self.exported / self.bound - 1


def exported_model(fitted: Fitted, folder: Path, rows: Dataset) -> ExportedModel:
    """The copy of the model in a folder; made, and written there, where there is none yet.

    Args:
        fitted: the model.
        folder: its folder.
        rows: that are to be compressed; ranges are read from them where those that were fitted on
            are gone.

    Raises:
        UnsupportedError: a part of the model has no exact form.
    """
    weights = hashes(folder)[WEIGHTS]
    for path in sorted((folder / FOLDER).glob("*.safetensors")):
        if _facts(path).get("weights") == weights:
            return read_exported(path)
    made = export_model(fitted, _calibration(fitted, folder, rows))
    write_exported(folder, made, fitted.options.model, weights)
    return made


def exported_for(file: Container, folder: Path) -> ExportedModel:
    """The copy that a file was compressed with.

    Raises:
        BitstreamError: the folder does not have it.
    """
    name = file.header.model_hash.hex()
    path = folder / FOLDER / f"{name}.safetensors"
    if not path.exists():
        raise BitstreamError(
            f"{file.name} was compressed with the codec {name}, and {folder} has none of that "
            "name; give the model folder that it was compressed with"
        )
    return read_exported(path)


def export_model(fitted: Fitted, rows: Dataset, seed: int = 0) -> ExportedModel:
    """A copy of a fitted model; from ``rows`` the ranges of its layers' inputs are read.

    Where the model codes bits, so are the rows.
    """
    exported = export_of(fitted.model).copy(fitted.model, rows, seed)
    few = rows.thinned(min(BOUND_ROWS, max(FEWEST_ROWS, BOUND_NUMBERS // rows.schema.dimension)))
    bound, after = (_stored(model, few, seed) for model in (fitted.model, exported))
    return ExportedModel(exported, rows.schema, model_hash(exported), bound, after)


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
    path.parent.mkdir(exist_ok=True)
    tensors = {name: _small(value) for name, value in exported.model.state_dict().items()}
    durable.write_tensors(path, tensors, {"codec": json.dumps(facts)})


def read_exported(path: Path) -> ExportedModel:
    """The copy in a file.

    Raises:
        ModelFolderError: it is damaged.
    """
    from safetensors.torch import load_file

    try:
        facts = _facts(path)
        with old_names_in_silence(), seeded(0):
            schema = Schema.from_mapping(facts["schema"])
            form = assemble(schema, from_mapping(ModelOptions, facts["options"]))
            model = export_of(form).bare(form)
        model.load_state_dict(load_file(path))
        found = ExportedModel(model, schema, model_hash(model), facts["bound"], facts["exported"])
    except (KeyError, TypeError, RuntimeError, LowerboundError) as error:
        raise _damaged(path) from error
    if found.hash.hex() != path.stem:
        raise _damaged(path)
    return found


def bits_of(dataset: Dataset, seed: int = 0) -> Dataset:
    """The rows that are coded: bits, drawn by seed and content, where the model is one of bits."""
    return dataset if dataset.schema.binarize == "none" else dataset.binarized(seed)


def _stored(model: Model, rows: Dataset, seed: int) -> float:
    """The part of the bound that becomes bytes, nats per row."""
    scores = score(model, rows, samples=1, seed=seed)
    stored = -scores.rates.sum(0) if export_of(model).lossy else scores.elbo
    return float(stored.double().mean())


def _calibration(fitted: Fitted, folder: Path, rows: Dataset) -> Dataset:
    """The rows that were fitted on, where they are still there."""
    known = rows_of_fit(fitted, str(folder))
    return rows if known is None else bits_of(known.seen)


def _facts(path: Path) -> dict[str, Any]:
    """What a copy's file says beside its tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            found = json.loads((file.metadata() or {})["codec"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise _damaged(path) from error
    return found if isinstance(found, dict) else {}


def _damaged(path: Path) -> ModelFolderError:
    return ModelFolderError(
        f"{path} is damaged, and what was compressed with it needs it: copy it again from where it "
        "is whole"
    )


def _small(values: Tensor) -> Tensor:
    """In 16 bits where nothing is lost by that: whole numbers, or floating-point ones."""
    if values.numel() < 2 or values.dtype is torch.bool:
        return values
    whole = values.round()
    if bool((values == whole).all()) and bool((whole.abs() < WHOLE).all()):
        return whole.to(torch.int16)
    half = values.half() if values.is_floating_point() else values
    return half if bool((half == values).all()) else values
