r"""Signals of any length as codes, one per codebook and frame, and back.

::

    signal ──analysis──> vectors ──codebooks──> codes (frames, codebooks)
    signal <──synthesis── vectors <──sums────── codes

Long signals are processed in parts. A network's output for a frame depends only on its
neighborhood, so each part includes this neighborhood, and the result equals that of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.errors import UnsupportedError
from lowerbound.inference.codes import refuse_beside_rows, used_codebooks
from lowerbound.models.base import Model
from lowerbound.models.vq_vae import VectorQuantizedVariationalAutoencoder
from lowerbound.networks.frame_maps import FrameMapDecoder, FrameMapEncoder
from lowerbound.posteriors.vector_quantized import Quantizer

PART = 4096  # frames at once
REAL_BYTES, CODE_BYTES = 4, 8  # of a number


@dataclass(frozen=True, eq=False)
class SoundCoder:
    """A model that turns signals into codes frame by frame, and codes into signals."""

    model: VectorQuantizedVariationalAutoencoder
    encoder: FrameMapEncoder
    decoder: FrameMapDecoder

    @classmethod
    def of(cls, model: Model) -> SoundCoder:
        """The coder of a model.

        Raises:
            UnsupportedError: the model has no such coder.
        """
        coder = cls.found(model)
        if coder is None:
            raise UnsupportedError(
                "sound is compressed by a vq_vae model with the network 'frames': fit one of those"
            )
        return coder

    @classmethod
    def found(cls, model: Model) -> SoundCoder | None:
        """The coder of a model; None: it has none.

        Raises:
            UnsupportedError: the model depends on more than its rows.
        """
        if isinstance(model, VectorQuantizedVariationalAutoencoder):
            encoder, decoder = model.encoder, model.decoder
            if isinstance(encoder, FrameMapEncoder) and isinstance(decoder, FrameMapDecoder):
                refuse_beside_rows(model)
                return cls(model, encoder, decoder)
        return None

    @property
    def quantizers(self) -> list[Quantizer]:
        """The codebooks, coarse to fine."""
        return [part for part in self.model.quantizers if isinstance(part, Quantizer)]

    def frames(self, samples: int) -> int:
        """Number of frames of a signal of ``samples`` samples."""
        return self.encoder.analysis.transform.places(samples)

    def memory(self, samples: int, codebooks: int) -> int:
        """Bytes that ``signal`` takes: codes, their vectors and samples are each there twice."""
        codes = self.frames(samples) * codebooks
        return 2 * (REAL_BYTES * samples + codes * (CODE_BYTES + REAL_BYTES * self.model.dim))

    def levels(self, codebooks: int | None) -> int:
        """The number of codebooks to use, the coarsest first; None: all.

        Raises:
            OptionError: the model has fewer.
        """
        return used_codebooks(codebooks, len(self.quantizers))

    @torch.no_grad()
    def codes(self, signal: Tensor, codebooks: int | None = None) -> Tensor:
        """The codes of a signal, (samples,), as (frames, codebooks) int64."""
        used = self.quantizers[: self.levels(codebooks)]
        return torch.cat([_nearest(rest, used) for rest in self._vectors(signal)])

    @torch.no_grad()
    def signal(self, codes: Tensor, samples: int) -> Tensor:
        """Decode codes (frames, codebooks) to the first ``samples`` of the signal, (samples,)."""
        pairs = zip(self.quantizers, codes.unbind(1), strict=False)
        vectors = torch.stack([quantizer.vectors(level) for quantizer, level in pairs]).sum(0)
        hop, parts = self.encoder.analysis.transform.hop, []
        for part in _parts(len(vectors), self.decoder.synthesis.reach):
            made = self.decoder(vectors[part.start : part.end].reshape(1, -1)).flatten()
            parts.append(made[part.skipped * hop :][: part.frames * hop])
        return torch.cat(parts)[:samples]

    def _vectors(self, signal: Tensor) -> Iterator[Tensor]:
        """The encoder's vectors of a signal's frames, (some frames, dim) at a time."""
        hop = self.encoder.analysis.transform.hop
        for part in _parts(self.frames(len(signal)), self.encoder.analysis.reach):
            vectors = self.encoder(signal[None, part.start * hop : part.end * hop])
            yield vectors.reshape(-1, self.model.dim)[part.skipped :][: part.frames]


@dataclass(frozen=True)
class _SoundPart:
    """Frames to keep, within the frames ``start`` to ``end`` that the networks process."""

    start: int
    end: int
    skipped: int
    frames: int


def _parts(frames: int, reach: int) -> Iterator[_SoundPart]:
    for first in range(0, frames, PART):
        last = min(first + PART, frames)
        start = max(0, first - reach)
        yield _SoundPart(start, min(frames, last + reach), first - start, last - first)


def _nearest(rest: Tensor, quantizers: list[Quantizer]) -> Tensor:
    """Codes of vectors (frames, dim), (frames, levels); each codebook codes the error before it."""
    found = []
    for quantizer in quantizers:
        found.append(quantizer.nearest(rest))
        rest = rest - quantizer.vectors(found[-1])
    return torch.stack(found, 1)
