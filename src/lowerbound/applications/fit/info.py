"""What a model folder holds, read without loading the model; every hash is verified on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from lowerbound.applications.base import Report, Reporter
from lowerbound.applications.form import REQUIRED
from lowerbound.applications.io import fit_folder
from lowerbound.applications.io.compressed_files import SUFFIX, whole
from lowerbound.coding.files.container import open_container
from lowerbound.config import option
from lowerbound.errors import ModelFolderError
from lowerbound.model_folder.manifest import (
    CONFIG,
    FILES,
    METRICS,
    SCHEMA,
    WEIGHTS,
    hashes,
    parts,
    rows,
    verify,
)


@dataclass(frozen=True)
class InfoRequest:
    """What is in this folder?"""

    model: str = option(
        REQUIRED, "model folder, or a file that compress wrote", positional=True, metavar="MODEL"
    )


@dataclass(frozen=True)
class InfoReport(Report):
    """What a model folder holds.

    Attributes:
        model: the folder.
        kind: the name of the model, such as vae.
        parts: which of the parts that the options name it is made of.
        options: how it was fitted, every default resolved.
        rows: what the rows are, in one line.
        data: the schema.
        weights: numbers in the model.
        bytes: size of the weights' file.
        ended: how training ended; empty where there was none.
        epochs, updates, seconds: of training.
        bound: on the rows held out for early stopping, nats per row; None where there were none.
        sha256: of each hashed file, verified.
    """

    model: str
    kind: str
    parts: tuple[str, ...]
    options: Mapping[str, Any]
    rows: str
    data: Mapping[str, Any]
    weights: int
    bytes: int
    ended: str
    epochs: float
    updates: int
    seconds: float
    bound: float | None
    sha256: Mapping[str, str]

    def text(self) -> str:
        return "\n".join(f"{name:10} {value}" for name, value in self._lines())

    def _lines(self) -> Iterator[tuple[str, str]]:
        model = self.options["model"]
        condition = ", conditioned on the class" if model["conditional"] else ""
        yield "model", f"{self.kind}, {model['latent_dim']} latent numbers{condition}"
        yield "data", self.rows
        for part in self.parts:
            yield part, _part(model, part)
        yield "size", f"{self.weights:,} numbers, {self.bytes / 1e6:.2f} MB"
        if self.ended:
            yield "training", f"{self.epochs:.1f} epochs, {self.updates:,} updates, {self._time()}"
            yield "ended", self.ended
        if self.bound is not None:
            yield "bound", f"{self.bound:.2f} nats per row, on the rows held out for early stopping"
        yield "verified", ", ".join(self.sha256)

    def _time(self) -> str:
        return f"{self.seconds:.0f} s" if self.seconds < 120 else f"{self.seconds / 60:.1f} min"


def info(request: InfoRequest, reporter: Reporter) -> Report:
    """Say what a model folder or a compressed file holds.

    Raises:
        ModelFolderError: there is none, or a file is missing, truncated or altered.
        BitstreamError: the compressed file is damaged.
    """
    folder = Path(request.model)
    if folder.suffix.lower() == SUFFIX and folder.is_file():
        return whole(open_container(folder))
    content = verify(folder)
    options, schema = json.loads(content[CONFIG]), json.loads(content[SCHEMA])
    kind, found = options["model"]["model"], parts(folder)
    records, end = _training(folder)
    last = records[-1] if records else {}
    kept = [record["validation"] for record in records if record["updates"] == end.get("best")]
    return InfoReport(
        model=request.model,
        kind=kind,
        parts=_parts_of(kind) if found is None else found,
        options=options,
        rows=rows(folder) or _summary_of(schema),
        data=schema,
        weights=_count(content[WEIGHTS], folder),
        bytes=len(content[WEIGHTS]),
        ended=fit_folder.ending(folder),
        epochs=last.get("epoch", 0.0),
        updates=last.get("updates", 0),
        seconds=last.get("seconds", 0.0),
        bound=kept[-1] if kept else None,
        sha256={name: hashes(folder)[name] for name in FILES},
    )


def _summary_of(schema: Mapping[str, Any]) -> str:
    """That of a folder which does not say it; only then is torch waited for."""
    from lowerbound.data.schema import Schema

    return Schema.from_mapping(schema).summary


def _parts_of(kind: str) -> tuple[str, ...]:
    """Those of a model whose folder does not say so; only then is torch waited for."""
    from lowerbound.models import MODELS

    return MODELS[kind].uses if kind in MODELS else ()


def _part(model: Mapping[str, Any], name: str) -> str:
    chosen = model[f"{name}_options"]
    said = ", ".join(f"{key} {value}" for key, value in chosen.items())
    return f"{model[name]} ({said})" if said else str(model[name])


def _training(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The records of training and its last line; nothing where the file is gone or damaged."""
    try:
        lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
        *records, end = [json.loads(line) for line in lines]
    except (OSError, ValueError):
        return [], {}
    return records, end


def _count(weights: bytes, folder: Path) -> int:
    """How many numbers a safetensors file holds; its header is JSON behind a 64-bit length."""
    try:
        length = int.from_bytes(weights[:8], "little")
        header = json.loads(weights[8 : 8 + length])
        return sum(prod(entry["shape"]) for name, entry in header.items() if name[:2] != "__")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFolderError(f"{folder / WEIGHTS} is no safetensors file; refit") from error
