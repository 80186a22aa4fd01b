"""sample, encode, decode, reconstruct: files in the data's own units that agree with each other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lowerbound.applications.common.drawings import FONT_SIZE, grid
from tests.cli.conftest import Run, fitted

NAMES = ["size", "weight", "age"]


def picture(path: Path) -> Image.Image:
    """A picture whose file is closed again."""
    with Image.open(path) as opened:
        opened.load()
        return opened


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_samples_of_a_table_look_like_the_table(
    run: Run, table: Path, table_model: Path, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"new{suffix}"
    done = run("sample", table_model, "-n", 40, "-o", path)
    assert done.code == 0
    assert done.out.startswith("40 samples (corrected draws from p(x | z))")
    made = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    real = pd.read_csv(table)
    assert list(made.columns) == NAMES
    assert made["age"].dtype == real["age"].dtype  # whole years
    assert abs(made["size"].mean() - real["size"].mean()) < 3 * real["size"].std()


def test_samples_follow_the_seed(run: Run, table_model: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("sample", table_model, "-n", 3, "-o", tmp_path / f"{name}.csv", "--seed", seed)
    a, b, c = ((tmp_path / f"{name}.csv").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_means_are_less_varied_than_draws(run: Run, table_model: Path, tmp_path: Path) -> None:
    run("sample", table_model, "-n", 200, "-o", tmp_path / "draws.csv")
    run("sample", table_model, "-n", 200, "-o", tmp_path / "means.csv", "--mean")
    draws, means = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("draws", "means"))
    # size and weight hang together, so that little of them is noise; age is all noise
    assert (means[NAMES].std() < 1.1 * draws[NAMES].std()).all()
    assert means["age"].std() < 0.5 * draws["age"].std()


def test_pictures_are_sampled_as_sheet_arrays_and_files(
    run: Run, picture_model: Path, tmp_path: Path
) -> None:
    run("sample", picture_model, "-n", 9, "-o", tmp_path / "sheet.png")
    assert picture(tmp_path / "sheet.png").mode == "L"
    done = run("sample", picture_model, "-n", 9, "-o", tmp_path / "a.npz", "--json")
    with np.load(tmp_path / "a.npz") as file:
        assert file["x"].shape == (9, 6, 5)
        assert file["x"].dtype == np.uint8
    assert done.object["files"] == [str(tmp_path / "a.npz")]
    done = run("sample", picture_model, "-n", 3, "-o", tmp_path / "folder", "--json")
    assert done.object["files_written"] == 4
    assert picture(tmp_path / "folder" / "00002.png").size == (5, 6)


def test_classes_in_turn_have_a_column_each(
    run: Run, conditional_model: Path, tmp_path: Path
) -> None:
    run("sample", conditional_model, "-n", 5, "-o", tmp_path / "all.png")
    run("sample", conditional_model, "-n", 6, "-o", tmp_path / "all")
    run("sample", conditional_model, "-n", 5, "-o", tmp_path / "one.png", "--label", "above")
    headed, one = (picture(tmp_path / f"{name}.png") for name in ("all", "one"))
    assert picture(tmp_path / "all" / "sheet.png").size == headed.size  # three lines of two classes
    assert np.asarray(headed)[4:14].min() < 100  # the words above the pictures
    assert headed.height > headed.width
    assert one.height < one.width  # three and two of one class


def test_codes_decode_to_reconstructions(
    run: Run, table: Path, table_model: Path, tmp_path: Path
) -> None:
    codes, decoded, rebuilt = (tmp_path / name for name in ("z.csv", "d.csv", "r.csv"))
    assert run("encode", table_model, table, "-o", codes, "--json").object["cloud"] is True
    run("decode", table_model, codes, "-o", decoded)
    run("reconstruct", table_model, table, "-o", rebuilt)
    a, b = pd.read_csv(decoded), pd.read_csv(rebuilt)
    np.testing.assert_allclose(a[NAMES], b[NAMES], rtol=1e-4)
    assert list(pd.read_csv(codes)["label"]) == list(pd.read_csv(table)["kind"])


def test_uncertainty_comes_as_columns(
    run: Run, table: Path, table_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "r.csv"
    done = run("reconstruct", table_model, table, "-o", path, "--uncertainty")
    assert "mean uncertainty" in done.out
    found = pd.read_csv(path)
    assert list(found.columns) == [*NAMES, *(f"{name}_std" for name in NAMES)]
    assert (found.filter(like="_std") > 0).all(axis=None)


def test_a_column_named_like_a_deviation_is_kept(run: Run, table: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(table).rename(columns={"weight": "size_std"})[["size", "size_std"]]
    data, path = tmp_path / "people.csv", tmp_path / "r.csv"
    frame.to_csv(data, index=False)
    fitted(data, tmp_path / "m")
    run("reconstruct", tmp_path / "m", data, "-o", path, "--uncertainty")
    found = pd.read_csv(path)
    assert list(found) == ["size", "size_std", "size_std_", "size_std_std"]
    assert found["size_std"].mean() == pytest.approx(frame["size_std"].mean(), rel=0.1)


def test_reconstructed_pictures_stand_beside_their_inputs(
    run: Run, pictures: Path, picture_model: Path, tmp_path: Path
) -> None:
    words = ("reconstruct", picture_model, pictures, "-o")
    first = run(*words, tmp_path / "two.png")
    assert "32 of 60 rows shown, evenly spread" in first.out
    run(*words, tmp_path / "three.png", "--uncertainty")
    headings = ["input", "reconstruction", "uncertainty"]
    for count, name in ((2, "two"), (3, "three")):
        across = 4 * count
        lines = [[np.zeros((6, 5, 1), np.uint8)] * across] * (32 // 4)
        sheet = picture(tmp_path / f"{name}.png")
        expected = grid(lines, above=headings[:count] * 4)
        assert sheet.size == expected.size
        above = np.asarray(expected)[:FONT_SIZE]
        np.testing.assert_array_equal(np.asarray(sheet)[:FONT_SIZE], above)
    assert "shown" not in run(*words, tmp_path / "all").out  # every row has a file
    run(*words, tmp_path / "r.npz", "--uncertainty")
    with np.load(tmp_path / "r.npz") as file:
        assert {name: file[name].shape for name in file.files} == {
            "x": (60, 6, 5),
            "reconstruction": (60, 6, 5),
            "std": (60, 6, 5),
        }


def test_codes_of_pictures_keep_their_names(
    run: Run, pictures: Path, picture_model: Path, tmp_path: Path
) -> None:
    run("encode", picture_model, pictures, "-o", tmp_path / "z.csv")
    assert pd.read_csv(tmp_path / "z.csv")["id"].iloc[0] == "above/00.png"


def test_a_conditional_model_is_asked_by_class(
    run: Run, pictures: Path, conditional_model: Path, tmp_path: Path
) -> None:
    run("sample", conditional_model, "-n", 4, "-o", tmp_path / "one.npz", "--label", "below")
    run("sample", conditional_model, "-n", 4, "-o", tmp_path / "all.npz")
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "all.npz") as everyone:
        assert one["label"].tolist() == ["below"] * 4
        assert everyone["label"].tolist() == ["above", "below"] * 2
    run("encode", conditional_model, pictures, "-o", tmp_path / "z.csv")
    run("decode", conditional_model, tmp_path / "z.csv", "-o", tmp_path / "d.npz")
    with np.load(tmp_path / "d.npz") as decoded:
        assert decoded["label"].tolist()[:2] == ["above", "above"]
    done = run("sample", conditional_model, "-o", tmp_path / "x.png", "--label", "bellow")
    assert done.code == 2
    assert "unknown class 'bellow'; did you mean 'below'" in done.err


def test_an_autoencoder_codes_points_and_refuses_to_be_sampled(
    run: Run, pictures: Path, autoencoder: Path, tmp_path: Path
) -> None:
    done = run("encode", autoencoder, pictures, "-o", tmp_path / "z.csv", "--json")
    assert done.object["cloud"] is False
    assert run("reconstruct", autoencoder, pictures, "-o", tmp_path / "r.png").code == 0
    done = run("sample", autoencoder, "-o", tmp_path / "s.png")
    assert done.code == 2
    assert (
        "it has no prior; models that can: hierarchical, ladder, pca, semi_supervised, "
        "semi_supervised_regression, vae, event_history, linear_state_space, "
        "recurrent_state_space, transform, vq_vae" in done.err
    )


def test_pca_does_all_of_it(run: Run, table: Path, pca: Path, tmp_path: Path) -> None:
    assert run("sample", pca, "-n", 5, "-o", tmp_path / "s.csv").code == 0
    assert run("encode", pca, table, "-o", tmp_path / "z.csv").code == 0
    assert run("decode", pca, tmp_path / "z.csv", "-o", tmp_path / "d.csv").code == 0
    assert run("reconstruct", pca, table, "-o", tmp_path / "r.csv", "--uncertainty").code == 0


def test_codes_are_whole_numbers_there_and_back(run: Run, pictures: Path, tmp_path: Path) -> None:
    model = tmp_path / "codes.lb"
    asked = ("--model", "vq_vae", "--set", "model.codes=8", "--set", "model.prior=marginal")
    done = run("fit", pictures, "-o", model, *asked, "--epochs", 3, "--no-report")
    assert done.code == 0
    assert "codes used" in done.err
    lines = (model / "metrics.jsonl").read_text().splitlines()
    assert set(json.loads(lines[0])["readings"]) == {"codes used", "perplexity"}
    assert run("encode", model, pictures, "-o", tmp_path / "z.csv").code == 0
    written = pd.read_csv(tmp_path / "z.csv").filter(regex=r"^z\d+$")
    assert (written.dtypes == np.int64).all()
    assert 0 <= written.min().min() <= written.max().max() < 8
    assert run("decode", model, tmp_path / "z.csv", "-o", tmp_path / "d.npz").code == 0
    assert run("reconstruct", model, pictures, "-o", tmp_path / "r.npz").code == 0
    decoded, rebuilt = (np.load(tmp_path / name) for name in ("d.npz", "r.npz"))
    assert np.allclose(decoded[decoded.files[0]], rebuilt["reconstruction"], atol=1e-3)
    assert run("sample", model, "-n", 4, "-o", tmp_path / "s.png").code == 0
    written.iloc[0, 0] = 8
    written.to_csv(tmp_path / "wrong.csv", index=False)
    done = run("decode", model, tmp_path / "wrong.csv", "-o", tmp_path / "d.npz")
    assert done.code == 2
    assert "8 is no code" in done.err
    done = run("sample", model, "-n", 4, "-o", tmp_path / "t.npz", "--temperature", 0, "--mean")
    assert done.code == 0  # the likeliest codes, all rows alike
    likeliest = np.load(tmp_path / "t.npz")
    rows = likeliest[likeliest.files[0]]
    assert np.allclose(rows, rows[:1], atol=1e-3)
