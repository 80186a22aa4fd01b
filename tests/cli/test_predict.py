"""Measurements on the command line: of a table with blanks in its label column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Run

ROWS, LABELED = 120, 40
FIT = ("--model", "semi_supervised_regression", "--epochs", 20, "--test", 0, "--no-report")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    price = 50 + 10 * rng.normal(size=ROWS)
    frame = pd.DataFrame({"a": price + rng.normal(size=ROWS), "b": rng.normal(size=ROWS)})
    frame["price"] = np.where(np.arange(ROWS) < LABELED, price, np.nan)
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.mark.slow
def test_every_row_gets_a_measurement_and_a_band(run: Run, table: Path, tmp_path: Path) -> None:
    assert run("fit", table, "-o", tmp_path / "m.lb", "--label", "price", *FIT).code == 0
    out = tmp_path / "out.csv"
    answer = run("predict", tmp_path / "m.lb", table, "-o", out, "--json").object
    assert answer["rows"] == ROWS
    assert answer["labeled"] == LABELED
    written, given = pd.read_csv(out), pd.read_csv(table)
    np.testing.assert_allclose(written["high"] - written["low"], 3.92 * written["deviation"])
    known = given["price"].notna()
    squared = (written["prediction"] - given["price"])[known] ** 2
    assert answer["judged"]["rmse"] == pytest.approx(squared.mean() ** 0.5)
    explained = 1 - squared.mean() / given["price"][known].var(ddof=0)
    assert answer["judged"]["r2"] == pytest.approx(explained)
    assert explained > 0.9
    unlabeled = tmp_path / "new.csv"
    given.drop(columns="price").to_csv(unlabeled, index=False)
    done = run("predict", tmp_path / "m.lb", unlabeled)
    assert "120 rows" in done.out
    assert "known" not in done.out
    done = run("predict", tmp_path / "m.lb", table)
    assert "the model was fitted to this data" in done.out
    given.to_csv(unlabeled, index=False)
    done = run("predict", tmp_path / "m.lb", unlabeled)
    assert "rows whose target is known" in done.out
    assert "was fitted to" not in done.out


@pytest.mark.slow
def test_what_has_no_measurement(run: Run, table: Path, tmp_path: Path) -> None:
    assert run("fit", table, "-o", tmp_path / "v.lb", "--epochs", 1).code == 0
    done = run("predict", tmp_path / "v.lb", table)
    assert done.code == 2
    assert "it has no regression target; models that can: semi_supervised_regression" in done.err
