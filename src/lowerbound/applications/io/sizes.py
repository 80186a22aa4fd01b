"""The memory and the disk of rows that a user asks for, checked before they are made."""

from __future__ import annotations

import shutil
from pathlib import Path

from lowerbound import untrusted
from lowerbound.data import Schema
from lowerbound.errors import OptionError
from lowerbound.fitting import Fitted

BYTES_OF_NUMBER = 16  # of memory for a number of a row: z, parameters, the draw, a copy


def check_rows(fitted: Fitted, rows: int, asked: str, schema: Schema | None = None) -> None:
    """Check that rows of a model, with their latents, fit into the limit of memory.

    Args:
        fitted: the model.
        rows: their number.
        asked: the option that asks for them, as the message names it.
        schema: of a row; default: the model's.

    Raises:
        OptionError: they do not fit; the message says how to raise the limit.
    """
    numbers = (schema or fitted.schema).dimension + (fitted.options.model.latent_dim or 0)
    needed = BYTES_OF_NUMBER * numbers * rows
    untrusted.check_memory(needed, asked, OptionError, ", or ask for fewer")


def check_disk(path: Path, rows: int, schema: Schema, asked: str) -> None:
    """Check that rows of a table, which are written part by part, fit on the disk.

    Args:
        path: the file to write; its folder, or the nearest one above it, need exist.
        rows: their number.
        schema: of a row.
        asked: the option that asks for them, as the message names it.

    Raises:
        OptionError: they do not fit even if a cell takes one byte.
    """
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    free, needed = shutil.disk_usage(folder).free, rows * max(1, len(schema.columns))
    if needed > free:
        raise OptionError(
            f"{asked} takes at least {needed / 1e9:,.0f} GB of disk, and {folder} has "
            f"{free / 1e9:,.0f} GB free: ask for fewer rows, or choose another place"
        )
