r"""Rows of one size as one file, without loss where the model has an exact form, else as codes.

.. math:: \text{bits} \approx \sum_\text{rows} \frac{-\text{ELBO}}{\ln 2}

The bound that training raised is the length of a file that gives every bit back: see
``lowerbound.coding.bits_back``. Of a model of codes the file holds the codes alone, and its length
is the bound's other part, the rate: see ``lowerbound.coding.vector_quantized``.
"""

from __future__ import annotations

import math
import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from lowerbound.applications.base import Reporter
from lowerbound.applications.compression.codec import (
    CODECS,
    Codec,
    CodecRequest,
    CompareReport,
    CompareRequest,
    CompressReport,
    CompressRequest,
    advancing,
    output_file,
)
from lowerbound.applications.compression.exported_models import (
    ExportedModel,
    bits_of,
    exported_for,
    exported_model,
)
from lowerbound.applications.compression.losses import Loss, loss_of
from lowerbound.applications.compression.lossless_rivals import rivals
from lowerbound.applications.compression.lossy_rivals import lossy_rivals
from lowerbound.applications.io.fit_rows import requested, requested_parts
from lowerbound.applications.io.rows import check_suffix, eight_bit, write_rows
from lowerbound.coding import lossless, vector_quantized
from lowerbound.coding.bits_back import levels_of
from lowerbound.coding.exports import CODES, EXACT, Export
from lowerbound.coding.files.container import Container, open_container
from lowerbound.coding.lossless import Progress
from lowerbound.data import Dataset
from lowerbound.data.schema import Schema
from lowerbound.fitting import Fitted

REAL_BITS = 32
FEW_ROWS = 20  # rows below which the start is most of a file


class RowsCodec(Codec):
    """Rows in one file, by a copy of the model that stays in its folder.

    Attributes:
        export: how the copy is made.
    """

    export: ClassVar[Export]
    options = frozenset({"part"})

    @abstractmethod
    def write_rows(
        self, path: Path, model: Any, x: Tensor, codebooks: int | None, progress: Progress | None
    ) -> None:
        """Write rows in model units, (rows, *event), by an exported model."""

    @abstractmethod
    def read_rows(self, file: Container, model: Any, progress: Progress | None) -> Tensor:
        """The rows of a file in model units; of a lossy one, what comes back."""

    def serves(self, request: CodecRequest, fitted: Fitted) -> bool:
        return self.export.takes(fitted.model)

    def write(self, request: CompressRequest, fitted: Fitted, reporter: Reporter) -> CompressReport:
        path = output_file(request)
        x, exported = self.coded(request, fitted, reporter)
        path.parent.mkdir(parents=True, exist_ok=True)
        progress = advancing(reporter, "compressing")
        self.write_rows(path, exported.model, x, request.codebooks, progress)
        file = open_container(path)
        bits = 8 * file.size / x.numel()
        loss = self.loss(file, exported, x, reporter)
        return CompressReport(
            files=(str(path),),
            files_written=1,
            bytes=file.size,
            raw_bytes=raw_bytes(x, raw_bits(exported.schema)),
            codec=exported.hash.hex(),
            what=f"{len(x):,} rows",
            rate=f"{bits:.4f} bits per dimension",
            measures={
                "rows": len(x),
                "header_bytes": file.overhead,
                "bits_per_dimension": bits,
                "gap": exported.gap,
                "loss": loss,
            },
            lines=tuple(_about_file(len(x), exported, loss)),
        )

    def decode(self, file: Container, folder: Path, progress: Progress | None) -> Tensor:
        return self.read_rows(file, exported_for(file, folder).model, progress)

    def decompress(
        self, file: Container, folder: Path, output: Path, progress: Progress | None
    ) -> tuple[int, Sequence[str]]:
        exported = exported_for(file, folder)
        check_suffix(output, exported.schema)
        x = self.read_rows(file, exported.model, progress)
        return len(x), write_rows(output, exported.schema, x, rounded=True)

    def compare(self, request: CompareRequest, fitted: Fitted, reporter: Reporter) -> CompareReport:
        x, exported = self.coded(request, fitted, reporter)
        with tempfile.TemporaryDirectory() as folder:
            path, progress = Path(folder) / "rows.lbz", advancing(reporter, "lowerbound")
            self.write_rows(path, exported.model, x, request.codebooks, progress)
            file = open_container(path)
            loss = self.loss(file, exported, x, reporter)
        sizes = [Size("lowerbound", file.size, 8 * file.size / x.numel(), "one file", _psnr(loss))]
        for size in _others(x, exported, file.size, loss):
            reporter.say(f"{size.codec}: {size.bytes:,} bytes")
            sizes.append(size)
        sizes.sort(key=lambda size: (-(size.psnr or 0), size.bytes))
        raw = raw_bytes(x, raw_bits(exported.schema))
        return CompareReport(
            {"rows": len(x), "sizes": sizes, "raw_bytes": raw, "loss": loss},
            tuple(_about_sizes(len(x), raw, sizes, loss)),
        )

    def coded(
        self, request: CodecRequest, fitted: Fitted, reporter: Reporter
    ) -> tuple[Tensor, ExportedModel]:
        """(the requested rows as they are coded, (rows, *event) in model units; the model's copy).

        Raises:
            UnsupportedError: a part of the model has no exact form.
            DataError: the rows are not of the kind that the model was fitted on.
        """
        self.export.check(fitted.model)
        rows = bits_of(requested(requested_parts(request, fitted)), request.seed)
        exported = exported_model(fitted, Path(request.model), rows)
        name, part = exported.hash.hex(), part_of(exported)
        reporter.say(f"codec {name}: {exported.gap:.2%} of the {part} lost to whole numbers")
        return units(rows), exported

    def loss(
        self, file: Container, exported: ExportedModel, x: Tensor, reporter: Reporter
    ) -> Loss | None:
        """What of the rows does not come back from their file; None where everything does."""
        if not self.export.lossy:
            return None
        back = self.read_rows(file, exported.model, advancing(reporter, "decompressing"))
        return loss_of(x, back, pictures=x.dim() == 4)


