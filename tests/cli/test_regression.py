"""A measurement for a label on the command line: blanks are unlabeled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound import SemiSupervisedRegressor
from tests.cli.conftest import Run


@pytest.mark.slow
def test_a_column_of_numbers_with_blanks(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    price = rng.normal(size=80)
    frame = pd.DataFrame({"a": price + 0.3 * rng.normal(size=80), "b": rng.normal(size=80)})
    frame["price"] = np.where(np.arange(80) < 20, np.round(100 * price), np.nan)
    table, model = tmp_path / "rows.csv", tmp_path / "m.lb"
    frame.to_csv(table, index=False)
    words = ("--label", "price", "--model", "semi_supervised_regression", "--epochs", 60)
    done = run("fit", table, "-o", model, *words, "--test", 0, "--no-report")
    assert done.code == 0
    assert "numbers of column 'price' for 20 rows" in done.err
    back = SemiSupervisedRegressor.load(model)
    assert np.corrcoef(back.predict(frame), price)[0, 1] > 0.8
    done = run("sample", model, "-n", 5, "-o", tmp_path / "s.csv")
    assert done.code == 0
    assert list(pd.read_csv(tmp_path / "s.csv").columns) == ["a", "b"]
    done = run("classify", model, table)
    assert done.code == 2
    assert "semi_supervised_regression cannot choose a class: it has no classes" in done.err


def test_a_label_that_is_no_number(run: Run, table: Path, tmp_path: Path) -> None:
    words = ("--model", "semi_supervised_regression", "-o", tmp_path / "m.lb")
    done = run("fit", table, "--label", "kind", *words)
    assert done.code == 2
    assert "the labels of 'kind' are text, such as " in done.err
    assert "use --model semi_supervised" in done.err
    done = run("fit", table, *words)
    assert done.code == 2
    assert "name its column with --label, or give y" in done.err
