"""The manifest of a model folder, and its verification; see ``lowerbound.fitting.folder``.

This module does not import torch, so that ``lowerbound info`` starts quickly.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lowerbound import durable, untrusted
from lowerbound._version import __version__
from lowerbound.errors import ModelFolderError
from lowerbound.untrusted import folders

T = TypeVar("T")

FORMAT = 1
LARGEST = 2**20  # bytes of a manifest
MANIFEST = "manifest.json"
CONFIG, SCHEMA, WEIGHTS = "config.json", "schema.json", "model.safetensors"
FILES = (CONFIG, SCHEMA, WEIGHTS)
METRICS = "metrics.jsonl"
PIPELINE = "model_index.json"  # of a folder of diffusers, whose parts are folders
AGENT = "agent.jsonl"  # of a world model in which an agent learned: a record per evaluation
CHECKPOINT = "checkpoint"
DETECTOR, TREES = "detector.safetensors", "trees.safetensors"
INTERVALS, IMPUTER = "intervals.json", "imputer_columns.json"
ANSWERS, NAMES = "answers.json", "column_names.json"
BESIDE = (DETECTOR, TREES, INTERVALS, IMPUTER, ANSWERS, NAMES)
"""What estimators write beside a model: it holds for these weights alone."""
MODEL = "model"  # in such a file: SHA-256 of the weights
PRIOR, REFINER = "prior", "refiner"  # folders of the work on second stages, after the fit
PARTS = ("network", "likelihood", "prior", "posterior")
NEW = ".new"
"""Ending of a file that will replace the file of the same name."""


@folders.closing
def verify(folder: Path) -> dict[str, bytes]:
    """Check every hashed file of a model folder and return their contents.

    Raises:
        ModelFolderError: there is no model; a file is missing, truncated or altered; or a newer
            version wrote it. The message names the file and what to do.
    """
    folder = Path(folder)
    expected = hashes(folder)
    return {name: _content(folder, name, expected[name]) for name in FILES}


@folders.closing
def hashes(folder: Path) -> Mapping[str, str]:
    """SHA-256 by file name, from the manifest."""
    manifest = _manifest(folder)
    version = manifest.get("format")
    files = manifest.get("sha256")
    if not isinstance(version, int) or not isinstance(files, dict):
        raise ModelFolderError(f"{folder} is no model folder: its {MANIFEST} is another program's")
    if version > FORMAT:
        raise ModelFolderError(
            f"{folder} was written by lowerbound {manifest.get('lowerbound')} in format {version}, "
            f"and this version ({__version__}) reads formats up to {FORMAT}; update it: "
            "pip install --upgrade lowerbound"
        )
    missing = [name for name in FILES if name not in files]
    if missing:
        raise _broken(folder / MANIFEST, f"damaged: it does not list {', '.join(missing)}")
    return files


def write_beside(path: Path, said: Mapping[str, Any]) -> None:
    """Write a JSON file beside the model of its folder, which it names, atomically."""
    with folders.closed(path.parent):
        durable.write_text(path, json.dumps({MODEL: hashes(path.parent)[WEIGHTS], **said}))


def read_beside(path: Path, meant: Callable[[dict[str, Any]], T]) -> T | None:
    """What ``write_beside`` wrote; None: there is no such file.

    Args:
        path: of the file.
        meant: makes the result of what is written.

    Raises:
        ModelFolderError: the file is damaged, or belongs to another model.
    """
    if not path.exists():
        return None
    with folders.closed(path.parent):
        said = untrusted.read_mapping(path, ModelFolderError)
    check_belongs(path, said.get(MODEL))
    with untrusted.guarded(str(path), ModelFolderError):
        return meant(said)


def check_belongs(path: Path, weights: object) -> None:
    """Check that a file in a model folder was written for the model that the folder has now.

    Args:
        path: of the file.
        weights: the SHA-256 of the weights that the file names; None: an older version wrote it.

    Raises:
        ModelFolderError: it belongs to another model.
    """
    if weights is not None and weights != hashes(path.parent)[WEIGHTS]:
        raise ModelFolderError(
            f"{path} belongs to another model, which the one in this folder has replaced: delete "
            "the file, or fit and save again"
        )


def is_folder_of_ours(folder: Path) -> bool:
    """Whether a folder has the files of a model, a training, an agent or an autoencoder of another
    program; a link of such a name counts."""
    names = (MANIFEST, CONFIG, WEIGHTS, CHECKPOINT, AGENT, PIPELINE)
    return os.path.isdir(folder) and any(os.path.lexists(folder / name) for name in names)


def parts(folder: Path) -> tuple[str, ...] | None:
    """The parts in the options that the model uses; None if an older version wrote the folder."""
    found = _manifest(folder).get("parts")
    return tuple(name for name in PARTS if name in found) if isinstance(found, list) else None


def prior(folder: Path) -> str:
    """Name of the prior; "" if the model has none by name, or an older version wrote the folder."""
    found = _manifest(folder).get("prior")
    return found if isinstance(found, str) else ""


def rows(folder: Path) -> str:
    """A description of the rows in one line; "" if an older version wrote the folder."""
    found = _manifest(folder).get("rows")
    return found if isinstance(found, str) else ""


def latents(folder: Path) -> str:
    """The latents of a row in words; "" if an older version wrote the folder."""
    found = _manifest(folder).get("latents")
    return found if isinstance(found, str) else ""


def check_there(folder: Path) -> None:
    """Check that a model folder exists.

    Raises:
        ModelFolderError: it does not.
    """
    if not folder.exists():
        raise ModelFolderError(f"there is no model folder {folder}; check the name")


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    check_there(folder)
    if not folder.is_dir():
        raise ModelFolderError(f"{folder} is a file, not a model folder")
    if not path.exists():
        if (folder / WEIGHTS).is_file():
            raise ModelFolderError(
                f"{folder} has {WEIGHTS}, but no {MANIFEST}: if it is a copy, copy the folder "
                "again; if its fit was interrupted, resume it"
            )
        if (folder / CHECKPOINT).is_dir():
            raise ModelFolderError(
                f"{folder} holds a training run that has not saved a model yet; resume it"
            )
        if (folder / AGENT).is_file():
            raise ModelFolderError(
                f"{folder} holds the records of an agent ({AGENT}), and no model: PPO on frames "
                "leaves none, and control compare reads the records"
            )
        raise ModelFolderError(f"{folder} is no model folder: it has no {MANIFEST}")
    try:
        manifest = untrusted.parsed(
            untrusted.content(path, ModelFolderError, LARGEST), str(path), ModelFolderError
        )
    except ModelFolderError as error:
        raise _broken(path, f"damaged ({error})") from error
    if not isinstance(manifest, dict):
        raise ModelFolderError(f"{folder} is no model folder: its {MANIFEST} is another program's")
    return manifest


def _content(folder: Path, name: str, sha256: str) -> bytes:
    """The content with that hash; an interrupted replacement may have left it under ``.new``."""
    for path in (folder / name, folder / (name + NEW)):
        content = untrusted.content(path, ModelFolderError) if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() == sha256:
            return content
    path = folder / name
    if not path.is_file():
        raise _broken(path, "missing")
    raise _broken(path, f"truncated or altered: its SHA-256 is not the one in {MANIFEST}")


def _broken(path: Path, how: str) -> ModelFolderError:
    return ModelFolderError(f"{path} is {how}; copy the folder again from an intact one, or refit")
