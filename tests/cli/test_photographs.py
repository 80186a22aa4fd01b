"""``denoise`` and ``impute`` of photographs of any size, without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from tests.cli.conftest import Run

Array = np.ndarray[Any, Any]
HEIGHT, WIDTH = 61, 90


def pixels(path: Path) -> Array:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A noisy photograph in several modes."""
    made = tmp_path_factory.mktemp("photographs")
    clean = data.coffee()[100 : 100 + HEIGHT, 200 : 200 + WIDTH].astype(float)
    noisy = clean + np.random.default_rng(0).normal(0, 25, clean.shape)
    color = Image.fromarray(np.rint(noisy).clip(0, 255).astype(np.uint8))
    grey = color.convert("L")
    alpha = Image.fromarray(np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8))
    for name, parts in (("L", [grey]), ("LA", [grey, alpha]), ("RGBA", [*color.split(), alpha])):
        Image.merge(name, parts).save(made / f"{name}.png")
    color.save(made / "RGB.png")
    return made


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_size_and_mode_are_kept(run: Run, folder: Path, tmp_path: Path, mode: str) -> None:
    source, out = folder / f"{mode}.png", tmp_path / "clean.png"
    report = run("denoise", source, "-o", out, "--noise", 25, "--json").object
    assert report["noise"] == 25
    assert not report["learned"]
    with Image.open(out) as picture:
        assert (picture.mode, picture.size) == (mode, (WIDTH, HEIGHT))
    assert (pixels(out) != pixels(source)).mean() > 0.4  # opacity is unchanged
    if "A" in mode:
        np.testing.assert_array_equal(pixels(out)[..., -1], pixels(source)[..., -1])


def test_no_noise_changes_no_pixel(run: Run, folder: Path, tmp_path: Path) -> None:
    done = run("denoise", folder / "RGB.png", "-o", tmp_path / "x.png", "--noise", 0)
    assert done.code == 0
    assert "no noise to remove; the picture is unchanged: " in done.out
    assert "PSNR" not in done.out
    np.testing.assert_array_equal(pixels(tmp_path / "x.png"), pixels(folder / "RGB.png"))


def test_a_picture_in_which_no_noise_is_found_is_unchanged(run: Run, tmp_path: Path) -> None:
    flat = np.repeat(np.arange(0, 240, 10, dtype=np.uint8)[:, None], 24, 1)
    Image.fromarray(flat).save(tmp_path / "flat.png")
    done = run("denoise", tmp_path / "flat.png", "-o", tmp_path / "x.png")
    assert "no noise found; the picture is unchanged: " in done.out
    np.testing.assert_array_equal(pixels(tmp_path / "x.png"), flat)


def test_color_without_colors_stays_without(run: Run, folder: Path, tmp_path: Path) -> None:
    Image.open(folder / "L.png").convert("RGB").save(tmp_path / "grey.png")
    run("denoise", tmp_path / "grey.png", "-o", tmp_path / "x.png", "--noise", 25)
    found = pixels(tmp_path / "x.png")
    assert found.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(found[..., 0], found[..., 2])


