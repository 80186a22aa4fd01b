"""interpolate, attributes, arithmetic: from the words typed to the files written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lowerbound.applications.common import drawings
from lowerbound.applications.generation import interpolate
from tests.cli.conftest import Run, fitted
from tests.cli.test_bad_input import refused
from tests.cli.test_generation import picture

NAMES = ["size", "weight", "age"]
KINDS = ["lerp", "slerp", "norm", "geodesic"]


@pytest.fixture(scope="session")
def wide_model(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE of the table with two latent numbers, told nothing of its text column."""
    folder = tmp_path_factory.mktemp("models") / "wide"
    return fitted(table, folder, "--latent-dim", "2", "--label", "kind")


@pytest.fixture(scope="session")
def deep_model(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE of the pictures with three latent numbers."""
    return fitted(pictures, tmp_path_factory.mktemp("models") / "deep", "--latent-dim", "3")


@pytest.fixture(scope="session")
def tall(table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The table in two: tall people, and short ones."""
    frame = pd.read_csv(table)
    folder = tmp_path_factory.mktemp("parts")
    for kind in ("tall", "short"):
        frame[frame["kind"] == kind].to_csv(folder / f"{kind}.csv", index=False)
    return folder / "tall.csv", folder / "short.csv"


# interpolate --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_walk_through_a_table_begins_and_ends_at_reconstructions(
    run: Run, table: Path, wide_model: Path, tmp_path: Path, suffix: str
) -> None:
    path, rebuilt = tmp_path / f"walk{suffix}", tmp_path / "r.csv"
    words = ("interpolate", wide_model, table, "--rows", "3,5,9", "--frames", "4")
    done = run(*words, "-o", path, "--json")
    assert done.object["points"] == 7
    assert done.object["rows"] == ["row 3", "row 5", "row 9"]
    walk = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    assert list(walk.columns) == ["path", "t", *NAMES]
    np.testing.assert_allclose(walk["t"], np.linspace(0, 2, 7))
    run("reconstruct", wide_model, table, "-o", rebuilt)
    ends = pd.read_csv(rebuilt).iloc[[3, 5, 9]]
    np.testing.assert_allclose(walk[NAMES].iloc[[0, 3, 6]], ends[NAMES], rtol=1e-4)


