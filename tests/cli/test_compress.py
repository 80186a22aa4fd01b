"""``lowerbound compress``, ``decompress``, ``verify`` and ``compare``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run, fitted

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")
EXACT = ("--network", "mlp", "--set", "network.activation=relu")


@pytest.fixture(scope="module")
def model(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "pictures"
    return fitted(pictures, folder, *EXACT, "--likelihood", "discretized_logistic")


@pytest.fixture(scope="module")
def bits_model(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "bits"
    return fitted(pictures, folder, *EXACT, "--binarize", "dynamic")


@pytest.fixture
def file(run: Run, model: Path, pictures: Path, tmp_path: Path) -> Path:
    assert run("compress", model, pictures, "-o", tmp_path / "x.lbz").code == 0
    return tmp_path / "x.lbz"


@pytest.mark.slow
def test_pictures_come_back(
    run: Run, model: Path, pictures: Path, file: Path, tmp_path: Path
) -> None:
    report = run("compress", model, pictures, "-o", file, "--json").object
    assert report["rows"] == 60
    assert report["bytes"] == file.stat().st_size
    assert report["bits_per_dimension"] == pytest.approx(8 * report["bytes"] / (60 * 30))
    assert run("verify", file, "--model", model, "--json").object["decoded"] is True
    assert run("decompress", model, file, "-o", tmp_path / "back.npz").code == 0
    assert run("decompress", model, file, "-o", tmp_path / "back").code == 0
    from PIL import Image

    names = sorted(pictures.rglob("*.png"))
    expected = np.stack([np.asarray(Image.open(name)) for name in names])
    with np.load(tmp_path / "back.npz") as arrays:
        np.testing.assert_array_equal(arrays["x"], expected)
    single = np.asarray(Image.open(tmp_path / "back" / "00007.png"))
    np.testing.assert_array_equal(single, expected[7])


def test_a_folder_of_files(run: Run, model: Path, file: Path, tmp_path: Path) -> None:
    """Each into a folder of its own name, which may have a dot."""
    files = tmp_path / "files"
    (files / "2024.05").mkdir(parents=True)
    for name in ("a.b.lbz", "2024.05/c.lbz"):
        (files / name).write_bytes(file.read_bytes())
    refused = run("decompress", model, files, "-o", tmp_path / "x.npz")
    assert refused.code == 2
    assert "has 2 .lbz files" in refused.err
    back = tmp_path / "back"
    assert run("decompress", model, files, "-o", back, "--json").object["rows"] == 120
    for folder in (back / "a.b", back / "2024.05" / "c"):
        assert (folder / "00059.png").exists()


@pytest.mark.slow
def test_grey_pictures_as_bits(run: Run, bits_model: Path, pictures: Path, tmp_path: Path) -> None:
    first, again, other = (tmp_path / f"{name}.lbz" for name in "abc")
    for file, seed in ((first, 0), (again, 0), (other, 1)):
        assert run("compress", bits_model, pictures, "-o", file, "--seed", seed).code == 0
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()
    assert run("decompress", bits_model, first, "-o", tmp_path / "x.npz").code == 0
    with np.load(tmp_path / "x.npz") as arrays:
        assert set(np.unique(arrays["x"])) <= {0, 255}


@pytest.mark.slow
def test_another_process_decodes(model: Path, file: Path) -> None:
    words = [sys.executable, "-m", "lowerbound", "verify", str(file), "--model", str(model)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "decodes: 60 rows" in done.stdout


@pytest.mark.slow
def test_a_refitted_model_still_decodes(run: Run, pictures: Path, tmp_path: Path) -> None:
    words = (*EXACT, "--likelihood", "discretized_logistic")
    folder = fitted(pictures, tmp_path / "m", *words)
    assert run("compress", folder, pictures, "-o", tmp_path / "x.lbz").code == 0
    fitted(pictures, folder, *words, "--seed", "5", "--overwrite")
    assert run("compress", folder, pictures, "-o", tmp_path / "y.lbz").code == 0
    assert len(list((folder / "codecs").iterdir())) == 2
    for name in ("x.lbz", "y.lbz"):
        assert run("verify", tmp_path / name, "--model", folder).code == 0


def test_codecs_are_compared(run: Run, model: Path, pictures: Path, file: Path) -> None:
    report = run("compare", model, pictures, "--json").object
    sizes = {size["codec"]: size["bytes"] for size in report["sizes"]}
    assert sizes["lowerbound"] == file.stat().st_size
    assert {"PNG", "WebP, lossless", "xz -9e", "bz2 -9", "gzip -9"} <= set(sizes)
    assert list(sizes.values()) == sorted(sizes.values())
    assert sizes["PNG"] > 60 * 60


def test_info_tells_of_a_file(run: Run, file: Path) -> None:
    assert "60 rows of 1 x 6 x 5 numbers" in run("info", file).out


def test_bad_input_is_a_sentence(
    run: Run, model: Path, table_model: Path, pictures: Path, bits_model: Path, file: Path,
    tmp_path: Path, picture_model: Path, table: Path,
) -> None:  # fmt: skip
    (tmp_path / "empty.lbz").touch()
    (tmp_path / "text.lbz").write_text("hello")
    (tmp_path / "cut.lbz").write_bytes(file.read_bytes()[:-9])
    out = tmp_path / "out"
    for words, sentence in (
        (("compress", model, pictures, "-o", tmp_path / "x.zip"), "written as NAME.lbz"),
        (("compress", picture_model, pictures, "-o", tmp_path / "x.lbz"), "has no exact form"),
        (("compress", table_model, table, "-o", tmp_path / "y.lbz"), "cannot compress"),
        (("decompress", model, tmp_path / "empty.lbz", "-o", out), "is empty"),
        (("decompress", model, tmp_path / "text.lbz", "-o", out), "not compressed data"),
        (("decompress", model, tmp_path / "cut.lbz", "-o", out), "is cut short"),
        (("decompress", bits_model, file, "-o", out), "has none of that name"),
        (("decompress", model, file, "-o", tmp_path / "x.csv"), "one .png sheet, as .npz"),
        (("verify", tmp_path / "cut.lbz"), "is cut short"),
        (("verify", tmp_path / "nothing.lbz"), "no such file"),
        (("info", tmp_path / "text.lbz"), "not compressed data"),
    ):
        refused = run(*words)
        assert refused.code == 2, (words, refused)
        assert sentence in refused.err, (words, refused.err)
    assert not out.exists()


def test_the_missing_library_is_named(
    run: Run, model: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "constriction", None)
    refused = run("compress", model, pictures, "-o", tmp_path / "x.lbz")
    assert refused.code == 2
    assert "pip install 'lowerbound[compress]'" in refused.err
