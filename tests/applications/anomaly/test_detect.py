"""Known anomalies, the words of a report, and heat maps."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lowerbound.applications.anomaly.detect import _about_starts
from lowerbound.applications.anomaly.normal_rows import KnownAnomalies, WindowedSeries, ranking_of
from lowerbound.applications.anomaly.report import Cutoff, DetectReport, Odd, heat, write_heat_maps
from lowerbound.applications.anomaly.row_scorer import cell_texts
from lowerbound.data import load
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import DataError


@pytest.mark.parametrize(
    ("values", "normal", "expected"),
    [
        ([0, 1, 1], "", [False, True, True]),
        ([0.0, 1.0, 0.0], "", [False, True, False]),
        ([True, False, False], "", [True, False, False]),
        (["normal.", "smurf.", "normal."], "", [False, True, False]),
        (["good", "bad", "bad"], "good", [False, True, True]),
    ],
)
def test_which_label_is_an_anomaly(values: list[object], normal: str, expected: list[bool]) -> None:
    rows = load(np.arange(3.0)[:, None])
    for cuts in ([0, 3], [0, 1, 3]):
        known = KnownAnomalies("kind", normal)
        for start, stop in pairwise(cuts):
            known.add(pd.Series(values[start:stop]), rows)
        assert known.anomalies().tolist() == expected


def test_labels_that_tell_nothing_are_refused() -> None:
    known = KnownAnomalies("kind", "")
    known.add(pd.Series([0, 0]), load(np.arange(2.0)[:, None]))
    with pytest.raises(DataError, match="one value only"):
        known.anomalies()
    with pytest.raises(DataError, match="all rows are of one kind"):
        ranking_of(np.array([True, True]), np.array([1.0, 2.0]))


def test_a_ranking_that_is_perfect() -> None:
    ranking = ranking_of(np.array([False, True, False]), np.array([0.1, 3.0, 0.2]))
    assert (ranking.auroc, ranking.average_precision) == (1.0, 1.0)
    assert "1 known anomalies: AUROC 1.0000" in ranking.text()


def test_rows_without_a_label_are_left_out_of_the_ranking() -> None:
    known = KnownAnomalies("kind", "")
    rows = load(np.arange(4.0)[:, None])
    known.add(pd.Series([None] * 4), rows)
    assert not known.decided
    known.add(pd.Series([0, 1, None, 0]), rows)
    ranking = known.ranking(np.array([9.0, 9, 9, 9, 0.1, 3, 5, 0.2]))
    assert (ranking.anomalies, ranking.auroc, ranking.unlabeled) == (1, 1.0, 5)
    assert "without 5 rows that have no label" in ranking.text()


def test_a_report_in_words() -> None:
    odd = Odd("17", 9.3, 0.001, {"income": 12.3, "rate": 1.0}, {"income": "1.2e+06"})
    verdict = Cutoff(0.01, 5.0, 500, 500, (0.004, 0.02))
    planted = {"combined": 0.91, "bound": 0.9, "neighbors": 0.85, "mahalanobis": 0.8}
    report = DetectReport(
        "m.lb",
        "d.csv",
        1000,
        "combined",
        verdict,
        12,
        (odd,),
        None,
        "held out",
        planted,
        ("s.csv",),
    )
    text = report.text()
    window = replace(odd, row="17-40", window=True, p_value=None)
    assert "window of points 17-40: window score 9.30: income" in window.text()
    assert "12 of 1,000 rows are anomalies by combined: score above 5" in text
    assert "row 17: score 9.30, p = 0.001: income = 1.2e+06 (+12.3 nats), rate (+1.0 nats)" in text
    assert "curve: combined 0.910, neighbors 0.850, mahalanobis 0.800" in text
    assert report.to_mapping()["verdict"]["band"] == [0.004, 0.02]
    assert "by 500 calibration rows; held out" in text
    points = replace(report, verdict=replace(verdict, independent=21)).text()
    assert (
        "by 500 calibration points, which count as 21 because windows overlap; held out" in points
    )


def test_the_points_that_calibrate_are_those_of_the_series() -> None:
    windows = Windows(24, 4)
    scores = np.arange(3.0)
    series = WindowedSeries(windows, "mean", given=30)  # the last window begins at 6, not at 8
    assert len(series.calibration(scores, windows)) == 30
    assert len(series.calibration(scores[1:], windows)) == 26
    assert len(WindowedSeries(windows, "mean").calibration(scores, windows)) == 32


def test_heat_maps_show_where(tmp_path: Path) -> None:
    nats = torch.zeros(2, 4, 4)
    nats[0, 1, 2] = 5.0
    colors = heat(nats)
    assert heat(torch.zeros(1, 1, 1).expand(1, 4_100, 4_100)).shape[1:] == (4_100, 4_100, 3)
    assert colors.shape == (2, 4, 4, 3)
    assert colors[0].sum(-1).argmax() == 4 + 2
    pictures = torch.rand(2, 1, 4, 4)
    write_heat_maps(tmp_path / "heat.png", pictures, pictures, nats, ["a", "b"])
    with Image.open(tmp_path / "heat.png") as sheet:
        assert sheet.width > 3 * 112


def test_a_value_beyond_the_model_units_is_named_so() -> None:
    """Model units end, and what they are turned back to stands in no cell."""
    normal = pd.DataFrame({"a": 100 + 30 * np.cos(np.arange(400) / 5), "b": [*"xyyz"] * 100})
    normal["n"] = np.arange(400) % 7 + 30  # a unit that ends nowhere
    schema = load(normal).schema
    assert not schema.columns[0].affine
    odd = normal.iloc[:4].assign(a=[100.0, 1e9, -1e9, np.nan])
    shown = cell_texts(load(odd, schema=schema))["a"]
    assert shown == ["100", "1000000000.0", "-1000000000.0", "missing"]


def test_cells_are_named_as_they_stand_in_the_file() -> None:
    rng = np.random.default_rng(0)
    normal = pd.DataFrame(
        {
            "country": rng.choice(["Italy", "Spain", "France"], 200),
            "grade": rng.integers(1, 6, 200),
            "price": rng.gamma(3, 20, 200).round(2),
            "unit": "kg",
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schema = load(normal).schema
        odd = normal.head(4).assign(
            country=["Wakanda", "Italy ", None, "Spain"],
            grade=[99, 2, np.nan, 3],
            price=[123456789.25, 31.1, np.nan, 7],
            unit=["kg", "lb", "kg", "kg"],
        )
        rows = load(odd, schema=schema)
    shown = cell_texts(rows, odd)
    assert shown == {
        "country": ["'Wakanda' (not seen in the fit)", "Italy ", "missing", "Spain"],
        "grade": ["99 (not seen in the fit)", "2", "missing", "3"],
        "price": ["123456789.25", "31.1", "missing", "7"],
        "unit": ["kg", "'lb' (not seen in the fit)", "kg", "kg"],
    }
    assert cell_texts(rows)["country"][0] == "a value not seen in the fit"


@pytest.mark.parametrize(
    ("windows", "advice"),
    [
        (Windows(8, 8), "fit again, with --stride 4 or less"),
        (Windows(9, 6, varied=True), "fit again, with --stride 5 or less"),
        (Windows(8, 2), "fit again, because --stride now varies the starts"),
    ],
)
def test_the_advice_about_starts_changes_them(windows: Windows, advice: str) -> None:
    """A stride that the fit already has is no advice."""
    assert not windows.anywhere
    assert _about_starts(windows, 8).endswith(f": {advice}")
    assert f": {advice}, or let the rows begin a multiple of" in _about_starts(windows, None)
