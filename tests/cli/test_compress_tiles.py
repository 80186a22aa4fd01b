"""``lowerbound compress`` and ``decompress`` of pictures of any size, losslessly, by tiles."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.applications.compression.small_transform import photograph
from tests.cli.conftest import Run, fitted

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")
EXACT = (
    *("--set", "network.activation=relu", "--likelihood", "discretized_logistic"),
    *("--resize", "tiles", "--image-size", "8", "--latent-dim", "3", "--test", "0"),
)
SIZES = {"a.png": (1, 1), "b.png": (17, 31), "c.png": (8, 8), "more/a.png": (40, 9)}


def pixels(path: Path, mode: str = "RGB") -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert(mode))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Colored pictures of their own sizes (height, width), in two folders."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "more").mkdir()
    whole = photograph()
    for place, (name, (height, width)) in enumerate(SIZES.items()):
        part = whole[30 * place :][:height, 200 : 200 + width]
        Image.fromarray(part).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def model(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted(photos, tmp_path_factory.mktemp("m") / "color", "--network", "mlp", *EXACT)


@pytest.fixture(scope="module")
def grey_model(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grey")
    Image.fromarray(pixels(photos / "b.png", "L")).save(folder / "b.png")
    levels = ("--model", "ladder", "--set", "model.activation=relu")
    return fitted(folder, folder / "m", "--network", "convolutional", *levels, *EXACT)


@pytest.mark.slow
def test_a_folder_comes_back(run: Run, model: Path, photos: Path, tmp_path: Path) -> None:
    file, back = tmp_path / "x.lbz", tmp_path / "back"
    done = run("compress", model, photos, "-o", file, "--json")
    report = done.object
    assert (report["pictures"], report["tiles"]) == (4, 1 + 12 + 1 + 10)
    numbers = 3 * sum(height * width for height, width in SIZES.values())
    assert report["raw_bytes"] == numbers
    assert report["bytes"] == file.stat().st_size
    assert report["bits_per_dimension"] == pytest.approx(8 * report["bytes"] / numbers)
    assert report["notes"] == []
    assert "4 pictures, 24 tiles" in run("compress", model, photos, "-o", file).out
    assert run("verify", file, "--model", model, "--json").object["decoded"] is True
    assert run("info", file, "--json").object["kind"] == "bits_back_tiles"
    assert run("decompress", model, file, "-o", back, "--json").object["files_written"] == 4
    assert len(list(back.iterdir())) == 4
    for number, name in enumerate(SIZES):
        found = pixels(back / f"{number:05d}.png")
        np.testing.assert_array_equal(found, pixels(photos / name))
    assert run("decompress", model, file, "-o", back).code == 0  # the same content is no loss
    kept = back / "00001.png"
    kept.write_bytes((photos / next(iter(SIZES))).read_bytes())
    before = kept.read_bytes()
    refused = run("decompress", model, file, "-o", back)
    assert refused.code == 2
    assert "00001.png exists with other content" in refused.err
    assert kept.read_bytes() == before


@pytest.mark.parametrize("name", SIZES)
def test_one_picture_comes_back(
    run: Run, model: Path, photos: Path, tmp_path: Path, name: str
) -> None:
    """Also one of the model's own size: not as a sheet of one."""
    file, back = tmp_path / "x.lbz", tmp_path / "back.png"
    assert run("compress", model, photos / name, "-o", file, "--json").object["pictures"] == 1
    assert run("decompress", model, file, "-o", back).code == 0
    np.testing.assert_array_equal(pixels(back), pixels(photos / name))


@pytest.mark.slow
def test_the_note_on_one_picture_says_nothing_of_those_of_the_fit(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "some")
    clear = np.full((4, 4, 4), 90, np.uint8)
    Image.fromarray(clear).save(tmp_path / "some" / "clear.png")
    folder = fitted(tmp_path / "some", tmp_path / "m", "--network", "mlp", *EXACT)
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(tmp_path / "one.png")
    done = run("compress", folder, tmp_path / "one.png", "-o", tmp_path / "x.lbz")
    assert done.code == 0
    assert "1 picture, 1 tile," in done.out
    assert "white" not in done.out + done.err


def test_pictures_of_the_model_s_own_size_are_rows(
    run: Run, model: Path, photos: Path, tmp_path: Path
) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / "own").mkdir(exist_ok=True)
        shutil.copy(photos / "c.png", tmp_path / "own" / name)
    report = run("compress", model, tmp_path / "own", "-o", tmp_path / "x.lbz", "--json").object
    assert report["rows"] == 2
    assert run("info", tmp_path / "x.lbz", "--json").object["kind"] == "bits_back"


