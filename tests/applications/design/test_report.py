"""The lines that a search prints."""

from __future__ import annotations

import math

from lowerbound.applications.design.design import Designed, DesignReport


def test_cells_have_names_and_few_digits_and_unknown_figures_are_left_out() -> None:
    row = Designed((41, 1.0 / 3, "A"), 0.5, math.nan, {"f": 0.5}, 1, False)
    report = DesignReport(
        files=("new.csv",),
        files_written=1,
        method="mutation",
        calls=1,
        proposals=1,
        rejected=0,
        quality=(),
        best_known=0.25,
        auc_top10=math.nan,
        gap=math.nan,
        inside=math.nan,
        columns=("age", "share", "town"),
        best=(row,),
    )
    _, score, best = report.text().splitlines()
    assert score == "  score: best 0.5 (in DATA 0.25)"
    assert best == "  age 41, share 0.3333, town A: f 0.5"
