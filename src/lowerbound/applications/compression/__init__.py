"""Rows, pictures and sound as small files. Importing a codec's file registers it."""

from lowerbound.applications.compression import photographs, rows, sound, tiles

__all__ = ["photographs", "rows", "sound", "tiles"]
