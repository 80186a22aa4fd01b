"""Rows on disk are the rows in memory, and so is what their schema says."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from lowerbound.data import dataset as datasets, load, row_files
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.data.tables import chunks, on_disk, on_disk as tables
from lowerbound.data.tables.disk_sample import drawn_rows
from lowerbound.data.tables.on_disk import load_on_disk
from lowerbound.errors import DataError
from tests.data.tables.tables import mixed_frame, plain, shards, written

COLUMNS = 13
pytestmark = [
    pytest.mark.filterwarnings("ignore:column 'row'"),
    pytest.mark.filterwarnings("ignore:no variation in column 'fixed'"),
]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 64 rows, and no subset in memory."""
    monkeypatch.setattr(chunks, "MOST_ROWS", 64)
    monkeypatch.setattr(datasets, "MOST_IN_MEMORY", 0)


def assert_same(one: Dataset, other: Dataset) -> None:
    for field in fields(Dataset):
        value, expected = getattr(one, field.name), getattr(other, field.name)
        if isinstance(expected, Tensor):
            assert value.dtype == expected.dtype
            assert torch.equal(value, expected)
        elif field.name != "folder":
            assert value == expected, field.name


def reordered(columns: tuple[Any, ...]) -> dict[str, Any]:
    return {column.name: column for column in columns}


@pytest.mark.parametrize("options", [{}, {"label": "kind"}, {"kinds": {"grade": "categorical"}}])
@pytest.mark.parametrize("write", [written, shards])
def test_rows_on_disk_are_those_in_memory(
    tmp_path: Path, options: dict[str, Any], write: Callable[..., Path]
) -> None:
    path = write(mixed_frame(), tmp_path / "t.parquet")
    expected = load(path, **options)
    found = load_on_disk(path, tmp_path / "cache", **options)
    assert found.folder is not None
    assert_same(found, expected)
    assert_same(load_on_disk(path, tmp_path / "cache", **options), expected)  # from the files


@pytest.mark.parametrize("options", [{}, {"label": "kind"}, {"kinds": {"grade": "categorical"}}])
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_rows_of_a_csv_on_disk_are_those_in_memory(
    tmp_path: Path, options: dict[str, Any], name: str
) -> None:
    path = tmp_path / name
    mixed_frame().to_csv(path, index=False)
    expected = load(path, **options)
    found = load_on_disk(path, tmp_path / "cache", **options)
    assert found.folder is not None
    assert_same(found, expected)
    assert_same(load_on_disk(path, tmp_path / "cache", **options), expected)  # from the files
    assert not list((tmp_path / "cache").glob("*.part"))


@pytest.mark.filterwarnings("ignore:.* is read")
def test_types_of_a_csv_are_those_of_all_rows(tmp_path: Path) -> None:
    """A column whose words, gaps or fractions come late in the file; a notation of its own."""
    rows = 300
    late = np.arange(rows) >= rows - 20
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 9, rows)
    frame = pd.DataFrame(
        {
            "words": np.where(late, "many", numbers.astype(str)),
            "gaps": np.where(late, "", numbers.astype(str)),
            "fractions": np.where(late, rng.normal(size=rows).round(2).astype(str), numbers),
            "flags": np.where(late, "", np.where(numbers > 4, "True", "False")),
            "flag or word": np.where(late, "unknown", np.where(numbers > 4, "True", "False")),
            "price": [f"${value:,.2f}" for value in rng.uniform(500, 5_000, rows)],
            "day": pd.date_range("2021-03-01", periods=rows).strftime("%d/%m/%Y"),
            "only late": np.where(late, numbers, ""),
        }
    )
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    kinds = {"words": "categorical"}
    assert_same(load_on_disk(path, tmp_path / "cache", kinds=kinds), load(path, kinds=kinds))
    european = tmp_path / "e.csv"
    decimals = pd.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(size=rows)})
    decimals.to_csv(european, index=False, sep=";", decimal=",", encoding="utf-16")
    assert_same(load_on_disk(european, tmp_path / "cache"), load(european))


