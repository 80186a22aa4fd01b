"""What a refiner changes, in words: distortion and realism, always side by side.

This module does not import torch, so that ``lowerbound info`` starts quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOT_MEASURED = "not measured: too few pictures to hold some out"


def distortion(facts: Mapping[str, Any]) -> str:
    """The error of reconstructions, refined and before.

    Args:
        facts: the fields of a ``RefinerFit``.
    """
    if facts["psnr"] is None:
        return NOT_MEASURED
    return (
        f"PSNR {facts['psnr']:.2f} dB refined, {facts['former_psnr']:.2f} dB before, on "
        f"{facts['held_out']:,} held-out pictures"
    )


def realism(facts: Mapping[str, Any]) -> str:
    """Distance and sharpness of reconstructions, refined and before.

    Args:
        facts: the fields of a ``RefinerFit``.
    """
    if facts["psnr"] is None:
        return NOT_MEASURED
    return "; ".join((_distance(facts), _sharpness(facts)))


def _distance(facts: Mapping[str, Any]) -> str:
    if facts["frechet"] is None:
        return f"Fréchet distance not measured: {facts['skipped']}"
    error = facts["frechet_error"]
    spread = "" if error is None else f" ± {error:.2f}"
    return (
        f"Fréchet distance {facts['frechet']:.2f}{spread} refined, "
        f"{facts['former_frechet']:.2f} before, {facts['frechet_of_real']:.2f} of real pictures "
        f"({facts['features']})"
    )


def _sharpness(facts: Mapping[str, Any]) -> str:
    if facts["sharpness"] is None or facts["former_sharpness"] is None:
        return "sharpness not measured: the pictures are flat or tiny"
    return (
        f"sharpness {facts['sharpness']:.2f} refined, {facts['former_sharpness']:.2f} before, "
        "1 of real pictures"
    )
