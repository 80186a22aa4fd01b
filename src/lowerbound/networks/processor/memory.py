"""Keeping freed memory for the next update, or returning it to the operating system.

glibc returns large freed blocks to the system at once. Every update allocates blocks of the same
sizes again, which the system must clear page by page. Training therefore raises the thresholds
above which glibc returns blocks. A process that works on parts of different sizes leaves pieces
between them, which glibc returns only on request.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
MOST = 2**31 - 1
# the values that glibc's dynamic thresholds reach in a process that frees large blocks
GROWN_TRIM, GROWN_MMAP = 2**26, 2**25


@contextmanager
def kept_memory() -> Iterator[None]:
    """Context that keeps freed memory, and returns it afterwards; no effect without glibc."""
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(M_TRIM_THRESHOLD, MOST)
    library.mallopt(M_MMAP_THRESHOLD, 2**30)
    try:
        yield
    finally:
        library.mallopt(M_TRIM_THRESHOLD, GROWN_TRIM)
        library.mallopt(M_MMAP_THRESHOLD, GROWN_MMAP)
        library.malloc_trim(0)


def return_memory() -> None:
    """Return freed memory to the operating system; no effect without glibc."""
    if library := _glibc():
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
