"""What a trained prior or refiner gains, in words.

A prior stands beside the former one, and the distortion of refined pictures beside their realism.

This module does not import torch, so that ``lowerbound info`` starts quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOT_COMPARED = "not measured: too few rows to hold latents out"  # a prior with the former one
NOT_MEASURED = "not measured: too few pictures to hold some out"  # what a refiner changes


def comparison(facts: Mapping[str, Any]) -> str:
    """log p(z) of held-out latents under both priors, and the paired difference.

    Args:
        facts: the fields of a ``PriorFit``.
    """
    after, before, error = facts["validation"], facts["former"], facts["error"]
    if after is None or before is None:
        return NOT_COMPARED
    few = " (no standard error, because only one row or one episode was held out)"
    spread = few if error is None else f" ± {error:.2f}"
    return (
        f"{_nats(after, facts['density'])}, on {facts['held_out']:,} held-out rows; "
        f"{_nats(before, facts['former_density'])} under the former prior {facts['former_kind']}; "
        f"difference {after - before:+.2f}{spread}"
    )


def warning_if_worse(facts: Mapping[str, Any]) -> str:
    """A warning if the new prior is worse than the former by more than the standard error, or by
    anything where there is none; else an empty text.

    Args:
        facts: the fields of a ``PriorFit``.
    """
    after, before = facts["validation"], facts["former"]
    if after is None or before is None or not after - before < -(facts["error"] or 0.0):
        return ""
    bound = (
        " (or less, because its log p(z) is a lower bound)" if facts["density"] == "bound" else ""
    )
    return (
        "warning: the new prior is worse than the former on held-out rows by "
        f"{before - after:.2f} nats per row{bound}: train longer; with -o, a new folder gets the "
        "new prior and MODEL keeps its own"
    )


def _nats(value: float, density: str) -> str:
    """A mean log density in nats per row; a lower bound is called one."""
    kind = "a lower bound" if density == "bound" else density
    return f"{value:.2f} nats per row ({kind})"


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
