r"""Rows of one size in one file: lossless if the model has an exact form, otherwise as codes.

.. math:: \text{bits} \approx \sum_\text{rows} \frac{-\text{ELBO}}{\ln 2}

The length of a lossless file is the negative bound in bits: see
``lowerbound.applications.compression.bits_back``. The file of a model of codes holds the codes
alone, and its length is the rate, one part of the bound: see
``lowerbound.applications.compression.vector_quantized``.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from lowerbound.applications.common.application import Reporter
from lowerbound.applications.common.fit_rows import requested, requested_parts
from lowerbound.applications.common.rows import row_files
from lowerbound.applications.compression import lossless, vector_quantized
from lowerbound.applications.compression.bits_back import levels_of
from lowerbound.applications.compression.codec import (
    CODECS,
    Codec,
    CodecRate,
    CompareReport,
    CompressReport,
    Output,
    advancing,
    exported_for,
)
from lowerbound.applications.compression.container import Container, open_container
from lowerbound.applications.compression.exported_models import (
    ExportedModel,
    bits_of,
    exported_model,
)
from lowerbound.applications.compression.exports import CODES, EXACT, Export
from lowerbound.applications.compression.lossless import Progress
from lowerbound.applications.compression.picture_files import Loss, loss_of
from lowerbound.applications.compression.requests import (
    CodecRequest,
    CompareRequest,
    CompressRequest,
    output_file,
)
from lowerbound.applications.compression.rivals import lossy_rivals, rivals
from lowerbound.data.dataset import Dataset
from lowerbound.data.pictures.pixels import eight_bit
from lowerbound.data.schema import Schema
from lowerbound.fitting.fitted import Fitted
from lowerbound.untrusted import folders

REAL_BITS = 32
FEW_ROWS = 20  # below this number, the start takes most of a file


class RowsCodec(Codec):
    """Rows in one file, coded by a copy of the model that stays in its folder.

    Attributes:
        export: method of making the copy.
        stream: module whose ``write_rows`` and ``read_rows`` are inverse to each other.
    """

    export: ClassVar[Export]
    stream: ClassVar[Any]
    options = frozenset({"part"})

    def serves(self, request: CodecRequest, fitted: Fitted) -> bool:
        return self.export.takes(fitted.model)

    def write(self, request: CompressRequest, fitted: Fitted, reporter: Reporter) -> CompressReport:
        path = output_file(request)
        x, exported = self.coded(request, fitted, reporter)
        folders.make(path.parent)
        loss = self.code(path, exported, x, request, reporter, "compressing")
        bits = 8 * path.stat().st_size / x.numel()
        return CompressReport.of(
            [path],
            raw_bytes(x, raw_bits(exported.schema)),
            f"{len(x):,} rows",
            f"{bits:.4f} bits per dimension",
            _about_file(len(x), exported, loss),
            rows=len(x),
            bits_per_dimension=bits,
            gap=exported.gap,
            loss=loss,
        )

    def decode(self, file: Container, folder: Path, progress: Progress | None) -> Tensor:
        """Decoded rows (rows, *event) in model units."""
        x: Tensor = self.stream.read_rows(file, exported_for(file, folder).model, progress)
        return x

    def decompress(
        self, file: Container, folder: Path, output: Output, progress: Progress | None
    ) -> tuple[int, Sequence[str]]:
        exported = exported_for(file, folder)
        files = row_files(exported.schema.for_other_rows)
        files.check(output.path, output.is_folder)
        x = self.stream.read_rows(file, exported.model, progress)
        write = files.write_folder if output.is_folder else files.write
        return len(x), write(output.path, x, rounded=True)

    def compare(self, request: CompareRequest, fitted: Fitted, reporter: Reporter) -> CompareReport:
        x, exported = self.coded(request, fitted, reporter)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.lbz"
            loss = self.code(path, exported, x, request, reporter, "lowerbound")
            size = path.stat().st_size
        rates = [_rate(x, "lowerbound", size, "one file", None if loss is None else loss.psnr)]
        for rate in _others(x, exported, size, loss):
            reporter.say(f"{rate.codec}: {rate.bytes:,} bytes")
            rates.append(rate)
        rates.sort(key=lambda rate: (-(rate.measures["psnr"] or 0), rate.bytes))
        raw, sizes = raw_bytes(x, raw_bits(exported.schema)), [rate.to_mapping() for rate in rates]
        return CompareReport(
            {"rows": len(x), "sizes": sizes, "raw_bytes": raw, "loss": loss},
            tuple(_about_rates(len(x), raw, rates, loss)),
        )

    def coded(
        self, request: CodecRequest, fitted: Fitted, reporter: Reporter
    ) -> tuple[Tensor, ExportedModel]:
        """(rows to code, (rows, *event) in model units; the model's exported copy).

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

    def code(
        self,
        path: Path,
        exported: ExportedModel,
        x: Tensor,
        request: CodecRequest,
        reporter: Reporter,
        task: str,
    ) -> Loss | None:
        """Write the rows and return their loss; None if the codec is lossless."""
        used = {"codebooks": request.codebooks} if "codebooks" in self.options else {}
        progress = advancing(reporter, task)
        self.stream.write_rows(path, exported.model, x, progress=progress, **used)
        if not self.export.lossy:
            return None
        progress = advancing(reporter, "decompressing")
        back = self.stream.read_rows(open_container(path), exported.model, progress)
        return loss_of(x, back, pictures=x.dim() == 4)


@CODECS.register(lossless.KIND)
class ExactRows(RowsCodec):
    """Rows by bits-back coding: lossless."""

    takes = "rows by a vae, hierarchical or ladder model"
    export = EXACT
    stream: ClassVar[Any] = lossless


@CODECS.register(vector_quantized.KIND)
class CodedRows(RowsCodec):
    """Rows as the codes of a model's codebooks: lossy."""

    takes = "rows by models with codes (vq_vae)"
    options = frozenset({"part", "codebooks"})
    export = CODES
    stream: ClassVar[Any] = vector_quantized


def _others(
    x: Tensor, exported: ExportedModel, target: int, loss: Loss | None
) -> Iterator[CodecRate]:
    """Lossless codecs; or, if the model is lossy, lossy codecs at about ``target`` bytes."""
    if loss is None:
        for name, size, how in rivals(x, levels_of(exported.model)):
            yield _rate(x, name, size, how, None)
    elif loss.psnr is not None and x.shape[1] in (1, 3):
        for name, size, psnr, how in lossy_rivals(eight_bit(x), target):
            yield _rate(x, name, size, how, psnr)


def _rate(x: Tensor, codec: str, size: int, how: str, psnr: float | None) -> CodecRate:
    """``how`` is "one file" for all rows, "a file each", or "one mosaic" of all pictures."""
    bits = 8 * size / x.numel()
    quality = "" if psnr is None else f"PSNR {psnr:.2f} dB, "
    words = f"{size:>12,} bytes {bits:8.4f} bits per dimension, {quality}{how}"
    return CodecRate(codec, size, {"bits_per_dimension": bits, "how": how, "psnr": psnr}, words)


def _about_file(rows: int, exported: ExportedModel, loss: Loss | None) -> Iterator[str]:
    if loss is not None:
        yield f"lossy: decompressed rows are approximate, {loss.text()}"
    yield about_codec(exported)
    if rows < FEW_ROWS:
        yield ("each file has starting costs: put many rows into one file")


def _about_rates(
    rows: int, raw: int, rates: Sequence[CodecRate], loss: Loss | None
) -> Iterator[str]:
    yield f"{rows:,} rows, {raw:,} bytes uncompressed"
    if loss is not None:
        yield (
            f"lossy: decompressed rows are approximate, by the model with {loss.text()}; other "
            "codecs run at the same number of bytes, or at their smallest size if that is larger"
        )
    yield from (f"  {rate.codec:18} {rate.words}" for rate in rates)


def about_codec(exported: ExportedModel) -> str:
    """Name of the copy that wrote a file, and the cost of whole numbers in bound or rate."""
    return (
        f"codec {exported.hash.hex()}, kept in the model folder; whole numbers cost "
        f"{exported.gap:.2%} of the {part_of(exported)}"
    )


def units(rows: Dataset) -> Tensor:
    """Rows in model units, (rows, *event)."""
    return rows.all().filled.float()


def raw_bits(schema: Schema) -> int:
    """Bits of an uncompressed number: enough for its levels, or those of float32 without levels."""
    if schema.levels is None:
        return REAL_BITS
    levels = 2 if schema.binary else schema.levels
    return max(1, math.ceil(math.log2(levels)))


def raw_bytes(x: Tensor, bits: int) -> int:
    """Bytes of the rows if each number takes ``bits`` bits."""
    return len(x) * -(-x[0].numel() * bits // 8)


def part_of(exported: ExportedModel) -> str:
    """The part of the bound that the file's length equals."""
    return "rate" if exported.lossy else "bound"
