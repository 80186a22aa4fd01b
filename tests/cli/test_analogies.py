"""lowerbound mix, where the model has classes: the style of rows in each of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.cli.conftest import Run, fitted


@pytest.fixture(scope="module")
def semi_supervised(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the table to whose latents the class belongs."""
    folder = tmp_path_factory.mktemp("models") / "classes"
    return fitted(table, folder, "--label", "kind", "--model", "semi_supervised")


@pytest.mark.slow
def test_styles_of_a_table_in_every_class(
    run: Run, semi_supervised: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "styles.csv"
    done = run("mix", semi_supervised, table, "-o", out, "--fine", "3,5", "--json")
    assert done.object["classes"] == ["short", "tall"]
    assert done.object["rows"] == ["row 3", "row 5"]
    written = pd.read_csv(out)
    assert list(written.columns) == ["row", "class", "size", "weight", "age"]
    assert written["class"].tolist() == ["short", "tall"] * 2
    assert len(pd.read_csv(_default(run, semi_supervised, table, tmp_path))) == 12
    done = run("mix", semi_supervised, table, "-o", out, "--coarse", "1")
    assert done.code == 2
    assert "--coarse and --cut are for models with levels" in done.err


def _default(run: Run, model: Path, data: Path, folder: Path) -> Path:
    assert run("mix", model, data, "-o", folder / "first.csv").code == 0
    return folder / "first.csv"


def test_styles_of_pictures_stand_at_the_left(
    run: Run, conditional_model: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "styles.png"
    done = run("mix", conditional_model, pictures, "-o", out, "--fine", "0,1,2")
    assert done.code == 0
    assert "3 by 2 analogies, the style of the row at the left in the class on top" in done.out
    with Image.open(out) as sheet:
        assert sheet.width > 3 * 56
    shutil.copytree(pictures / "above", tmp_path / "plain")
    done = run("mix", conditional_model, tmp_path / "plain", "-o", out)
    assert done.code == 2
    assert "needs labels, and the data has none" in done.err


def test_rows_of_a_class_are_made(
    run: Run, semi_supervised: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tall.csv"
    assert run("sample", semi_supervised, "-n", 5, "-o", out, "--label", "tall").code == 0
    written = pd.read_csv(out)
    assert written["kind"].tolist() == ["tall"] * 5
    assert run("sample", semi_supervised, "-n", 5, "-o", out).code == 0
    assert np.isfinite(pd.read_csv(out)["size"]).all()
    assert run("encode", semi_supervised, table, "-o", tmp_path / "z.csv").code == 0
    done = run("decode", semi_supervised, tmp_path / "z.csv", "-o", out, "--label", "tall")
    assert done.code == 2
    assert "the codes hold the class" in done.err
