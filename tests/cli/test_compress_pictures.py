"""``lowerbound compress`` and its fellows on pictures of any size, by a transform coder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.applications.compression.small_transform import photograph
from tests.cli.conftest import Run, fitted

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")
SMALL = ("block=8", "width=16", "restoration=8", "depth=1")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of their own sizes, one of them grey, in two folders."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "more").mkdir()
    whole = Image.fromarray(photograph())
    whole.crop((0, 0, 120, 90)).save(folder / "a.png")
    whole.crop((200, 50, 271, 150)).save(folder / "b.png")
    whole.crop((300, 90, 340, 121)).convert("L").save(folder / "more" / "a.png")
    return folder


@pytest.fixture(scope="module")
def model(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = [word for option in SMALL for word in ("--set", f"model.{option}")]
    tiles = ("--resize", "tiles", "--image-size", "32", "--test", "0")
    folder = tmp_path_factory.mktemp("models") / "photos"
    return fitted(photos, folder, "--model", "transform", *tiles, *options)


@pytest.mark.slow
def test_a_picture_and_back(run: Run, model: Path, photos: Path, tmp_path: Path) -> None:
    file, back = tmp_path / "a.lbz", tmp_path / "a.png"
    report = run("compress", model, photos / "a.png", "-o", file, "--json").object
    assert report["bytes"] == file.stat().st_size
    assert report["raw_bytes"] == 120 * 90 * 3
    assert report["bits_per_pixel"] == pytest.approx(8 * report["bytes"] / (120 * 90))
    assert run("verify", file, "--model", model, "--json").object["decoded"] is True
    assert run("info", file, "--json").object["kind"] == "transform_steps"
    assert run("decompress", model, file, "-o", back).code == 0
    with Image.open(back) as picture:
        found = np.asarray(picture).astype(float)
    error = np.square(found - photograph()[:90, :120]).mean()
    assert report["psnr"] == pytest.approx(10 * np.log10(255**2 / error), abs=1e-6)


@pytest.mark.slow
def test_a_folder_and_back(run: Run, model: Path, photos: Path, tmp_path: Path) -> None:
    files = tmp_path / "files"
    report = run("compress", model, photos, "-o", files, "--quality", 80, "--json").object
    assert report["pictures"] == 3
    names = sorted(str(path.relative_to(files)) for path in files.rglob("*.lbz"))
    assert names == ["a.lbz", "b.lbz", "more/a.lbz"]
    assert run("decompress", model, files, "-o", tmp_path / "back").code == 0
    sizes = {}
    for path in (tmp_path / "back").rglob("*.png"):
        with Image.open(path) as picture:
            sizes[str(path.relative_to(tmp_path / "back"))] = picture.size
    assert sizes == {"a.png": (120, 90), "b.png": (71, 100), "more/a.png": (40, 31)}


@pytest.mark.slow
def test_as_small_as_asked_for(run: Run, model: Path, photos: Path, tmp_path: Path) -> None:
    file, picture = tmp_path / "a.lbz", photos / "a.png"
    small = run("compress", model, picture, "-o", file, "--bytes", 1500, "--json").object
    assert small["bytes"] <= 1500
    assert run("compress", model, picture, "-o", file, "--times", 10, "--json").code == 0
    assert file.stat().st_size <= 120 * 90 * 3 / 10
    fine, coarse = (
        run("compress", model, picture, "-o", file, "--quality", quality, "--json").object
        for quality in (50, 10)
    )
    assert fine["bytes"] > coarse["bytes"]
    assert fine["psnr"] > coarse["psnr"]


@pytest.mark.slow
def test_training_pictures_may_be_gone(run: Run, model: Path, photos: Path, tmp_path: Path) -> None:
    """The codec is then made from what is compressed, and is about as good."""
    sizes = []
    for folder, source in ((model, photos), (tmp_path / "moved.lb", tmp_path / "gone")):
        if folder != model:
            shutil.copytree(model, folder)
            shutil.rmtree(folder / "codecs", ignore_errors=True)
            request = folder / "request.json"
            request.write_text(request.read_text().replace(str(photos), str(source)))
        words = ("compress", folder, photos / "b.png", "-o", tmp_path / "b.lbz", "--json")
        sizes.append(run(*words).object["bytes"])
    assert sizes[1] == pytest.approx(sizes[0], rel=0.03)


@pytest.mark.slow
def test_codecs_side_by_side(run: Run, model: Path, photos: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    report = run("compare", model, photos / "a.png", "-o", page, "--json").object
    assert {rate["codec"] for rate in report["rates"]} >= {"lowerbound", "JPEG", "WebP"}
    text = page.read_text(encoding="utf-8")
    assert text.count("<img") >= 1
    assert "http" not in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("a.png", "-o", "a.lbz", "--times", "5", "--bytes", "900"), "give one of them"),
        (("a.png", "-o", "a.lbz", "--quality", "101"), "0 to 100"),
        (("a.png", "-o", "a.lbz", "--times", "0"), "above 0"),
        (("a.png", "-o", "a.lbz", "--bytes", "60"), "at its coarsest"),
        (("a.png", "-o", "a.lbz", "--part", "test"), "leave --part out"),
        (("a.png", "-o", "a.lbz", "--codebooks", "2"), "models with codes"),
        (("a.png", "-o", "a.zip"), "NAME.lbz"),
        ((".", "-o", "a.lbz"), "into a folder"),
        (("none.png", "-o", "a.lbz"), "there is no picture or folder of pictures"),
    ],
)
def test_bad_requests_are_one_sentence(
    run: Run, model: Path, photos: Path, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    data, flag, output, *rest = words
    answer = run("compress", model, photos / data, flag, tmp_path / output, *rest)
    assert answer.code == 2
    assert sentence in answer.err


def test_broken_and_empty_pictures(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("text.png", "empty.png"):
        answer = run("compress", model, tmp_path / name, "-o", tmp_path / "x.lbz")
        assert answer.code == 2
        assert "cannot be read as a picture" in answer.err


def test_broken_pictures_of_a_folder_are_left_out_if_asked(
    run: Run, model: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(photos, tmp_path / "some")
    (tmp_path / "some" / "0.png").write_text("no picture")
    words = ("compress", model, tmp_path / "some", "-o", tmp_path / "files")
    assert run(*words).code == 2
    report = run(*words, "--on-error", "skip", "--json").object
    assert report["pictures"] == 3
    assert not (tmp_path / "files" / "0.lbz").exists()


def test_other_models_have_no_rate(run: Run, tmp_path: Path, pictures: Path) -> None:
    exact = ("--network", "mlp", "--set", "network.activation=relu")
    folder = fitted(pictures, tmp_path / "m", *exact, "--likelihood", "discretized_logistic")
    answer = run("compress", folder, pictures, "-o", tmp_path / "x.lbz", "--times", 5)
    assert answer.code == 2
    assert "transform coder" in answer.err


@pytest.mark.slow
def test_without_a_model_by_the_codec_that_comes_along(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "a.png"
    shutil.copy(photos / "a.png", picture)
    report = run("compress", picture, "--quality", 60, "--json").object
    file = tmp_path / "a.lbz"
    assert report["files"] == [str(file)]
    assert report["psnr"] > 30
    assert report["bytes"] < report["raw_bytes"] / 10
    said = run("decompress", file)  # the picture is there: it is not written over
    assert (said.code, "is there already" in said.err) == (2, True)
    assert run("decompress", file, "-o", tmp_path / "back.png").code == 0
    said = run("decompress", tmp_path, file, "-o", tmp_path / "of_model.png")
    assert (said.code, f"leave {tmp_path} out, as in: lowerbound d" in said.err) == (2, True)
    picture.unlink()
    assert run("decompress", file).code == 0
    assert picture.read_bytes() == (tmp_path / "back.png").read_bytes()
    assert run("compare", picture, "--json").object["pictures"] == 1


@pytest.mark.slow
def test_a_picture_that_is_smaller_exactly_is_stored(run: Run, tmp_path: Path) -> None:
    scan, photo = tmp_path / "scan.png", tmp_path / "photo.jpg"
    Image.new("1", (300, 200), 1).save(scan)
    Image.fromarray(photograph()).save(photo, quality=10)
    for path, back in ((scan, tmp_path / "back.png"), (photo, tmp_path / "back.jpg")):
        file = tmp_path / "x.lbz"
        report = run("compress", path, "-o", file, "--json").object
        assert report["stored"] == 1
        assert report["source_bytes"] == path.stat().st_size
        assert report["bytes"] <= path.stat().st_size + 48
        assert run("verify", file, "--json").code == 0
        assert run("decompress", file, "-o", back).code == 0
        with Image.open(path) as given, Image.open(back) as found:
            np.testing.assert_array_equal(
                np.asarray(found.convert("RGB")), np.asarray(given.convert("RGB"))
            )
    said = run("compress", photo, "-o", tmp_path / "y.lbz").out
    assert "about as large as the source" in said or "times larger than the source" in said
    assert "lossy" not in said


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures that are stored exactly, two of them in subfolders with dots in the name."""
    folder = tmp_path_factory.mktemp("tree")
    for name, color in (("a", "red"), ("2024.05/b", "green"), ("more.png/c", "blue")):
        path = folder / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), color).save(path)
    return folder


