"""``lowerbound imputer``, and ``impute`` with its model, from the command line."""

from __future__ import annotations

import json
import os
import re
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound import VAEImputer
from lowerbound.applications.restoration import imputer_fit
from lowerbound.cli import main
from lowerbound.fitting import fit
from lowerbound.fitting.manifest import INTERVALS, TREES
from lowerbound.training import Progress, SilentReporter

COLUMNS = ["shop", "town", "price", "bag"]
QUICK = ("--minutes", "0.02")


def run(*words: object) -> int:
    return main([str(word) for word in words])


def shops(rows: int = 400) -> pd.DataFrame:
    """Prices in 25 shops of 5 towns; a bag costs nothing, or little."""
    draw = np.random.default_rng(0)
    shop = draw.integers(25, size=rows)
    price = draw.normal(10, 3, 25)[shop] + draw.normal(0, 0.5, rows)
    town = np.array([f"town {letter}" for letter in "ABCDE"])[shop // 5]
    bag = np.where(price > 10, "paper", "none")
    return pd.DataFrame({"shop": shop, "town": town, "price": price.round(2), "bag": bag})


@pytest.fixture(scope="module")
def whole() -> pd.DataFrame:
    return shops()


@pytest.fixture(scope="module")
def hidden(whole: pd.DataFrame) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    return np.random.default_rng(1).random(whole.shape) < [0.0, 0.2, 0.2, 0.2]


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory,
    whole: pd.DataFrame,
    hidden: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
) -> Path:
    """A folder with rows.csv."""
    place = tmp_path_factory.mktemp("imputer")
    whole.mask(hidden).to_csv(place / "rows.csv", index=False)
    return place


@pytest.fixture(scope="module")
def folder(place: Path) -> Path:
    """rows.csv, and an imputer of it."""
    assert run("imputer", place / "rows.csv", "-o", place / "m", *QUICK) == 0
    return place


@pytest.mark.slow
def test_cells_that_stay_empty_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = shops(60)
    rows["code"] = [None if row % 4 == 0 else f"A{row:05}x" for row in range(60)]
    rows["gone"] = None
    rows.loc[::5, "price"] = None
    rows.to_csv(tmp_path / "rows.csv", index=False)
    assert run("imputer", tmp_path / "rows.csv", "-o", tmp_path / "m", *QUICK) == 0
    rows.assign(later=rows["price"]).to_csv(tmp_path / "more.csv", index=False)
    words = "impute", tmp_path / "m", tmp_path / "more.csv", "-o", tmp_path / "full.csv"
    capsys.readouterr()
    assert run(*words, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    full = pd.read_csv(tmp_path / "full.csv").isna().sum()
    assert found["left_empty"] == {"code": 15, "gone": 60, "later": 12}
    assert found["left_empty"] == full[full > 0].to_dict()
    assert run(*words) == 0
    assert "87 cells stay empty, in columns that the model does not fill: 'code' (15), " in (
        capsys.readouterr().out
    )


class Stops(SilentReporter):
    """Sends the signal of Ctrl-C at the first report."""

    def update(self, progress: Progress) -> None:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_an_interrupted_first_fit_goes_on(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stopped = partial(fit, callbacks=[Stops()])
    words = ["imputer", folder / "rows.csv", "-o", tmp_path / "m", "--minutes", "0.1"]
    with monkeypatch.context() as patch:
        patch.setattr(imputer_fit, "fit", stopped)
        assert run(*words) == 130
    assert f"-o {tmp_path / 'm'} --minutes 0.1 --resume" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(imputer_fit.HiddenCells, "calibration", interrupted)
        assert run(*words, "--resume") == 130
    said = capsys.readouterr().err
    assert "resumed at update 1" in said
    assert "interrupted; continue by lowerbound imputer" in said
    assert run(*words, "--resume") == 0
    assert "this training has already ended" in capsys.readouterr().err
    assert run("impute", tmp_path / "m", folder / "rows.csv", "-o", tmp_path / "full.csv") == 0


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_the_model_fills_cells_by_groups_and_lookups(
    folder: Path,
    whole: pd.DataFrame,
    hidden: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert {TREES, INTERVALS} <= {path.name for path in (folder / "m").iterdir()}
    out = folder / "whole.csv"
    assert run("impute", folder / "m", folder / "rows.csv", "-o", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["with_trees"] >= 1
    found = pd.read_csv(out, keep_default_na=False)
    assert (found["town"] == whole["town"]).all()
    apart = (found["price"] - whole["price"])[hidden[:, 2]]
    assert np.sqrt(np.square(apart).mean()) < 0.45 * whole["price"].std()
    assert (found["bag"] == whole["bag"])[hidden[:, 3]].mean() > 0.85


@pytest.mark.slow
def test_the_estimator_reads_the_folder(folder: Path) -> None:
    rows = pd.read_csv(folder / "rows.csv", keep_default_na=False, na_values=[""])
    imputer = VAEImputer.load(folder / "m")
    out = folder / "again.csv"
    assert run("impute", folder / "m", folder / "rows.csv", "-o", out) == 0
    found = pd.read_csv(out, keep_default_na=False)
    np.testing.assert_allclose(found["price"], imputer.transform(rows)["price"], rtol=1e-6)
    assert imputer.calibration_ is not None


@pytest.mark.slow
def test_the_report_has_the_errors_of_hidden_cells(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("imputer", folder / "rows.csv", "-o", tmp_path / "m", *QUICK)
    assert run(*words, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["rows"] == 400
    assert said["found"] == ["shop determines town"]
    assert set(said["hidden"]) == set(COLUMNS)
    price = said["hidden"]["price"]
    assert price["error"] < 0.7 < price["usual"]
    assert said["hidden"]["town"]["error"] < 0.1 < 0.6 < said["hidden"]["town"]["usual"]
    assert run(*words, "--overwrite") == 0
    text = capsys.readouterr().out
    assert re.search(
        rf"price {price['cells']:>6} cells  0\.\d{{3}}  \({price['usual']:.3f}\)", text
    )
    assert "shop determines town" in text


@pytest.mark.slow
def test_widths_are_those_of_calibrated_intervals(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "drawn.csv"
    words = ("impute", folder / "m", folder / "rows.csv", "-o", out, "--draws", 1, "--json")
    assert run(*words) == 0
    width = json.loads(capsys.readouterr().out)["widths"]["price"]
    rows = pd.read_csv(folder / "rows.csv", keep_default_na=False, na_values=[""])
    low, high = VAEImputer.load(folder / "m").interval(rows, 0.9)
    expected = (high["price"] - low["price"])[rows["price"].isna()].mean()
    assert width == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_a_model_that_is_there_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (folder / "m" / "manifest.json").read_bytes()
    assert run("imputer", folder / "rows.csv", "-o", folder / "m") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (folder / "m" / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere.csv",), "nowhere.csv"),
        (("digits",), "and no table"),
        (("rows.csv", "--kind", "price"), "COLUMN=KIND"),
        (("rows.csv", "--resume"), "start without --resume"),
        (("rows.csv", "--minutes", "-1"), "minutes"),
    ],
)
def test_bad_input_writes_nothing(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(place)
    assert run("imputer", *words, "-o", tmp_path / "m") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
