"""Series cut in windows, and scores brought back to points."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lowerbound.data.windows import Windows
from lowerbound.errors import DataError, OptionError


def test_windows_overlap() -> None:
    np.testing.assert_array_equal(
        Windows(3).cut(np.arange(5))[..., 0], [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    )
    assert Windows(2).cut(np.zeros((6, 4))).shape == (5, 2, 4)


def test_the_last_window_ends_with_the_series() -> None:
    np.testing.assert_array_equal(Windows(4, stride=3).starts(12), [0, 3, 6, 8])
    np.testing.assert_array_equal(Windows(4, stride=4).starts(12), [0, 4, 8])


def test_a_frame_has_a_column_for_each_time() -> None:
    frame = pd.DataFrame({"load": [1.0, 2.0, 3.0], "on": ["a", "b", "a"]})
    windows = Windows(2).frame(frame)
    assert list(windows.columns) == ["load@0", "load@1", "on@0", "on@1"]
    assert windows.to_numpy().tolist() == [[1.0, 2.0, "a", "b"], [2.0, 3.0, "b", "a"]]


@pytest.mark.parametrize("stride", [1, 2])
def test_points_take_the_scores_of_their_windows(stride: int) -> None:
    windows, points = Windows(3, stride), 8
    scores = np.random.default_rng(0).normal(size=len(windows.starts(points)))
    covering = [
        [
            score
            for score, start in zip(scores, windows.starts(points), strict=True)
            if start <= point < start + 3
        ]
        for point in range(points)
    ]
    np.testing.assert_allclose(
        windows.points(scores, points, "max"), [max(some) for some in covering]
    )
    np.testing.assert_allclose(
        windows.points(scores, points, "mean"), [np.mean(some) for some in covering]
    )


def test_bad_cuts_are_refused() -> None:
    with pytest.raises(DataError, match="a series of 3 points has no window of 4"):
        Windows(4).cut(np.zeros(3))
    for length, stride in ((0, 1), (3, 0), (3, 4)):
        with pytest.raises(OptionError, match="a window has at least 1 point"):
            Windows(length, stride)
