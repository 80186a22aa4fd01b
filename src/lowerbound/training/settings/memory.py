"""Freed memory is kept for the next update instead of going back to the operating system.

glibc returns large freed blocks to the system at once, and every update allocates blocks of the
same sizes again, which the system then clears page by page. While training runs, the thresholds
from which it does so are raised.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
MOST = 2**31 - 1
# where glibc's own, growing thresholds end up in a process that frees large blocks
GROWN_TRIM, GROWN_MMAP = 2**26, 2**25


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep freed memory inside; afterwards it goes back. Does nothing without glibc."""
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


@cache
def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