def test_every_way_at_once_with_its_figures(
    run: Run, table: Path, wide_model: Path, tmp_path: Path
) -> None:
    words = ("interpolate", wide_model, table, "--path", "all", "--frames", "5")
    done = run(*words, "-o", tmp_path / "w.npz", "--pairs", "6", "--json")
    ways = {way["path"]: way for way in done.object["ways"]}
    assert list(ways) == KINDS
    assert ways["lerp"]["straightness"] == pytest.approx(1.0)
    assert ways["geodesic"]["straightness"] >= 1.0 - 1e-6
    assert [verdict["path"] for verdict in done.object["verdicts"]] == KINDS
    assert done.object["verdicts"][0]["pairs"] == 6
    assert done.object["verdicts"][0]["accepted"] is not None
    with np.load(tmp_path / "w.npz") as file:
        assert file["x"].shape == (20, 3)
        assert file["path"].tolist() == [kind for kind in KINDS for _ in range(5)]


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_has_its_frames_and_a_sheet_beside_it(
    run: Run, pictures: Path, deep_model: Path, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"walk{suffix}"
    words = ("interpolate", deep_model, pictures, "--frames", "6", "--path", "slerp", "--close")
    done = run(*words, "-o", path, "--fps", "8", "--json")
    assert done.object["files"] == [str(path), str(tmp_path / "walk.png")]
    with Image.open(path) as animation:
        assert animation.n_frames == 11  # there and back, the turning point once
        assert animation.size == (5 * 27, 6 * 27)
        animation.load()
        assert animation.info["loop"] == 0
        assert animation.info["duration"] == pytest.approx(125, abs=6)
    assert picture(tmp_path / "walk.png").mode == "L"


def test_a_folder_holds_every_frame(
    run: Run, pictures: Path, deep_model: Path, tmp_path: Path
) -> None:
    words = ("interpolate", deep_model, pictures, "--frames", "4", "--path", "all")
    done = run(*words, "-o", tmp_path / "walk", "--json")
    assert done.object["files_written"] == 1 + 4 * 4
    assert picture(tmp_path / "walk" / "geodesic_003.png").size == (5, 6)


def test_from_one_picture_to_another_and_rows_by_name(
    run: Run, pictures: Path, deep_model: Path, tmp_path: Path
) -> None:
    a, b = pictures / "above" / "00.png", pictures / "below" / "01.png"
    done = run("interpolate", deep_model, a, b, "-o", tmp_path / "x.npz", "--json")
    assert done.object["rows"] == ["00.png", "01.png"]
    words = ("--rows", "above/00.png,below/01.png")
    done = run("interpolate", deep_model, pictures, *words, "-o", tmp_path / "y.npz", "--json")
    assert done.object["rows"] == ["above/00.png", "below/01.png"]
    with np.load(tmp_path / "x.npz") as x, np.load(tmp_path / "y.npz") as y:
        np.testing.assert_allclose(x["x"], y["x"], atol=1e-3)
    Image.new("L", (12, 9), 128).save(tmp_path / "large.png")  # brought to size as when fitted
    done = run("interpolate", deep_model, a, tmp_path / "large.png", "-o", tmp_path / "z.npz")
    assert done.code == 0


def test_an_autoencoder_has_ways_too(
    run: Run, pictures: Path, autoencoder: Path, tmp_path: Path
) -> None:
    words = ("interpolate", autoencoder, pictures, "--path", "lerp", "--pairs", "4")
    assert run(*words, "-o", tmp_path / "w.png").code == 0


def test_pca_is_linear_so_its_geodesic_is_the_line(
    run: Run, table: Path, pca: Path, tmp_path: Path
) -> None:
    words = ("interpolate", pca, table, "-o")
    run(*words, tmp_path / "a.csv", "--path", "lerp")
    run(*words, tmp_path / "b.csv", "--path", "geodesic")
    a, b = pd.read_csv(tmp_path / "a.csv"), pd.read_csv(tmp_path / "b.csv")
    np.testing.assert_allclose(a[NAMES], b[NAMES], rtol=1e-5)


def test_a_conditional_model_is_told_one_class(
    run: Run, pictures: Path, conditional_model: Path, tmp_path: Path
) -> None:
    words = ("interpolate", conditional_model, pictures, "-o", tmp_path / "w.npz")
    assert run(*words, "--rows", "0,1").code == 0  # both above
    refused(run(*words, "--rows", "0,40"), "several classes", "--label")
    assert run(*words, "--rows", "0,40", "--label", "below", "--pairs", "4").code == 0


def test_a_film_needs_an_encoder_before_anything_is_computed_or_written(
    run: Run, pictures: Path, deep_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawings.shutil, "which", lambda name: None)
    monkeypatch.setattr(
        interpolate, "open_data", lambda *given, **named: pytest.fail("data is read")
    )
    (tmp_path / "w.png").write_bytes(b"mine")
    done = run("interpolate", deep_model, pictures, "-o", tmp_path / "w.mp4")
    refused(done, "ffmpeg", "not on the path")
    assert (tmp_path / "w.png").read_bytes() == b"mine"
    assert not (tmp_path / "w.mp4").exists()


def test_a_film_is_what_the_encoder_is_given(
    run: Run, pictures: Path, deep_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for ffmpeg keeps what it reads, so that frames can be counted."""
    program = tmp_path / "ffmpeg"
    program.write_text('#!/bin/sh\nfor last; do :; done\ncat > "$last"\n')
    program.chmod(0o755)
    monkeypatch.setattr(drawings, "encoder", lambda: str(program))
    run("interpolate", deep_model, pictures, "-o", tmp_path / "w.webm", "--frames", "3")
    assert (tmp_path / "w.webm").stat().st_size == 3 * (5 * 27 + 1) * (6 * 27) * 3


BAD_WAYS = {
    "--rows 3": "needs two rows",
    "--rows 3,80": "there is no row 80; the data has rows 0 to 79",
    "--rows 3,x": "takes row numbers from 0 to 79, not 'x'",
    "--rows 4,4": "row 4 and row 4 are the same",
    "--path slrp": "did you mean 'slerp'",
    "--frames 1": "--frames must be at least 2",
    "--pairs 40": "16 unseen rows make 8 pairs",
    "--pairs -1": "--pairs must be at least 0",
    "--path geodesic --nodes 2": "at least 3 nodes",
}


@pytest.mark.parametrize("line", BAD_WAYS)
def test_ways_that_make_no_sense(
    run: Run, table: Path, wide_model: Path, tmp_path: Path, line: str
) -> None:
    done = run("interpolate", wide_model, table, "-o", tmp_path / "w.csv", *line.split())
    refused(done, BAD_WAYS[line])


@pytest.mark.slow
def test_more_ways_that_make_no_sense(
    run: Run, pictures: Path, picture_model: Path, table: Path, wide_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "w.csv"
    refused(run("interpolate", wide_model, table, table, "-o", out), "A and B are the same")
    done = run("interpolate", wide_model, table, table, "-o", out, "--rows", "1,2")
    refused(done, "either --rows or a second file")
    refused(run("interpolate", wide_model, table, "-o", "w.gif"), "tables are written as")
    refused(run("interpolate", picture_model, pictures, "-o", "w.avi"), ".gif, .webp, .mp4, .webm")
    done = run("interpolate", picture_model, pictures, "-o", tmp_path / "w.gif", "--fps", "0")
    refused(done, "--fps must be positive")
    done = run("interpolate", picture_model, pictures, "-o", out.with_suffix(".png"), "--rows", "z")
    refused(done, "unknown row 'z'")
    np.save(tmp_path / "wide.npy", np.zeros((4, 7, 7), np.uint8))
    done = run("interpolate", picture_model, tmp_path / "wide.npy", "-o", tmp_path / "w.png")
    refused(done, "expected pictures of 1 channel(s), 6 high and 5 wide")


def test_rows_whose_names_have_commas(
    run: Run, pictures: Path, deep_model: Path, tmp_path: Path
) -> None:
    for number, path in enumerate(sorted(pictures.rglob("*.png"))[:3]):
        (tmp_path / "p").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "p" / f"left, {number}.png")
    words = ("interpolate", deep_model, tmp_path / "p", "-o", tmp_path / "s.png", "--rows")
    done = run(*words, '"left, 2.png", "left, 0.png"', "--json")
    assert done.object["rows"] == ["left, 2.png", "left, 0.png"]
    refused(run(*words, "left, 2.png,left, 0.png"), "unknown row 'left'")


# attributes ---------------------------------------------------------------------------------------


def test_a_class_is_added_and_another_subtracted(
    run: Run, pictures: Path, deep_model: Path, tmp_path: Path
) -> None:
    words = ("attributes", deep_model, pictures, "--add", "above", "--subtract", "below")
    done = run(*words, "-o", tmp_path / "s.gif", "--frames", "4", "--json")
    (found,) = done.object["attributes"]
    assert found["name"] == "more above, less below"
    assert 20 <= found["having"] <= found["lacking"] <= 28  # four fifths of 30 each
    assert [effect["strength"] for effect in found["effects"]] == pytest.approx([2 / 3, 4 / 3, 2])
    assert found["effects"][0]["off_target"] is None  # two classes: nothing else to change
    assert all(name.startswith("below/") for name in done.object["examples"])
    with Image.open(tmp_path / "s.gif") as animation:
        assert animation.n_frames == 4
    assert (tmp_path / "s.png").exists()


@pytest.mark.parametrize("known", [True, False])
def test_folders_are_classes_that_the_model_does_not_know(
    run: Run, pictures: Path, deep_model: Path, tmp_path: Path, known: bool
) -> None:
    """A model of other classes, or of none, and pictures that someone has sorted since."""
    if not known:
        for path in pictures.rglob("*.png"):
            shutil.copy(path, tmp_path / path.name)
        deep_model = fitted(tmp_path, tmp_path / "m.lb", "--latent-dim", "3")
    for old, new in (("above", "hat"), ("below", "boots")):
        shutil.copytree(pictures / old, tmp_path / "sorted" / new)
    words = ("attributes", deep_model, tmp_path / "sorted", "--add", "hat", "--frames", "3")
    done = run(*words, "-o", tmp_path / "s.png", "--json")
    (found,) = done.object["attributes"]
    assert found["name"] == "more hat"
    assert 20 <= found["having"] <= 28
    words = ("arithmetic", deep_model, tmp_path / "sorted", "0 - mean(hat) + mean(boots)")
    done = run(*words, "-o", tmp_path / "a.png", "--json")
    assert done.object["nearest_class"] in ("hat", "boots")
    refused(run(*words[:-1], "mean(above)", "-o", tmp_path / "a.png"), "unknown class 'above'")


def test_every_class_of_a_column_that_the_model_was_not_told(
    run: Run, table: Path, wide_model: Path, tmp_path: Path
) -> None:
    frame = pd.read_csv(table)
    frame["group"] = np.array(["a", "b", "c"])[np.arange(80) % 3]
    frame.to_csv(tmp_path / "more.csv", index=False)
    words = ("attributes", wide_model, tmp_path / "more.csv", "--label", "group", "--rows", "7")
    done = run(*words, "-o", tmp_path / "s.csv", "--strength", "1", "--frames", "3", "--json")
    assert [found["name"] for found in done.object["attributes"]] == ["more a", "more b", "more c"]
    assert "note:" not in done.err
    assert done.object["attributes"][0]["effects"][-1]["off_target"] is not None
    strip = pd.read_csv(tmp_path / "s.csv")
    assert list(strip.columns) == ["attribute", "strength", *NAMES]
    assert strip["strength"].tolist() == [0, 0.5, 1] * 3
    still = strip[strip["strength"] == 0][NAMES]
    np.testing.assert_allclose(still, np.tile(still.iloc[0], (3, 1)))


@pytest.mark.parametrize("method", ["mean", "logistic"])
def test_two_sets_teach_an_attribute(
    run: Run,
    table: Path,
    tall: tuple[Path, Path],
    pca: Path,
    tmp_path: Path,
    method: str,
) -> None:
    words = ("attributes", pca, table, "--with", tall[0], "--without", tall[1], "--rows", "0,1")
    done = run(*words, "-o", tmp_path / "s.csv", "--method", method, "--json")
    (found,) = done.object["attributes"]
    assert found["name"] == "tall.csv"
    assert found["effects"][-1]["target"]["mean"] > 0.2
    strip = pd.read_csv(tmp_path / "s.csv")
    grown = strip.groupby("example")["size"].agg(["first", "last"])
    gap = pd.read_csv(tall[0])["size"].mean() - pd.read_csv(tall[1])["size"].mean()
    np.testing.assert_allclose(grown["last"] - grown["first"], 2 * gap, rtol=0.35)


def test_attributes_that_cannot_be_had(
    run: Run, table: Path, wide_model: Path, tall: tuple[Path, Path], tmp_path: Path
) -> None:
    words = ("attributes", wide_model, table, "-o", tmp_path / "s.csv")
    refused(run(*words, "--add", "tal"), "unknown attribute 'tal'", "did you mean 'tall'")
    refused(run(*words, "--label", "knd"), "unknown column 'knd'", "did you mean 'kind'")
    refused(run(*words, "--label", "size"), "the label holds numbers such as")
    refused(run(*words, "--with", table), "--with and --without go together")
    refused(run(*words, "--add", "tall", "--subtract", "tall"), "both added and subtracted")
    refused(run(*words, "--add", "tall", "--frames", "1"), "--frames must be at least 2")
    two = ("--with", table, "--without", table)
    refused(run(*words, *two, "--add", "tall"), "either --with and --without, or classes")
    words = ("attributes", wide_model, tall[0], "-o", tmp_path / "s.csv")
    refused(run(*words, "--add", "tall"), "one class 'tall'")
    pd.read_csv(table).drop(columns="kind").to_csv(tmp_path / "bare.csv", index=False)
    words = ("attributes", wide_model, tmp_path / "bare.csv", "-o", tmp_path / "s.csv")
    refused(run(*words, "--add", "tall"), "no labels to learn attributes from")


def test_pictures_have_no_columns(
    run: Run, pictures: Path, deep_model: Path, tmp_path: Path
) -> None:
    done = run("attributes", deep_model, pictures, "-o", tmp_path / "s.png", "--label", "smile")
    refused(done, "only tables have columns", "names of their folders")


# arithmetic ---------------------------------------------------------------------------------------


def test_sums_of_codes_decode_to_sums_of_rows_where_all_is_linear(
    run: Run, table: Path, pca: Path, tmp_path: Path
) -> None:
    kind = ("--label", "kind", "--json")
    done = run("arithmetic", pca, table, "3 - 5+9", "-o", tmp_path / "s.csv", *kind)
    found = pd.read_csv(tmp_path / "s.csv")
    assert found["term"].tolist() == ["plus row 3", "minus row 5", "plus row 9", "answer"]
    a, b, c, answer = found[NAMES].to_numpy()
    np.testing.assert_allclose(answer, a - b + c, rtol=1e-5)
    assert done.object["nearest"].startswith("row ")
    assert done.object["nearest"] not in ("row 3", "row 5", "row 9")
    assert done.object["nearest_class"] in ("tall", "short")


def test_classes_by_their_mean(run: Run, table: Path, pca: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(table)
    words = ("arithmetic", pca, table, "0 - mean(tall) + mean(short)", "-o", tmp_path / "s.csv")
    assert run(*words, "--label", "kind").code == 0
    found = pd.read_csv(tmp_path / "s.csv").set_index("term")["size"]
    gap = frame.groupby("kind")["size"].mean()
    answer = found["answer"] - found["plus row 0"]
    assert answer == pytest.approx(gap["short"] - gap["tall"], rel=0.35)


def test_sums_of_pictures(run: Run, pictures: Path, deep_model: Path, tmp_path: Path) -> None:
    words = ("above/00.png - above/02.png + below/01.png", "-o")
    done = run("arithmetic", deep_model, pictures, *words, tmp_path / "s.png")
    assert "the nearest code is that of" in done.out
    assert picture(tmp_path / "s.png").mode == "L"
    for name in ("s.gif", "s.mp4"):  # the second without a word of the program that writes it
        done = run("arithmetic", deep_model, pictures, *words, tmp_path / name)
        refused(done, "one answer is no animation")


BAD_SUMS = {
    "3 - 5": "sum to 0 and have to sum to 1",
    "3 + 5": "sum to 2",
    "3 5": "cannot be read at '5'",
    "3 - + 5": "cannot be read at '- + 5'",
    "3 - 5 + 99": "there is no row 99",
    "3 - 5 + mean(tal)": "did you mean 'tall'",
}


@pytest.mark.parametrize("text", BAD_SUMS)
def test_sums_that_make_no_sense(
    run: Run, table: Path, wide_model: Path, tmp_path: Path, text: str
) -> None:
    done = run("arithmetic", wide_model, table, text, "-o", tmp_path / "s.csv")
    refused(done, BAD_SUMS[text])


def test_names_that_are_like_numbers_and_sums(
    run: Run, pictures: Path, deep_model: Path, tmp_path: Path
) -> None:
    for number, name in enumerate(("0/r0.png", "0/a+b.png", "1/r1.png")):
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pictures / "above" / f"{2 * number:02d}.png", tmp_path / "own" / name)
    words = ("arithmetic", deep_model, tmp_path / "own")
    done = run(*words, "0/r0.png - '0/a+b.png' + 1/r1.png", "-o", tmp_path / "s.png", "--json")
    assert done.code == 0, done.err
    done = run("interpolate", deep_model, pictures, "--rows", "48.png,0", "-o", tmp_path / "p.png")
    refused(done, "did you mean 'above/48.png'")
