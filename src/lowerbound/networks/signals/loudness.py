r"""A linear path beside the networks of frames: from log magnitudes to a frame's vector, and back.

.. math:: z = A \log |X| + a + f(x), \qquad \log |\hat X| = W z + w + g(z)

with f and g the encoder and the decoder. Before the first update both maps are set to the principal
components of log magnitudes, weighed by the resolution of hearing, and f and g start small. All are
then trained together. Loudness of voices that were not learned from is thus kept as well as by
principal components, which networks fitted to few voices do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lowerbound.data.audio.log_mel import BREAK
from lowerbound.networks.processor.matrix_products import AffineMap

LEAST = 1e-6  # variance of a component


class LateMap(nn.Module):
    """An affine map that is absent, and gives None, until ``open``.

    A model folder holds nothing of an absent map.

    Args:
        inputs, outputs: sizes.
    """

    affine: nn.Linear | None
    place: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.register_buffer("place", torch.empty(0), persistent=False)
        self.register_module("affine", None)
        self.register_load_state_dict_pre_hook(_as_stored)  # type: ignore[no-untyped-call]

    def open(self) -> nn.Linear:
        """Make the map where the model is."""
        self.affine = AffineMap(self.inputs, self.outputs).to(self.place)
        return self.affine

    def close(self) -> None:
        """Make it absent."""
        self.affine = None

    def forward(self, x: Tensor) -> Tensor | None:
        return None if self.affine is None else self.affine(x)


def _as_stored(module: nn.Module, state: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
    assert isinstance(module, LateMap)
    stored = f"{prefix}affine.weight" in state
    if stored and module.affine is None:
        module.open()
    elif not stored:
        module.close()


@torch.no_grad()
def start_at_components(
    analysis: LateMap, synthesis: LateMap, log_magnitudes: Tensor, rate: float
) -> None:
    r"""Open both maps at the principal components of log magnitudes.

    With components V of weighed log magnitudes and the root c of their mean variance, A = V / c
    and W is its inverse. One c for all components leaves more bits to those that vary more.

    Args:
        analysis: from bins to numbers.
        synthesis: from numbers to bins.
        log_magnitudes: of frames, (frames, bins).
        rate: samples per second.
    """
    values = log_magnitudes.double()
    weights = hearing(values.shape[1], rate).to(values)
    mean = values.mean(0)
    apart = (values - mean) * weights
    variances, vectors = torch.linalg.eigh(apart.T @ apart / max(1, len(apart)))
    used = min(analysis.outputs, len(variances))
    variances, vectors = variances.flip(0)[:used], vectors.flip(1)[:, :used]
    scale = variances.mean().clamp_min(LEAST).sqrt()
    inward, outward = analysis.open(), synthesis.open()
    for layer in (inward, outward):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    forth = (vectors * weights[:, None] / scale).T
    inward.weight[:used] = forth.to(inward.weight)
    inward.bias[:used] = -(forth @ mean).to(inward.bias)
    outward.weight[:, :used] = (vectors * scale / weights[:, None]).to(outward.weight)
    outward.bias.copy_(mean)


def hearing(bins: int, rate: float) -> Tensor:
    """The root of the mel scale's density at each frequency, with mean square 1, (bins,)."""
    frequencies = torch.linspace(0, rate / 2, bins, dtype=torch.float64)
    density = 1 / (BREAK + frequencies)
    return (density / density.mean()).sqrt()