@pytest.mark.slow
def test_a_folder_becomes_a_folder(run: Run, folder: Path, tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp", "deep/b.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.open(folder / "RGB.png").save(tmp_path / "in" / name)
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    words = ("denoise", tmp_path / "in", "-o", tmp_path / "out")
    assert "cannot be read" in run(*words).err
    outcome = run(*words, "--on-error", "skip")
    assert "3 pictures" in outcome.out
    assert f"\nleft out: 1 picture, {tmp_path / 'in' / 'broken.png'}" in outcome.out
    found = sorted(path.relative_to(tmp_path / "out") for path in tmp_path.glob("out/**/*.png"))
    assert [str(path) for path in found] == ["a.bmp.png", "a.png.png", "deep/b.png"]


def test_the_level_is_estimated_by_default(run: Run, folder: Path, tmp_path: Path) -> None:
    report = run("denoise", folder / "RGB.png", "-o", tmp_path / "x.png", "--json").object
    assert report["learned"]
    assert report["noise"] == pytest.approx(25, rel=0.15)
    assert report["psnr"] > 20


@pytest.mark.slow
def test_hidden_pixels_are_filled(run: Run, folder: Path, tmp_path: Path) -> None:
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[30:33] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    source, out = folder / "RGBA.png", tmp_path / "whole.png"
    words = ("impute", source, "-o", out, "--json", "--mask")
    assert run(*words, tmp_path / "mask.png").object["filled"] == 3 * WIDTH
    given, found = pixels(source), pixels(out)
    np.testing.assert_array_equal(found[mask > 0], given[mask > 0])
    np.testing.assert_array_equal(found[..., 3], given[..., 3])
    assert (found[30:33] != given[30:33]).mean() > 0.5
    assert run(*words, "10,20,5,6").object["filled"] == 30


def test_the_seed_of_filled_pixels_is_that_of_the_request(run: Run, tmp_path: Path) -> None:
    light = np.random.default_rng(0).integers(0, 256, (24, 24), dtype=np.uint8)
    Image.fromarray(light).save(tmp_path / "given.png")
    out = tmp_path / "whole.png"
    found = []
    for seed in (0, 0, 1):
        run("impute", tmp_path / "given.png", "-o", out, "--mask", "8,8,6,6", "--seed", seed)
        found.append(pixels(out))
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


def test_pictures_that_a_mask_does_not_fit_are_named(run: Run, tmp_path: Path) -> None:
    """Before any is filled; a picture that is 1 pixel high has sides like any other."""
    for name, size in (("a", (20, 16)), ("b", (16, 20)), ("c", (20, 1))):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.new("RGB", size, (9, 99, 200)).save(tmp_path / "in" / f"{name}.png")
    mask = Image.new("L", (20, 16), 255)
    mask.paste(0, (4, 5, 6, 8))
    mask.save(tmp_path / "mask.png")
    b, c = tmp_path / "in" / "b.png", tmp_path / "in" / "c.png"
    words = ("impute", tmp_path / "in", "-o", tmp_path / "out", "--mask", tmp_path / "mask.png")
    refused = run(*words)
    assert refused.code == 2
    sides = f"{tmp_path / 'mask.png'}: the mask has 20x16 pixels, and {b} has 16x20"
    assert sides in refused.err
    assert not (tmp_path / "out").exists()
    done = run(*words, "--on-error", "skip")
    assert f"{b} is left out: {sides}" in done.err
    assert f"and {c} has 20x1" in done.err
    assert "6 hidden pixels (2%) of 1 picture filled" in done.out
    assert f"\nleft out: 2 pictures, {b}, {c}" in done.out
    report = run(*words, "--on-error", "skip", "--json").object
    assert (report["pictures"], report["left_out"]) == (1, [str(b), str(c)])
    report = run("impute", c, "-o", tmp_path / "c.png", "--mask", "0,3,1,2", "--json").object
    assert report["filled"] == 2


def test_masks_are_checked_before_any_picture_is_filled(run: Run, tmp_path: Path) -> None:
    for folder, light in (("in", 99), ("masks", 255)):
        (tmp_path / folder).mkdir()
        for name in "ab":
            Image.new("L", (16, 16), light).save(tmp_path / folder / f"{name}.png")
    Image.new("L", (16, 16), 0).save(tmp_path / "masks" / "b.png")
    words = ("--mask", tmp_path / "masks", "-o", tmp_path / "out")
    refused = run("impute", tmp_path / "in", *words)
    b = tmp_path / "in" / "b.png"
    assert f"{b}: {tmp_path / 'masks' / 'b.png'} hides the whole picture" in refused.err
    assert not (tmp_path / "out").exists()


def test_masks_that_hide_nothing_are_named(run: Run, tmp_path: Path) -> None:
    for folder, light in (("in", 99), ("masks", 128)):
        (tmp_path / folder).mkdir()
        for name in "ab":
            Image.new("L", (16, 16), light).save(tmp_path / folder / f"{name}.png")
    words = ("impute", tmp_path / "in", "-o", tmp_path / "out", "--mask")
    grey = tmp_path / "masks" / "a.png"
    rule = "hides no pixel: only black pixels (0 of 255) are hidden, and its darkest is 128"
    refused = run(*words, grey)
    assert refused.code == 2
    assert f"{grey} {rule}" in refused.err
    np.save(tmp_path / "mask.npy", np.zeros((16, 16), bool))
    assert "mask.npy hides nothing: no value is True" in run(*words, tmp_path / "mask.npy").err
    assert "masks hide no pixel: only black pixels" in run(*words, tmp_path / "masks").err
    assert not (tmp_path / "out").exists()
    some = Image.new("L", (16, 16), 255)
    some.putpixel((3, 4), 0)
    some.save(tmp_path / "masks" / "b.png")
    done = run(*words, tmp_path / "masks")
    assert f"1 of 2 masks hide no pixel, and their pictures stay as they are: {grey} {rule}" in (
        done.err
    )
    assert "1 hidden pixels" in done.out


@pytest.mark.slow
def test_a_mask_that_hides_most_is_perhaps_inverted(run: Run, folder: Path, tmp_path: Path) -> None:
    words = ("impute", folder / "L.png", "-o", tmp_path / "whole.png", "--mask")
    assert "inverted" not in run(*words, f"0,0,{HEIGHT // 2 - 1},{WIDTH}").out
    assert "inverted" in run(*words, f"0,0,{HEIGHT // 2 + 1},{WIDTH}").out


def test_bad_input_is_a_sentence(
    run: Run, folder: Path, picture_model: Path, table: Path, tmp_path: Path
) -> None:
    photo, out = folder / "RGB.png", tmp_path / "x.png"
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "tiny.png")
    for words, sentence in (
        (("denoise", photo), "-o is missing"),
        (("denoise", photo, "-o", tmp_path / "x.npz"), "a picture is written as NAME.png"),
        (("denoise", folder, "-o", out), "are written into a folder"),
        (("denoise", photo, "-o", out, "--noise", 90), "noise of 0 to 75 of 255"),
        (("denoise", photo, "-o", out, "--noise", "loud"), "--noise is a number or 'auto'"),
        (("denoise", photo, "-o", out, "--draws", 2), "--draws needs a model"),
        (("denoise", photo, "-o", out, "--device", "cpu"), "--device needs a model"),
        (("denoise", tmp_path / "no.png", "-o", out), "there is no file or folder"),
        (
            ("impute", photo, "-o", out, "--mask", tmp_path / "tiny.png"),
            f"9x9 pixels, and {photo} has",
        ),
        (("denoise", table, "-o", out), "neither a picture nor a folder"),
        (("denoise", picture_model, "-o", out), "is a model folder: name the data after it"),
        (("denoise", tmp_path / "deep.png", "-o", out), "convert it to 8 bits first"),
        (("denoise", tmp_path / "tiny.png", "-o", out), "give --noise, or leave such pictures out"),
        (("denoise", picture_model, photo, "-o", out), f"{WIDTH}x{HEIGHT} pixels, and"),
        (("impute", photo, "-o", out), "--mask is missing"),
        (("impute", photo, "-o", out, "--samples", 3, "--mask", "0,0,1,1"), "needs a model"),
        (("impute", photo, "-o", out, "--mask", f"0,0,{HEIGHT},{WIDTH}"), "hides the whole"),
        (("impute", tmp_path / "tiny.png", "-o", out, "--mask", folder), "masks for 1 pictures"),
    ):
        refused = run(*words)
        assert refused.code == 2, words
        assert sentence in refused.err, refused.err
    assert not out.exists()


def test_pictures_of_another_size_are_resized_only_on_request(
    run: Run, folder: Path, picture_model: Path, tmp_path: Path
) -> None:
    few = ("--noise", 20, "--chains", 2, "--temperatures", 2)
    words = ("denoise", picture_model, folder / "L.png", "-o", tmp_path / "x.npz", *few)
    assert "--allow-resize" in run(*words).err
    assert run(*words, "--allow-resize").code == 0
