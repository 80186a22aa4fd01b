"""Pictures of any size as small lossy files at a chosen rate.

::

    compress photos.lb photo.png -o photo.lbz --times 50
    compress photos.lb folder/ -o files/             one file per picture
    decompress photos.lb photo.lbz -o photo.png
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.applications.base import Reporter
from lowerbound.applications.compression.codec import CODECS, Codec, beside
from lowerbound.applications.compression.comparison.pictures import compare_pictures
from lowerbound.applications.compression.exported_models import ExportedModel, exported_for
from lowerbound.applications.compression.picture_files import (
    check_pictures_output,
    picture_paths,
    write_decoded,
)
from lowerbound.applications.compression.rated_pictures import (
    INVENTS,
    Written,
    check_rate,
    each,
    write_one,
)
from lowerbound.applications.compression.reports import CompareReport, CompressReport
from lowerbound.applications.compression.requests import (
    CodecRequest,
    CompareRequest,
    CompressRequest,
)
from lowerbound.applications.io.compressed_files import SUFFIX
from lowerbound.applications.io.drawings.grids import eight_bit
from lowerbound.coding.exports import COEFFICIENTS
from lowerbound.coding.files.container import Container
from lowerbound.coding.lossless import Progress
from lowerbound.coding.transform import KIND, invents, quality_of, read_pictures
from lowerbound.data.arrays import Array
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting import Fitted


@CODECS.register(KIND)
class Photographs(Codec):
    """One file per picture, by a transform coder: lossy."""

    takes = "pictures by a transform coder"
    unit = "picture"
    options = frozenset({"quality", "times", "bytes"})
    alone = ".png"
    has_page = True

    def serves(self, request: CodecRequest, fitted: Fitted) -> bool:
        return COEFFICIENTS.takes(fitted.model)

    def write(self, request: CompressRequest, fitted: Fitted, reporter: Reporter) -> CompressReport:
        check_rate(request)
        paths = self.paths(request)
        targets = _targets(Path(request.source), paths, request.output)
        written: dict[Path, Written] = {}
        for path, picture, exported in each(request, fitted, paths, reporter, "compressing"):
            target = targets[path]
            target.parent.mkdir(parents=True, exist_ok=True)
            written[target] = write_one(exported.model, picture, target, request)
        return _report(written, exported)

    def decode(self, file: Container, folder: Path, progress: Progress | None) -> Array:
        """(pictures, height, width, channels) uint8."""
        model: Any = exported_for(file, folder).model
        return eight_bit(read_pictures(file, model, progress))

    def decompress(
        self, file: Container, folder: Path, output: Path, progress: Progress | None
    ) -> tuple[int, Sequence[str]]:
        count, stem = file.header.shape[0], Path(file.name).stem
        alone = check_pictures_output(output, count, file.name)
        names = [f"{stem}_{number:05d}.png" for number in range(count)]
        pictures = self.decode(file, folder, progress)
        return count, write_decoded(
            output, alone, names if count > 1 else [f"{stem}.png"], pictures
        )

    def compare(self, request: CompareRequest, fitted: Fitted, reporter: Reporter) -> CompareReport:
        return compare_pictures(request, fitted, self.paths(request), reporter)

    def paths(self, request: CodecRequest) -> list[Path]:
        """The pictures.

        Raises:
            DataError: the data is not pictures.
        """
        found = picture_paths(request.source)
        if not found:
            raise DataError(
                f"{request.source}: a transform coder compresses a picture or a folder of pictures"
            )
        return found


def _report(written: Mapping[Path, Written], exported: ExportedModel) -> CompressReport:
    every = list(written.values())
    bits = 8 * sum(one.bytes for one in every) / sum(one.pixels for one in every)
    qualities = sorted({quality_of(one.level) for one in every})
    quality = tuple(dict.fromkeys((qualities[0], qualities[-1])))
    psnr = float(np.mean([one.psnr for one in every]))
    made_up = invents(exported.model)
    lossy = (
        f"lossy: decompressed pictures are approximate, PSNR {psnr:.2f} dB, quality "
        f"{' to '.join(map(str, quality))}"
    )
    return CompressReport.of(
        list(written),
        sum(one.numbers for one in every),
        f"{len(every):,} pictures",
        f"{bits:.3f} bits per pixel",
        (lossy, f"codec {exported.hash.hex()}", *([INVENTS] if made_up else [])),
        pictures=len(every),
        bits_per_pixel=bits,
        psnr=psnr,
        quality=quality,
        invents=made_up,
    )


def _targets(data: Path, paths: list[Path], named: str) -> dict[Path, Path]:
    """Output path of each picture's file."""
    output = Path(named) if named else beside(data, SUFFIX)
    if not data.is_dir():
        if output.suffix.lower() != SUFFIX:
            raise OptionError(f"{output}: a compressed picture is written as NAME{SUFFIX}")
        return dict.fromkeys(paths, output)
    if output.suffix:
        raise OptionError(f"{output}: the files of a folder of pictures are written into a folder")
    return dict(zip(paths, _apart(data, paths, output), strict=True))


def _apart(data: Path, paths: list[Path], output: Path) -> Iterator[Path]:
    """Unique names: pictures whose names differ only in the suffix keep it."""
    stems = [path.relative_to(data).with_suffix("") for path in paths]
    for path, stem in zip(paths, stems, strict=True):
        twice = stems.count(stem) > 1
        yield output / f"{path.relative_to(data) if twice else stem}{SUFFIX}"
