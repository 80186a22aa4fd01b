r"""Learn attribute vectors from labels, and add them to or subtract them from rows.

.. math:: x_s = \operatorname{E} p\bigl(x \mid z + s\,(v_{\text{smile}} - v_{\text{glasses}})\bigr)

``lowerbound.inference.latent_space.attributes`` defines the vectors, and
``lowerbound.evaluation.latents.attribute_effects`` measures what else they change.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lowerbound.applications.base import Reporter, WrittenReport, written
from lowerbound.applications.form import REQUIRED, DataRequest, OnError, unreadable
from lowerbound.applications.io.conditions import one_hot
from lowerbound.applications.io.drawings.animations import FRAMES_PER_SECOND
from lowerbound.applications.io.drawings.strips import Strip
from lowerbound.applications.io.requested_rows import picked_rows
from lowerbound.applications.io.row_files import row_files
from lowerbound.applications.io.sizes import check_rows
from lowerbound.applications.latent_space.attribute_sources import Learned, from_classes, from_sets
from lowerbound.applications.latent_space.label_columns import (
    Labeled,
    open_labeled,
    row_name,
)
from lowerbound.config import option
from lowerbound.errors import OptionError
from lowerbound.evaluation.latents.attribute_effects import Effect
from lowerbound.evaluation.samples.acceptance import real_rows
from lowerbound.fitting import Fitted
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.draws.decoding import decode_codes
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.latent_space.attributes import METHODS
from lowerbound.models import Decodes, Encodes, require

EXAMPLES = 8


@dataclass(frozen=True)
class AttributesRequest(DataRequest):
    """Add attributes to rows, or subtract them."""

    output: str = option(
        REQUIRED,
        "pictures: .png, .gif, .webp, .mp4, .webm, .npz, or a folder; "
        "tables: .csv, .parquet or .npz",
        short="-o",
        metavar="OUT",
    )
    label: str = option(
        "",
        "the table's column with the classes (default: the data's label)",
        metavar="COLUMN",
    )
    add: tuple[str, ...] = option((), "a class to go toward; repeatable", metavar="NAME")
    subtract: tuple[str, ...] = option((), "a class to go away from; repeatable", metavar="NAME")
    with_: str = option("", "data with the attribute, instead of classes", metavar="DATA")
    without: str = option("", "data without the attribute; requires --with", metavar="DATA")
    method: str = option(
        "mean",
        "direction of the attribute: difference of means, or normal of a logistic regression",
        choices=METHODS,
    )
    strength: float = option(
        2.0, "largest step along the direction, in distances between the classes"
    )
    frames: int = option(5, "number of strengths, from 0 up")
    rows: str = option(
        "", "rows to change, from 0 or by name (default: some that lack it)", metavar="I,J,..."
    )
    fps: float = option(FRAMES_PER_SECOND, "frames of an animation in a second")
    seed: int = option(0, "seed of the split into rows for learning and rows for measuring effects")
    on_error: OnError = unreadable()


@dataclass(frozen=True)
class AttributeFound:
    """One direction and its effect.

    Attributes:
        name: the added and subtracted classes.
        having: number of training rows with the attribute; the smallest one of several attributes.
        lacking: number of training rows without it.
        effects: effect of each strength above 0, on other rows.
        reason: why there are no effects.
    """

    name: str
    having: int
    lacking: int
    effects: tuple[Effect, ...]
    reason: str

    def text(self) -> str:
        """The effect at strength 1, or at the nearest strength."""
        learned = f"{self.name}: from {self.having:,} rows with it and {self.lacking:,} without"
        if not self.effects:
            return f"{learned}; effect not measured: {self.reason}"
        effect = min(self.effects, key=lambda one: abs(abs(one.strength) - 1))
        parts = [f"{learned}; at strength {effect.strength:g}"]
        if effect.target is not None:
            parts.append(f"target {effect.target.mean:+.2f}")
        if effect.off_target is not None:
            parts.append(f"each other class {effect.off_target.mean:.3f} off")
        return f"{', '.join(parts)} ({effect.rows:,} rows)"


@dataclass(frozen=True)
class AttributesReport(WrittenReport):
    """A strip was written.

    Attributes:
        attributes: the directions: the requested one, or one per class by default.
        examples: names of the changed rows.
        strengths: multiples of the direction.
    """

    attributes: tuple[AttributeFound, ...]
    examples: tuple[str, ...]
    strengths: tuple[float, ...]

    def text(self) -> str:
        lines = [f"{_rows(self.examples)} at {len(self.strengths)} strengths: {self.where}"]
        return "\n".join([*lines, *(f"  {one.text()}" for one in self.attributes)])


def _rows(examples: tuple[str, ...]) -> str:
    return examples[0] if len(examples) == 1 else f"{len(examples):,} rows"


def attributes(request: AttributesRequest, reporter: Reporter, fitted: Fitted) -> AttributesReport:
    """Write rows with attributes added and subtracted, and report what else changed.

    Raises:
        UnsupportedError: the model has no encoder or no decoder.
        DataError: no labels, or one class only; or the data is not of the kind that the model was
            fitted on.
        OptionError: an unknown attribute (the message suggests the nearest), or unknown rows.
    """
    path = Path(request.output)
    row_files(fitted.schema).check_strip(path)
    require(fitted.model, Encodes, "encode")
    require(fitted.model, Decodes, "decode")
    _check(request)
    check_rows(fitted, request.frames, f"--frames {request.frames}")
    data = open_labeled(request.data, fitted, request.label, request.on_error)
    reporter.say(f"encoding {len(data.dataset):,} rows")
    codes = encode_rows(fitted.model, data.dataset).mean
    learned = _learned(request, reporter, fitted, data, codes)
    strengths = torch.linspace(0, request.strength, request.frames, dtype=torch.float64).tolist()
    found = []
    for done, one in enumerate(learned):
        found.append(_measured(fitted, data, codes, one, strengths[1:]))
        reporter.advance("measuring effects", done + 1, len(learned))
    examples = _examples(request, data, learned)
    strip = _strip(fitted, data, codes, learned, examples, strengths)
    files = row_files(fitted.schema).write_strip(path, strip, request.fps)
    names = tuple(row_name(data.dataset, row) for row in examples)
    return AttributesReport(tuple(found), names, tuple(strengths), **written(files))


def _check(request: AttributesRequest) -> None:
    if request.frames < 2:
        raise OptionError(f"--frames must be at least 2, not {request.frames}")
    if bool(request.with_) != bool(request.without):
        raise OptionError("--with and --without go together: a direction needs both")
    named = {*request.add, *request.subtract}
    if request.with_ and (named or request.label):
        raise OptionError(
            "give either --with and --without, or classes by --label, --add and --subtract"
        )
    if twice := set(request.add) & set(request.subtract):
        raise OptionError(f"{min(twice)!r} is both added and subtracted")


def _learned(
    request: AttributesRequest,
    reporter: Reporter,
    fitted: Fitted,
    data: Labeled,
    codes: Tensor,
) -> list[Learned]:
    if request.with_:
        two = (request.with_, request.without)
        how = (request.method, request.seed, reporter, request.on_error)
        return [from_sets(fitted, data, two, *how)]
    weights = dict.fromkeys(request.add, 1.0) | dict.fromkeys(request.subtract, -1.0)
    return from_classes(data, codes, weights, request.method, request.seed)


def _measured(
    fitted: Fitted, data: Labeled, codes: Tensor, one: Learned, strengths: list[float]
) -> AttributeFound:
    attribute = one.attribute
    condition = _condition(fitted, data, one.rows)
    effects = one.effects(fitted.model, codes[one.rows], strengths, condition)
    reason = effects.reason if isinstance(effects, Skipped) else ""
    measured = () if isinstance(effects, Skipped) else effects
    return AttributeFound(attribute.name, attribute.having, attribute.lacking, measured, reason)


def _examples(request: AttributesRequest, data: Labeled, learned: list[Learned]) -> list[int]:
    """The rows to change: several for one attribute, the same single row for all attributes."""
    rows: list[int] = learned[0].rows[:EXAMPLES].tolist()
    if request.rows:
        rows = picked_rows(request.rows, data.dataset)
    return rows if len(learned) == 1 else rows[:1]


def _strip(
    fitted: Fitted,
    data: Labeled,
    codes: Tensor,
    learned: list[Learned],
    examples: list[int],
    strengths: list[float],
) -> Strip:
    """A strip with one line per example; or one example with one line per attribute."""
    pairs = [(row, one) for row in examples for one in learned]
    if len(learned) == 1:
        key, names = "example", tuple(row_name(data.dataset, row) for row in examples)
    else:
        key, names = "attribute", tuple(one.attribute.name for one in learned)
    rows = torch.tensor([row for row, _ in pairs])
    z = torch.stack(
        [
            torch.cat([one.attribute.added(codes[row : row + 1], s) for s in strengths])
            for row, one in pairs
        ]
    )
    condition = _condition(fitted, data, rows.repeat_interleave(len(strengths)))
    x = decode_codes(fitted.model, z.flatten(0, 1), condition=condition).mean
    real = real_rows(data.dataset.subset(rows)).cpu()
    return Strip(
        x.unflatten(0, z.shape[:2]), names, tuple(strengths), key, "strength", real, None, "input"
    )


def _condition(fitted: Fitted, data: Labeled, rows: Tensor) -> Tensor | None:
    """The condition of these rows: their own class, which stays the same."""
    if not fitted.options.model.conditional or data.dataset.label is None:
        return None
    return one_hot(fitted, data.dataset.label[rows])
