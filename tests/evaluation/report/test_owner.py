"""The owner's part of a page finds what was planted in a table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lowerbound.data import Dataset, load
from lowerbound.evaluation.likelihood.baselines import column_shares
from lowerbound.evaluation.report.owner import KeptColumn, kept_columns, missing_cells, odd_rows
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

ODD = 7  # number of the planted row in the held-out part, from 1


@pytest.fixture(scope="module")
def parts() -> tuple[Fitted, Dataset, Dataset]:
    random = np.random.default_rng(0)
    z = random.normal(size=500)
    frame = pd.DataFrame(
        {
            "tied": z + 0.1 * random.normal(size=500),
            "also": -z + 0.1 * random.normal(size=500),
            "sure": np.where(z > 0, "yes", "no"),
            "alone": random.normal(size=500),
        }
    )
    frame.loc[400 + ODD - 1, "alone"] = 9.5
    frame.loc[:9, "also"] = np.nan
    data = load(frame, missing="model")
    training, held_out = data.subset(range(400)), data.subset(range(400, 500))
    options = FitOptions(ModelOptions(latent_dim=1), training=TrainingOptions(epochs=20))
    return fit(training, options), training, held_out


def test_the_planted_row_is_the_oddest(parts: tuple[Fitted, Dataset, Dataset]) -> None:
    fitted, _, held_out = parts
    first, *others = odd_rows(fitted.model, held_out)
    assert first.name == str(ODD)
    assert first.columns[0] == ("alone", "9.5")
    assert all(first.nats <= other.nats for other in others)


def test_missing_cells_are_counted_where_they_are(parts: tuple[Fitted, Dataset, Dataset]) -> None:
    found = missing_cells(*parts[1:])
    assert (found.count, found.of, found.rows, found.of_rows) == (10, 2_000, 10, 500)
    assert found.columns == (("also", 10),)


def test_kept_columns_are_those_that_are_tied(parts: tuple[Fitted, Dataset, Dataset]) -> None:
    fitted, _, held_out = parts
    found = kept_columns(fitted.model, held_out, column_shares(fitted.model, held_out))
    share = {column.name: column.share or 0.0 for column in found}
    assert min(share["tied"], share["also"]) > 0.9
    assert share["sure"] > 0.6
    assert abs(share["alone"]) < 0.1
    assert [column.share for column in found] == sorted(share.values(), reverse=True)
    assert {column.name: column.of for column in found}["sure"] == "entropy"


@pytest.mark.parametrize(
    ("share", "text", "percent"),
    [
        (0.42, "42% of its variance", 42),
        (-3.0, "nothing", 0),
        (0.0, "nothing", 0),
        (None, "constant column", 0),
    ],
)
def test_a_share_is_never_a_bare_ratio(share: float | None, text: str, percent: int) -> None:
    column = KeptColumn("x", share, "variance")
    assert (column.text, column.percent) == (text, percent)
