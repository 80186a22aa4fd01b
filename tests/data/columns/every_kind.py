"""Values of every kind of column, and what every kind has to do with its own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

from lowerbound.applications.restoration.column_trees import ByColumn, expectation
from lowerbound.data import Column, Schema, load, to_frame
from lowerbound.data.columns.inference import Hint, understood
from lowerbound.data.columns.values import missing
from lowerbound.likelihoods import Mixed
from lowerbound.networks import Columns

ROWS = 400
VALUES: dict[str, Callable[[np.random.Generator], Any]] = {
    "real": lambda r: r.normal(3, 2, ROWS),
    "positive": lambda r: np.exp(r.normal(0, 1.5, ROWS)),
    "bounded": lambda r: r.beta(0.6, 0.6, ROWS).clip(1e-4, 1 - 1e-4),
    "mixed": lambda r: np.where(r.random(ROWS) < 0.4, 25.0, np.exp(r.normal(3, 1, ROWS))),
    "datetime": lambda r: (
        pd.Timestamp("2020-01-01") + pd.to_timedelta(r.integers(0, 9e6, ROWS), "s")
    ),
    "count": lambda r: r.negative_binomial(2, 0.1, ROWS),
    "binary": lambda r: np.where(r.random(ROWS) < 0.3, "yes", "no"),
    "ordinal": lambda r: r.integers(1, 11, ROWS),
    "categorical": lambda r: r.choice(["red", "green", "blue", "?"], ROWS),
    "identifier": lambda r: np.arange(1000, 1000 + ROWS),
    "constant": lambda r: np.full(ROWS, 7),
}


def table() -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame({kind: make(random) for kind, make in VALUES.items()})


def column_of(values: pd.Series, hint: Hint) -> Column:
    """The column, warnings about it apart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return understood(values, hint)


def check_round_trip(values: pd.Series, hint: Hint) -> None:
    """Values come back from model units in their own type, and a missing cell is not observed."""
    gone = (np.arange(len(values)) % 5 == 1) | missing(values)
    frame = pd.DataFrame({"values": values.mask(gone), "other": np.arange(len(values)) % 7 / 3})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = load(frame, kinds={"values": hint, "other": "real"})
    back, schema = to_frame(dataset.schema, dataset.x), dataset.schema
    if "values" not in back:  # what names rows is left out
        assert schema.left_out == ("values",)
        return
    if len(schema.modeled) == 2:
        assert dataset.observed is not None
        assert dataset.observed[:, 0].tolist() == (~gone).tolist()
    given, found = values[~gone], back["values"][~gone]
    if given.dtype.kind == "M":
        assert (abs(found - given) < pd.Timedelta("1ms")).all()
    elif given.dtype.kind in "fiu":
        np.testing.assert_allclose(found.astype(float), given.astype(float), rtol=1e-9, atol=1e-9)
    else:
        assert found.tolist() == given.tolist()


def check_slope(column: Column) -> None:
    """The slope is the derivative of the map; without one, units are the values."""
    units = np.linspace(-2.2, 2.2, 41)
    step = 1e-5
    rise = (column.decode(units + step) - column.decode(units - step)) / (2 * step)
    np.testing.assert_allclose(column.log_slope(units), -np.log(rise), atol=2e-3)


def check_features(column: Column, values: pd.Series) -> None:
    """Features are standardized; a hidden cell has none, whatever stands there."""
    inputs = Columns([column]).double()
    x = torch.from_numpy(column.encode(column.rules.read(values)))
    observed = torch.isfinite(x) & (torch.arange(len(x)) % 5 != 1)
    x, observed = torch.where(observed, x, 0.3)[:, None], observed[:, None]
    inputs.initialize(x, observed)
    numbers, mask, _ = inputs.split(inputs(x, observed))
    assert torch.isfinite(numbers).all()
    assert not numbers[~observed[:, 0]].any()
    assert not mask[~observed[:, 0]].any()
    count = mask.sum(0)
    torch.testing.assert_close(numbers.sum(0) / count, torch.zeros_like(count), rtol=0, atol=1e-5)
    spread = numbers.square().sum(0) / count
    torch.testing.assert_close(spread, torch.ones_like(count), rtol=0, atol=1e-5)


def check_expectation(column: Column, draws: int = 20_000) -> None:
    """The numbers that are averaged are the mean of those of draws, in the person's units."""
    likelihood = Mixed([column]).double()
    torch.manual_seed(0)
    emission = likelihood(0.7 * torch.randn(1, 3, *likelihood.parameter_shape).double())
    expected = expectation(Schema("table", (1,), (column,)), emission)
    assert isinstance(expected, ByColumn)
    found = expected.given(emission)[0].detach()
    drawn = column.decode(emission.sample((draws,))[:, 0, :, 0].numpy()).ravel()
    each = column.rules.coordinates(column.rules.averaged(drawn))
    if column.levels:
        each = np.eye(len(column.levels))[drawn.astype(int)]
    each = each.reshape(draws, 3, -1)
    # of the draws, and a hundredth of a standard deviation for the quadrature
    error = (4.5 / np.sqrt(draws) + 0.01) * each.std(0)
    assert (abs(found.numpy() - each.mean(0)) <= error).all()
    answer, near = expected.answer(found)[:, 0], column.rules.decided(each.mean(0))
    np.testing.assert_allclose(answer, near, rtol=0, atol=0.1 * drawn.std())
