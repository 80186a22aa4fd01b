"""What a model was fitted to: recorded with it, for release records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowerbound import durable


@dataclass(frozen=True)
class DataSource:
    """A file or folder that something was made from.

    Attributes:
        name: its name, without the folders above it.
        rows: number of rows; None: unknown.
        sha256: of the file, or of the manifest of a model folder; "": none is given.
    """

    name: str
    rows: int | None = None
    sha256: str = ""

    @classmethod
    def of(cls, source: Any, rows: int | None = None) -> DataSource | None:
        """The file of a table; None: the rows are from no file."""
        path = Path(source).expanduser() if isinstance(source, str | Path) else None
        if path is None or not path.is_file():
            return None
        return cls(path.name, rows, durable.sha256(path))
