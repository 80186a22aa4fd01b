"""Raw data: the output of a reader, before a schema is learned; grey values as bits.

A bit is x_d = 1 with probability v_d, or if v_d > 1/2. Dynamic binarization (Salakhutdinov & Murray
2008; Burda et al. 2016) draws new bits at each visit in training. For scoring, the bits are a
function of the seed and the row's content. A score is therefore repeatable, and does not depend on
the order and the batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.columns.inference import Hint
from lowerbound.data.columns.notation import Notation
from lowerbound.data.pictures.pixels import Channels, Resize
from lowerbound.data.tables.dialect import Dialect
from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys

BITS_SEED = 0  # default seed of the bits that are scored
_LEVEL = -1  # latents use the levels 0, 1, ..., so their noise is independent of the bits
_CHUNK = 1 << 21  # values per pass: hashing needs some 30 bytes for each
Kinds = Literal["real", "infer"] | Mapping[str, Hint]


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


@dataclass(frozen=True, eq=False)
class RawData:
    """Rows in their original form.

    Attributes:
        x: a pandas frame; an array, (rows, columns) or pictures in any layout; or the type that
            ``kind`` requires.
        labels: one value per row, or None.
        class_names: the classes in the order of their indices; None: inferred from the labels.
        levels: number of levels; None: inferred from the type.
        channels: position of the color axis of pictures; None: inferred from the shape.
        resize: how pictures were resized.
        quantities: name -> (rows,) numbers that codes are to predict.
        label_column: the table column of the labels.
        left_out: columns of a table that are not used.
        ids: a name per row.
        source: origin of the rows, for reports.
        factors: (rows, factors) integers, the generative factors of each row, if known.
        factor_names: a name per factor.
        factor_values: of each factor, the names of its values; empty if they have none.
        missing: whether the reader marks missing cells with NaN.
        kind: the name of the kind of data; "": inferred from x.
        notations: of a table, how columns of numbers were written as text, by name.
        dialect: of a table that was text.
    """

    x: Any
    labels: Any = None
    class_names: tuple[str, ...] | None = None
    levels: int | None = None
    channels: Channels | None = None
    resize: Resize = "pad"
    label_column: str | None = None
    left_out: tuple[str, ...] = ()
    ids: tuple[str, ...] | None = None
    source: str = ""
    factors: Any = None
    factor_names: tuple[str, ...] = ()
    factor_values: tuple[tuple[str, ...], ...] = ()
    missing: bool = False
    quantities: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ""
    notations: Mapping[str, Notation] = field(default_factory=dict)
    dialect: Dialect | None = None
