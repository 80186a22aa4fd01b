"""Where the package keeps what it can make or download again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder $XDG_CACHE_HOME/lowerbound, else ~/.cache/lowerbound."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "lowerbound"
