"""Series cut in windows, and scores brought back to points."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.data import Schema, load
from lowerbound.data.sequences.windows import Reduction, Windows
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


@pytest.mark.parametrize(("length", "stride"), [(8, 4), (9, 5), (24, 7), (6, 5), (5, 5), (3, 1)])
def test_starts_that_vary_visit_every_place_and_cover_every_point(length: int, stride: int) -> None:
    windows = Windows(length, stride, varied=True)
    points = 40 * stride + length
    starts = windows.starts(points)
    steps = np.diff(starts)
    assert (steps > 0).all()
    assert (steps <= length).all()
    assert starts[0] == 0
    assert starts[-1] == points - length
    places = min(stride, length - stride + 1)
    assert set((starts[:-1] % stride).tolist()) == set(range(places))
    times = np.bincount(starts[:-1] % stride)  # as often as each other, but for rounding
    assert times.max() - times.min() <= 4
    assert windows.anywhere == (places == stride)
    # longer series start alike
    np.testing.assert_array_equal(windows.starts(points + 100)[:40], starts[:40])


@pytest.mark.parametrize("varied", [False, True])
@pytest.mark.parametrize(("length", "stride"), [(1, 1), (4, 1), (4, 3), (5, 5), (7, 2), (9, 4)])
def test_windows_before_another_share_no_point_with_it(
    length: int, stride: int, varied: bool
) -> None:
    windows = Windows(length, stride, varied)
    for points in range(length, 40):
        starts = windows.starts(points)
        for window in range(1, len(starts)):
            count = windows.before(window)
            assert count == 0 or starts[count - 1] + length <= starts[window]
            regular = window < len(starts) - 1 or starts[window] % stride == 0
            if regular and count < window:  # at most one window fewer than there could be
                assert starts[count] + length + stride > starts[window]


def test_a_schema_remembers_its_windows() -> None:
    rng = np.random.default_rng(0)
    series = pd.DataFrame(
        {"load": rng.normal(size=60), "t": np.arange(60), "odd": rng.random(60) > 0.5}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the columns that name rows
        found = load(series, windows=Windows(5, 2), kinds={"t": "identifier"}, label="odd")
    assert [column.name for column in found.schema.columns] == [f"load@{i}" for i in range(5)]
    assert len(found) == len(Windows(5, 2).starts(60))
    assert Schema.from_mapping(found.schema.to_mapping()) == found.schema
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the columns that were left out
        again = load(series, schema=found.schema)
        cut = load(Windows(5, 2).frame(series), schema=found.schema)
    assert torch.equal(again.x, found.x)
    assert torch.equal(cut.x, found.x)
    with pytest.raises(DataError, match="only tables and clips"):
        load("digits", windows=Windows(3))


@pytest.mark.parametrize(("stride", "varied"), [(1, False), (2, False), (2, True)])
def test_points_take_the_scores_of_their_windows(stride: int, varied: bool) -> None:
    windows, points = Windows(3, stride, varied), 8
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


@pytest.mark.parametrize("varied", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "max"])
def test_the_last_windows_score_the_points_that_they_cover(
    reduction: Reduction, varied: bool
) -> None:
    windows, points = Windows(5, 2, varied), 40
    scores = np.random.default_rng(0).normal(size=len(windows.starts(points)))
    own = scores.min() - 1  # what the first windows have changes none of the last points
    last = windows.points(scores[-7:], points, reduction)
    everything = windows.points(
        np.append(np.full(len(scores) - 7, own), scores[-7:]), points, "max"
    )
    assert len(last) == points - windows.starts(points)[-7]
    if reduction == "max":
        np.testing.assert_allclose(last, everything[-len(last) :])
    np.testing.assert_allclose(last[-1], scores[-1])


def test_a_series_has_the_windows_that_it_covers() -> None:
    for windows in (Windows(5, 2), Windows(5, 2, varied=True), Windows(6, 5, varied=True)):
        for count in range(1, 20):
            assert len(windows.starts(windows.covered(count))) == count


def test_bad_cuts_are_refused() -> None:
    with pytest.raises(DataError, match="a series of 3 points has no window of 4"):
        Windows(4).cut(np.zeros(3))
    for length, stride in ((0, 1), (3, 0), (3, 4)):
        with pytest.raises(OptionError, match="a window needs at least 1 point"):
            Windows(length, stride)


def test_a_series_keeps_its_name(tmp_path: Path) -> None:
    path = tmp_path / "tide.csv"
    pd.DataFrame({"a": np.arange(9.0), "b": np.arange(9.0) ** 2}).to_csv(path, index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted_on = load(path, windows=Windows(3))
    assert fitted_on.source == str(path)
    again = load(str(path), schema=fitted_on.schema)
    assert again.source == str(path)
    assert again.subset([0, 2]).source == str(path)


@pytest.mark.parametrize("windows", [Windows(8), Windows(8, 3), Windows(8, 3, varied=True)])
def test_spans_name_the_points_of_each_window(windows: Windows) -> None:
    places = windows.places(60)
    spans = windows.spans(len(places))
    expected = [f"{place[0]}-{place[-1]}" for place in places]
    assert list(spans[:-1]) == expected[:-1]
    assert spans[-1] == (expected[-1] if windows.stride == 1 else "the last points")


def test_other_series_are_refused_by_the_names_of_their_columns() -> None:
    series = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["a", "b"])
    schema = load(series, windows=Windows(6, 2)).schema
    with pytest.raises(DataError, match=r"none of the model's columns \(a, b\); it has u, v$"):
        load(series.rename(columns={"a": "u", "b": "v"}), schema=schema)
    with pytest.raises(DataError, match="windows of 6 points, and the series has 4: give a longer"):
        load(series.head(4), schema=schema)
    with pytest.warns(UserWarning, match="not fitted on column 'note': ignored"):
        found = load(series.assign(note=1.0), schema=schema)
    assert torch.equal(found.x, load(series, schema=schema).x)
    again = load(series, schema=schema, windows=Windows(6))
    assert len(again) == 35


def test_a_column_is_written_alike_at_all_times() -> None:
    draw = np.random.default_rng(0)
    series = pd.DataFrame({"share": [f"{value:.1f} %" for value in draw.uniform(0, 100, 60)]})
    series["size"] = draw.normal(size=60)
    whole, cut = (load(series, kinds="infer", **more) for more in ({}, {"windows": Windows(3)}))
    expected = [column.notation for column in whole.schema.columns for _ in range(3)]
    assert [column.notation for column in cut.schema.columns] == expected
    assert expected[0] is not None
