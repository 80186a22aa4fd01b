"""Completed files: observed values as given, missing ones filled, hidden pixels painted."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.applications.common.application import Silent
from lowerbound.applications.common.masks import read_mask
from lowerbound.applications.restoration.impute import ImputeReport, impute, open_incomplete
from lowerbound.applications.restoration.requests import ImputeRequest
from lowerbound.data import Schema, Texts, load
from lowerbound.data.columns.dates import in_time
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions
from tests.evaluation.incomplete_rows import every_kind, with_holes

FEW = TrainingOptions(updates=3, validation=0)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fitted, Path, pd.DataFrame]:
    """A csv of every kind with holes, and a model of it."""
    path = tmp_path_factory.mktemp("table") / "people.csv"
    with_holes(every_kind(120)).to_csv(path, index=False)
    data = load(path)
    return fit(data, FitOptions(training=FEW)), path, pd.read_csv(path)


def painter(pictures: np.ndarray) -> Fitted:  # type: ignore[type-arg]
    data = load(pictures, missing="model")
    return fit(data, FitOptions(model=ModelOptions(latent_dim=2), training=FEW))


@pytest.fixture(scope="module")
def grey() -> tuple[Fitted, np.ndarray]:  # type: ignore[type-arg]
    """Pictures of 6 by 5, and a model of them."""
    pictures = np.random.default_rng(0).integers(0, 256, (10, 6, 5)).astype(np.uint8)
    return painter(pictures), pictures


def run(fitted: Fitted, data: Path, output: Path, **asked: object) -> ImputeReport:
    request = ImputeRequest("MODEL", str(data), str(output), samples=10, **asked)  # type: ignore[arg-type]
    return impute(request, Silent(), fitted)


@pytest.mark.parametrize("strategy", ["mean", "median", "sample"])
def test_a_table_is_completed(
    table: tuple[Fitted, Path, pd.DataFrame], tmp_path: Path, strategy: str
) -> None:
    fitted, path, given = table
    report = run(fitted, path, tmp_path / "whole.csv", strategy=strategy)
    found = pd.read_csv(tmp_path / "whole.csv")
    assert list(found) == list(given)
    assert not found.isna().any(axis=None)
    for name in given.columns.drop("day"):
        seen = given[name].notna()
        assert (found[name][seen] == given[name][seen]).all(), name
    days = [pd.to_datetime(table["day"])[given["day"].notna()] for table in (found, given)]
    assert (days[0] == days[1]).all()
    assert dict(report.filled) == {name: int(n) for name, n in given.isna().sum().items() if n}
    assert report.incomplete == int(given.isna().any(axis=1).sum())
    assert not report.widths
    assert report.effective_sample_size <= 10


def test_draws_are_files_of_their_own_and_say_how_sure(
    table: tuple[Fitted, Path, pd.DataFrame], tmp_path: Path
) -> None:
    fitted, path, given = table
    report = run(fitted, path, tmp_path / "whole.parquet", draws=2)
    names = ["whole.parquet", "whole-1.parquet", "whole-2.parquet"]
    assert [Path(file).name for file in report.files] == names
    one, two = (pd.read_parquet(tmp_path / name) for name in names[1:])
    gone = given.isna()
    assert (one["real"] != two["real"])[gone["real"]].all()
    assert (one["real"] == two["real"])[~gone["real"]].all()
    assert (one["visits"] % 1 == 0).all()
    assert set(report.widths) == set(given) - {"town", "grade", "member"}
    assert all(width >= 0 for width in report.widths.values())
    assert "90% within" in report.text()
    assert report.to_mapping()["filled"]["real"] == int(gone["real"].sum())


@pytest.mark.slow
def test_widths_have_units_and_levels_without_distance_have_none(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    minutes, days = random.integers(0, 1440, 200), random.integers(0, 900, 200)
    frame = pd.DataFrame(
        {
            "at": [f"{value // 60:02d}:{value % 60:02d}" for value in minutes],
            "day": (pd.Timestamp("2020-01-01") + pd.to_timedelta(days, "D")).astype(str),
            "size": random.normal(size=200),
            "bit": random.integers(0, 2, 200),
            "answer": random.choice(["no", "yes"], 200),
            "rooms": random.integers(1, 9, 200),
        }
    )
    with_holes(frame).to_csv(tmp_path / "x.csv", index=False)
    fitted = fit(load(tmp_path / "x.csv", missing="model"), FitOptions(training=FEW))
    report = run(fitted, tmp_path / "x.csv", tmp_path / "whole.csv", draws=2)
    assert set(report.widths) == {"at", "day", "size", "rooms"}
    lines = {line.split()[0]: line for line in report.text().splitlines()[1:]}
    assert re.search(r"90% within \d+\.?\d* hours$", lines["at"])
    assert re.search(r"90% within \d+\.?\d* days$", lines["day"])
    assert "within" not in lines["bit"] + lines["answer"]
    assert re.search(r"90% within \d+\.?\d*$", lines["rooms"])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (16_000_000.0, "185.2 days"),
        (81_680.0, "22.69 hours"),
        (3600.0, "1 hour"),
        (90.0, "1.5 minutes"),
        (0.25, "0.25 seconds"),
    ],
)
def test_a_span_of_time_is_in_its_largest_unit(seconds: float, words: str) -> None:
    assert in_time(seconds) == words


def test_an_array_is_completed_bit_for_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = np.where(rng.random((60, 4)) < 0.3, np.nan, rng.normal(size=(60, 4)))
    np.savez(tmp_path / "x.npz", x=x)
    fitted = fit(load(x, missing="model"), FitOptions(training=FEW))
    run(fitted, tmp_path / "x.npz", tmp_path / "whole.npz", draws=3)
    with np.load(tmp_path / "whole.npz") as arrays:
        seen = ~np.isnan(x)
        np.testing.assert_array_equal(arrays["x"][seen], x[seen])
        np.testing.assert_array_equal(arrays["draws"][:, seen], np.stack([x[seen]] * 3))
        assert np.isfinite(arrays["draws"]).all()
    np.save(tmp_path / "mask.npy", np.arange(4) == 1)
    report = run(
        fitted, tmp_path / "x.npz", tmp_path / "whole.npz", mask=str(tmp_path / "mask.npy")
    )
    assert report.filled["x1"] == 60


@pytest.mark.parametrize("ending", [".png", ".npz", ""])
def test_pictures_are_painted_where_the_mask_is_black(
    grey: tuple[Fitted, np.ndarray],  # type: ignore[type-arg]
    tmp_path: Path,
    ending: str,
) -> None:
    from PIL import Image

    fitted, pictures = grey
    np.savez(tmp_path / "x.npz", x=pictures)
    black = np.full((6, 5), 255, np.uint8)
    black[2:4] = 0
    Image.fromarray(black).save(tmp_path / "mask.png")
    out = tmp_path / f"painted{ending}"
    report = run(fitted, tmp_path / "x.npz", out, mask=str(tmp_path / "mask.png"), draws=2)
    assert report.filled == {"pixels": 100}
    assert set(report.widths) == {"pixels"}
    if ending == ".npz":
        with np.load(out) as arrays:
            assert arrays["x"].dtype == np.uint8
            assert arrays["draws"].shape == (2, 10, 6, 5)
            np.testing.assert_array_equal(arrays["x"][:, 4:], pictures[:, 4:])
            np.testing.assert_array_equal(arrays["draws"][1][:, :2], pictures[:, :2])
            assert (arrays["draws"][0] != arrays["draws"][1])[:, 2:4].any()
    elif ending:
        with Image.open(out) as sheet:
            assert sheet.width > 4 * 56 * 5 / 6  # given, two draws, mean
    else:
        assert len(list(out.glob("*.png"))) == 1 + 3 * 10
        with Image.open(out / "00003.png") as picture:
            found = np.asarray(picture)
        np.testing.assert_array_equal(found[4:], pictures[3, 4:])


def test_nothing_missing_is_written_as_it_is(
    table: tuple[Fitted, Path, pd.DataFrame], tmp_path: Path
) -> None:
    whole = every_kind(5, seed=3)
    whole.to_csv(tmp_path / "whole.csv", index=False)
    report = run(table[0], tmp_path / "whole.csv", tmp_path / "out.csv", draws=1)
    assert not report.filled
    found, given = (pd.read_csv(tmp_path / name) for name in ("out.csv", "whole.csv"))
    pd.testing.assert_frame_equal(found, given)


# masks -----------------------------------------------------------------------------------------


def schema_of(pictures: np.ndarray) -> Schema:  # type: ignore[type-arg]
    return load(pictures, missing="model").schema


@pytest.mark.parametrize("shape", [(4, 5), (7, 4, 5), (7, 3, 4, 5), (7, 4, 5, 3), (4, 5, 3)])
def test_masks_of_every_layout(tmp_path: Path, shape: tuple[int, ...]) -> None:
    schema = schema_of(np.random.default_rng(0).integers(0, 255, (7, 4, 5, 3)).astype(np.uint8))
    mask = np.zeros(shape, dtype=bool)
    at = {2: (1,), 3: (slice(None), 1), 4: (slice(None), slice(None), 1)}[len(shape)]
    if shape[-1] == 3:
        at = (1,) if len(shape) == 3 else (slice(None), 1)
    mask[at] = True
    np.save(tmp_path / "mask.npy", mask)
    found = read_mask(tmp_path / "mask.npy", schema, 7)
    expected = torch.zeros(7, 3, 4, 5, dtype=torch.bool)
    expected[:, :, 1] = True
    torch.testing.assert_close(found, expected)


def test_one_mask_for_each_picture(tmp_path: Path) -> None:
    from PIL import Image

    schema = schema_of(np.random.default_rng(0).integers(0, 255, (2, 4, 5)).astype(np.uint8))
    for i in range(2):
        picture = np.full((4, 5), 255, np.uint8)
        picture[i] = 0
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    found = read_mask(tmp_path, schema, 2)
    assert found[0, 0, 0].all()
    assert found[1, 0, 1].all()
    assert found.sum() == 10


def test_masks_that_do_not_fit(tmp_path: Path) -> None:
    schema = schema_of(np.random.default_rng(0).integers(0, 255, (3, 4, 5)).astype(np.uint8))
    np.save(tmp_path / "wide.npy", np.zeros((4, 6), dtype=bool))
    with pytest.raises(DataError, match="mask has 6x4 pixels, and the pictures have 5x4"):
        read_mask(tmp_path / "wide.npy", schema, 3)
    np.save(tmp_path / "two.npy", np.zeros((2, 4, 5), dtype=bool))
    with pytest.raises(DataError, match=r"fits neither one row .* nor 3 of them"):
        read_mask(tmp_path / "two.npy", schema, 3)
    np.save(tmp_path / "grey.npy", np.full((4, 5), 0.5))
    with pytest.raises(DataError, match=r"other values than True \(hidden\) and False"):
        read_mask(tmp_path / "grey.npy", schema, 3)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="cannot be read as a picture"):
        read_mask(tmp_path / "broken.png", schema, 3)
    with pytest.raises(DataError, match="there is no mask"):
        read_mask(tmp_path / "none.npy", schema, 3)


# bad input -------------------------------------------------------------------------------------


def test_a_model_of_complete_rows_is_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    fitted = fit(load(x), FitOptions(training=FEW))
    with pytest.raises(UnsupportedError, match=r"MODEL was fitted to complete rows .* --missing"):
        run(fitted, tmp_path / "x.npz", tmp_path / "y.npz")


def test_texts_have_no_missing_parts(tmp_path: Path) -> None:
    """Not "fit it again with --missing model", which does not help."""
    texts = Texts([f"{number} cats" for number in range(20)])
    fitted = fit(load(texts), FitOptions(training=FEW))
    with pytest.raises(UnsupportedError, match=r"models texts .* no part can be missing"):
        run(fitted, tmp_path / "x.txt", tmp_path / "y.txt")
    with pytest.raises(OptionError, match="a text has no missing parts"):
        load(texts, missing="model")


def test_what_cannot_be_written_is_refused(
    table: tuple[Fitted, Path, pd.DataFrame], tmp_path: Path
) -> None:
    fitted, path, _ = table
    with pytest.raises(OptionError, match=r"out\.npz: this data is written as \.csv, \.parquet"):
        run(fitted, path, tmp_path / "out.npz")
    with pytest.raises(OptionError, match="--mask is for pictures and arrays"):
        run(fitted, path, tmp_path / "out.csv", mask="mask.npy")
    with pytest.raises(OptionError, match="--draws must be 0 or more"):
        run(fitted, path, tmp_path / "out.csv", draws=-1)
    with pytest.raises(DataError, match="is not a file of rows"):
        open_incomplete(str(tmp_path), fitted, None)
    for name in ("gone.csv", "gone.npy"):
        with pytest.raises(DataError, match=rf"there is no file .*{name}: give a \.csv"):
            open_incomplete(str(tmp_path / name), fitted, None)


@pytest.mark.parametrize("strategy", ["mean", "median", "sample"])
def test_a_series_is_completed_point_by_point(tmp_path: Path, strategy: str) -> None:
    time = np.arange(240)
    whole = pd.DataFrame(
        {"wave": np.sin(time / 6).round(3), "count": np.rint(5 + 4 * np.sin(time / 6)).astype(int)}
    )
    holes = np.random.default_rng(0).random(whole.shape) < 0.15
    path, output = tmp_path / "tide.csv", tmp_path / "whole.csv"
    whole.assign(note="low").mask(np.c_[holes, holes[:, 0]]).to_csv(path, index=False)
    data = load(pd.read_csv(path)[["wave", "count"]], windows=Windows(6, 2))
    fitted = fit(data, FitOptions(training=FEW))
    with pytest.warns(UserWarning, match="not fitted on column .note."):
        report = run(fitted, path, output, strategy=strategy, draws=2)
    given, found = (pd.read_csv(name, dtype=str) for name in (path, output))
    pd.testing.assert_frame_equal(found.where(given.notna()), given)
    assert report.rows == len(given)
    assert found[["wave", "count"]].notna().all(axis=None)
    assert found["note"].isna().equals(given["note"].isna())  # which the model does not know
    assert dict(report.filled) == dict(zip(("wave", "count"), holes.sum(0).tolist(), strict=True))
    assert report.incomplete == int(holes.any(1).sum())
    assert set(report.widths) == {"wave", "count"}
    wrong = (found["wave"].astype(float) - whole["wave"])[holes[:, 0]]
    assert wrong.std() < 0.5 * whole["wave"].std()
    if strategy != "mean":
        assert found["count"].astype(float).map(float.is_integer).all()
