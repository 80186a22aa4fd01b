"""``lowerbound impute``: files in, completed files out, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import QUICK, Run, fitted
from tests.cli.test_bad_input import refused


@pytest.fixture(scope="module")
def holes(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The people, with cells missing."""
    frame = pd.read_csv(table)
    hidden = np.random.default_rng(1).random(frame.shape) < 0.2
    hidden[:, list(frame).index("kind")] = False
    path = tmp_path_factory.mktemp("holes") / "people.csv"
    frame.mask(hidden).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def model(holes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE of the people with cells missing."""
    return fitted(holes, tmp_path_factory.mktemp("models") / "holes")


@pytest.fixture(scope="module")
def painter(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE of the pictures that may have pixels hidden."""
    return fitted(pictures, tmp_path_factory.mktemp("models") / "painter", "--missing", "model")


@pytest.mark.slow
def test_a_table_is_completed(run: Run, model: Path, holes: Path, tmp_path: Path) -> None:
    outcome = run("impute", model, holes, "-o", tmp_path / "whole.csv")
    assert outcome.code == 0
    given, found = pd.read_csv(holes), pd.read_csv(tmp_path / "whole.csv")
    assert not found.isna().any(axis=None)
    assert (found["weight"][given["weight"].notna()] == given["weight"].dropna()).all()
    cells = int(given.isna().sum().sum())
    assert outcome.out.startswith(f"{cells:,} missing cells in ")


@pytest.mark.slow
def test_why_cells_are_missing_is_told_and_warned_of(run: Run, table: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(table)
    frame["size"] = frame["size"].mask(frame["size"] > frame["size"].mean())
    frame.to_csv(tmp_path / "high.csv", index=False)
    words = (*QUICK, "--missingness", "self_masking_high")
    fit = run("fit", tmp_path / "high.csv", "-o", tmp_path / "m", *words)
    assert fit.code == 0, fit.err
    assert "missing cells self_masking_high, as you say: no data can tell" in fit.err + fit.out
    words = ("-o", tmp_path / "whole.csv")
    assert "no data can tell" in run("impute", tmp_path / "m", tmp_path / "high.csv", *words).out
    found = pd.read_csv(tmp_path / "whole.csv")["size"]
    given = frame["size"]
    assert found[given.isna()].mean() > given.mean() + given.std()
    wrong = run("fit", table, "-o", tmp_path / "n", *QUICK, "--missingness", "self_masking_hi")
    assert "did you mean 'self_masking_high'" in wrong.err
    complete = run("fit", table, "-o", tmp_path / "n", *QUICK, "--missingness", "self_masking_low")
    assert "no cell of a column of real numbers is missing" in complete.err


def test_draws_are_reported(run: Run, model: Path, holes: Path, tmp_path: Path) -> None:
    words = ("-o", tmp_path / "whole.csv", "--draws", 2, "--samples", 20, "--json")
    report = run("impute", model, holes, *words).object
    assert report["command"] == "impute"
    assert report["draws"] == 2
    assert report["filled"]["size"] == int(pd.read_csv(holes)["size"].isna().sum())
    assert report["widths"]["size"] > 0
    assert report["effective_sample_size"] > 1
    assert (tmp_path / "whole-2.csv").exists()
    assert report["files_written"] == 3


def test_a_seed_repeats_the_draws(run: Run, model: Path, holes: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        out = tmp_path / f"{name}.csv"
        assert run("impute", model, holes, "-o", out, "--strategy", "sample", "--seed", seed)
    a, b, c = ((tmp_path / f"{name}.csv").read_text() for name in "abc")
    assert a == b
    assert a != c


def test_pictures_are_painted(run: Run, painter: Path, pictures: Path, tmp_path: Path) -> None:
    from PIL import Image

    mask = np.full((6, 5), 255, np.uint8)
    mask[:3] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    words = ("--mask", tmp_path / "mask.png", "--draws", 2, "--samples", 5)
    outcome = run("impute", painter, pictures, "-o", tmp_path / "sheet.png", *words)
    assert outcome.code == 0, outcome.err
    assert "pixels  900" in outcome.out
    assert (tmp_path / "sheet.png").exists()


def test_nothing_to_fill_is_said(
    run: Run, painter: Path, model: Path, table: Path, pictures: Path, tmp_path: Path
) -> None:
    from PIL import Image

    said = "no cell is missing, so nothing was filled"
    assert said in run("impute", model, table, "-o", tmp_path / "out.csv", "--samples", 2).err
    words = ("impute", painter, pictures, "-o", tmp_path / "s.png", "--samples", 2, "--mask")
    for light, why in ((128, "its darkest is 128"), (0, "once it has the size of the model's")):
        mask = Image.new("L", (500, 600), 255)
        mask.putpixel((3, 4), light)
        mask.save(tmp_path / "mask.png")
        done = run(*words, tmp_path / "mask.png")
        assert done.code == 0
        assert f"{said}: {tmp_path / 'mask.png'} hides no pixel" in done.err
        assert why in done.err
    assert "nothing was filled" not in run(*words, "0,0,2,2").err


def test_bad_input_is_a_sentence(
    run: Run,
    model: Path,
    picture_model: Path,
    painter: Path,
    pictures: Path,
    holes: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out.csv"
    refused = run("impute", picture_model, pictures, "-o", tmp_path / "out.png")
    assert refused.code == 2
    assert "fit it again with --missing model" in refused.err
    refused = run("impute", model, holes, "-o", tmp_path / "out.png")
    assert refused.code == 2
    assert "this data is written as .csv, .parquet" in refused.err
    refused = run("impute", model, holes, "-o", out, "--strategy", "means")
    assert refused.code == 2
    assert "mean" in refused.err
    refused = run("impute", model, holes, "-o", out, "--samples", 0)
    assert refused.code == 2
    assert "--samples at least 1" in refused.err
    refused = run("impute", painter, pictures, "-o", tmp_path / "o.png", "--mask", "no.png")
    assert refused.code == 2
    assert "no.png" in refused.err
    pd.read_csv(holes).drop(columns="size").to_csv(tmp_path / "less.csv", index=False)
    refused = run("impute", model, tmp_path / "less.csv", "-o", out)
    assert refused.code == 2
    assert "column 'size' missing" in refused.err
    pd.read_csv(holes).assign(size=np.inf).to_csv(tmp_path / "inf.csv", index=False)
    refused = run("impute", model, tmp_path / "inf.csv", "-o", out)
    assert refused.code == 2
    assert "column 'size' has inf in rows 0, 1" in refused.err
    assert not out.exists()


def test_a_level_that_the_fit_did_not_see(
    run: Run, model: Path, holes: Path, tmp_path: Path
) -> None:
    frame = pd.read_csv(holes).head(3).assign(kind="giant")
    frame.to_csv(tmp_path / "new.csv", index=False)
    outcome = run("impute", model, tmp_path / "new.csv", "-o", tmp_path / "out.csv")
    assert outcome.code == 0
    assert "'kind' has levels that the model was not fitted on: 'giant'" in outcome.err
    assert set(pd.read_csv(tmp_path / "out.csv")["kind"]) == {"giant"}  # it is observed


@pytest.fixture(scope="module")
def european(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with decimal commas, and columns of whole numbers and of truth values with blanks."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("european") / "items.csv"
    lines = [
        f"{rng.normal(1200, 90):.2f};{rng.integers(1000, 4000) if i % 6 else ''};"
        f"{('TRUE', 'FALSE', '')[i % 3]}".replace(".", ",")
        for i in range(90)
    ]
    path.write_text("\n".join(["price;pieces;sold", *lines]))
    return path


@pytest.fixture(scope="module")
def european_model(european: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE of that table."""
    return fitted(european, tmp_path_factory.mktemp("models") / "items", "--updates", "2")


@pytest.mark.slow
def test_a_table_with_decimal_commas_comes_back_as_one(
    run: Run, european: Path, european_model: Path, tmp_path: Path
) -> None:
    whole, again = tmp_path / "whole.csv", tmp_path / "again.csv"
    assert run("impute", european_model, european, "-o", whole).code == 0
    rows = [line.split(";") for line in whole.read_text().splitlines()[1:]]
    assert all("," in pieces for _, pieces, _ in rows[::6])
    assert not any("." in cell for row in rows for cell in row)
    assert {sold for *_, sold in rows} == {"TRUE", "FALSE"}
    assert run("impute", european_model, whole, "-o", again).code == 0
    assert again.read_text() == whole.read_text()


def test_filled_numbers_have_the_decimal_mark_of_the_file(run: Run, tmp_path: Path) -> None:
    """Which may not be that of the fit: a column with both marks is read by no tool."""
    rng = np.random.default_rng(0)
    cells = [f"{x:.3f}" if i % 5 else "" for i, x in enumerate(rng.normal(size=90))]
    lines = [f"{x};{i % 7}.5".replace(".", ",") for i, x in enumerate(cells)]
    fit_on, other, out = (tmp_path / f"{name}.csv" for name in ("fit", "other", "out"))
    fit_on.write_text("\n".join(["a;b", *lines]))
    other.write_text(fit_on.read_text().replace(",", ".").replace(";", ","))
    model = fitted(fit_on, tmp_path / "model", "--updates", "2")
    assert run("impute", model, other, "-o", out).code == 0
    a = [line.split(";")[0] for line in out.read_text().splitlines()[1:]]
    assert [x for i, x in enumerate(a) if i % 5] == [x for x in cells if x]
    assert all("." in x and "," not in x for x in a)


def test_codes_decode_to_rows_that_the_model_reads(
    run: Run, european: Path, european_model: Path, tmp_path: Path
) -> None:
    codes, rows = tmp_path / "codes.csv", tmp_path / "rows.csv"
    assert run("encode", european_model, european, "-o", codes).code == 0
    assert run("decode", european_model, codes, "-o", rows).code == 0
    assert run("encode", european_model, rows, "-o", tmp_path / "again.csv").code == 0


@pytest.mark.slow
def test_truth_values_are_written_as_the_model_reads_them(run: Run, tmp_path: Path) -> None:
    """A column with blanks too, which pandas reads as objects."""
    given, rows = tmp_path / "flags.csv", tmp_path / "rows.csv"
    cells = [f"{('TRUE', 'FALSE', '')[i % 3]},{i * i % 97}.5" for i in range(90)]
    given.write_text("\n".join(["flag,value", *cells]))
    model = fitted(given, tmp_path / "model", "--updates", "2")
    assert run("sample", model, "-n", "40", "-o", rows).code == 0
    assert {line.split(",")[0] for line in rows.read_text().splitlines()[1:]} == {
        "TRUE",
        "FALSE",
        "",
    }
    detected = run("detect", model, rows, "-o", tmp_path / "scores.csv")
    assert detected.code == 0
    assert "not fitted on" not in detected.err


def test_no_draw_replaces_the_table(run: Run, holes: Path, model: Path, tmp_path: Path) -> None:
    data = tmp_path / "x-2.csv"
    shutil.copy(holes, data)
    done = run("impute", model, data, "-o", tmp_path / "x.csv", "--draws", "2")
    refused(done, f"{data} is the data itself: name another file")
    assert data.read_bytes() == holes.read_bytes()
    assert list(tmp_path.iterdir()) == [data]
