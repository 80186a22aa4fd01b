"""What was understood of the data and chosen for it, in sentences a person can check."""

from __future__ import annotations

import shlex

from lowerbound.assembly.options import AUTO, ModelOptions
from lowerbound.classical.self_masking import AT_RANDOM, WARNING
from lowerbound.data import Dataset, Schema
from lowerbound.data.arrays import listed
from lowerbound.data.columns.dates import ISO


def about_data(dataset: Dataset) -> list[str]:
    """What the rows are: size, columns or pixels, classes; warnings say what was left out."""
    schema = dataset.schema
    lines = [f"data: {dataset.source}: {len(dataset):,} {_rows(schema)}"]
    if schema.class_names:
        column = f" in column {schema.label_column!r}" if schema.label_column else ""
        count = len(schema.class_names)
        told = f"{count} classes{column}: {listed(schema.class_names)}"
        hidden = 0 if dataset.label is None else int((dataset.label < 0).sum())
        lines.append(f"      {told}{f'; {hidden:,} rows without a label' if hidden else ''}")
    if schema.measurement is not None and dataset.target is not None:
        column = f" of column {schema.label_column!r}" if schema.label_column else ""
        known, mean = int((~dataset.target.isnan()).sum()), schema.measurement.mean
        lines.append(f"      numbers{column} for {known:,} rows, {mean:.4g} on average")
    if schema.mixed:
        lines += [f"      {kind}: {listed(names)}" for kind, names in by_kind(schema).items()]
    lines += [f"      {sentence}" for sentence in _about_dates(schema)]
    if dataset.observed is not None:
        share = 1 - float(dataset.observed.double().mean())
        lines.append(f"      {share:.1%} of the cells are missing")
    return lines


def _about_dates(schema: Schema) -> list[str]:
    """How dates written as text are read, and how to say otherwise."""
    found: dict[str, list[str]] = {}
    for column in schema.modeled:
        if column.format not in (None, ISO):
            found.setdefault(column.format, []).append(column.name)
    return [
        f"dates of {listed(names)} are read as {format} "
        f"(--kind {shlex.quote(names[0] + '=datetime:FORMAT')} says otherwise)"
        for format, names in found.items()
    ]


def by_kind(schema: Schema) -> dict[str, list[str]]:
    """The names of a table's modeled columns by their kind."""
    found: dict[str, list[str]] = {}
    for column in schema.modeled:
        found.setdefault(column.kind, []).append(column.name)
    return found


def about_model(schema: Schema, asked: ModelOptions, chosen: ModelOptions) -> list[str]:
    """What is fitted, and why, where nobody asked for it.

    Args:
        schema: of the data.
        asked: what the person said.
        chosen: the same with every default decided.
    """
    lines = [f"model: {chosen.model}, {chosen.latent_dim} latent numbers{_told(chosen, schema)}"]
    if chosen.model == "pca":
        return [*lines, "      Gaussian throughout, solved in closed form"]
    if chosen.model == "transform":
        return [*lines, "      of each block of pixels; networks and likelihood are its own"]
    network = f"      network {chosen.network}"
    if asked.network == AUTO:
        network += f" ({_why_network(schema, chosen.network)})"
    likelihood = f"      likelihood {chosen.likelihood}"
    if asked.likelihood == AUTO:
        likelihood += f" ({_why_likelihood(schema, chosen.likelihood)})"
    lines += [network, likelihood]
    if chosen.model == "vae":
        lines.append(f"      prior {chosen.prior}, posterior {chosen.posterior}")
    if chosen.missingness != AT_RANDOM:
        lines.append(f"      missing cells {chosen.missingness}, {WARNING}")
    return lines


def _rows(schema: Schema) -> str:
    if schema.kind == "audio":
        seconds = schema.dimension / (schema.sample_rate or 1)
        return f"rows of {seconds:g} s of sound, {schema.sample_rate:,} samples per second"
    if schema.kind != "images":
        names = [column.name for column in schema.modeled]
        if schema.mixed:
            return f"rows of {len(names)} columns"
        return f"rows of {len(names)} columns of {_values(schema)} ({listed(names)})"
    channels, height, width = schema.event_shape
    if schema.clip_length is not None:
        seconds = schema.clip_length / (schema.sample_rate or 1)
        return f"spectrograms of {seconds:.2g} s of sound, {height} pitches at {width} times"
    color = {1: "grey", 3: "color"}.get(channels, f"{channels}-channel")
    return f"{color} pictures, {width}x{height} pixels, {_values(schema)}"


def _values(schema: Schema) -> str:
    if schema.levels == 2:
        return "zeros and ones"
    values = "real numbers" if schema.levels is None else f"{schema.levels} levels"
    how = {"dynamic": "drawn anew at each visit", "threshold": "1 above a half"}
    bits = how.get(schema.binarize)
    return f"{values}, made bits ({bits})" if bits else values


def _told(chosen: ModelOptions, schema: Schema) -> str:
    return f", told the class ({len(schema.class_names)})" if chosen.conditional else ""


def _why_network(schema: Schema, network: str) -> str:
    if schema.kind == "audio":
        return "sound goes by frames"
    if network == "tabular":
        return "starts as factor analysis, whatever is missing"
    if schema.kind != "images":
        return "columns have no neighbors"
    large = min(schema.event_shape[1:]) >= 16
    return "pictures large enough to have parts" if large else "pictures this small have no parts"


def _why_likelihood(schema: Schema, chosen: str) -> str:
    if chosen == "mixed":
        return "each column by its kind"
    if schema.binary:
        return "the values are zeros and ones"
    if schema.levels is not None:
        return f"each of {schema.levels} levels gets its probability, so bits mean something"
    return "real numbers, with one learned scale"
