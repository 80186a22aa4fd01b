"""Model folders: the options, schema and weights of a fitted model.

::

    MODEL/
      manifest.json       format, version, SHA-256 of the three files below; written last, by rename
      config.json         FitOptions, every default resolved
      schema.json         kind, columns and units of the data
      model.safetensors   the weights
      metrics.jsonl       training history (not hashed)
      MODEL_CARD.md       description for readers (not hashed)
      checkpoint/         see ``lowerbound.training.checkpoint``
      prior/, refiner/    see ``lowerbound.applications.generation.prior``

A new folder is written under a temporary name and then renamed. An existing folder is replaced in
three steps. First, the new files are written beside the old ones as ``NAME.new``. Then the manifest
is renamed into place, which makes the new files valid. Then they are renamed to ``NAME``. A reader
uses the file whose hash is in the manifest. If the process is killed at any time, the folder is
therefore absent, the old one or the new one. No pickle is written or read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lowerbound import durable, untrusted
from lowerbound._version import __version__
from lowerbound.config import from_mapping, old_names_in_silence, to_mapping
from lowerbound.data.schema import Schema
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import ModelFolderError, OptionError, unknown
from lowerbound.fitting.assembly import assemble
from lowerbound.fitting.card import model_card
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.manifest import (
    BESIDE,
    CHECKPOINT,
    CONFIG,
    FILES,
    FORMAT,
    MANIFEST,
    METRICS,
    NEW,
    SCHEMA,
    WEIGHTS,
    hashes,
    verify,
)
from lowerbound.fitting.options import FitOptions
from lowerbound.models.base import MODELS, Model
from lowerbound.models.given_parts import GIVEN, by_names, moved, nameless, objects_to_give
from lowerbound.models.options import ModelOptions
from lowerbound.models.powers import LearnsPrior
from lowerbound.networks.processor import AllocationLimit
from lowerbound.processes import ownership
from lowerbound.training.device import AUTO, PROCESSOR, chosen_device
from lowerbound.training.reporter import History
from lowerbound.untrusted import folders

CARD = "MODEL_CARD.md"

__all__ = ["read", "verify", "write"]


@folders.closing
def write(
    folder: str | os.PathLike[str],
    fitted: Fitted,
    beside: Callable[[Path], None] | None = None,
) -> None:
    """Write a model folder, or replace the model in an existing one and keep its checkpoint.

    Args:
        folder: its path.
        fitted: the model.
        beside: writes the files ``BESIDE`` into a folder. A new folder has them from the beginning;
            in an existing one they are written last, and a reader finds those of the same model or
            none.

    Raises:
        ModelFolderError: ``folder`` is a file, or contains only files of other programs; or the
            model is not registered, or a part is of a class that cannot be imported by name.
        OptionError: another run, or another thread, writes the folder.
        OSError: the folder cannot be written (a full disk, for example); the old one is intact.
    """
    folder = Path(folder).resolve()
    if fitted.options.model.model not in MODELS:
        raise ModelFolderError(
            f"{fitted.options.model.model} is not registered, so it could not be read back from "
            f'{folder}: put @MODELS.register("NAME") above its class, and fit it by that name'
        )
    if unknown_classes := nameless(to_mapping(fitted.options.model)):
        raise ModelFolderError(
            f"{unknown_classes[0]} cannot be imported by name, so it could not be given again to "
            f"read {folder}: define the class at the top of a module"
        )
    with ownership.owned([folder]):
        if _is_ours(folder):
            _settle(folder)
            _replace(folder, fitted)
            if beside is not None:
                beside(folder)
        else:
            _create(folder, fitted, beside)


@folders.closing
def read(
    folder: str | os.PathLike[str], device: str = AUTO, parts: Mapping[str, Any] | None = None
) -> Fitted:
    """Read the model in a folder, in evaluation mode.

    Args:
        folder: a model folder, written on any device.
        device: where the model computes from now on; see ``training.device``.
        parts: the objects that the fit was given instead of names, by option: "network",
            "likelihood" or "prior". No class that a folder names is ever imported.

    Raises:
        OptionError: this machine has no such device.
        ModelFolderError: there is no model; a file is missing, truncated or altered; or a newer
            version wrote it. The message names the file and what to do.
    """
    folder, place = Path(folder), chosen_device(device)
    named = _given_by_names(parts or {})
    contents = verify(folder)
    config, described = (
        untrusted.parsed_mapping(contents[name], str(folder / name), ModelFolderError)
        for name in (CONFIG, SCHEMA)
    )
    where = f"the description of the model in {folder}"
    limit = AllocationLimit(len(contents[WEIGHTS]), where)
    try:
        with untrusted.guarded(where, ModelFolderError), old_names_in_silence():
            options = from_mapping(FitOptions, config).by_new_names()
            known = moved(to_mapping(options.model), named)
            options = replace(options, model=replace(options.model, **known))
            schema = Schema.from_mapping(described)
            _check_given(folder, options.model, named)
            # drawing the initial weights, replaced below, changes the random state
            with seeded(0), limit:
                model = assemble(schema, options.model)
            schema.check_converts()
    except OptionError as error:
        raise ModelFolderError(
            f"the model in {folder} has an option that this version ({__version__}) does not know: "
            "another version wrote it, or the option is a part of your own, whose module must be "
            f"imported before the folder is read: {error}"
        ) from error
    _load_weights(model, contents[WEIGHTS], folder)
    if place.type != PROCESSOR:  # where it is: moving costs time even then
        model.to(place)
    return Fitted(model.eval(), schema, options, _history(folder))


def _given_by_names(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The registered names of given objects.

    Raises:
        OptionError: there is no such part, or it is no such object.
    """
    for option in parts:
        if option not in GIVEN:
            raise unknown("part", option, GIVEN)
    return by_names(parts)


