"""Sources of attribute vectors: the classes of the data, or one set with and one without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from lowerbound.applications.base import Reporter
from lowerbound.applications.form import OnError
from lowerbound.applications.io.sources import open_data
from lowerbound.applications.latent_space.label_columns import Labeled
from lowerbound.data.dataset import Dataset, joined
from lowerbound.errors import unknown
from lowerbound.evaluation.latents.attribute_effects import Effect, measure_effects
from lowerbound.evaluation.samples.acceptance import RealismClassifier, fit_realism_classifier
from lowerbound.fitting import Fitted
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.latent_space.attributes import (
    Attribute,
    attribute,
    class_attribute,
    combined,
    known_classes,
)
from lowerbound.models import Model

UNSEEN = 0.2  # share of rows that are kept for measuring
MOST_ROWS = 500  # at most, to measure an effect


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
    both = _joined(sets, has)
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


def _joined(sets: Sequence[Dataset], has: Tensor) -> Dataset:
    """Both sets, labeled by whether they have the attribute."""
    schema = replace(sets[0].schema, class_names=("without", "with"), condition=None)
    return replace(joined(sets), schema=schema, label=has.long())


def _judge_of_classes(data: Labeled, seed: int) -> RealismClassifier | None:
    """A classifier of the data's own classes, if these are known."""
    if data.label is None:
        return None
    rows = data.as_dataset()
    seen, unseen = apart(len(rows), seed)
    judge = fit_realism_classifier(rows.subset(seen), rows.subset(unseen), seed=seed)
    return None if isinstance(judge, Skipped) else judge