@CODECS.register(lossless.KIND)
class ExactRows(RowsCodec):
    """Rows by bits-back coding: every bit comes back."""

    takes = "rows by a vae, hierarchical or ladder model"
    export = EXACT

    def write_rows(
        self, path: Path, model: Any, x: Tensor, codebooks: int | None, progress: Progress | None
    ) -> None:
        lossless.write_rows(path, model, x, progress=progress)

    def read_rows(self, file: Container, model: Any, progress: Progress | None) -> Tensor:
        return lossless.read_rows(file, model, progress)


@CODECS.register(vector_quantized.KIND)
class CodedRows(RowsCodec):
    """Rows as the codes of a model's codebooks: lossy."""

    takes = "rows by models with codes (vq_vae)"
    options = frozenset({"part", "codebooks"})
    export = CODES

    def write_rows(
        self, path: Path, model: Any, x: Tensor, codebooks: int | None, progress: Progress | None
    ) -> None:
        vector_quantized.write_rows(path, model, x, codebooks=codebooks, progress=progress)

    def read_rows(self, file: Container, model: Any, progress: Progress | None) -> Tensor:
        return vector_quantized.read_rows(file, model, progress)


@dataclass(frozen=True)
class Size:
    """Of the same rows by one codec.

    Attributes:
        codec: its name.
        bytes: of all rows.
        bits_per_dimension: 8 bytes / numbers.
        how: "one file" for all rows, "a file each", or "one mosaic" of all pictures.
        psnr: of what comes back, decibels, the mean over pictures; None: all comes back.
    """

    codec: str
    bytes: int
    bits_per_dimension: float
    how: str
    psnr: float | None = None

    def text(self) -> str:
        """A line of a table."""
        quality = "" if self.psnr is None else f"PSNR {self.psnr:.2f} dB, "
        return (
            f"  {self.codec:18} {self.bytes:>12,} bytes {self.bits_per_dimension:8.4f} bits per "
            f"dimension, {quality}{self.how}"
        )


def _others(x: Tensor, exported: ExportedModel, target: int, loss: Loss | None) -> Iterator[Size]:
    """Sizes by codecs that lose nothing, or that lose too and then have about ``target`` bytes."""
    if loss is None:
        for name, size, how in rivals(x, levels_of(exported.model)):
            yield Size(name, size, 8 * size / x.numel(), how)
    elif loss.psnr is not None and x.shape[1] in (1, 3):
        for name, size, psnr, how in lossy_rivals(eight_bit(x), target):
            yield Size(name, size, 8 * size / x.numel(), how, psnr)


def _about_file(rows: int, exported: ExportedModel, loss: Loss | None) -> Iterator[str]:
    if loss is not None:
        yield f"lossy: rows come back about as they were, {loss.text()}"
    yield about_codec(exported)
    if rows < FEW_ROWS:
        yield (
            "each file begins anew, at a price: many rows in one file are smaller than many files"
        )


def _about_sizes(rows: int, raw: int, sizes: Sequence[Size], loss: Loss | None) -> Iterator[str]:
    yield f"{rows:,} rows, {raw:,} bytes as they are"
    if loss is not None:
        yield (
            f"lossy: rows come back about as they were, by the model with {loss.text()}; other "
            "codecs are asked for as many bytes, and for the fewest they can where that is more"
        )
    yield from (size.text() for size in sizes)


def about_codec(exported: ExportedModel) -> str:
    """Which copy wrote a file, and what whole numbers cost of its bound or its rate."""
    return (
        f"codec {exported.hash.hex()}, kept in the model folder; whole numbers cost "
        f"{exported.gap:.2%} of the {part_of(exported)}"
    )


def units(rows: Dataset) -> Tensor:
    """Rows in model units, (rows, *event)."""
    return rows.all().filled.float()


def raw_bits(schema: Schema) -> int:
    """Of a number as it is: as many as its levels need, those of float32 where it has none."""
    if schema.levels is None:
        return REAL_BITS
    levels = 2 if schema.binary else schema.levels
    return max(1, math.ceil(math.log2(levels)))


def raw_bytes(x: Tensor, bits: int) -> int:
    """Bytes of the rows as numbers of so many bits, row by row."""
    return len(x) * -(-x[0].numel() * bits // 8)


def part_of(exported: ExportedModel) -> str:
    """Which part of the bound becomes bytes."""
    return "rate" if exported.lossy else "bound"


def _psnr(loss: Loss | None) -> float | None:
    return None if loss is None else loss.psnr
