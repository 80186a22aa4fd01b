"""The counts of ``scale_on_paper``: an MLP's formulas, and without memory as with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scale_on_paper import CARD, STATE, Cost, cost, kept_bytes, pictures
from torch import nn

from lowerbound.data import load
from lowerbound.models.options import ModelOptions
from lowerbound.trace import Batch


def test_operations_of_a_linear_autoencoder() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 6))
    options = ModelOptions(
        latent_dim=2,
        network="mlp",
        network_options={"hidden": [5]},
        model_options={"linear_start": False},
    )
    found = cost(load(rows).schema, options)
    # 6 -> 5 -> 2 + 2 and 2 -> 5 -> 6 (+ scales): two operations a weight forward, four backward,
    # and none for the gradient of the data
    matrices = [6 * 5, 5 * 4, 2 * 5, 5 * 6]
    assert found.flops == 6 * sum(matrices) - 2 * matrices[0]


def test_a_picture_counts_the_same_without_memory() -> None:
    options = ModelOptions(
        model="ladder", network="convolutional", model_options={"levels": 3, "width": 8}
    )
    schema = pictures(8)
    assert cost(schema, options, "meta") == cost(schema, options, "cpu")


def test_kept_bytes_count_a_tensor_once_and_no_weights() -> None:
    layer = nn.Linear(3, 3, bias=False)

    class Twice(nn.Module):
        def forward(self, batch: Batch) -> torch.Tensor:
            y = layer(batch.x).exp()  # exp keeps its result, and * keeps it twice
            return y * y

    x = torch.ones(4, 3)
    module = Twice()
    module.layer = layer
    assert kept_bytes(module, Batch(x)) == x.nbytes + x.nbytes  # x for the layer, y


def test_pictures_that_fit_beside_the_state() -> None:
    assert Cost(0, 1.0, CARD / 10).at_once == pytest.approx(10)
    assert Cost(int(CARD / STATE) + 1, 1.0, 1.0).at_once == 0