@pytest.mark.slow
def test_a_grey_ladder_says_that_color_is_gone(
    run: Run, grey_model: Path, photos: Path, tmp_path: Path
) -> None:
    file, back = tmp_path / "x.lbz", tmp_path / "back"
    some = ("a.png", "c.png", "more/a.png")
    for number, name in enumerate(some):
        (tmp_path / "some").mkdir(exist_ok=True)
        shutil.copy(photos / name, tmp_path / "some" / f"{number}.png")
    done = run("compress", grey_model, tmp_path / "some", "-o", file)
    assert "3 of 3 are in color and become grey" in done.out
    assert run("decompress", grey_model, file, "-o", back).code == 0
    for number, name in enumerate(some):
        with Image.open(back / f"{number:05d}.png") as found:
            assert found.mode == "L"
            np.testing.assert_array_equal(np.asarray(found), pixels(photos / name, "L"))


def test_grey_pictures_by_a_model_of_colors(
    run: Run, model: Path, photos: Path, tmp_path: Path
) -> None:
    grey = pixels(photos / "b.png", "L")
    Image.fromarray(grey).save(tmp_path / "grey.png")
    words = ("compress", model, tmp_path / "grey.png", "-o", tmp_path / "x.lbz", "--json")
    assert run(*words).object["notes"] == []
    assert run("decompress", model, tmp_path / "x.lbz", "-o", tmp_path / "back.png").code == 0
    np.testing.assert_array_equal(pixels(tmp_path / "back.png"), np.stack([grey] * 3, -1))


def test_what_8_bits_do_not_hold_is_said(run: Run, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    Image.fromarray(np.full((3, 4), 40_000, np.uint16)).save(folder / "deep.png")
    Image.fromarray(np.full((3, 4, 4), 90, np.uint8)).save(folder / "transparent.png")
    report = run("compress", model, folder, "-o", tmp_path / "x.lbz", "--json").object
    notes = ["transparent ones are laid on white", "16-bit ones keep their upper 8 bits"]
    assert report["notes"] == notes
    Image.fromarray(np.full((3, 4), 0.5, np.float32)).save(folder / "floats.tiff")
    refused = run("compress", model, folder, "-o", tmp_path / "x.lbz")
    assert refused.code == 2
    assert "its pixels are floats" in refused.err


def test_rows_that_were_set_aside_are_rows(
    run: Run, model: Path, photos: Path, tmp_path: Path
) -> None:
    refused = run("compress", model, photos, "-o", tmp_path / "x.lbz", "--part", "test")
    assert "no rows" in refused.err


def test_bits_stay_rows(run: Run, photos: Path, tmp_path: Path) -> None:
    """A model of bits gives no grey back, so no picture at its own size either."""
    words = ("--resize", "tiles", "--image-size", "8", "--test", "0", "--binarize", "dynamic")
    relu = ("--network", "mlp", "--set", "network.activation=relu")
    folder = fitted(photos, tmp_path / "m", *relu, *words)
    assert run("compress", folder, photos, "-o", tmp_path / "x.lbz").code == 0
    assert run("info", tmp_path / "x.lbz", "--json").object["kind"] == "bits_back"


def test_broken_pictures_are_left_out_if_asked(
    run: Run, model: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "some")
    (tmp_path / "some" / "0.png").write_text("no picture")
    words = ("compress", model, tmp_path / "some", "-o", tmp_path / "x.lbz")
    refused = run(*words)
    assert refused.code == 2
    assert "0.png cannot be read as a picture" in refused.err
    assert run(*words, "--on-error", "skip", "--json").object["pictures"] == 4


def test_bad_input_is_a_sentence(
    run: Run, model: Path, grey_model: Path, picture_model: Path, photos: Path, tmp_path: Path
) -> None:
    file, damaged, out = tmp_path / "x.lbz", tmp_path / "damaged.lbz", tmp_path / "out"
    assert run("compress", model, photos, "-o", file).code == 0
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    for words, sentence in (
        (("compress", model, photos, "-o", tmp_path / "x.zip"), "written as NAME.lbz"),
        (("compress", model, photos, "-o", file, "--codebooks", "2"), "models with codes"),
        (("compress", picture_model, photos, "-o", file), "has no exact form"),
        (("decompress", model, damaged, "-o", out), "does not match its checksum"),
        (("decompress", grey_model, file, "-o", out), "has none of that name"),
        (("decompress", model, file, "-o", tmp_path / "x.png"), "holds 4 pictures"),
        (("decompress", model, file, "-o", tmp_path / "x.npz"), "NAME.png or into a folder"),
    ):
        refused = run(*words)
        assert refused.code == 2, (words, refused)
        assert sentence in refused.err, (words, refused.err)
    assert not out.exists()
