"""Import every kind of data with its own file formats, so that it is registered."""

from __future__ import annotations

from lowerbound.applications.common.audio_rows import SoundFiles
from lowerbound.applications.common.picture_rows import PictureFiles
from lowerbound.applications.common.rows import ROW_FILES, RowFiles, row_files
from lowerbound.applications.common.table_rows import (
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
