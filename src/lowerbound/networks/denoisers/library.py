"""The optional library of diffusion networks, noise schedules and samplers."""

from __future__ import annotations

from typing import Any

from lowerbound.errors import MissingExtraError


def diffusers() -> Any:
    """The library ``diffusers``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import diffusers as library
    except ImportError as error:
        raise MissingExtraError("diffusers", "diffusion") from error
    return library