@pytest.mark.filterwarnings("ignore:column 'key'")
def test_whole_numbers_beyond_64_bits_with_a_sign(tmp_path: Path) -> None:
    rows = 300
    rng = np.random.default_rng(0)
    late = np.arange(rows) >= rows - 20
    frame = pd.DataFrame(
        {
            "key": rng.integers(2**63, 2**64 - 1, rows, dtype=np.uint64),
            "jump": np.where(late, str(2**63 + 5), rng.integers(-9, 9, rows).astype(str)),
            "x": rng.normal(size=rows),
        }
    )
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    found = load_on_disk(path, tmp_path / "cache", kinds={"key": "identifier", "jump": "real"})
    assert [column.name for column in found.schema.columns] == ["jump", "x"]
    assert found.x.shape == (rows, 2)


def test_whole_numbers_of_more_than_64_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    amounts = [int(amount) for amount in 1e22 * np.exp(rng.normal(size=150))]
    frame = pd.DataFrame(
        {
            "amount": amounts,
            "gaps": [None if row % 7 == 0 else -amount for row, amount in enumerate(amounts)],
            "late": [2**70 if row > 140 else row % 50 for row in range(150)],
            "x": rng.normal(size=150),
        },
        dtype=object,
    )
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    options: dict[str, Any] = {"missing": "model"}
    assert_same(load_on_disk(path, tmp_path / "cache", **options), load(path, **options))


def test_a_damaged_csv_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    mixed_frame().to_csv(path, index=False)
    path.write_text(path.read_text() + "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n")
    with pytest.raises(DataError, match=r"t\.csv"):
        load_on_disk(path, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_numbers_only_and_regression(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, 3)), columns=list("abc")).astype("float32")
    path = written(frame, tmp_path / "t.parquet")
    for options in ({"kinds": "real"}, {"label": "c", "regression": True}):
        expected = load(path, **options)  # type: ignore[arg-type]
        assert_same(load_on_disk(path, tmp_path / "cache", **options), expected)  # type: ignore[arg-type]


def test_parts_on_disk_are_those_in_memory(tmp_path: Path) -> None:
    path = written(mixed_frame(), tmp_path / "t.parquet")
    expected, found = load(path), load_on_disk(path, tmp_path / "cache")
    for one, other in zip(found.split(0.2, seed=3), expected.split(0.2, seed=3), strict=True):
        assert one.folder is not None
        assert_same(one, other)
    order = torch.tensor([5, 0, 599, 5])
    assert_same(found.subset(order), expected.subset(order))
    assert found.missing_share == pytest.approx(float((~expected.mask).double().mean()))
    jacobian = float(expected.log_jacobian(mass=False).mean())
    assert found.mean_log_jacobian(mass=False) == pytest.approx(jacobian, rel=1e-12)
    folder = found.folder
    assert folder is not None
    assert sorted(file.name for file in folder.iterdir()) == ["observed.bin", "rows.json", "x.bin"]


