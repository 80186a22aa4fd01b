"""Options for synthetic rows: dependent columns stay dependent, and missing cells are drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.release.synthesizer_fit import (
    SynthesizerOptions,
    synthesis_options,
    updates,
)
from lowerbound.data import load
from lowerbound.data.tables.frames import to_frame
from lowerbound.fitting import fit
from lowerbound.inference.prior_draws import sample_prior


def table(rows: int = 1_000, missing: bool = True) -> Any:
    """A level, a number that depends on it, and a number that is missing for one level."""
    generator = np.random.default_rng(0)
    level = generator.integers(0, 3, rows)
    size = 10.0 * level + generator.normal(size=rows).round(2)
    gap = np.where((level == 2) & missing, np.nan, generator.normal(size=rows))
    return pd.DataFrame({"level": np.array(["a", "b", "c"])[level], "size": size, "gap": gap})


@pytest.mark.slow
def test_draws_keep_dependent_columns_and_the_pattern_of_missing_cells() -> None:
    dataset = load(table(), missing="model")
    options = synthesis_options(dataset)
    quick = replace(options.training, updates=200, learning_rate=5e-3)
    fitted = fit(dataset, replace(options, training=quick))
    made = to_frame(dataset.schema, sample_prior(fitted.model, 1_000, seed=0).x)
    level = made["level"].map({"a": 0, "b": 1, "c": 2})
    assert ((made["size"] / 10).round() == level).mean() > 0.9
    assert (made["gap"].isna() == (level == 2)).mean() > 0.95


def test_without_missing_cells_there_are_no_gaps() -> None:
    complete = load(table(missing=False), missing="model")
    assert synthesis_options(complete).model.likelihood_options["gaps"] is False
    assert synthesis_options(load(table(), missing="model")).model.likelihood_options["gaps"]


def test_large_and_wide_tables_get_fewer_epochs() -> None:
    assert updates(1_000, 10, 50) == 600  # 30 epochs
    assert updates(10_000, 5, 256) == 782  # 20 epochs
    assert updates(1_000_000, 20, 256) == 1_000
    assert updates(1_000_000, 1_000, 256) == 500


def test_minutes_replace_the_number_of_updates() -> None:
    options = synthesis_options(load(table(100), missing="model"), SynthesizerOptions(minutes=3.0))
    assert (options.training.updates, options.training.minutes) == (None, 3.0)
