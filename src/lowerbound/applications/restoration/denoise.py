r"""Removal of noise from pictures, tables and arrays.

.. math:: y = x + \text{noise}, \quad z_k \sim p(z \mid y), \quad x \sim p(x \mid y, z_k)

See ``lowerbound.inference.denoising``. Without a model: ``photographs``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lowerbound.applications.common.application import Reporter, SheetReport, written
from lowerbound.applications.common.files import check_apart
from lowerbound.applications.common.form import OnError
from lowerbound.applications.common.requested_rows import check_rows
from lowerbound.applications.common.rows import NoisyRows, row_files
from lowerbound.applications.common.sources import conditioned
from lowerbound.applications.restoration.photographs import CleanPicturesReport, denoise_pictures
from lowerbound.applications.restoration.requests import AUTO, DenoiseRequest
from lowerbound.data.arrays import listed
from lowerbound.data.dataset import Dataset
from lowerbound.data.incomplete import noisy_rows
from lowerbound.errors import OptionError, counted
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.denoising import (
    denoise as take_off,
    found_noise,
    known_noise,
    without_noise,
)

OF_MODELS = ("outliers", "draws", "chains", "temperatures", "allow_resize", "device")


@dataclass(frozen=True)
class DenoiseReport(SheetReport):
    """Rows without their noise were written.

    Attributes:
        rows: number of rows.
        noise: standard deviation of the noise in the data's own units.
        learned: whether it was estimated from the data.
        outliers: share of the pixels that are outliers.
        moved: root mean square change of the observed cells, in the same units.
        draws: rows x drawn for each y.
        chains: K.
        effective_sample_size: median over the rows; near 1 the results depend on few chains, and
            more temperatures help.
    """

    rows: int
    noise: float
    learned: bool
    outliers: float
    moved: float
    draws: int
    chains: int
    effective_sample_size: float

    def text(self) -> str:
        how = "learned from the data" if self.learned else "as given"
        rows = counted(self.rows, "row")
        some = "" if self.shown is None else f", {self.about_shown(rows)}"
        return (
            f"noise of standard deviation {self.noise:.4g} ({how}) removed from {rows}, "
            f"{self.moved:.4g} on average{some}: {listed(self.files, self.files_written)}"
        )


def denoise(
    request: DenoiseRequest, reporter: Reporter, fitted: Fitted | None
) -> DenoiseReport | CleanPicturesReport:
    """Write the posterior mean of each row; missing cells are filled.

    Raises:
        UnsupportedError: the likelihood has no version with noise, or the model has no prior.
        DataError: the data is not of the kind that the model was fitted on, or its pictures are of
            another size.
        OptionError: the output's name or a number is invalid.
    """
    request.check_output()
    if fitted is None:
        request.check_photographs(OF_MODELS)
        level = _level(request.noise)
        return denoise_pictures(request.source, request.output, level, request.on_error, reporter)
    return _denoise_rows(request, reporter, fitted)


def _denoise_rows(request: DenoiseRequest, reporter: Reporter, fitted: Fitted) -> DenoiseReport:
    path = Path(request.output)
    writer = row_files(fitted.schema)
    writer.check(path)
    check_apart(path, request.data)
    level = _level(request.noise)
    known_noise(fitted.schema, 1.0 if level is None else level, request.outliers)
    request.check_sizes(fitted.schema)
    noisy, dataset = open_noisy(request.data, fitted, request.on_error)
    check_rows(fitted, request.draws * len(dataset), f"--draws {request.draws}")
    level, noise = found_noise(
        fitted,
        dataset,
        level,
        request.outliers,
        seed=request.seed,
        progress=lambda done, total: reporter.advance("learning the noise", done, total),
    )
    found = take_off(
        fitted.model,
        dataset,
        noise,
        chains=request.chains,
        temperatures=request.temperatures,
        draws=request.draws,
        seed=request.seed,
        progress=lambda done, total: reporter.advance("denoising", done, total),
    )
    schema = fitted.schema
    outliers = request.outliers
    given = noisy.values
    clean = without_noise(schema, found.mean, given, level, outliers)
    drawn = () if found.draws is None else found.draws
    draws = [without_noise(schema, draw, given, level, outliers) for draw in drawn]
    files = writer.write_clean(path, given, clean, draws, dataset.ids, noisy.cells)
    return DenoiseReport(
        rows=len(dataset),
        noise=level,
        learned=request.noise in AUTO,
        outliers=request.outliers,
        moved=float(np.sqrt(np.nanmean(np.square(clean - given)))),
        draws=request.draws,
        chains=request.chains,
        effective_sample_size=float(found.effective_sample_size.median()),
        shown=writer.rows_shown(path, len(dataset)),
        **written(files),
    )


def open_noisy(
    source: str, fitted: Fitted, on_error: OnError = "raise"
) -> tuple[NoisyRows, Dataset]:
    """(the rows as given; the same rows in model units).

    Picture files hold whole numbers in their range; use an array for noise beyond that range.

    Raises:
        DataError: the data cannot be read, or does not fit the model.
    """
    schema = replace(fitted.schema, condition=None)
    noisy = row_files(schema).read_noisy(source, on_error)
    dataset = replace(noisy_rows(noisy.values, schema, source), ids=noisy.ids)
    if noisy.labels is not None:
        dataset = dataset.with_labels(noisy.labels)
    names = fitted.schema.class_names or dataset.schema.class_names
    named = replace(dataset, schema=replace(dataset.schema, class_names=names))
    return noisy, conditioned(named, fitted)


def _level(text: str) -> float | None:
    """The noise level as a number; None: estimate it.

    Raises:
        OptionError: the text is neither a number nor "auto".
    """
    if text in AUTO:
        return None
    try:
        return float(text)
    except ValueError:
        raise OptionError(f"--noise is a number or {AUTO[0]!r}, not {text!r}") from None
