r"""Conversion of grey values to bits: x_d = 1 with probability v_d, or if v_d > 1/2.

Dynamic binarization (Salakhutdinov & Murray 2008; Burda et al. 2016) draws new bits at each visit
in training. For scoring, the bits are a function of the seed and the row's content. A score is
therefore repeatable, and does not depend on the order and the batch.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys

BITS_SEED = 0  # default seed of the bits that are scored
_LEVEL = -1  # latents use the levels 0, 1, ..., so their noise is independent of the bits
_CHUNK = 1 << 21  # values per pass: hashing needs some 30 bytes for each


def drawn_bits(grey: Tensor, white: int, generator: torch.Generator) -> Tensor:
    """Draw bits as floats, with P(1) = grey / white to within 2^-17.

    Args:
        grey: (batch, *event), codes 0 .. white, or floats in [0, 1] with ``white`` = 1.
        white: the code of probability one.
        generator: source of the noise; the global random state does not change.

    A 16-bit uniform number is enough, and one 64-bit word gives four of them. This is twice as fast
    as ``torch.rand``. Black and white are deterministic.
    """
    words = torch.empty((grey.numel() + 3) // 4, dtype=torch.int64, device=generator.device)
    words.random_(-(2**63), None, generator=generator)
    uniform = (
        words.to(grey.device).view(torch.int16)[: grey.numel()].view(grey.shape)
    )  # -32768 .. 32767
    threshold = torch.mul(grey, 65536 / white).sub_(32768.5)
    return threshold.gt_(uniform)


def keyed_bits(grey: Tensor, white: int, seed: int = BITS_SEED) -> Tensor:
    """Bits as floats, with P(1) = grey / white, that depend only on the seed and the row."""
    rows = max(1, _CHUNK // max(1, grey[0].numel())) if len(grey) else 1
    chunks = [_keyed_chunk(chunk, white, seed) for chunk in grey.split(rows)]
    return torch.cat(chunks)


def threshold_bits(grey: Tensor, white: int) -> Tensor:
    """1 if the value is above half of white, else 0, as floats."""
    return (grey > white / 2).to(_float_type(grey))


def bits_sha256(bits: Tensor) -> str:
    """SHA-256 of the bits in row order, packed eight to a byte; identifies the binarization."""
    packed = np.packbits(bits.reshape(len(bits), -1).cpu().numpy().astype(np.uint8), axis=1)
    return hashlib.sha256(packed.tobytes()).hexdigest()


def _keyed_chunk(grey: Tensor, white: int, seed: int) -> Tensor:
    probability = grey.to(torch.float64) / white
    noise = KeyedNoise(row_keys(probability, seed), seed)
    normal = noise.normal((1, *grey.shape), probability, _LEVEL)[0]
    # u < p, expressed with normal noise; exact at p = 0 and p = 1
    bits: Tensor = normal < torch.special.ndtri(probability)
    return bits.to(_float_type(grey))


def _float_type(grey: Tensor) -> torch.dtype:
    """float64 for float64 grey values, whose scores are float64, else float32."""
    return torch.float64 if grey.dtype is torch.float64 else torch.float32