def test_a_schema_from_a_sample_is_that_of_the_sampled_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing cells, ranges, resolutions and classes are those of all rows."""
    monkeypatch.setattr(tables, "SAMPLED_CELLS", 150 * COLUMNS)
    frame = mixed_frame()
    frame.loc[frame.index[-1], ["cents", "visits"]] = [-1.005, 5_000]  # a finer and a new value
    path = written(frame, tmp_path / "t.parquet")
    rows = drawn_rows(len(frame), 150)
    assert frame.index[-1] not in rows
    found = load_on_disk(path, tmp_path / "cache", label="kind").schema
    sample = load(plain(frame).iloc[rows], label="kind", kinds={"row": "identifier"}).schema
    whole = load(path, label="kind").schema
    assert found.left_out == whole.left_out == ("row",)
    assert found.class_names == whole.class_names
    ours, theirs = reordered(found.columns), reordered(whole.columns)
    for column in sample.columns:
        of_all = theirs[column.name]
        fields_of_all = {
            name: getattr(of_all, name)
            for name in (
                *("missing_share", "lattice", "observed", "dtype", "frame_dtype", "arrow_type"),
            )
        }
        assert ours[column.name] == replace(column, **fields_of_all), column.name
    assert ours["cents"].lattice.step == 0.005
    assert ours["visits"].observed[1] == 5_000


@pytest.mark.filterwarnings("ignore:column 'fixed' did not vary")
@pytest.mark.filterwarnings("ignore:.*not in the 150 rows")
def test_a_late_level_is_reported_and_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "SAMPLED_CELLS", 150 * COLUMNS)
    frame = mixed_frame()
    rest = np.setdiff1d(np.arange(len(frame)), drawn_rows(len(frame), 150))
    frame.loc[rest[[7, 300]], "region"] = "centre"
    frame.loc[rest[9], "fixed"] = 8
    path = written(frame, tmp_path / "t.parquet")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = load_on_disk(path, tmp_path / "cache")
    said = [str(warning.message) for warning in caught]
    assert any("2 of 'region'" in text and "1 of 'fixed'" in text for text in said)
    assert any("'centre'" in text for text in said)
    with pytest.warns(UserWarning, match="2 of 'region'"):  # from the cache
        load_on_disk(path, tmp_path / "cache")
    place = [column.name for column in found.schema.modeled].index("region")
    assert found.observed is not None
    assert not found.observed[rest[[7, 300]], place].any()
    known = load_on_disk(
        path,
        tmp_path / "cache",
        kinds={
            "region": {
                "kind": "categorical",
                "levels": ["centre", "north", "east", "south", "west"],
            }
        },
    )
    assert known.observed is not None
    assert known.observed[rest[[7, 300]], place].all()


def test_a_late_value_beyond_a_bound_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "SAMPLED_CELLS", 150 * COLUMNS)
    frame = mixed_frame()
    rest = np.setdiff1d(np.arange(len(frame)), drawn_rows(len(frame), 150))
    frame.loc[rest[400], "income"] = -5.0
    path = written(frame, tmp_path / "t.parquet")
    with pytest.warns(UserWarning, match="column 'income' held .* set to the bound"):
        load_on_disk(path, tmp_path / "cache")


@pytest.mark.parametrize(("rows", "most"), [(10, 20), (10, 10), (11, 10), (1_000, 7), (9, 2)])
def test_the_sample_has_distinct_rows_in_order(rows: int, most: int) -> None:
    drawn = drawn_rows(rows, most)
    assert len(drawn) == min(rows, most)
    assert (np.diff(drawn) > 0).all()
    assert drawn.min() >= 0
    assert drawn.max() < rows


@pytest.mark.parametrize(("rows", "most"), [(30, 8), (50, 8), (4, 3)])
def test_each_row_is_as_likely_in_the_sample(
    rows: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = np.zeros(rows)
    for seed in range(4_000):
        monkeypatch.setattr("lowerbound.data.tables.disk_sample.SEED", seed)
        counts[drawn_rows(rows, most)] += 1
    share = most / rows
    error = np.sqrt(4_000 * share * (1 - share))
    assert np.abs(counts - 4_000 * share).max() < 4.5 * error


def test_a_changed_table_or_option_has_files_of_its_own(tmp_path: Path) -> None:
    path, cache = written(mixed_frame(), tmp_path / "t.parquet"), tmp_path / "cache"
    first = load_on_disk(path, cache)
    other = load_on_disk(path, cache, normal_scores=False)
    written(mixed_frame(seed=1), path)
    changed = load_on_disk(path, cache)
    assert len({first.folder, other.folder, changed.folder}) == 3
    assert_same(changed, load(path))


@pytest.mark.parametrize("damage", ["facts", "file", "absent"])
def test_damaged_files_are_written_again(tmp_path: Path, damage: str) -> None:
    path, cache = written(mixed_frame(), tmp_path / "t.parquet"), tmp_path / "cache"
    folder = load_on_disk(path, cache).folder
    assert folder is not None
    if damage == "facts":
        (folder / on_disk.FACTS).write_text("{}")
    elif damage == "file":
        os.truncate(folder / "x.bin", 1_000)
    else:
        (folder / "observed.bin").unlink()
    assert_same(load_on_disk(path, cache), load(path))


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = written(mixed_frame(), tmp_path / "t.parquet"), tmp_path / "cache"

    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(tables, "finish", full)
    with pytest.raises(OSError, match="No space"):
        load_on_disk(path, cache)
    assert list(cache.iterdir()) == []


def test_a_disk_that_is_too_small_is_said_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """600 rows of 13 columns, three times 9 bytes a cell."""
    path, needed = written(mixed_frame(), tmp_path / "t.parquet"), 600 * COLUMNS * 27

    def free(amount: int) -> None:
        found = shutil.disk_usage(tmp_path)._replace(free=amount)
        monkeypatch.setattr(row_files.shutil, "disk_usage", lambda place: found)

    free(needed - 1)
    with pytest.raises(DataError, match=r"on the disk of .*are free"):
        load_on_disk(path, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    free(needed)
    load_on_disk(path, tmp_path / "cache")


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    folder = shards(mixed_frame(), tmp_path / "t")
    bad = folder / "part-1.parquet"
    os.truncate(bad, bad.stat().st_size // 2)
    with pytest.raises(DataError, match=r"part-1\.parquet cannot be read as parquet"):
        load_on_disk(folder, tmp_path / "cache")
    with pytest.raises(DataError, match=r"part-1\.parquet cannot be read as parquet"):
        load(folder)


def test_a_damaged_page_is_named(tmp_path: Path) -> None:
    folder = shards(mixed_frame(), tmp_path / "t")
    bad = folder / "part-2.parquet"
    content = bytearray(bad.read_bytes())
    content[4:2_000] = bytes(1_996)
    bad.write_bytes(content)
    with pytest.raises(DataError, match=r"part-2\.parquet cannot be read as parquet"):
        load_on_disk(folder, tmp_path / "cache")
    assert not any((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.drop(columns="real"), "column 'real' is missing"),
        (lambda f: f.assign(new=1), "column 'new' is new"),
        (lambda f: f.astype({"visits": "float64"}), "column 'visits' is double, not int64"),
        (lambda f: f[[*f.columns[::-1]]], "their order differs"),
    ],
)
def test_a_file_with_other_columns_is_named(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], words: str
) -> None:
    folder = shards(mixed_frame(), tmp_path / "t")
    written(change(mixed_frame(40)), folder / "part-7.parquet")
    for read in (load, lambda path: load_on_disk(path, tmp_path / "cache")):
        with pytest.raises(DataError, match=rf"part-7\.parquet has other columns than .*{words}"):
            read(folder)


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.ones((30, 2)))
    with pytest.raises(DataError, match="only Parquet and csv"):
        load_on_disk(tmp_path / "t.npy", tmp_path / "cache")
    with pytest.raises(DataError, match="there is no column 'none' for the label"):
        load_on_disk(written(mixed_frame(30), tmp_path / "t.pq"), tmp_path / "c", label="none")


def test_a_folder_with_other_files_is_no_table(tmp_path: Path) -> None:
    folder = shards(mixed_frame(), tmp_path / "t")
    (folder / "readme.txt").touch()
    with pytest.raises(DataError, match="only Parquet and csv"):
        load_on_disk(folder, tmp_path / "cache")


def test_the_stored_schema_is_exact(tmp_path: Path) -> None:
    path = written(mixed_frame(), tmp_path / "t.parquet")
    found = load_on_disk(path, tmp_path / "cache").schema
    assert found == Schema.from_mapping(load(path).schema.to_mapping())
    shutil.rmtree(tmp_path / "cache")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_late_code_tells_that_a_column_is_text(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "SAMPLED_CELLS", 150 * 3)
    size = np.random.default_rng(0).normal(size=400)
    frame = pd.DataFrame({"same": "5", "grade": [str(i % 7) for i in range(400)], "size": size})
    late = max(set(range(400)) - set(drawn_rows(400, 150).tolist()))
    frame.loc[late, ["same", "grade"]] = "07"
    path = tmp_path / f"t{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else written(frame, path)
    found, expected = load_on_disk(path, tmp_path / "cache").schema, load(path).schema
    for ours, theirs in zip(found.columns[:2], expected.columns[:2], strict=True):
        assert (ours.kind, ours.dtype, ours.levels) == (theirs.kind, "str", theirs.levels)
        assert "07" in ours.levels


@pytest.mark.parametrize("label", [None, "1"])
def test_names_that_were_numbers_are_text(
    tmp_path: Path, label: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pandas notes in the file that the names are no text."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({0: rng.normal(size=300), 1: rng.integers(0, 3, 300), 2: rng.random(300)})
    table.to_parquet(tmp_path / "t.parquet")
    assert list(pd.read_parquet(tmp_path / "t.parquet").columns) == [0, 1, 2]
    monkeypatch.setattr(tables, "SAMPLED_CELLS", 150 * 3)
    found = load_on_disk(tmp_path / "t.parquet", tmp_path / "cache", label=label)
    table.rename(columns=str).to_parquet(tmp_path / "named.parquet")
    expected = load_on_disk(tmp_path / "named.parquet", tmp_path / "cache", label=label)
    assert found.schema == expected.schema
    assert torch.equal(found.x, expected.x)
