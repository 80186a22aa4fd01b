"""Random streams of a run's own: each a function of the seed and a name, none the caller's.

The model's noise comes from torch's state inside
``lowerbound.distributions.reparameterization.seeded``, since generators break compiled graphs; the
bits of dynamic binarization come from a generator; the order of the rows is computed from seed and
epoch, and so has no state at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def stream_seed(seed: int, name: str) -> int:
    """A seed for the stream of that name, unrelated to those of other names and seeds."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(seed: int, name: str, device: torch.device) -> torch.Generator:
    """A generator of its own for the stream of that name."""
    return torch.Generator(device).manual_seed(stream_seed(seed, name))


def noise_state(device: torch.device) -> dict[str, Tensor]:
    """torch's own random state on the processor and on ``device``."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_noise_state(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Go on from what ``noise_state`` answered."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
