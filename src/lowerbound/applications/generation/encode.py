"""Write the codes of rows: the mean and the standard deviation of q(z | x), or discrete codes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lowerbound.applications.base import Report, Reporter
from lowerbound.applications.form import REQUIRED, DataRequest, OnError, unreadable
from lowerbound.applications.generation.code_files import CodeTable, check_suffix, columns_of
from lowerbound.applications.io.columnar_files import columnar
from lowerbound.applications.io.conditions import label_names
from lowerbound.applications.io.requested_rows import requested_rows
from lowerbound.config import option
from lowerbound.data.dataset import Dataset
from lowerbound.fitting import Fitted
from lowerbound.inference.codebooks import quantized_rows
from lowerbound.inference.codes import encode_rows
from lowerbound.models import Quantizes


@dataclass(frozen=True)
class EncodeRequest(DataRequest):
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
    count = 0
    with columnar(path) as file:
        for part in requested_rows(request.data, fitted, on_error=request.on_error):
            codes = _coded(fitted, part.rows)
            file.add(columns_of(codes, path))
            count += len(codes.z)
            reporter.advance("encoding", count, part.total)
    return EncodeReport(count, codes.z.shape[1], codes.std is not None, (request.output,))


def _coded(fitted: Fitted, dataset: Dataset) -> CodeTable:
    if isinstance(fitted.model, Quantizes):
        z = quantized_rows(fitted.model, dataset)
        return CodeTable(z, None, label_names(dataset), dataset.ids)
    codes = encode_rows(fitted.model, dataset)
    std = codes.deviation.float() if bool(codes.deviation.any()) else None
    return CodeTable(codes.mean.float(), std, label_names(dataset), dataset.ids)
