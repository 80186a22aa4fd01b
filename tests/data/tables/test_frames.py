"""Tables from files: what is read is what was written, and what is wrong is named."""

from __future__ import annotations

import gzip
import lzma
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st

from lowerbound.data import load
from lowerbound.data.tables.files import read_frame
from lowerbound.errors import DataError


def frame() -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "height": random.normal(170, 10, 12).round(2),
            "children": random.integers(0, 4, 12),
            "group": ["x", "y", "z"] * 4,
        }
    )


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "csv.xz", "csv.bz2", "tsv", "parquet"])
def test_every_kind_of_file_gives_the_same_data(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"people.{suffix}"
    if suffix == "parquet":
        frame().to_parquet(path)
    else:
        frame().to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    dataset, expected = load(path, label="group"), load(frame(), label="group")
    assert dataset.schema == expected.schema
    assert torch.equal(dataset.x, expected.x)
    assert dataset.label is not None
    assert dataset.label.tolist() == [0, 1, 2] * 4
    assert dataset.schema.class_names == ("x", "y", "z")
    assert [column.name for column in dataset.schema.columns] == ["height", "children"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("header", [True, False])
def test_delimiter_and_header_are_found(tmp_path: Path, separator: str, header: bool) -> None:
    path = tmp_path / "table.csv"
    frame().drop(columns="group").to_csv(path, index=False, sep=separator, header=header)
    dataset = load(path)
    assert len(dataset) == 12
    names = ["height", "children"] if header else ["x0", "x1"]
    assert [column.name for column in dataset.schema.columns] == names


@pytest.mark.parametrize(
    ("content", "header"),
    [
        ("a,b\n1,2\n3,5\n", True),
        ("1,2\n3,5\n6,4\n", False),
        ("M,0.45,3\nF,0.35,2\nM,0.2,7\n", False),
        ("name,1990,1991\nx,3,5\ny,4,4\n", True),
        ("name,199,191\nx,3,5\ny,4,4\n", False),
        ("id,1990,1991\n1,3,5\n2,4,4\n", True),
        ("?,1,2\n3,5,6\n2,2,3\n", False),
    ],
)
def test_a_first_line_of_data_is_not_lost(tmp_path: Path, content: str, header: bool) -> None:
    path = tmp_path / "table.csv"
    path.write_text(content)
    doubt = not header and not content[0].isdigit()
    with pytest.warns(UserWarning, match="is read as data") if doubt else nullcontext():
        assert len(read_frame(path)) == (2 if header else 3)


def test_byte_order_mark_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("\ufeffa,b\n1,2\n\n3,5\n", encoding="utf-8")
    dataset = load(path)
    assert [column.name for column in dataset.schema.columns] == ["a", "b"]
    assert len(dataset) == 2


@settings(max_examples=40)
@given(st.integers(2, 12), st.data())
def test_a_line_of_another_width_is_named(
    tmp_path_factory: pytest.TempPathFactory, rows: int, data: st.DataObject
) -> None:
    bad = data.draw(st.integers(1, rows))
    width = data.draw(st.sampled_from([1, 2, 4, 5]))
    lines = ["a,b,c"] + ["1,2,3"] * rows
    lines[bad] = ",".join("7" * width)
    path = tmp_path_factory.mktemp("ragged") / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=f"line {bad + 1} has {width} fields, the first line has 3"):
        load(path)


def test_rows_longer_than_the_header_are_not_taken_for_row_names(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2,3\n4,5,6\n")
    with pytest.raises(DataError, match="line 2 has 3 fields, the first line has 2"):
        load(path)


@pytest.mark.parametrize("content", ["", "\n\n", "a,b\n"])
def test_an_empty_table_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises(DataError, match="empty"):
        load(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("table.csv", b"\xff\xfe\x00"),
        ("table.csv.gz", b"not gzip"),
        ("table.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99)[:-12]),
        ("table.csv.xz", lzma.compress(b"a,b\n1,2\n" * 99)[:-20]),
        ("table.parquet", b"PAR1 and no more"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=name):
        load(path)


@pytest.mark.parametrize("mark", ["", "?", "NA", "nan", "None", "null"])
def test_an_empty_cell_and_a_marker_are_missing(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"a,b\n1,2\n{mark},3\n4,5\n7,1\n")
    dataset = load(path)
    assert dataset.observed is not None
    assert dataset.observed.tolist() == [[True, True], [False, True], [True, True], [True, True]]
    assert dataset.x[1, 0] == 0  # a hidden value holds nothing
    with pytest.raises(DataError, match="column 'a' has NaN in row 1, counted from 0"):
        load(path, missing="error")


def test_text_is_left_out_of_numbers_and_named_once() -> None:
    with pytest.warns(UserWarning, match=r"left out 'group' \(such as 'x'\)") as caught:
        dataset = load(frame(), kinds="real")
    assert len(caught) == 1
    assert dataset.schema.left_out == ("group",)
    again = load(frame(), schema=dataset.schema)  # a second warning would fail the test
    assert torch.equal(again.x, dataset.x)


def test_dates_and_categories_are_left_out_of_numbers() -> None:
    table = frame().drop(columns="group")
    table["born"] = pd.date_range("2000-01-01", periods=12)
    table["kind"] = pd.Categorical(["u", "v"] * 6)
    with pytest.warns(UserWarning, match="left out 'born'.*'kind'"):
        assert load(table, kinds="real").schema.event_shape == (2,)


def test_numbers_written_as_text_are_numbers() -> None:
    table = pd.DataFrame({"a": ["1.5", "2", "4"], "b": [1, 2, 4]}).astype({"a": object})
    assert load(table).schema.event_shape == (2,)


def test_a_table_of_text_is_refused() -> None:
    with (
        pytest.raises(DataError, match="no column of numbers; it has group"),
        pytest.warns(UserWarning, match="left out"),
    ):
        load(frame()[["group"]], kinds="real")


def test_a_column_of_numbers_that_turns_to_text_is_named() -> None:
    schema = load(frame(), label="group").schema
    table = frame().assign(height=["tall"] * 12)
    with pytest.raises(DataError, match="column 'height' holds numbers, but not in rows 0, 1"):
        load(table, schema=schema)


def test_missing_values_of_pandas_are_missing() -> None:
    table = frame().drop(columns="group").astype({"children": "Int64"})
    table.loc[5, "children"] = pd.NA
    with pytest.raises(DataError, match="column 'children' has NaN in row 5"):
        load(table, missing="error", kinds="real")
    observed = load(table).observed
    assert observed is not None
    assert (~observed).nonzero().tolist() == [[5, 1]]


def test_the_nearest_label_column_is_suggested() -> None:
    with pytest.raises(DataError, match="no column 'groups' for the label; did you mean 'group'"):
        load(frame(), label="groups")


def test_the_labels_column_is_found_again_without_being_named() -> None:
    dataset = load(frame(), label="group")
    again = load(frame(), schema=dataset.schema)
    assert again.label is not None
    assert again.label.tolist() == [0, 1, 2] * 4
    without = load(frame().drop(columns="group"), schema=dataset.schema)
    assert without.label is None


def test_a_table_of_other_columns_is_named() -> None:
    schema = load(frame()).schema
    with (
        pytest.raises(DataError, match=r"none of the model's columns .height, children, group"),
        pytest.warns(UserWarning, match="not fitted on columns 'x_height'"),
    ):
        load(frame().add_prefix("x_"), schema=schema)


def test_a_table_for_a_model_of_pictures_is_no_table_of_other_columns(tmp_path: Path) -> None:
    schema = load(np.random.default_rng(0).integers(0, 256, (9, 6, 5), dtype=np.uint8)).schema
    path = tmp_path / "table.csv"
    frame().to_csv(path, index=False)
    for source, name in ((frame(), "the data"), (path, "table.csv")):
        with pytest.raises(DataError, match=rf"of grey pictures, 5x6 .*{name} is a table"):
            load(source, schema=schema)  # without a warning of columns


def test_columns_of_one_name_are_refused() -> None:
    table = frame()[["height", "children", "height"]]
    with pytest.raises(DataError, match="several columns are named height"):
        load(table)


def test_columns_whose_names_are_numbers_are_read_as_those_with_text_names() -> None:
    random = np.random.default_rng(0)
    cents = random.integers(100_000, 999_999, 40)
    amounts = [f"{each // 100_000}.{each // 100 % 1000:03d},{each % 100:02d}" for each in cents]
    numbered = pd.DataFrame({0: amounts, 1: random.normal(size=40)})
    expected = load(numbered.rename(columns=str))
    assert expected.schema.columns[0].notation is not None
    found = load(numbered)
    assert found.schema == expected.schema
    assert torch.equal(found.x, expected.x)
    again = load(numbered, schema=expected.schema)
    assert torch.equal(again.x, expected.x)


def test_numbers_with_zeros_in_front_are_found_under_names_that_are_numbers() -> None:
    values = np.arange(40) * 7 % 12 + 1
    schema = load(pd.DataFrame({0: values / 2, 1: np.sin(values)})).schema
    padded = pd.DataFrame({0: [f"{value:02d}" for value in values], 1: np.sin(values)})
    found = load(padded, schema=schema)
    assert torch.equal(found.x, load(padded.rename(columns=str), schema=schema).x)


def test_the_real_breast_cancer_table(shared_data: Path) -> None:
    """No header, and '?' for missing values."""
    path = shared_data / "uci_breast-cancer-wisconsin.csv.xz"
    with pytest.raises(DataError, match="column 'x5' has NaN in rows 23, 40"):
        load(path, kinds="real")
    observed = load(path).observed
    assert observed is not None
    assert (~observed).sum(0).tolist() == [0, 0, 0, 0, 0, 16, 0, 0, 0, 0]


def test_the_real_wine_table(shared_data: Path) -> None:
    dataset = load(shared_data / "uci_winequality-red.csv.xz")
    assert len(dataset) == 1599
    assert dataset.schema.event_shape == (12,)
