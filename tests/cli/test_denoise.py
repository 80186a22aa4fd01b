"""``lowerbound denoise``: noisy files in, files without noise out, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound.inference import denoising
from tests.cli.conftest import Run, fitted

FEW = ("--chains", 4, "--temperatures", 3)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three columns tied together."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 1)) @ np.ones((1, 3)) * 10 + 50
    path = tmp_path_factory.mktemp("numbers") / "x.csv"
    pd.DataFrame(x, columns=["a", "b", "c"]).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def model(numbers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE of the numbers."""
    folder = tmp_path_factory.mktemp("models") / "numbers"
    return fitted(numbers, folder, "--likelihood", "gaussian", "--latent-dim", "1")


@pytest.mark.slow
@pytest.mark.parametrize("noise", ["20", "auto", pytest.param("learn", marks=pytest.mark.long)])
def test_pictures_are_cleaned(
    run: Run,
    picture_model: Path,
    pictures: Path,
    tmp_path: Path,
    noise: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(denoising, "SEARCH_CHAINS", 4)  # a short search; its levels have own tests
    monkeypatch.setattr(denoising, "SEARCH_TEMPERATURES", 3)
    monkeypatch.setattr(denoising, "TRIES", 4)
    monkeypatch.setattr(denoising, "LEAST_TRIES", 1)
    words = ("-o", tmp_path / "clean.png", "--noise", noise, "--draws", 1, *FEW, "--json")
    report = run("denoise", picture_model, pictures, *words).object
    assert report["rows"] == 60
    assert report["learned"] == (noise != "20")
    assert report["noise"] == (20 if noise == "20" else pytest.approx(report["noise"]))
    assert report["moved"] > 0
    assert report["shown"] == 32
    assert (tmp_path / "clean.png").exists()


def test_noise_beyond_black_and_white_comes_in_arrays(
    run: Run, picture_model: Path, tmp_path: Path
) -> None:
    noisy = np.random.default_rng(0).normal(100, 80, (5, 6, 5))
    np.savez(tmp_path / "noisy.npz", x=noisy)
    words = ("--noise", 80, "--outliers", 0.1, "--draws", 2, *FEW)
    for out in ("clean.npz", "clean"):
        outcome = run(
            "denoise", picture_model, tmp_path / "noisy.npz", "-o", tmp_path / out, *words
        )
        assert outcome.code == 0, outcome.err
    assert "noise of standard deviation 80 (as given) removed from 5 rows" in outcome.out
    with np.load(tmp_path / "clean.npz") as arrays:
        assert arrays["x"].shape == noisy.shape
        assert arrays["draws"].shape == (2, *noisy.shape)
        assert 0 <= arrays["x"].min() <= arrays["x"].max() <= 255
        assert not np.allclose(arrays["draws"][0], arrays["draws"][1])
    assert len(list((tmp_path / "clean").glob("*.png"))) == 1 + 3 * 5


def test_tables_keep_their_columns(run: Run, model: Path, numbers: Path, tmp_path: Path) -> None:
    words = ("-o", tmp_path / "clean.csv", "--noise", 3, "--draws", 1, *FEW)
    outcome = run("denoise", model, numbers, *words)
    assert outcome.code == 0, outcome.err
    found = pd.read_csv(tmp_path / "clean.csv")
    assert list(found) == ["a", "b", "c"]
    assert (tmp_path / "clean-1.csv").exists()


def test_a_file_with_decimal_commas_is_read_by_a_model_of_points(
    run: Run, model: Path, numbers: Path, tmp_path: Path
) -> None:
    german = tmp_path / "german.csv"
    pd.read_csv(numbers).to_csv(german, index=False, sep=";", decimal=",")
    for source, name in ((numbers, "a"), (german, "b")):
        words = ("-o", tmp_path / f"{name}.csv", "--noise", 1, *FEW)
        assert run("denoise", model, source, *words).code == 0
    same, other = (pd.read_csv(tmp_path / f"{name}.csv") for name in "ab")
    np.testing.assert_allclose(other, same)


def test_columns_that_the_model_does_not_take_are_written_as_given(
    run: Run, model: Path, numbers: Path, tmp_path: Path
) -> None:
    given = pd.read_csv(numbers).assign(when="2020-01-01")[["b", "when", "a", "c"]]
    given.insert(0, "id", [f"r{row}" for row in range(len(given))])
    given.to_csv(tmp_path / "given.csv", index=False)
    words = ("-o", tmp_path / "clean.csv", "--noise", 3, "--draws", 1, *FEW)
    assert run("denoise", model, tmp_path / "given.csv", *words).code == 0
    for name in ("clean.csv", "clean-1.csv"):
        found = pd.read_csv(tmp_path / name)
        assert list(found) == list(given)
        pd.testing.assert_frame_equal(found[["id", "when"]], given[["id", "when"]])
        assert (found["a"] != given["a"]).all()


def test_databases_are_tables_too(run: Run, model: Path, numbers: Path, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="pip install 'lowerbound[duckdb]'")
    path = tmp_path / "x.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE TABLE t AS SELECT * FROM read_csv('{numbers}')")
    words = ("-o", tmp_path / "clean.csv", "--noise", 3, *FEW)
    outcome = run("denoise", model, f"duckdb:{path}?table=t", *words)
    assert outcome.code == 0, outcome.err
    words = ("-o", tmp_path / "same.csv", "--noise", 3, *FEW)
    assert run("denoise", model, numbers, *words).code == 0
    clean, same = (pd.read_csv(tmp_path / name) for name in ("clean.csv", "same.csv"))
    pd.testing.assert_frame_equal(clean, same, rtol=1e-9)  # parsers differ in the last bit


