"""A folder with the encoded rows of a table, complete or absent."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from torch import Tensor

from lowerbound import untrusted
from lowerbound.data.dataset import Dataset
from lowerbound.data.on_disk.row_files import RowFile, mapped
from lowerbound.data.schema import Schema
from lowerbound.durable import sync, write_text
from lowerbound.errors import DataError

FACTS = "rows.json"
X, OBSERVED = "x", "observed"
TENSORS = (X, OBSERVED, "label", "target")


def write_rows(folder: Path, parts: Iterable[Dataset]) -> dict[str, object]:
    """Write rows part by part; the facts are what ``read_rows`` needs beside the files.

    Raises:
        OSError: the files cannot be written.
    """
    gaps = False
    with ExitStack() as opened:
        files = {name: opened.enter_context(RowFile(folder / f"{name}.bin")) for name in TENSORS}
        for part in parts:
            gaps = gaps or part.observed is not None
            files[X].append(part.x)
            files[OBSERVED].append(part.mask)
            for name, value in (("label", part.label), ("target", part.target)):
                if value is not None:
                    files[name].append(value)
    kept = [name for name, file in files.items() if file.rows and (gaps or name != OBSERVED)]
    for name, file in files.items():
        if name in kept:
            sync(file.path)
        else:
            file.path.unlink()
    return {name: [files[name].dtype, [files[name].rows, *files[name].shape]] for name in kept}


def finish(
    folder: Path, key: str, schema: Schema, tensors: dict[str, object], note: str = ""
) -> None:
    """Write what the files hold; a folder without this is not complete. ``note``: a warning for
    whoever reads them."""
    facts = {"key": key, "schema": schema.to_mapping(), "tensors": tensors, "note": note}
    write_text(folder / FACTS, json.dumps(facts, indent=1))


def read_rows(folder: Path, key: str, source: str) -> Dataset | None:
    """The rows in a folder, held in its files; None: it has no complete rows of this key."""
    try:
        facts = untrusted.read_mapping(folder / FACTS, DataError)
        with untrusted.guarded(str(folder), DataError):
            if facts["key"] != key:
                return None
            schema = Schema.from_mapping(facts["schema"])
            found: dict[str, Tensor] = {
                name: mapped(folder / f"{name}.bin", *facts["tensors"][name])
                for name in TENSORS
                if name in facts["tensors"]
            }
            note = str(facts.get("note", ""))
    except (OSError, DataError):
        return None
    if note:
        warnings.warn(note, UserWarning, stacklevel=3)
    return Dataset(schema, source=source, folder=folder, **found)  # type: ignore[arg-type]
