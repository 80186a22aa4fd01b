"""Folders of Delta Lake, Iceberg and Hudi, which keep the files of rows that are deleted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from lowerbound.errors import DataError

_QUOTED = re.compile("'((?:[^']|'')*)'")
_PATTERN = re.compile(r"[*?\[]")


def _is_iceberg(folder: Path) -> bool:
    return any((folder / "metadata").glob("*.metadata.json"))


FORMATS: dict[str, Callable[[Path], bool]] = {
    "a Delta Lake table": lambda folder: (folder / "_delta_log").is_dir(),
    "an Iceberg table": _is_iceberg,
    "a Hudi table": lambda folder: (folder / ".hoodie").is_dir(),
}
"""What the folder of a table of each format has, beside the files of its rows."""


def refuse_versioned(path: Path) -> None:
    """Refuse a table that keeps its earlier versions, or a file or a folder inside of one.

    Raises:
        DataError: it is one; the message says why its files are not read, and what to do.
    """
    try:
        whole = path.absolute()
        for folder in (whole, *whole.parents):
            for title, has in FORMATS.items():
                if has(folder):
                    raise _refusal(path, folder, title)
    except OSError:  # a folder that cannot be listed
        return


def refuse_versioned_in(query: str) -> None:
    """Refuse a query over the files of such a table.

    Raises:
        DataError: it names one.
    """
    for text in _QUOTED.findall(query):
        parts = Path(text.replace("''", "'")).expanduser().parts
        fixed = next((i for i, part in enumerate(parts) if _PATTERN.search(part)), len(parts))
        if fixed and (folder := Path(*parts[:fixed])).exists():
            refuse_versioned(folder)


def _refusal(path: Path, folder: Path, title: str) -> DataError:
    where = f"{path} is" if folder == path.absolute() else f"{path} is part of {folder}, which is"
    return DataError(
        f"{where} {title}: its Parquet files also hold rows that were deleted or overwritten since,"
        " so reading them would bring these rows back; write the table's current version to one "
        "Parquet file with the program that keeps it, and give that file"
    )
