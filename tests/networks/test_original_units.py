"""Features of a table in original units: the inverse of normal scores and of logarithms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from lowerbound.data import load
from lowerbound.networks.inputs import Columns


def test_bent_features_come_back_in_the_units_of_the_table() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "straight": rng.normal(size=400),
            "visits": rng.poisson(rng.gamma(1.0, 6.0, 400)),
            "income": rng.lognormal(9.0, 1.2, 400),
            "tailed": rng.standard_t(2, 400),
        }
    )
    dataset = load(table)
    columns = {column.name: column for column in dataset.schema.columns}
    assert [column.kind for column in columns.values()] == ["real", "count", "positive", "real"]
    assert columns["straight"].spline is None
    assert columns["tailed"].spline is not None
    inputs = Columns(dataset.schema.columns).double()
    x = dataset.x.double()
    x = torch.cat((x, x.new_tensor([[0.0, 0, -4, 7], [0.0, 3, 4, -7]])))  # beyond the knots
    inputs.initialize(x[:400])
    found = inputs.in_original_units(inputs(x)).numpy()
    bent = [list(columns)[place] for place, _ in inputs.features if place > 0]
    assert found.shape[1] == inputs.original.count == len(bent) == 3
    values = dataset.schema.decode(x.numpy(), rounded=False)
    for own, name in zip(found.T, bent, strict=True):
        true = values[:, list(columns).index(name)]
        scale, shift = columns[name].scale, columns[name].shift
        scaled = {"visits": own, "income": own * np.exp(shift), "tailed": own * scale + shift}[name]
        np.testing.assert_allclose(scaled, true, rtol=1e-5, atol=1e-5)
