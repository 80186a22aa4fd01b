"""What a fit under differential privacy does differently: options, start, release record."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.data.protection.record import LEAST_PEOPLE, Protection
from lowerbound.data.schema import Schema
from lowerbound.errors import OptionError
from lowerbound.models.base import Model
from lowerbound.models.powers import Imagines, name_of
from lowerbound.objectives.base import Objective
from lowerbound.trace import Batch
from lowerbound.training.options import TrainingOptions
from lowerbound.training.plan import decide
from lowerbound.training.private.declarations import SchemaRecord, recorded_in
from lowerbound.training.private.engine import check_private
from lowerbound.training.private.options import OF_THE_DATA, PrivacyOptions
from lowerbound.training.private.plan import PrivatePlan
from lowerbound.training.private.record import ReleaseRecord, record_of

if TYPE_CHECKING:  # a name for annotations
    from lowerbound.fitting.fitted import FitOptions

NEUTRAL_ROWS = 2_000
LEARNED = (
    "the schema, learned from the rows: levels, smallest and largest values, steps, means and "
    "quantiles of columns"
)


def private_options(privacy: PrivacyOptions, training: TrainingOptions) -> TrainingOptions:
    """The options without early stopping, which would choose weights by rows without noise.

    Raises:
        OptionError: the schema is not declared public.
    """
    if not privacy.public_schema:
        raise OptionError(
            "differential privacy adds noise to the weights, and not to the schema (ranges, means, "
            "quantiles and categories of columns): give --public-schema FILE with what is public "
            "or was measured by lowerbound private-schema, or --public-schema data to copy what at "
            "least --least-people rows of the data say of its columns"
        )
    return replace(training, validation=0.0, patience=0, compile="off", precision="float32")


def check_learned(dataset: Dataset, privacy: PrivacyOptions) -> None:
    """Check a schema that was learned from the rows: it holds no level that few of them have.

    Raises:
        OptionError: it does; the message names the column.
    """
    protected = Protection.of(dataset.schema.details) is not None  # a table of events
    if privacy.public_schema != OF_THE_DATA or privacy.copied is not None or protected:
        return
    for name, codes in _codes(dataset):
        rows = torch.tensor([int((codes == code).any(1).sum()) for code in codes.unique()])
        if len(rare := rows[rows < LEAST_PEOPLE]):
            raise OptionError(
                f"{name} of {len(rare):,} values that fewer than {LEAST_PEOPLE} rows have "
                "would be published with the schema: group them, declare the public ones in a file "
                "for public_schema, or fit the file of the table by lowerbound fit, which leaves "
                "them out"
            )


def _codes(dataset: Dataset) -> Iterator[tuple[str, Tensor]]:
    """(what they are, codes of each row) of levels and tokens, -1 where there is none."""
    schema, x = dataset.schema, dataset.x
    if schema.data_kind.symbolic:
        yield "tokens", torch.where(x > 0, x, -1).flatten(1)
        return
    columns = schema.features or schema.modeled
    if dataset.folder is not None or x.shape[-1] != len(columns):
        return
    known = x if dataset.observed is None else torch.where(dataset.observed, x, -1)
    for place, column in enumerate(columns):
        if column.levels:
            yield f"levels of column {column.name!r}", known[..., place].reshape(len(x), -1)


def private_plan(
    model: Model,
    objective: Objective,
    dataset: Dataset,
    training: TrainingOptions,
    privacy: PrivacyOptions,
) -> PrivatePlan:
    """The mechanism of a private fit.

    Raises:
        OptionError: the model or the objective cannot be trained privately.
        MissingExtraError: ``opacus`` is not installed.
    """
    if not any(True for _ in model.parameters()):
        raise OptionError(
            f"{name_of(model)} is solved in closed form from the rows, without noise: choose a "
            "model that is trained, such as vae"
        )
    check_private(model, objective)
    check_learned(dataset, privacy)
    plan = decide(model, objective, dataset, None, training)
    return PrivatePlan.of(privacy, plan, len(dataset), spent_on_schema(privacy))


def spent_on_schema(privacy: PrivacyOptions) -> SchemaRecord | None:
    """What the schema has spent of the budget; None: it is public."""
    given = privacy.public_schema
    return privacy.measured or (None if given == OF_THE_DATA else recorded_in(given))


def neutral_start(model: Model, schema: Schema, public: Dataset | None) -> str:
    """Start from public rows, else from rows that the untrained model draws by itself.

    Returns:
        Where the model starts, in words.
    """
    rows = neutral_rows(model, schema) if public is None else public
    if rows is None:
        return "random weights"
    model.start(rows)
    return "draws of the untrained model" if public is None else f"{len(rows):,} public rows"


def neutral_rows(model: Model, schema: Schema) -> Dataset | None:
    """Rows that depend on the schema alone; None if the model cannot draw any."""
    if not isinstance(model, Imagines):
        return None
    with torch.no_grad():
        classes = max(1, len(schema.class_names))
        label = torch.arange(NEUTRAL_ROWS) % classes
        condition = None
        if schema.condition is not None:
            condition = torch.eye(schema.condition.size)[label % schema.condition.size]
        batch = Batch(condition=condition, count=NEUTRAL_ROWS)
        x = model.eval().imagine(batch).likelihood.sample()[0]
        model.train()
    if schema.levels is not None:
        top = 1 if schema.levels == 2 else schema.levels - 1
        kind = torch.uint8 if schema.levels <= 256 else torch.int32
        x = (x * top).round().clamp(0, top).to(kind)
    known = label if schema.class_names else None
    return Dataset(schema, x.cpu(), label=known, condition=condition)


def release_record(plan: PrivatePlan, privacy: PrivacyOptions, start: str) -> ReleaseRecord:
    """The record, with what the user declared public."""
    given, measured = privacy.public_schema, spent_on_schema(privacy)
    public: tuple[str, ...] = (f"the schema ({given})",)
    if given == OF_THE_DATA:
        public = (LEARNED if privacy.copied is None else "of the columns, what is copied",)
    elif measured is not None:
        public = measured.public(given)
    record = record_of(plan, (*public, f"the start of training: {start}"), measured)
    return record.with_copied(privacy.copied)


def without_release(options: FitOptions) -> FitOptions:
    """The options after further training on rows without noise: the guarantee no longer holds."""
    if options.release is None:
        return options
    warnings.warn(
        "this model was private, and training another part of it adds no noise: the new model has "
        "no guarantee",
        UserWarning,
        stacklevel=3,
    )
    return replace(options, release=None, privacy=PrivacyOptions())
