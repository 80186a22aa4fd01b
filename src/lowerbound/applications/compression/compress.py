"""Compress data into small files, and back: ``compress``, ``decompress``, ``verify``, ``compare``.

A codec does the work. The data and the model select it for writing, the file's header for reading:
see ``lowerbound.applications.compression.codec``.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from lowerbound.applications.common.application import Reporter
from lowerbound.applications.compression.codec import (
    CODECS,
    SHOWN,
    Codec,
    CompareReport,
    CompressReport,
    DecompressReport,
    Output,
    advancing,
    beside,
    serving,
)
from lowerbound.applications.compression.compressed_files import FileReport, whole
from lowerbound.applications.compression.container import Container, open_container
from lowerbound.applications.compression.exported_models import shipped_model
from lowerbound.applications.compression.requests import (
    SUFFIX,
    CompareRequest,
    CompressRequest,
    DecompressRequest,
    VerifyRequest,
)
from lowerbound.applications.compression.stack import constriction
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.refiner import without_refiner


def compress(request: CompressRequest, reporter: Reporter, fitted: Fitted | None) -> CompressReport:
    """Write data as compressed files: lossless if the model allows it, lossy otherwise.

    Raises:
        UnsupportedError: no codec supports the model, or a part of it has no exact form.
        DataError: the data is not of the kind that the model was fitted on.
        OptionError: the output's name is invalid, or the codec lacks an option.
    """
    began = time.perf_counter()
    fitted = without_refiner(fitted or shipped_model())  # which draws detail and codes none
    codec = serving(request, fitted)
    constriction()  # raises before any work if it is missing
    report = codec.write(request, fitted, reporter)
    return replace(report, seconds=time.perf_counter() - began)


def decompress(request: DecompressRequest, reporter: Reporter) -> DecompressReport:
    """Decompress a file, or every file in a folder.

    Raises:
        BitstreamError: a file is damaged, or was compressed with another model.
        OptionError: the output's name is invalid, or is that of one file for several.
    """
    began = time.perf_counter()
    source = request.source
    paths = sorted(source.rglob(f"*{SUFFIX}")) if source.is_dir() else [source]
    if not paths:
        raise DataError(f"{source} has no {SUFFIX} files")
    if len(paths) > 1 and Path(request.output).suffix:
        raise OptionError(
            f"{source} has {len(paths):,} {SUFFIX} files, and {request.output} would be one file: "
            "name a folder with -o (a name without suffix)"
        )
    rows = 0
    names: list[str] = []
    units: set[str] = set()
    for done, path in enumerate(paths, 1):
        file, codec = opened(path)
        output = _output(request, path, codec)
        progress = advancing(reporter, "decompressing") if len(paths) == 1 else None
        more, files = codec.decompress(file, request.folder, output, progress)
        rows, names, units = rows + more, names + list(files), units | {codec.unit}
        if progress is None:
            reporter.advance("decompressing", done, len(paths))
    seconds = time.perf_counter() - began
    unit = units.pop() if len(units) == 1 else "row"
    return DecompressReport(rows, tuple(names[:SHOWN]), len(names), seconds, unit)


def verify(request: VerifyRequest, reporter: Reporter) -> FileReport:
    """Check every byte of a file; if a model is given, also check the decoded data.

    Raises:
        BitstreamError: a check fails; the message names the place.
    """
    file, codec = opened(Path(request.file))
    found = whole(file)
    if request.model is None:
        return found
    codec.decode(file, Path(request.model), advancing(reporter, "decompressing"))
    return replace(found, decoded=True)


def compare(request: CompareRequest, reporter: Reporter, fitted: Fitted | None) -> CompareReport:
    """Compare the model's bytes with those of common codecs: lossless ones, or lossy ones if the
    model is lossy.

    Raises:
        UnsupportedError: no codec supports the model, or a part of it has no exact form.
        DataError: the data is not of the kind that the model was fitted on.
        OptionError: the codec lacks an option.
    """
    fitted = without_refiner(fitted or shipped_model())  # which draws detail and codes none
    codec = serving(request, fitted)
    if request.output and not codec.has_page:
        takers = [CODECS[kind].takes for kind in CODECS if CODECS[kind].has_page]
        raise OptionError(
            f"-o is for {' and for '.join(dict.fromkeys(takers))}; other comparisons are a table"
        )
    constriction()
    return codec.compare(request, fitted, reporter)


def opened(path: Path) -> tuple[Container, Codec]:
    """A compressed file, its header checked, and the codec that reads it.

    Raises:
        BitstreamError: it is no compressed file, is damaged, or has a newer format.
    """
    file = open_container(path)
    return file, CODECS[file.header.kind]()


def _output(request: DecompressRequest, path: Path, codec: Codec) -> Output:
    """Where to write the data of the file at ``path``."""
    source = request.source
    if not request.output:
        if not codec.alone:
            raise OptionError("name the output with -o")
        return Output(beside(source, codec.alone), is_folder=False)
    output = Path(request.output)
    if not source.is_dir() or output.suffix:
        return Output(output, is_folder=not output.suffix)
    place = output / path.parent.relative_to(source)
    return Output(place if codec.alone else place / path.stem, is_folder=True)
