"""The state of a pass through a transform coder, for several draws of each row."""

from __future__ import annotations

import torch

from lowerbound.models.transform import KnownCoefficients


def test_draws_of_a_row_stand_apart_by_all_rows() -> None:
    """As samples do everywhere: (draws * rows, ...), the rows of one draw together."""
    rows = torch.arange(2.0)
    groups = [(value + 10 * rows).reshape(2, 1, 1, 1) for value in range(3)]
    state = KnownCoefficients(
        rows.long(), 1 + rows.reshape(2, 1, 1, 1), (1, 1), *((group,) for group in groups)
    )
    again = state.repeated(3)
    assert again.level.tolist() == [0, 1] * 3
    assert again.step.flatten().tolist() == [1, 2] * 3
    found = [part[0].flatten() for part in (again.values, again.locations, again.log_scales)]
    for each, group in zip(found, groups, strict=True):
        assert each.tolist() == group.flatten().tolist() * 3
    assert (len(again), again.blocks) == (6, (1, 1))
