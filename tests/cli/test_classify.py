"""Classes on the command line: a table whose blanks are unlabeled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Run

ROWS = 80


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    sick = np.arange(ROWS) % 2
    frame = pd.DataFrame({"a": rng.normal(size=ROWS) + 4 * sick, "b": rng.normal(size=ROWS)})
    frame["state"] = np.where(np.arange(ROWS) < 12, np.where(sick, "sick", "well"), "")
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    frame.to_csv(path, index=False)
    return path


def test_blanks_are_unlabeled_and_every_row_gets_a_class(
    run: Run, table: Path, tmp_path: Path
) -> None:
    words = ("--label", "state", "--model", "semi_supervised", "--epochs", 60, "--test", 0)
    assert run("fit", table, "-o", tmp_path / "m.lb", *words).code == 0
    out = tmp_path / "out.csv"
    done = run("classify", tmp_path / "m.lb", table, "-o", out, "--ask", 3, "--json")
    assert done.code == 0
    answer = done.object
    assert answer["rows"] == ROWS
    assert answer["labeled"] == 12
    assert answer["judged"]["accuracy"] == 1.0
    written = pd.read_csv(out)
    assert (written["class"].eq("sick") == (np.arange(ROWS) % 2 == 1)).mean() > 0.9
    np.testing.assert_allclose(written[["p(sick)", "p(well)"]].sum(axis=1), 1)
    asked = [question["row"] for question in answer["questions"]]
    unlabeled = written["information"].where(written["row"] >= 12)
    assert asked == unlabeled.nlargest(3).index.tolist()
    assert all(row >= 12 for row in asked)
    done = run("classify", tmp_path / "m.lb", table, "--ask", ROWS, "--json")
    assert len(done.object["questions"]) == ROWS - 12  # nobody asks for a label that is there
    done = run("classify", tmp_path / "m.lb", table, "--abstain", 1)
    assert "too unsure" in done.out


def test_what_cannot_be_classified(run: Run, table: Path, tmp_path: Path) -> None:
    assert run("fit", table, "-o", tmp_path / "v.lb", "--label", "state", "--epochs", 1).code == 0
    done = run("classify", tmp_path / "v.lb", table)
    assert done.code == 2
    assert "has no classes to choose from; models that have: semi_supervised" in done.err
