"""Compression of rows, pictures and sound. Importing a codec's module registers it."""

from lowerbound.applications.compression import photographs, rows, sound, tiles

__all__ = ["photographs", "rows", "sound", "tiles"]
