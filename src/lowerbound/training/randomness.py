"""Random streams of a run, each a function of the seed and a name, independent of the caller's.

The model's noise uses torch's random state inside
``lowerbound.distributions.reparameterization.seeded``, because generators break compiled graphs.
The bits of dynamic binarization and the hidden cells use a generator of the processor, so they are
the same on every device. The order of the rows is computed from the seed
and the epoch, and has no state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def stream_seed(seed: int, name: str) -> int:
    """The seed of the stream ``name``, independent of other names and seeds."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(seed: int, name: str) -> torch.Generator:
    """A generator of the processor for the stream ``name``."""
    return torch.Generator().manual_seed(stream_seed(seed, name))


def noise_state(device: torch.device) -> dict[str, Tensor]:
    """torch's random state on the processor and on ``device``."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_noise_state(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Restore the states of ``noise_state``."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
