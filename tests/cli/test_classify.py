"""Classes on the command line: of a table with blanks, of a folder with unlabeled pictures."""

from __future__ import annotations

import shutil
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


@pytest.mark.slow
def test_blanks_are_unlabeled_and_every_row_gets_a_class(
    run: Run, table: Path, tmp_path: Path
) -> None:
    words = ("--label", "state", "--model", "semi_supervised", "--epochs", 60, "--test", 0)
    assert run("fit", table, "-o", tmp_path / "m.lb", *words).code == 0
    out = tmp_path / "out.csv"
    done = run("classify", tmp_path / "m.lb", table, "-o", out, "--suggest", 3, "--json")
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
    done = run("classify", tmp_path / "m.lb", table, "--suggest", ROWS, "--json")
    assert len(done.object["questions"]) == ROWS - 12  # nobody asks for a label that is there
    done = run("classify", tmp_path / "m.lb", table, "--abstain", 1)
    assert "rows got no class" in done.out
    assert "the model was fitted to this data" in done.out
    pd.read_csv(table).to_csv(tmp_path / "copy.csv", index=False)
    assert "was fitted to" not in run("classify", tmp_path / "m.lb", tmp_path / "copy.csv").out


@pytest.mark.slow
def test_all_labels_are_for_training_unless_a_test_part_is_requested(
    run: Run, table: Path, tmp_path: Path
) -> None:
    words = ("--label", "state", "--model", "semi_supervised", "--epochs", 2, "--no-report")
    done = run("fit", table, "-o", tmp_path / "all.lb", *words, "--json")
    assert done.object["training_rows"] == ROWS - 8
    assert "8 of 68 rows without a label" in done.object["protocol"]
    assert "all 12 labels are for training" in done.object["protocol"]
    assert any("of 12 labels, each hidden" in line for line in done.object["lines"])
    done = run("evaluate", tmp_path / "all.lb", table, "--part", "test", "--json")
    assert done.object["rows"] == 8
    done = run("fit", table, "-o", tmp_path / "some.lb", *words, "--test", 0.1, "--json")
    assert done.object["protocol"].startswith("8 of 80 rows, drawn by seed 0")


@pytest.mark.slow
def test_what_cannot_be_classified(run: Run, table: Path, tmp_path: Path) -> None:
    assert run("fit", table, "-o", tmp_path / "v.lb", "--label", "state", "--epochs", 1).code == 0
    done = run("classify", tmp_path / "v.lb", table)
    assert done.code == 2
    assert "vae cannot choose a class: it has no classes; models that can: semi" in done.err


@pytest.fixture
def sorted_few(pictures: Path, tmp_path: Path) -> Path:
    """Five pictures of each class in its folder, the other fifty unlabeled."""
    root = tmp_path / "few"
    for name in ("above", "below"):
        for index, picture in enumerate(sorted((pictures / name).iterdir())):
            place = root / (name if index < 5 else "unlabeled")
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, place)
    return root


@pytest.mark.slow
def test_a_folder_per_class_beside_an_unlabeled_one(
    run: Run, sorted_few: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m.lb"
    words = ("--model", "semi_supervised", "--epochs", 60, "--test", 0)
    done = run("fit", sorted_few, "-o", model, *words)
    assert done.code == 0
    assert "2 classes: above, below; 50 rows without a label" in done.err + done.out
    plain, out = sorted_few / "unlabeled", tmp_path / "out.csv"
    assert run("classify", model, plain, "-o", out).code == 0
    written = pd.read_csv(out)
    # the second class has the odd numbers
    odd = written["name"].str.removesuffix(".png").astype(int) % 2 == 1
    assert len(written) == 50
    assert (written["class"].eq("below") == odd).mean() > 0.9


def test_folders_that_teach_no_classes(run: Run, sorted_few: Path, tmp_path: Path) -> None:
    shutil.rmtree(sorted_few / "below")
    words = ("-o", tmp_path / "m.lb", "--model", "semi_supervised")
    done = run("fit", sorted_few, *words)
    assert done.code == 2
    assert "labels of one class (above)" in done.err
    done = run("fit", sorted_few / "unlabeled", *words)
    assert "labels of none" in done.err
    done = run("fit", sorted_few, "-o", tmp_path / "c.lb", "--conditional")
    assert done.code == 2
    assert "fit the model semi_supervised, which infers it" in done.err
