"""Parts of drawn tables: cells that are missing are found however the table writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.common.drawn_parts import NumberedRows, _frames


class MarkedDraws:
    """A column of text that writes missing cells as "?"."""

    def frame(self, values: Any, first: int) -> pd.DataFrame:
        return pd.DataFrame({"job": np.where(np.isnan(values[:, 0]), "?", "clerk")})


@pytest.mark.parametrize("cell", [0.0, np.nan])
def test_a_marker_is_a_missing_cell(cell: float) -> None:
    draws: Any = MarkedDraws()
    made = [(NumberedRows(0, 2, 2), {"values": np.array([[0.0], [cell]])})]
    ((frame, missing),) = _frames(draws, made, 2)
    assert missing == (frame["job"].iloc[1] == "?") == np.isnan(cell)