@pytest.mark.slow
def test_subfolders_may_have_dots(run: Run, tree: Path, tmp_path: Path) -> None:
    files, back = tmp_path / "files", tmp_path / "back"
    assert run("compress", tree, "-o", files, "--bytes", 2000, "--json").object["stored"] == 3
    assert run("decompress", files, "-o", back, "--json").object["files_written"] == 3
    names = {path.relative_to(tree) for path in tree.rglob("*.png") if path.is_file()}
    assert names == {path.relative_to(back) for path in back.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_pictures_of_several_files_are_not_one_picture(
    run: Run, tree: Path, tmp_path: Path
) -> None:
    files, back = tmp_path / "files", tmp_path / "one.png"
    assert run("compress", tree, "-o", files).code == 0
    refused = run("decompress", files, "-o", back)
    assert refused.code == 2
    assert "has 3 .lbz files" in refused.err
    assert "name a folder with -o" in refused.err
    assert not back.exists()


@pytest.mark.parametrize("stored", [True, False])
def test_a_folder_keeps_another_picture_of_the_same_name(
    run: Run, photos: Path, tmp_path: Path, stored: bool
) -> None:
    source, file = tmp_path / "a.png", tmp_path / "a.lbz"
    Image.new("RGB", (16, 16), "red").save(source)
    words = ("--bytes", 2000) if stored else ("--quality", 30)
    picture = source if stored else photos / "a.png"
    report = run("compress", picture, "-o", file, *words, "--json").object
    assert report["stored"] == stored
    folder = tmp_path / "folder"
    for _ in range(2):  # the same content is no loss
        assert run("decompress", file, "-o", folder).code == 0
    other = folder / "a.png"
    other.write_bytes(b"another picture")
    refused = run("decompress", file, "-o", folder)
    assert refused.code == 2
    assert "a.png exists with other content" in refused.err
    assert other.read_bytes() == b"another picture"
    assert run("decompress", file, "-o", other).code == 0  # it is named
    assert other.read_bytes() != b"another picture"


def test_a_size_that_the_exact_picture_meets(run: Run, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    file = tmp_path / "x.lbz"
    report = run("compress", tmp_path / "red.png", "-o", file, "--bytes", 2000, "--json").object
    assert (report["stored"], report["psnr"]) == (1, None)


def test_greys_stay_neutral_and_losses_on_reading_are_named(run: Run, tmp_path: Path) -> None:
    grey = Image.fromarray(photograph()[:96, :96]).convert("L")
    grey.convert("RGB").save(tmp_path / "grey.png")
    file, back = tmp_path / "x.lbz", tmp_path / "back.png"
    assert run("compress", tmp_path / "grey.png", "-o", file, "--json").object["stored"] == 0
    assert run("decompress", file, "-o", back).code == 0
    with Image.open(back) as found:
        assert found.mode == "L"
    clear = Image.fromarray(photograph()[:96, :96]).convert("RGBA")
    clear.putalpha(100)
    clear.save(tmp_path / "clear.png")
    said = run("compress", tmp_path / "clear.png", "-o", file).out
    assert "lost on reading, before compression: transparent ones are laid on white" in said


def test_an_animation_is_refused(run: Run, tmp_path: Path) -> None:
    frames = [Image.new("L", (16, 16), shade) for shade in (0, 100, 200)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    answer = run("compress", tmp_path / "film.gif", "-o", tmp_path / "x.lbz")
    assert answer.code == 2
    assert "holds 3 pictures" in answer.err


def test_without_a_model_for_pictures_alone(run: Run, model: Path, tmp_path: Path) -> None:
    table = tmp_path / "x.csv"
    table.write_text("a,b\n1,2\n")
    assert "compresses a picture" in run("compress", table, "-o", tmp_path / "x.lbz").err
    assert run("compress", model, "-o", tmp_path / "x.lbz").code == 2


def test_flags_between_model_and_data(run: Run, model: Path, photos: Path, tmp_path: Path) -> None:
    """argparse, left alone, takes an optional place for empty when a flag comes before it."""
    file = tmp_path / "a.lbz"
    assert run("compress", model, "-o", file, photos / "a.png").code == 0