def _check_given(folder: Path, options: ModelOptions, named: Mapping[str, Any]) -> None:
    """Raise ModelFolderError unless the caller gave every object that the folder names."""
    stored = to_mapping(options)
    absent = objects_to_give(stored)
    other = [option for option in GIVEN.keys() & named.keys() if named[option] != stored[option]]
    for option in [*absent, *other]:
        given = f", not {named[option]}" if option in named else ""
        raise ModelFolderError(
            f"the model in {folder} was fitted with the {option} "
            f"{untrusted.printable(stored[option])}{given}; folders never import code, so give "
            f"the same object: VAE.load(PATH, {option}=...)"
        )


def _create(folder: Path, fitted: Fitted, beside: Callable[[Path], None] | None) -> None:
    """Write under a temporary name and rename, so that the folder is complete or absent."""
    place = durable.linked(folder)
    folders.make(place.parent)
    durable.clear_left(place.parent)
    made = durable.unfinished(place)
    made.mkdir()
    try:
        _write_files(made, fitted, "")
        _write_manifest(made, fitted, "")
        _write_unhashed(made, folder.name, fitted)
        if beside is not None:
            beside(made)
        if place.is_dir():
            place.rmdir()  # it is empty
        os.replace(made, place)
    except BaseException:
        folders.remove_tree(made)
        raise
    durable.sync(place.parent)


def _replace(folder: Path, fitted: Fitted) -> None:
    """Write beside the old files; the rename of the manifest makes the new files valid."""
    before = hashes(folder)[WEIGHTS] if (folder / MANIFEST).exists() else ""
    try:
        _write_files(folder, fitted, NEW)
        _write_manifest(folder, fitted, NEW)
    except BaseException:
        if not _count(folder, NEW):
            _remove(folder, NEW)
        raise
    _settle(folder)
    if hashes(folder)[WEIGHTS] != before:
        for name in BESIDE:
            folders.remove(folder / name)
    _write_unhashed(folder, folder.name, fitted)


def _write_files(folder: Path, fitted: Fitted, ending: str) -> None:
    durable.write_text(folder / (CONFIG + ending), _json(to_mapping(fitted.options)))
    durable.write_text(folder / (SCHEMA + ending), _json(fitted.schema.to_mapping()))
    durable.write_tensors(folder / (WEIGHTS + ending), fitted.model.state_dict())


def _write_manifest(folder: Path, fitted: Fitted, ending: str) -> None:
    files = {name: durable.sha256(folder / (name + ending)) for name in FILES}
    model = fitted.model
    manifest = {
        "format": FORMAT,
        "lowerbound": __version__,
        "sha256": files,
        "parts": list(MODELS[fitted.options.model.model].uses),
        "prior": model.prior_name(fitted.options.model) if isinstance(model, LearnsPrior) else "",
        "rows": fitted.schema.summary,
        "latents": fitted.latents,
    }
    durable.write_text(folder / MANIFEST, _json(manifest))


def _write_unhashed(folder: Path, name: str, fitted: Fitted) -> None:
    durable.write_text(folder / METRICS, fitted.history.to_lines())
    durable.write_text(folder / CARD, model_card(name, fitted))


def _settle(folder: Path) -> None:
    """Give valid new files their final names, and delete the other new files."""
    if (folder / MANIFEST).exists():
        expected = hashes(folder)
        for name in FILES:
            new = folder / (name + NEW)
            if new.exists() and durable.sha256(new) == expected[name]:
                folders.replace(new, folder / name)
        durable.sync(folder)
    _remove(folder, NEW)


def _count(folder: Path, ending: str) -> bool:
    """Whether the manifest has the hash of the weights with that ending."""
    path = folder / (WEIGHTS + ending)
    known = path.exists() and (folder / MANIFEST).exists()
    return known and hashes(folder)[WEIGHTS] == durable.sha256(path)


def _remove(folder: Path, ending: str) -> None:
    for name in FILES:
        folders.remove(folder / (name + ending))


def _is_ours(folder: Path) -> bool:
    """Whether the folder contains a model or a checkpoint; False if it is absent or empty.

    Raises:
        ModelFolderError: it is a file, or contains only files of other programs.
    """
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise ModelFolderError(f"{folder} is a file; choose another name for the model folder")
    if (folder / MANIFEST).exists() or (folder / CHECKPOINT).is_dir():
        return True
    if any(folder.iterdir()):
        raise ModelFolderError(
            f"{folder} holds other files and no model; choose another name, so that nothing of "
            "yours is replaced"
        )
    return False


def _load_weights(model: Model, content: bytes, folder: Path) -> None:
    learned = dict(model.named_parameters()).keys()
    tensors = untrusted.weights(content, str(folder / WEIGHTS), ModelFolderError, learned)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelFolderError(
            f"the weights in {folder / WEIGHTS} do not fit the model that {CONFIG} describes, so "
            f"a version other than {__version__} wrote them; read it with that version, or refit"
        ) from error


def _history(folder: Path) -> History:
    """The training history; empty if the file was deleted, because the model does not need it."""
    path = folder / METRICS
    if not path.exists():
        return History()
    try:
        return History.from_lines(untrusted.text(path, ModelFolderError))
    except (OptionError, ModelFolderError) as error:
        raise ModelFolderError(
            f"{path} is damaged; delete it to read the model without its history"
        ) from error


def _json(mapping: Mapping[str, Any]) -> str:
    return json.dumps(mapping, indent=1, allow_nan=False) + "\n"
