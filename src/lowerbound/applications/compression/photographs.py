"""Pictures of any size as small lossy files at a chosen rate.

::

    compress photos.lb photo.png -o photo.lbz --times 50
    compress photos.lb folder/ -o files/             one file per picture
    decompress photos.lb photo.lbz -o photo.png
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound import untrusted
from lowerbound.applications.common.application import Reporter
from lowerbound.applications.common.engines import computed, engine_of
from lowerbound.applications.common.files import check_same, replacing
from lowerbound.applications.common.parts import Arrays, finished_parts, stamp
from lowerbound.applications.compression.codec import (
    CODECS,
    PARTS,
    Codec,
    CompareReport,
    CompressReport,
    Output,
    beside,
    exported_for,
)
from lowerbound.applications.compression.container import Container
from lowerbound.applications.compression.exported_models import ExportedModel
from lowerbound.applications.compression.exports import COEFFICIENTS
from lowerbound.applications.compression.lossless import Progress
from lowerbound.applications.compression.picture_comparison import compare_pictures
from lowerbound.applications.compression.picture_files import (
    check_pictures_output,
    write_decoded,
)
from lowerbound.applications.compression.rated_pictures import (
    INVENTS,
    CodedPicture,
    check_rate,
    each,
    write_smaller,
)
from lowerbound.applications.compression.requests import (
    SUFFIX,
    CodecRequest,
    CompareRequest,
    CompressRequest,
)
from lowerbound.applications.compression.stored_pictures import (
    FORMATS,
    KIND as STORED,
    as_png,
    read_stored,
)
from lowerbound.applications.compression.transform_codec import (
    KIND,
    WITH_STEPS,
    invents,
    quality_of,
    read_eight_bit,
)
from lowerbound.data.arrays import Array
from lowerbound.data.pictures.folders import look_at
from lowerbound.data.pictures.whole import names_beside, picture_paths
from lowerbound.errors import DataError, OptionError, counted
from lowerbound.fitting.fitted import Fitted

COLORS = 3
NO_LEVEL = -1  # of a picture that is stored exactly


@CODECS.register(KIND)
class Photographs(Codec):
    """One file per picture, by a transform coder: lossy."""

    takes = "pictures by a transform coder"
    unit = "picture"
    options = PARTS | {"quality", "times", "bytes", "tune"}
    alone = ".png"
    has_page = True

    def serves(self, request: CodecRequest, fitted: Fitted) -> bool:
        return COEFFICIENTS.takes(fitted.model)

    def write(self, request: CompressRequest, fitted: Fitted, reporter: Reporter) -> CompressReport:
        check_rate(request)
        paths = self.paths(request)
        targets = _targets(Path(request.source), paths, request.output)
        pictures = each(request, fitted, paths, reporter, "compressing")
        first = next(pictures)  # the exported model is made of it
        model, many = first[2].model, Path(request.source).is_dir()
        place_of = {path: place for place, path in enumerate(paths)}  # also of one left out
        parts = (
            PictureFile(place_of[path], path, pixels)
            for path, pixels, _ in chain([first], pictures)
        )
        facts = {"pictures": [[str(path) for path in paths], stamp(*paths)]}
        written: dict[Path, CodedPicture] = {}
        sources: dict[Path, Path] = {}
        with (
            finished_parts(
                "compress", request, reporter, in_parts=many, unit="pictures", facts=facts
            ) as finished,
            engine_of(request, partial(_coded, request, model), in_parts=many) as engine,
        ):
            for part, found in computed(parts, lambda part: part, engine, finished, _no_progress):
                target = targets[part.path]
                with replacing(target) as place:
                    place.write_bytes(found["file"].tobytes())
                written[target], sources[target] = _picture_of(found), part.path
        return _report(written, sources, first[2], request.tune)

    def decode(self, file: Container, folder: Path, progress: Progress | None) -> Any:
        """(pictures, height, width, channels) uint8."""
        model: Any = exported_for(file, folder).model
        return read_eight_bit(file, model, progress)

    def decompress(
        self, file: Container, folder: Path, output: Output, progress: Progress | None
    ) -> tuple[int, Sequence[str]]:
        count, stem = file.header.shape[0], Path(file.name).stem
        alone = check_pictures_output(output, count, file.name)
        names = [f"{stem}_{number:05d}.png" for number in range(count)]
        pictures = self.decode(file, folder, progress)
        return count, write_decoded(
            output.path, alone, names if count > 1 else [f"{stem}.png"], pictures
        )

    def compare(self, request: CompareRequest, fitted: Fitted, reporter: Reporter) -> CompareReport:
        return compare_pictures(request, fitted, self.paths(request), reporter)

    def paths(self, request: CodecRequest) -> list[Path]:
        """The pictures.

        Raises:
            DataError: the data is not pictures.
        """
        if not Path(request.source).exists():
            raise DataError(
                f"there is no picture or folder of pictures {request.source}; check the name"
            )
        found = picture_paths(request.source)
        if not found:
            raise DataError(
                f"{request.source}: a transform coder compresses a picture or a folder of pictures"
            )
        return found


@CODECS.register(WITH_STEPS)
class PhotographsWithSteps(Photographs):
    """Pictures that ``Photographs`` wrote with a step for each block."""

    def serves(self, request: CodecRequest, fitted: Fitted) -> bool:
        return False


@CODECS.register(STORED)
class StoredPictures(Photographs):
    """Pictures that ``Photographs`` stored exactly, because that was smaller."""

    def serves(self, request: CodecRequest, fitted: Fitted) -> bool:
        return False

    def decode(self, file: Container, folder: Path, progress: Progress | None) -> Any:
        """The picture file, bytes."""
        return read_stored(file)[0]

    def decompress(
        self, file: Container, folder: Path, output: Output, progress: Progress | None
    ) -> tuple[int, Sequence[str]]:
        payload, form = read_stored(file)
        target = output.path
        if output.is_folder or FORMATS.get(target.suffix.lower()) != form:  # not the file itself
            if not check_pictures_output(output, 1, file.name):
                target /= f"{Path(file.name).stem}.png"
            payload = payload if form == "PNG" else as_png(payload)
        with replacing(target) as place:
            place.write_bytes(payload)
            if output.is_folder:  # which may hold the original, or another picture of this name
                check_same(place, target)
        return 1, (str(target),)


@dataclass(frozen=True, eq=False)
class PictureFile:
    """A picture to compress.

    Attributes:
        first: its number among all pictures, from 0.
        path: of its file.
        pixels: (height, width, channels).
        content: of its file; None: it can be read here.
    """

    first: int
    path: Path
    pixels: Array
    content: bytes | None = None

    def __len__(self) -> int:
        return 1

    def sent(self) -> PictureFile:
        """The picture with its file, because another machine may not have it."""
        return replace(self, content=untrusted.content(self.path, DataError))


def _coded(request: CompressRequest, model: Any, part: PictureFile, progress: Progress) -> Arrays:
    """The compressed file of a picture, and what the report says of it."""
    content = part.content or untrusted.content(part.path, DataError)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"{part.path.stem}{SUFFIX}"
        one = write_smaller(model, content, part.pixels, target, request)
        file = np.fromfile(target, np.uint8)
    level = NO_LEVEL if one.level is None else one.level
    return {
        "file": file,
        "level": np.array(level),
        "numbers": np.array(one.numbers),
        "pixels": np.array(one.pixels),
        "psnr": np.array(one.psnr),
        "measured": np.array(one.measured),
    }


def _picture_of(found: Arrays) -> CodedPicture:
    """What ``_coded`` says of a picture."""
    level = int(found["level"])
    return CodedPicture(
        bytes=len(found["file"]),
        level=None if level == NO_LEVEL else level,
        numbers=int(found["numbers"]),
        pixels=int(found["pixels"]),
        psnr=float(found["psnr"]),
        measured=float(found["measured"]),
    )


def _no_progress(part: PictureFile) -> Progress:
    """Reading the pictures shows the progress."""
    return lambda done, of: None


def _report(
    written: Mapping[Path, CodedPicture],
    sources: Mapping[Path, Path],
    exported: ExportedModel,
    tune: str,
) -> CompressReport:
    every = list(written.values())
    coded = {target: one for target, one in written.items() if one.level is not None}
    bits = 8 * sum(one.bytes for one in every) / sum(one.pixels for one in every)
    qualities = sorted({quality_of(one.level) for one in coded.values() if one.level is not None})
    psnr = float(np.mean([one.psnr for one in coded.values()])) if coded else None
    share = _share_measured(coded.values()) if coded else None
    lossy = [sources[target] for target in coded]
    notes = look_at(lossy).losses(COLORS) if coded else []
    made_up = invents(exported.model) and bool(coded)
    return CompressReport.of(
        list(written),
        sum(one.numbers for one in every),
        counted(len(every), "picture"),
        f"{bits:.3f} bits per pixel",
        _lines(len(every) - len(coded), qualities, _decibels(psnr, share), notes, exported, tune),
        source_bytes=sum(path.stat().st_size for path in sources.values()),
        pictures=len(every),
        stored=len(every) - len(coded),
        bits_per_pixel=bits,
        psnr=psnr,
        psnr_pixels=share,
        quality=tuple(dict.fromkeys(qualities[:1] + qualities[-1:])),
        tune=tune if coded else None,
        invents=made_up,
        notes=notes,
    )


def _share_measured(coded: Collection[CodedPicture]) -> float:
    """The share of the pixels whose loss was measured."""
    return sum(one.measured * one.pixels for one in coded) / sum(one.pixels for one in coded)


def _decibels(psnr: float | None, share: float | None) -> str:
    """The mean PSNR in words, with the share of the pixels; "" without lossy pictures."""
    if psnr is None or share is None:
        return ""
    return f"PSNR {psnr:.2f} dB" + (f" in {share:.0%} of the pixels" if share < 1 else "")


def _lines(
    stored: int,
    qualities: Sequence[int],
    decibels: str,
    notes: Sequence[str],
    exported: ExportedModel,
    tune: str,
) -> Iterator[str]:
    if stored:
        yield f"stored exactly, because that is smaller: {stored:,}"
    if not decibels:
        return
    between = " to ".join(map(str, dict.fromkeys((qualities[0], qualities[-1]))))
    yield (
        f"lossy: decompressed pictures are approximate, {decibels}, quality {between}, "
        f"tuned for {tune.upper()}"
    )
    if notes:
        yield f"lost on reading, before compression: {'; '.join(notes)}"
    yield f"codec {exported.hash.hex()}"
    if invents(exported.model):
        yield INVENTS


def _targets(data: Path, paths: list[Path], named: str) -> dict[Path, Path]:
    """Output path of each picture's file."""
    output = Path(named) if named else beside(data, SUFFIX)
    if not data.is_dir():
        if output.suffix.lower() != SUFFIX:
            raise OptionError(f"{output}: a compressed picture is written as NAME{SUFFIX}")
        return dict.fromkeys(paths, output)
    if output.suffix:
        raise OptionError(f"{output}: the files of a folder of pictures are written into a folder")
    names = names_beside(data, paths, SUFFIX)
    return {path: output / name for path, name in zip(paths, names, strict=True)}
