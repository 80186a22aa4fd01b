"""The version of the package, which nothing needs the package's public names for."""

from __future__ import annotations

__version__ = "0.1.0"
