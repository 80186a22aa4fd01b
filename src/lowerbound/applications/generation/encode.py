"""Write the codes of rows: the mean and the standard deviation of q(z | x), or discrete codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from lowerbound.applications.base import Report, Reporter
from lowerbound.applications.engines import EngineRequest, Progress, computed, engine_of
from lowerbound.applications.finished_parts import Arrays, ResumableRequest, finished_parts
from lowerbound.applications.form import REQUIRED, DataRequest, OnError, unreadable
from lowerbound.applications.generation.code_files import CodeTable, check_suffix, columns_of
from lowerbound.applications.io.columnar_files import columnar
from lowerbound.applications.io.conditions import label_names
from lowerbound.applications.io.requested_rows import RequestedRows, in_chunks, requested_rows
from lowerbound.config import option
from lowerbound.fitting import Fitted
from lowerbound.inference.codebooks import quantized_rows
from lowerbound.inference.codes import encode_rows
from lowerbound.models import Quantizes


@dataclass(frozen=True)
class EncodeRequest(DataRequest, ResumableRequest, EngineRequest):
    """Write the codes of data."""

    output: str = option(
        REQUIRED, "file for the codes: .csv, .parquet or .npz", short="-o", metavar="CODES"
    )
    on_error: OnError = unreadable()


@dataclass(frozen=True)
class EncodeReport(Report):
    """Codes were written.

    Attributes:
        rows: number of rows.
        latent_dim: numbers per code.
        cloud: whether each code has a standard deviation.
        files: paths.
    """

    rows: int
    latent_dim: int
    cloud: bool
    files: tuple[str, ...]

    def text(self) -> str:
        clouds = ", each with its standard deviation" if self.cloud else ""
        return f"{self.rows:,} codes of {self.latent_dim} numbers{clouds}: {self.files[0]}"


def encode(request: EncodeRequest, reporter: Reporter, fitted: Fitted) -> EncodeReport:
    """Write each row's posterior mean and standard deviation, or its discrete codes.

    Raises:
        DataError: the data is not of the kind that the model was fitted on.
    """
    path = Path(request.output)
    check_suffix(path)
    parts = requested_rows(request.data, fitted, on_error=request.on_error)
    many = in_chunks(request.data, fitted)

    def progress_of(part: RequestedRows) -> Progress:
        return lambda done, of: reporter.advance("encoding", *part.place(done, of))

    count = 0
    with (
        finished_parts("encode", request, reporter, in_parts=many) as finished,
        engine_of(request, partial(_computed, fitted), in_parts=many) as engine,
        columnar(path) as file,
    ):
        for part, found in computed(parts, lambda part: part, engine, finished, progress_of):
            codes = _coded(part, found)
            file.add(columns_of(codes, path))
            count += len(codes.z)
    return EncodeReport(count, codes.z.shape[1], codes.std is not None, (request.output,))


def _computed(fitted: Fitted, part: RequestedRows, progress: Progress) -> Arrays:
    """The codes of a part, and their standard deviations, if they have some."""
    if isinstance(fitted.model, Quantizes):
        found = {"z": quantized_rows(fitted.model, part.rows).numpy()}
    else:
        codes = encode_rows(fitted.model, part.rows)
        found = {"z": codes.mean.float().numpy()}
        if bool(codes.deviation.any()):
            found["std"] = codes.deviation.float().numpy()
    progress(1, 1)
    return found


def _coded(part: RequestedRows, found: Arrays) -> CodeTable:
    std = torch.from_numpy(found["std"]) if "std" in found else None
    z = torch.from_numpy(found["z"])
    return CodeTable(z, std, label_names(part.rows), part.rows.ids)
