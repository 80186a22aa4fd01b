"""The exported copy of a model that wrote a compressed file, found by the hash in its header."""

from __future__ import annotations

from pathlib import Path

from lowerbound.applications.compression.exported_models import (
    FOLDER,
    ExportedModel,
    read_exported,
)
from lowerbound.applications.compression.shipped import PHOTOGRAPHS
from lowerbound.coding.files.container import Container
from lowerbound.errors import BitstreamError, ModelFolderError


def exported_for(file: Container, folder: Path) -> ExportedModel:
    """The copy that wrote a file.

    Raises:
        BitstreamError: the folder does not contain it.
        ModelFolderError: there is no such folder.
    """
    if not folder.is_dir():
        raise ModelFolderError(f"there is no model folder {folder}")
    name = file.header.model_hash.hex()
    path = _copy(folder, name)
    if path.exists():
        return read_exported(path)
    if _copy(PHOTOGRAPHS, name).exists():
        raise BitstreamError(
            f"{file.name} was compressed without a model, with the codec of the package: leave "
            f"{folder} out, as in: lowerbound decompress FILE -o OUT"
        )
    raise BitstreamError(
        f"{file.name} was compressed with the codec {name}, and {folder} has none of that "
        "name; give the model folder that it was compressed with"
    )


def _copy(folder: Path, name: str) -> Path:
    return folder / FOLDER / f"{name}.safetensors"
