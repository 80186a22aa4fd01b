"""A VAE whose pixels depend on the pixels before them, from fit to every command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lowerbound.applications.restoration.filling import impute
from lowerbound.cli import main
from lowerbound.data import load
from lowerbound.errors import UnsupportedError
from lowerbound.fitting.folder import read

SIDE = 8
ROWS = 600
SMALL = {"width": 16, "features": 8, "layers": 1, "context": 3}


def stripes(rows: int, seed: int) -> np.ndarray:
    """Binary pictures: a bar at one of two places, and a walk from the top to the bottom.

    The bar is global, what z is for. The walk is local: given the row above, a row needs no z.
    """
    generator = np.random.default_rng(seed)
    pictures = np.zeros((rows, 1, SIDE, SIDE), dtype=np.uint8)
    for picture in pictures[:, 0]:
        column = generator.integers(0, SIDE)
        picture[:, SIDE // 2 * generator.integers(0, 2)] ^= 1
        for line in picture:
            line[column] = 1
            column = int(np.clip(column + generator.integers(-1, 2), 0, SIDE - 1))
    return pictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fitted model beside its data, ``rows.npz`` and ``new.npz``."""
    place = tmp_path_factory.mktemp("walks")
    np.savez(place / "rows.npz", x=stripes(ROWS, 0) * 255)
    np.savez(place / "new.npz", x=stripes(200, 1) * 255)
    for likelihood in ("autoregressive", "bernoulli"):
        options = SMALL if likelihood == "autoregressive" else {}
        code = main(
            [
                *("fit", str(place / "rows.npz"), "-o", str(place / f"{likelihood}.lb")),
                *("--binarize", "threshold", "--likelihood", likelihood, "--no-report"),
                *("--network", "convolutional", "--set", "network.activation=relu"),
                *("--latent-dim", "4", "--updates", "150", "--learning-rate", "0.005"),
                *(word for key, value in options.items() for word in _set(key, value)),
            ]
        )
        assert code == 0
    return place


def _set(key: str, value: int) -> tuple[str, str]:
    return "--set", f"likelihood.{key}={value}"


def scores(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    capsys.readouterr()
    words = ["evaluate", str(folder / name), str(folder / "new.npz"), "--samples", "10", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[0])["findings"]["likelihood"]
    return {"bound": found["bound"]["mean"], "rate": found["rates"][0]["mean"]}


@pytest.mark.long
def test_it_beats_independent_pixels_and_keeps_its_code(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dependent = scores(folder, "autoregressive.lb", capsys)
    independent = scores(folder, "bernoulli.lb", capsys)
    assert dependent["bound"] > independent["bound"] + 2
    assert dependent["rate"] > 0.5


@pytest.mark.slow
def test_commands_take_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, rows = str(folder / "autoregressive.lb"), str(folder / "new.npz")
    assert main(["sample", model, "-n", "32", "-o", str(folder / "new_ones.npz")]) == 0
    assert main(["reconstruct", model, rows, "-o", str(folder / "again.npz")]) == 0
    assert main(["detect", model, rows, "-o", str(folder / "odd.csv")]) == 0
    drawn = np.load(folder / "new_ones.npz")
    pictures = drawn[drawn.files[0]].reshape(-1, SIDE, SIDE)
    assert pictures.any(2).mean() > 0.9  # the walk does not end
    assert read(folder / "autoregressive.lb").model.declared_likelihood.blind == 0.05


def test_compression_and_imputation_refuse_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, rows = str(folder / "autoregressive.lb"), str(folder / "new.npz")
    assert main(["compress", model, rows, "-o", str(folder / "rows.lbz")]) == 2
    assert "likelihood is a Autoregressive, which has no exact form" in capsys.readouterr().err
    fitted = read(folder / "autoregressive.lb")
    with pytest.raises(UnsupportedError, match="of the autoregressive likelihood also depend"):
        impute(fitted.model, load(rows, schema=fitted.schema))
