"""Style mixing: coarse latents of some rows with fine latents of others; or, if the model has
classes, the style of each row in every class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lowerbound.applications.base import Report, Reporter
from lowerbound.applications.form import REQUIRED, DataRequest, OnError, unreadable
from lowerbound.applications.io.drawings.strips import Strip
from lowerbound.applications.io.requested_rows import picked_rows
from lowerbound.applications.io.row_files import row_files
from lowerbound.applications.io.sources import conditioned, open_data, open_unconditioned
from lowerbound.applications.latent_space.label_columns import row_name
from lowerbound.config import option
from lowerbound.data.dataset import Dataset
from lowerbound.errors import OptionError
from lowerbound.evaluation.samples.acceptance import real_rows
from lowerbound.fitting import Fitted
from lowerbound.inference.latent_space.analogies import in_every_class
from lowerbound.inference.latent_space.mixing import coarse_levels, mix_rows
from lowerbound.models import Classifies, Mixes, models_with, require

FIRST = 6  # default number of rows of each kind
CONDITIONAL = "conditional ones (fit --conditional)"


@dataclass(frozen=True)
class MixRequest(DataRequest):
    """Mix the latents of rows."""

    output: str = option(
        REQUIRED,
        "pictures: .png, .npz, or a folder; tables: .csv, .parquet or .npz",
        short="-o",
        metavar="OUT",
    )
    coarse: str = option(
        "", f"rows that give the coarse levels (default: the first {FIRST})", metavar="I,J,..."
    )
    fine: str = option(
        "",
        f"rows that give the fine levels (default: the next {FIRST}), or the style, if the "
        f"model has classes (default: the first {FIRST})",
        metavar="K,L,...",
    )
    cut: int = option(
        0, "number of levels from the coarse rows (default: all but a style, else the coarsest)"
    )
    on_error: OnError = unreadable()


@dataclass(frozen=True)
class MixReport(Report):
    """A matrix of mixed rows was written.

    Attributes:
        coarse: rows that gave the coarse levels.
        fine: rows that gave the fine levels.
        cut: number of levels from the coarse rows.
        levels: number of levels of the model.
        files: paths.
    """

    coarse: tuple[str, ...]
    fine: tuple[str, ...]
    cut: int
    levels: int
    files: tuple[str, ...]

    def text(self) -> str:
        return (
            f"{len(self.coarse)} by {len(self.fine)} mixtures, {self.cut} of {self.levels} levels "
            f"from the rows at the left, the rest from those on top: {self.files[0]}"
        )


@dataclass(frozen=True)
class AnalogiesReport(Report):
    """The style of each row was decoded in every class.

    Attributes:
        rows: rows that gave the styles.
        classes: the classes.
        files: paths.
    """

    rows: tuple[str, ...]
    classes: tuple[str, ...]
    files: tuple[str, ...]

    def text(self) -> str:
        return (
            f"{len(self.rows)} by {len(self.classes)} analogies, the style of the row at the left "
            f"in the class on top: {self.files[0]}"
        )


def mix(request: MixRequest, reporter: Reporter, fitted: Fitted) -> MixReport | AnalogiesReport:
    """Write decoder means of every pair of a coarse and a fine row, or of a row and a class.

    Raises:
        UnsupportedError: the model has neither levels that can be mixed nor classes.
        OptionError: rows out of range, or a cut that leaves no level to the coarse or fine rows.
        DataError: the data is not of the kind that the model was fitted on.
    """
    path = Path(request.output)
    row_files(fitted.schema).check_strip(path)
    if not isinstance(fitted.model, Mixes) and _has_classes(fitted):
        return _analogies(request, path, fitted)
    with_classes = (*models_with(Classifies), CONDITIONAL)
    model = require(fitted.model, Mixes, "mix styles", with_classes)
    data = open_data(request.data, fitted, on_error=request.on_error)
    coarse = _chosen(request.coarse, data, "--coarse", 0)
    fine = _chosen(request.fine, data, "--fine", len(coarse))
    a, b = data.subset(coarse), data.subset(fine)
    if request.cut < 0:
        raise OptionError(f"--cut is at least 1, not {request.cut}")
    cut = request.cut or coarse_levels(model)
    x = mix_rows(fitted.model, a, b, cut)
    names = [tuple(row_name(data, row) for row in rows) for rows in (coarse, fine)]
    strip = Strip(x, names[0], names[1], "coarse", "fine")
    if fitted.schema.data_kind.pictures:
        strip = _with_sources(strip, a, b)
    files = row_files(fitted.schema).write_strip(path, strip)
    return MixReport(names[0], names[1], cut, len(model.latent_shapes), files[:8])


def _has_classes(fitted: Fitted) -> bool:
    return isinstance(fitted.model, Classifies) or fitted.options.model.conditional


def _analogies(request: MixRequest, path: Path, fitted: Fitted) -> AnalogiesReport:
    """Decode the style of each row in every class."""
    if request.coarse or request.cut:
        raise OptionError(
            "--coarse and --cut are for models with levels; this model has classes and shows "
            "all of them: choose the rows that give the style with --fine"
        )
    data = open_unconditioned(request.data, fitted, request.on_error)
    picked = _chosen(request.fine, data, "--fine", 0)
    rows, classes = conditioned(data.subset(picked), fitted), fitted.schema.class_names
    names = tuple(row_name(data, row) for row in picked)
    strip = Strip(in_every_class(fitted.model, rows, len(classes)), names, classes, "row", "class")
    if fitted.schema.data_kind.pictures:
        strip = replace(strip, before=real_rows(rows), before_name="style")
    files = row_files(fitted.schema).write_strip(path, strip)
    return AnalogiesReport(names, classes, files[:8])


def _chosen(text: str, data: Dataset, flag: str, after: int) -> list[int]:
    if text:
        return picked_rows(text, data, flag)
    rows = [row for row in range(after, after + FIRST) if row < len(data)]
    if not rows:
        raise OptionError(f"{flag}: the data has only {len(data)} rows; choose some with {flag}")
    return rows


def _with_sources(strip: Strip, coarse: Dataset, fine: Dataset) -> Strip:
    """Add the source rows at the left and on top."""
    left, top = real_rows(coarse), real_rows(fine)
    blank = torch.full_like(left[:1], float(strip.x.max()))
    return Strip(
        torch.cat([top.unsqueeze(0).to(strip.x), strip.x]),
        ("fine levels of", *strip.lines),
        strip.columns,
        strip.line_key,
        strip.column_key,
        before=torch.cat([blank, left]),
        before_name="coarse",
    )
