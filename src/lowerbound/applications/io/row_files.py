"""Import every kind of data with its own file formats, so that it is registered."""

from __future__ import annotations

from lowerbound.applications.io.audio_files import SoundFiles
from lowerbound.applications.io.picture_rows import PictureFiles
from lowerbound.applications.io.rows import ROW_FILES, RowFiles, row_files
from lowerbound.applications.io.table_rows import (
    ColumnFiles,
    CompositionFiles,
    EventFiles,
    TokenFiles,
)

__all__ = [
    "ROW_FILES",
    "ColumnFiles",
    "CompositionFiles",
    "EventFiles",
    "PictureFiles",
    "RowFiles",
    "SoundFiles",
    "TokenFiles",
    "row_files",
]