def test_no_noise_changes_nothing(run: Run, picture_model: Path, tmp_path: Path) -> None:
    given = np.random.default_rng(0).normal(100, 80, (5, 6, 5))  # between levels and beyond them
    np.savez(tmp_path / "x.npz", x=given)
    words = ("-o", tmp_path / "same.npz", "--noise", 0, *FEW)
    assert run("denoise", picture_model, tmp_path / "x.npz", *words).code == 0
    with np.load(tmp_path / "same.npz") as arrays:
        np.testing.assert_array_equal(arrays["x"], given)


def test_outliers_without_other_noise_are_removed(
    run: Run, picture_model: Path, tmp_path: Path
) -> None:
    noisy = np.full((5, 6, 5), 60.0)
    noisy[:, 1, 1] = 255.0
    np.savez(tmp_path / "noisy.npz", x=noisy)
    words = ("-o", tmp_path / "clean.npz", "--noise", 0, "--outliers", 0.1, *FEW)
    assert run("denoise", picture_model, tmp_path / "noisy.npz", *words).code == 0
    with np.load(tmp_path / "clean.npz") as arrays:
        assert (arrays["x"][:, 1, 1] < 254).all()


def test_a_conditional_model_is_told_the_class(
    run: Run, conditional_model: Path, pictures: Path, tmp_path: Path
) -> None:
    words = ("-o", tmp_path / "clean.png", "--noise", 20, *FEW)
    outcome = run("denoise", conditional_model, pictures, *words)
    assert outcome.code == 0, outcome.err


def test_sweeps_are_cleaned_and_filled(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "sweeps").mkdir()
    for i in range(20):
        returns = rng.normal(size=(400, 4)) * (9, 9, 2, 1)
        (tmp_path / "sweeps" / f"{i}.bin").write_bytes(returns.astype("<f4").tobytes())
    model = fitted(tmp_path / "sweeps", tmp_path / "model", "--image-size", "16")
    outcome = run(
        "denoise", model, tmp_path / "sweeps", "-o", tmp_path / "whole.npz", "--noise", 0.01, *FEW
    )
    assert outcome.code == 0, outcome.err
    with np.load(tmp_path / "whole.npz") as arrays:
        assert arrays["x"].shape == (20, 16, 16)
        assert np.isfinite(arrays["x"]).all()


def test_bad_input_is_a_sentence(
    run: Run, model: Path, table_model: Path, autoencoder: Path, numbers: Path, table: Path,
    pictures: Path, tmp_path: Path,
) -> None:  # fmt: skip
    out = tmp_path / "out.csv"
    for words, sentence in (
        ((model, numbers, "-o", out, "--noise", "loud"), "--noise is a number or 'auto'"),
        ((model, numbers, "-o", out, "--noise", "-1"), "a standard deviation, 0 or more, not -1"),
        ((model, numbers, "-o", out, "--outliers", 0.1), "which only pictures have"),
        ((model, numbers, "-o", tmp_path / "x.png"), "tables are written as .csv"),
        ((model, numbers, "-o", out, "--draws", -1, "--noise", 1), "draws must be 0 or more"),
        ((table_model, table, "-o", out), "again with --likelihood gaussian"),
        ((autoencoder, pictures, "-o", tmp_path / "o.png"), "autoencoder has no prior"),
    ):
        refused = run("denoise", *words)
        assert refused.code == 2
        assert sentence in refused.err
    assert not out.exists()
