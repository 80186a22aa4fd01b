"""The comparison of a trained prior with the former one, in words.

This module does not import torch, so that ``lowerbound info`` starts quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOT_COMPARED = "not measured: too few rows to hold latents out"


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
