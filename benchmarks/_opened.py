"""Which files of the folder LOWERBOUND_DATA a benchmark has opened, with their hashes.

Python reports each file that it opens (PEP 578), so no benchmark can forget to name one. Files that
a library opens by itself (databases, Parquet) are not seen; benchmarks name those themselves.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

from lowerbound.data.catalog import file_sha256

FOLDER = Path(os.environ.get("LOWERBOUND_DATA", "data")).resolve()
MOST = 20  # files that are named one by one
_seen: dict[Path, None] = {}


def opened_data() -> list[dict[str, Any]]:
    """Name and hash of each; of a folder with many files, their number and one hash of all."""
    hashes = {path: file_sha256(path) for path in sorted(_seen) if path.is_file()}
    if len(hashes) <= MOST:
        return [{"file": _name(path), "sha256": value} for path, value in hashes.items()]
    both = "".join(f"{_name(path)} {value}\n" for path, value in hashes.items())
    place = os.path.commonpath([path.parent for path in hashes])
    return [
        {
            "file": f"{_name(Path(place))}/",
            "files": len(hashes),
            "sha256": hashlib.sha256(both.encode()).hexdigest(),
        }
    ]


def _name(path: Path) -> str:
    return str(path.relative_to(FOLDER))


def _note(event: str, given: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(given[0], str | os.PathLike):
        path = Path(given[0]).absolute()
        if path.is_relative_to(FOLDER):
            _seen[path] = None


sys.addaudithook(_note)
