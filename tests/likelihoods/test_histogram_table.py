"""The cells of a histogram, which are kept between calls."""

from __future__ import annotations

import copy

import torch

from lowerbound.data.columns.column import Column
from lowerbound.likelihoods.columns.histogram import HistogramColumns


def test_kept_cells_follow_their_buffers() -> None:
    columns = HistogramColumns([Column("x", "real")], 8, 0.01)
    columns.initialize(torch.randn(500, 1, generator=torch.Generator().manual_seed(0)))
    before = columns.table()
    assert columns.table() is before
    other = copy.deepcopy(columns)
    other.initialize(5 + torch.randn(500, 1, generator=torch.Generator().manual_seed(1)))
    assert float(other.table().low) > 1 > float(columns.table().low)
    columns.load_state_dict(other.state_dict())
    torch.testing.assert_close(columns.table().edges, other.table().edges)
    moved = columns.to(torch.float32)
    assert moved.table().edges.dtype == torch.float64


def test_cells_kept_without_gradients_serve_training() -> None:
    columns = HistogramColumns([Column("x", "real")], 8, 0.01)
    x = torch.randn(500, 1, generator=torch.Generator().manual_seed(0))
    columns.initialize(x)
    parameters = torch.zeros(1, 500, 8, requires_grad=True)
    with torch.inference_mode():
        columns(parameters).terms(x)
    columns(parameters).terms(x).sum().backward()
    assert parameters.grad is not None
    assert bool(parameters.grad.isfinite().all())
