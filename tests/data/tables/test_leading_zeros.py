"""Codes such as 02139 are text in every kind of table, and keep their zeros."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound.cli import main
from lowerbound.data import load
from lowerbound.data.tables import files
from lowerbound.data.tables.chunks import read_chunks
from lowerbound.data.tables.on_disk import load_on_disk

ROWS = 120
SHORT = ["--updates", "3", "--no-report", "--test", "0", "--gap-rows", "0", "--threads", "1"]


def table() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "zip": random.choice(["02139", "10115", "00501", "94110"], ROWS),
            "month": [f"{month:02d}" for month in random.integers(1, 13, ROWS)],
            "customer": [f"{number:05d}" for number in random.permutation(ROWS)],
            "size": random.normal(size=ROWS).round(3),
            "count": random.integers(0, 9, ROWS),
        }
    )
    frame.loc[::9, "zip"] = None
    return frame


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".xlsx", ".parquet", "frame"])
@pytest.mark.filterwarnings("ignore:column 'customer'")
def test_codes_are_levels_or_identifiers(suffix: str, tmp_path: Path) -> None:
    frame, path = table(), tmp_path / f"table{suffix}"
    if suffix == ".xlsx":
        pytest.importorskip("openpyxl")
        frame.to_excel(path, index=False)
    elif suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix != "frame":
        frame.to_csv(path, index=False)
    schema = load(frame if suffix == "frame" else path, missing="model").schema
    assert {column.name: column.kind for column in schema.columns} == {
        "zip": "categorical",
        "month": "ordinal",
        "size": "real",
        "count": "ordinal",
    }
    assert schema.columns[0].levels == ("00501", "02139", "10115", "94110")
    assert schema.columns[1].levels == tuple(f"{month:02d}" for month in range(1, 13))
    assert schema.left_out == ("customer",)


@pytest.mark.parametrize(("least", "most"), [(0, 24), (1, 32), (0, 60)])
def test_many_small_codes_are_levels_not_counts(least: int, most: int) -> None:
    """Hours, days of the month, and minutes, of which one is frequent."""
    codes = [f"{code:02d}" for code in range(least, most)]
    rows = [*codes * 5, *codes[:1] * 5 * most]
    frame = pd.DataFrame({"code": rows, "size": np.random.default_rng(0).normal(size=len(rows))})
    column = load(frame).schema.columns[0]
    assert (column.kind, column.levels) == ("categorical", tuple(codes))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:column 'customer'")
def test_commands_keep_the_zeros(tmp_path: Path) -> None:
    data, model, out = tmp_path / "t.csv", str(tmp_path / "m.lb"), tmp_path / "o.csv"
    table().to_csv(data, index=False)
    assert main(["fit", str(data), "-o", model, *SHORT]) == 0
    assert main(["impute", model, str(data), "-o", str(out), "--samples", "2"]) == 0
    before, after = (pd.read_csv(path, dtype=str) for path in (data, out))
    assert after["zip"].isin(before["zip"]).all()
    pd.testing.assert_frame_equal(after.drop(columns="zip"), before.drop(columns="zip"))
    assert main(["sample", model, "-n", "9", "-o", str(out)]) == 0
    drawn = pd.read_csv(out, dtype=str)
    assert drawn["zip"].dropna().isin(before["zip"]).all()
    assert drawn["month"].isin(before["month"]).all()


@pytest.mark.filterwarnings("ignore:column 'customer'")
def test_rows_on_disk_keep_the_zeros(tmp_path: Path) -> None:
    table().to_csv(data := tmp_path / "t.csv", index=False)
    found = load_on_disk(data, tmp_path / "cache", missing="model").schema
    expected = load(data, missing="model").schema
    assert [(c.name, c.kind, c.levels) for c in found.columns] == [
        (c.name, c.kind, c.levels) for c in expected.columns
    ]


def test_classes_with_zeros_are_the_same_in_chunks(tmp_path: Path) -> None:
    table()[["month", "size", "count"]].to_csv(path := tmp_path / "t.csv", index=False)
    whole = load(path, label="month")
    assert whole.label is not None
    parts = [load(c.frame, schema=whole.schema).label for c in read_chunks(path, whole.schema, 50)]
    found = [one for part in parts if part is not None for one in part.tolist()]
    assert found == whole.label.tolist()


@pytest.mark.filterwarnings("ignore:column 'customer'")
def test_identifiers_keep_their_zeros_in_chunks(tmp_path: Path) -> None:
    """Of which the last rows have none, and which are no columns of the model."""
    frame = table().sort_values("customer")
    frame.to_csv(path := tmp_path / "t.csv", index=False)
    chunks = read_chunks(path, load(path, missing="model").schema, 50, texts=True)
    found = [cell for chunk in chunks for cell in chunk.frame["customer"]]
    assert found == frame["customer"].tolist()


def test_a_model_of_numbers_reads_numbers_with_zeros(tmp_path: Path) -> None:
    """As do models of tables that were read without their zeros."""
    plain, padded = tmp_path / "plain.csv", tmp_path / "padded.csv"
    months = pd.DataFrame({"month": np.arange(ROWS) % 12 + 1, "x": np.arange(ROWS) / 7})
    months.to_csv(plain, index=False)
    months.assign(month=months["month"].map("{:02d}".format)).to_csv(padded, index=False)
    expected = load(plain, missing="model")
    found = load(padded, schema=expected.schema)
    assert found.observed is None or found.observed.all()
    assert found.x.tolist() == expected.x.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, files.SCANNED - 3, files.SCANNED - 1, files.SCANNED])
def test_zeros_are_found_wherever_a_block_of_the_file_ends(place: int, tmp_path: Path) -> None:
    """One cell has a leading zero; before it stand numbers that have none."""
    head, line = "code,n\n", "12345,1\n"
    lines = max(0, place - len(head)) // len(line)
    padding = " " * (max(0, place - len(head)) - lines * len(line))
    text = f"{head}{line * lines}{padding}0042,1\n{line}"
    (path := tmp_path / "big.csv").write_text(text)
    assert files.read_frame(path)["code"].iloc[lines] == "0042"
    with gzip.open(packed := tmp_path / "big.csv.gz", "wt") as file:
        file.write(text)
    assert files.read_frame(packed)["code"].iloc[lines] == "0042"


def test_numbers_that_only_look_so_stay_numbers(tmp_path: Path) -> None:
    (path := tmp_path / "t.csv").write_text(
        "a,b,c,d\n0,0.5,-05,2024-01-02\n10,0,7,2024-02-03\n100,00.5,0,2024-03-04\n"
    )
    frame = files.read_frame(path)
    assert [frame[name].dtype.kind for name in "abc"] == ["i", "f", "i"]
