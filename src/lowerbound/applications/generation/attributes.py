r"""Learn attribute vectors from labels, and add them to or subtract them from rows.

.. math:: x_s = \operatorname{E} p\bigl(x \mid z + s\,(v_{\text{smile}} - v_{\text{glasses}})\bigr)

The vectors come from the classes of the data, or from one set with an attribute and one without it.
``attribute_vectors`` defines them and measures what else they change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from lowerbound.applications.common.application import Reporter, WrittenReport, written
from lowerbound.applications.common.conditions import one_hot
from lowerbound.applications.common.drawings import Strip
from lowerbound.applications.common.form import (
    OnError,
)
from lowerbound.applications.common.requested_rows import check_rows, picked_rows
from lowerbound.applications.common.rows import row_files
from lowerbound.applications.common.sources import open_data
from lowerbound.applications.generation.arithmetic import Labeled, open_labeled, row_name
from lowerbound.applications.generation.attribute_vectors import (
    Attribute,
    Effect,
    attribute,
    class_attribute,
    combined,
    known_classes,
    measure_effects,
)
from lowerbound.applications.generation.requests import AttributesRequest
from lowerbound.data.dataset import joined
from lowerbound.errors import OptionError, unknown
from lowerbound.evaluation.samples.acceptance import (
    RealismClassifier,
    fit_realism_classifier,
    real_rows,
)
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.decoding import decode_codes
from lowerbound.inference.estimate import Skipped
from lowerbound.models.base import Model
from lowerbound.models.powers import Decodes, Encodes, require

UNSEEN = 0.2  # share of rows that are kept for measuring
MOST_ROWS = 500  # at most, to measure an effect
EXAMPLES = 8


@dataclass(frozen=True, eq=False)
class Learned:
    """An attribute, and the classifiers that measure its effect.

    Attributes:
        attribute: the direction.
        rows: unseen rows that lack the attribute; all unseen rows if there are none.
        judge: a classifier of the attribute, or the reason why there is none.
        wanted: +1 for the index of an added class, -1 for that of a subtracted one.
        others: a classifier of other classes, if ``judge`` has no others.
    """

    attribute: Attribute
    rows: Tensor
    judge: RealismClassifier | Skipped
    wanted: Mapping[int, float]
    others: RealismClassifier | None = None

    def effects(
        self, model: Model, z: Tensor, strengths: Sequence[float], condition: Tensor | None
    ) -> tuple[Effect, ...] | Skipped:
        """The effect of each strength on rows with codes z; or the reason why there is none."""
        if isinstance(self.judge, Skipped):
            return self.judge
        step = (model, z, self.attribute, strengths)
        found = measure_effects(*step, self.judge, self.wanted, condition)
        if self.others is None:
            return found
        off = measure_effects(*step, self.others, {}, condition)
        return tuple(
            replace(one, off_target=two.off_target) for one, two in zip(found, off, strict=True)
        )


def from_classes(
    data: Labeled, codes: Tensor, weights: Mapping[str, float], method: str, seed: int
) -> list[Learned]:
    """One vector of the requested classes; by default, one vector per class.

    Vectors and classifier are learned from four fifths of the rows.

    Args:
        data: labeled rows.
        codes: codes of the rows, (rows, latent_dim).
        weights: +1 for a class to add, -1 for one to subtract.
        method: a name in ``METHODS``.
        seed: seed of the split.

    Raises:
        DataError: no labels, or one class only.
        OptionError: an unknown class; the message suggests the nearest.
    """
    known = known_classes(data.label, data.names)
    for name in weights:
        if name not in known:
            raise unknown("attribute", name, known)
    assert data.label is not None
    seen, unseen = apart(len(codes), seed)
    rows = data.as_dataset()
    judge = fit_realism_classifier(rows.subset(seen), rows.subset(unseen), seed=seed)
    attributes = [weights] if weights else [{name: 1.0} for name in known]
    found = []
    for signs in attributes:
        parts = {
            name: class_attribute(name, codes[seen], data.label[seen], data.names, method)
            for name in signs
        }
        wanted = {known[name]: sign for name, sign in signs.items()}
        lacking = lacking_rows(data.label, unseen, wanted)
        found.append(Learned(combined(signs, parts), lacking, judge, wanted))
    return found


def lacking_rows(label: Tensor, unseen: Tensor, wanted: Mapping[int, float]) -> Tensor:
    """Unseen rows for an edit: of the subtracted classes; otherwise not of the added ones.

    If there are none, all unseen rows.
    """
    added = torch.tensor([index for index, sign in wanted.items() if sign > 0], dtype=torch.long)
    taken = torch.tensor([index for index, sign in wanted.items() if sign < 0], dtype=torch.long)
    own = label[unseen]
    fit = torch.isin(own, taken) if len(taken) else ~torch.isin(own, added)
    rows = unseen[fit] if bool(fit.any()) else unseen
    return rows[:MOST_ROWS]


def from_sets(
    fitted: Fitted,
    data: Labeled,
    sources: tuple[str, str],
    method: str,
    seed: int,
    reporter: Reporter,
    on_error: OnError = "raise",
) -> Learned:
    """An attribute from two sets, with and without it; its effect is measured on ``data``.

    Raises:
        DataError: one of the two cannot be read, or is not of the model's kind.
    """
    sets = [open_data(source, fitted, on_error=on_error) for source in sources]
    reporter.say(f"encoding {len(sets[0]):,} rows with it and {len(sets[1]):,} without")
    codes = torch.cat([encode_rows(fitted.model, one).mean for one in sets])
    has = torch.arange(len(codes)) < len(sets[0])
    name = Path(sources[0]).name
    schema = replace(sets[0].schema, class_names=("without", "with"), condition=None)
    both = replace(joined(sets), schema=schema, label=has.long())
    seen, unseen = apart(len(both), seed)
    judge = fit_realism_classifier(both.subset(seen), both.subset(unseen), seed=seed)
    return Learned(
        attribute(name, codes, has, method),
        torch.arange(min(len(data.dataset), MOST_ROWS)),
        judge,
        {1: 1.0},
        _judge_of_classes(data, seed),
    )


def apart(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """(training rows, rows kept apart), in order, drawn by ``seed``."""
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    count = max(1, round(UNSEEN * rows))
    return order[count:].sort().values, order[:count].sort().values


def _judge_of_classes(data: Labeled, seed: int) -> RealismClassifier | None:
    """A classifier of the data's own classes, if these are known."""
    if data.label is None:
        return None
    rows = data.as_dataset()
    seen, unseen = apart(len(rows), seed)
    judge = fit_realism_classifier(rows.subset(seen), rows.subset(unseen), seed=seed)
    return None if isinstance(judge, Skipped) else judge


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
    # the rows to change: several for one attribute, the same single row for all attributes
    rows: list[int] = learned[0].rows[:EXAMPLES].tolist()
    if request.rows:
        rows = picked_rows(request.rows, data.dataset)
    examples = rows if len(learned) == 1 else rows[:1]
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
