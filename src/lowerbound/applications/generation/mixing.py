r"""Style mixing: coarse latents of some rows with fine ones of others, or a style in every class.

Of rows A and B, mixed at the level c:

.. math::
    z_{<c} = z_{<c}(A), \qquad z_l \sim q(z_l \mid z_{<l}, B) \text{ for } l \ge c

B's posterior is computed again at every level below the cut, given A's latents, so the details of B
fit to A. Source: Karras et al. 2019 for the matrix of rows and columns. If the model has classes,
analogies show the style of a row in every class:

.. math::
    z = \mathbb{E}[z \mid x, y_{\text{own}}], \qquad x'_c = \mathbb{E}[x \mid z, y = c]

The style is encoded with the row's own class, so it does not contain what the class explains.
Source: Kingma et al. 2014, figure 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lowerbound.applications.common.application import Report, Reporter
from lowerbound.applications.common.drawings import Strip
from lowerbound.applications.common.requested_rows import picked_rows
from lowerbound.applications.common.rows import row_files
from lowerbound.applications.common.sources import conditioned, open_data, open_unconditioned
from lowerbound.applications.generation.arithmetic import row_name
from lowerbound.applications.generation.requests import FIRST, MixRequest
from lowerbound.data.dataset import Dataset
from lowerbound.errors import OptionError
from lowerbound.evaluation.samples.acceptance import real_rows
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.passes import batches, collected, evaluation_mode
from lowerbound.models.base import Model
from lowerbound.models.powers import Classifies, Imagines, Mixes, models_with, require
from lowerbound.trace import Batch, Continue, Mean

ROWS_AT_ONCE = 256
ANALOGY_ROWS_AT_ONCE = 256
CONDITIONAL = "conditional ones (fit --conditional)"


def mix_rows(model: Model, coarse: Dataset, fine: Dataset, cut: int | None = None) -> Tensor:
    """Decoder means of every pair of rows, (rows of coarse, rows of fine, *event), model units.

    Args:
        model: one with several levels, whose posterior conditions on the levels above.
        coarse: A, which supplies the latents above the cut.
        fine: B, whose posterior supplies those below it.
        cut: number of levels from A, from the coarsest down; None: ``coarse_levels``.

    Raises:
        UnsupportedError: the model has one latent, or a chain whose posterior ignores upper levels.
        OptionError: the cut leaves no level for one of the two.
    """
    mixes = require(model, Mixes, "mix styles")
    cut = coarse_levels(mixes) if cut is None else cut
    levels = len(mixes.latent_shapes)
    if not 1 <= cut < levels:
        raise OptionError(f"the cut lies between 1 and {levels - 1}, not at {cut}")
    # posterior means of the uppermost levels, (1, rows, ...) each
    parts = []
    for _, batch in batches(coarse, model, ROWS_AT_ONCE):
        with evaluation_mode(model), torch.no_grad():
            parts.append([step.z for step in model(batch, Mean()).steps[:cut]])
    above = [torch.cat(latent, 1) for latent in zip(*parts, strict=True)]
    return torch.stack(
        [_row(mixes, model, [z[:, i : i + 1] for z in above], fine) for i in range(len(coarse))]
    )


def coarse_levels(model: Mixes) -> int:
    """The number of levels above the style; without a style, of those of the coarsest resolution.

    A style is a last latent of fewer pixels than the one before it. If all levels have the same
    resolution, one level is coarse.
    """
    sizes = [shape[1:] for shape in model.latent_shapes]
    if len(sizes) > 1 and math.prod(sizes[-1]) < math.prod(sizes[-2]):
        return len(sizes) - 1
    count = sizes.count(sizes[0])
    return count if count < len(sizes) else 1


def _row(mixes: Mixes, model: Model, above: list[Tensor], fine: Dataset) -> Tensor:
    means = []
    for _, batch in batches(fine, model, ROWS_AT_ONCE):
        given = [z.expand(1, len(batch), *z.shape[2:]) for z in above]
        with evaluation_mode(model), torch.no_grad():
            means.append(mixes.mix(given, batch, Mean()).likelihood.best[0].cpu())
    return torch.cat(means)


def in_every_class(model: Model, dataset: Dataset, classes: int) -> Tensor:
    """Decoder means of every row in every class, (rows, classes, *event), model units.

    Args:
        model: a conditional model, or one with the class as a latent.
        dataset: rows with their own class as label; unlabeled rows use the likeliest class.
        classes: number of classes.

    Raises:
        UnsupportedError: the model has no prior and cannot generate rows.
    """
    require(model, Imagines, "make rows of a class")

    def each(_: slice, batch: Batch) -> list[Tensor]:
        style = _style(model, batch)
        made = [_made(model, batch, style, index, classes) for index in range(classes)]
        return [torch.stack(made, 1)]

    return collected(model, dataset, ANALOGY_ROWS_AT_ONCE, each)[0]


def _style(model: Model, batch: Batch) -> Sequence[Tensor]:
    """The latents other than the class, top down."""
    if not isinstance(model, Classifies):
        return [step.z for step in model(batch, Mean()).steps]
    # one-hot, (1, rows, classes)
    probability: Tensor = model.class_posterior(batch).probs
    likeliest = probability.argmax(-1)
    if batch.label is not None:
        likeliest = torch.where(batch.label >= 0, batch.label, likeliest)
    own = one_hot(likeliest, model.classes).to(probability)
    return [model(batch, Continue((own,), Mean())).steps[1].z]


def _made(model: Model, batch: Batch, style: Sequence[Tensor], index: int, classes: int) -> Tensor:
    assert isinstance(model, Imagines)
    y = one_hot(torch.full((len(batch),), index, device=style[0].device), classes).to(style[0])
    above = (y.unsqueeze(0), *style) if isinstance(model, Classifies) else tuple(style)
    trace = model.imagine(Batch(condition=y), Continue(above, Mean()))
    mean: Tensor = trace.likelihood.best[0]
    return mean


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
        # add the source rows at the left and on top
        left, top = real_rows(a), real_rows(b)
        blank = torch.full_like(left[:1], float(strip.x.max()))
        strip = Strip(
            torch.cat([top.unsqueeze(0).to(strip.x), strip.x]),
            ("fine levels of", *strip.lines),
            strip.columns,
            strip.line_key,
            strip.column_key,
            before=torch.cat([blank, left]),
            before_name="coarse",
        )
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
