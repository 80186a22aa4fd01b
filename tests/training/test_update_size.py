"""Large tables take large batches and steps; nothing else does, nor whoever asks for others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.data import load
from lowerbound.fitting.assembly import assemble, resolve
from lowerbound.models import Model
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO
from lowerbound.training import TrainingOptions
from lowerbound.training.plan import (
    LARGE_TABLE,
    OF_LARGE_TABLES,
    USUAL,
    decide,
    sentence,
    update_size_of,
)
from tests.training.cases import vae


def frame(rows: int) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame({"x": random.normal(size=rows), "c": random.choice(list("abc"), rows)})


def table_model() -> Model:
    schema = load(frame(50)).schema
    return assemble(schema, resolve(schema, ModelOptions(latent_dim=1)))


def options(**changes: Any) -> TrainingOptions:
    return TrainingOptions(**changes)


def test_a_large_table_takes_large_batches_and_steps() -> None:
    assert update_size_of(table_model(), LARGE_TABLE, options()) == OF_LARGE_TABLES
    assert update_size_of(table_model(), LARGE_TABLE - 1, options()) == USUAL


def test_other_models_keep_theirs() -> None:
    assert update_size_of(vae(), 100_000, options()) == USUAL


def test_batches_are_no_larger_than_the_data() -> None:
    assert update_size_of(table_model(), 90, options()).batch_size == 90


@pytest.mark.parametrize(
    ("asked", "batch_size", "learning_rate", "passes"),
    [
        ({"batch_size": 64}, 64, USUAL.learning_rate, USUAL.passes),
        ({"batch_size": 1024}, 1024, OF_LARGE_TABLES.learning_rate, OF_LARGE_TABLES.passes),
        ({"learning_rate": 2e-3}, 512, 2e-3, OF_LARGE_TABLES.passes),
    ],
)
def test_what_is_asked_for_is_kept(
    asked: dict[str, Any], batch_size: int, learning_rate: float, passes: int
) -> None:
    pace = update_size_of(table_model(), LARGE_TABLE, options(**asked))
    assert (pace.batch_size, pace.learning_rate, pace.passes) == (batch_size, learning_rate, passes)


def test_the_plan_follows_it_and_says_so() -> None:
    data = load(frame(LARGE_TABLE))
    plan = decide(table_model(), ELBO(), data, None, options())
    assert (plan.batch_size, plan.learning_rate) == (512, 6e-3)
    assert plan.updates == 2_000  # the fewest
    larger = load(frame(40_000))
    plan = decide(table_model(), ELBO(), larger, None, options())
    assert plan.updates == -(-45 * 40_000 // 512)  # 9,000 / sqrt(40,000) passes
    line = sentence(plan, options(), 40_000, 0)
    assert "batches of 512" in line
    assert "Adam 0.006" in line
