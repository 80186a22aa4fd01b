"""How the data was read and what was chosen for it, as text that a user can check."""

from __future__ import annotations

import shlex

from lowerbound.classical.self_masking import AT_RANDOM, WARNING
from lowerbound.data import Dataset, Schema
from lowerbound.data.arrays import listed
from lowerbound.data.columns.text.date_formats import ISO, in_strptime
from lowerbound.data.protection.record import Protection
from lowerbound.models import MODELS
from lowerbound.models.base import AUTO
from lowerbound.models.options import ModelOptions
from lowerbound.models.parts import ModelParts

LATENT = ("prior", "posterior")


def about_data(dataset: Dataset) -> list[str]:
    """Describe the rows: number, columns or pixels, classes, and missing cells."""
    schema = dataset.schema
    lines = [f"data: {dataset.source}: {len(dataset):,} {schema.data_kind.describe(schema)}"]
    if schema.class_names:
        column = f" in column {schema.label_column!r}" if schema.label_column else ""
        count = len(schema.class_names)
        classes = f"{count} classes{column}: {listed(schema.class_names)}"
        hidden = 0 if dataset.label is None else int((dataset.label < 0).sum())
        lines.append(f"      {classes}{f'; {hidden:,} rows without a label' if hidden else ''}")
    if schema.target is not None and dataset.target is not None:
        column = f" of column {schema.label_column!r}" if schema.label_column else ""
        known, mean = int((~dataset.target.isnan()).sum()), schema.target.mean
        lines.append(f"      numbers{column} for {known:,} rows, {mean:.4g} on average")
    if dataset.quantities is not None:
        counts: list[int] = (~dataset.quantities.isnan()).sum(0).tolist()
        each = [
            f"{quantity.name} ({count:,} rows)"
            for quantity, count in zip(schema.quantities, counts, strict=True)
        ]
        lines.append(f"      codes predict {', '.join(each)}")
    if schema.mixed:
        lines += [f"      {kind}: {listed(names)}" for kind, names in by_kind(schema).items()]
    lines += [f"      {sentence}" for sentence in _about_dates(schema)]
    if (protection := Protection.of(schema.details)) is not None:
        lines += [f"      {sentence}" for sentence in protection.sentences]
    if dataset.observed is not None and schema.missing:
        lines.append(f"      {dataset.missing_share:.1%} of the cells are missing")
    return lines


def _about_dates(schema: Schema) -> list[str]:
    """The formats of date columns, and how to change them."""
    found: dict[str, list[str]] = {}
    for column in schema.modeled:
        if column.format not in (None, ISO):
            found.setdefault(in_strptime(column.format), []).append(column.name)
    return [
        f"dates of {listed(names)} are read as {format} "
        f"(--kind {shlex.quote(names[0] + '=datetime:FORMAT')} sets another format)"
        for format, names in found.items()
    ]


def by_kind(schema: Schema) -> dict[str, list[str]]:
    """The names of a table's modeled columns by their kind."""
    found: dict[str, list[str]] = {}
    for column in schema.modeled:
        found.setdefault(column.kind, []).append(column.name)
    return found


def about_model(schema: Schema, given: ModelOptions, chosen: ModelOptions) -> list[str]:
    """Describe the model, with the reason for each default.

    Args:
        schema: schema of the data.
        given: options that the user set.
        chosen: the options with every default resolved.
    """
    kind = MODELS[chosen.model]
    lines = [
        f"model: {chosen.model}, {kind.latents_text(ModelParts(schema, chosen))}"
        f"{_condition(chosen, schema)}"
    ]
    if kind.remark:
        lines.append(f"      {kind.remark}")
    if "network" in kind.uses:
        why = f" ({kind.default_network(schema).reason})" if given.network == AUTO else ""
        lines.append(f"      network {chosen.network}{why}")
    if "likelihood" in kind.uses:
        why = f" ({kind.default_likelihood(schema).reason})" if given.likelihood == AUTO else ""
        lines.append(f"      likelihood {chosen.likelihood}{why}")
    latent = [f"{part} {getattr(chosen, part)}" for part in LATENT if part in kind.uses]
    if latent:
        lines.append(f"      {', '.join(latent)}")
    if chosen.missingness != AT_RANDOM:
        lines.append(f"      missing cells {chosen.missingness}, {WARNING}")
    return lines


def _condition(chosen: ModelOptions, schema: Schema) -> str:
    return f", conditioned on the class ({len(schema.class_names)})" if chosen.conditional else ""
