"""Tables by chunks: the same rows as read at once."""

from __future__ import annotations

import gzip
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.data import load
from lowerbound.data.tables.chunks import read_chunks, text_frames
from lowerbound.data.tables.dialect import Dialect, sniffed, widths
from lowerbound.data.tables.files import read_table
from lowerbound.errors import DataError


def frame(rows: int = 50) -> pd.DataFrame:
    """Numbers with holes, codes with leading zeros among which letters come late, and dates."""
    rng = np.random.default_rng(0)
    codes = np.array([f"{code:03d}" for code in rng.integers(0, 4, rows)], dtype=object)
    codes[-9:] = [f"A{i}" for i in range(9)]  # enough of them to tell codes from numbers
    size = rng.normal(170.0, 10.0, rows)
    size[5] = np.nan
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, rows), "D")
    return pd.DataFrame({"size": size, "code": codes, "n": rng.integers(0, 5, rows), "day": days})


def written(rows: pd.DataFrame, path: Path) -> Path:
    """The rows in a file of the kind that the suffix says."""
    if path.suffix == ".parquet":
        rows.to_parquet(path, row_group_size=20)
    else:
        rows.to_csv(path, index=False, compression="infer")
    return path


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("t.csv", 1),
        *product(["t.csv", "t.tsv", "t.csv.gz", "t.csv.xz", "t.parquet"], [7, 50, 1000]),
    ],
)
def test_chunks_are_the_table(tmp_path: Path, name: str, rows: int) -> None:
    path = written(frame(), tmp_path / name)
    whole = load(path)
    parts: list[Any] = []
    first = 0
    for chunk in read_chunks(path, whole.schema, rows):
        assert chunk.first == first
        assert len(chunk.frame) <= rows
        first += len(chunk.frame)
        parts.append(load(chunk.frame, schema=whole.schema))
    assert first == 50
    assert chunk.total == 50
    x, observed = (torch.cat([_field(part, name) for part in parts]) for name in ("x", "observed"))
    assert torch.equal(x, whole.x)
    assert torch.equal(observed, _field(whole, "observed"))


def _field(dataset: Any, name: str) -> torch.Tensor:
    value = getattr(dataset, name)
    return torch.ones_like(dataset.x, dtype=torch.bool) if value is None else value


def test_a_file_without_names_has_its_text_read_as_text(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = [f"{code:03d},{code}" for code in (1, 2, 3)] * 10 + [f"A{i},4" for i in range(9)]
    path.write_text("\n".join(lines) + "\n")
    whole = load(path)
    found = [load(c.frame, schema=whole.schema).x for c in read_chunks(path, whole.schema, 3)]
    assert torch.equal(torch.cat(found), whole.x)


def test_an_empty_table_is_one_chunk_of_no_rows(tmp_path: Path) -> None:
    schema = load(frame()).schema
    for name in ("t.csv", "t.parquet"):
        (chunk,) = read_chunks(written(frame().head(0), tmp_path / name), schema)
        assert len(chunk.frame) == 0
        assert list(chunk.frame.columns) == ["size", "code", "n", "day"]


def test_broken_tables_are_refused_wherever_they_break(tmp_path: Path) -> None:
    schema = load(frame()).schema
    path = written(frame(), tmp_path / "t.csv")
    path.write_text(path.read_text() + "1,2\n")
    with pytest.raises(DataError, match="line 52 has 2 fields, the first line has 4"):
        list(read_chunks(path, schema, 10))
    path.write_text(path.read_text().replace("1,2\n", "1,2,3,4,5\n"))
    with pytest.raises(DataError, match="line 52 has 5 fields, the first line has 4"):
        list(read_chunks(path, schema, 10))
    whole = gzip.compress(frame(500).to_csv(index=False).encode())
    (tmp_path / "t.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read as text"):
        list(read_chunks(tmp_path / "t.csv.gz", schema, 10))
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        list(read_chunks(tmp_path / "t.parquet", schema, 10))


def test_lines_of_spaces_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("size,n\n1,2\n   \n3,4\n")
    (chunk,) = read_chunks(path, load(path).schema)
    assert chunk.frame.to_numpy().tolist() == [[1, 2], [3, 4]]


def test_the_share_that_was_read_grows_to_one(tmp_path: Path) -> None:
    schema = load(frame()).schema
    for name in ("t.csv", "t.parquet"):
        shares = [c.share for c in read_chunks(written(frame(), tmp_path / name), schema, 9)]
        assert shares == sorted(shares)
        assert shares[0] > 0
        assert shares[-1] == 1.0


def test_what_was_read_of_parquet_is_let_go(tmp_path: Path) -> None:
    import pyarrow as pa

    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(40_000, 8)))
    rows.columns = [f"x{i}" for i in range(8)]
    rows.to_parquet(tmp_path / "t.parquet", row_group_size=1_000)
    schema = load(rows.head(100)).schema
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() for _ in read_chunks(tmp_path / "t.parquet", schema, 500)]
    assert max(held) - before < 0.25 * (tmp_path / "t.parquet").stat().st_size


COMMENTED = """name,size
"x # not, one",1
# a note, with, commas, and an "open quote
y,2 # behind, a row
"two
# lines, of ""text"" ",3

5" pipe,4 # a, quote inside a cell opens none
z,
"""


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
def test_comments_with_delimiters_are_no_cells(tmp_path: Path, delimiter: str) -> None:
    """The oracle is the parser of pandas."""
    path = tmp_path / "t.csv"
    path.write_text(COMMENTED.replace(",", delimiter))
    expected = pd.read_csv(path, sep=delimiter, comment="#", skipinitialspace=True)
    asked = Dialect.asked(comment="#")
    pd.testing.assert_frame_equal(read_table(path, asked)[0], expected)
    chunks = [part for part, _ in text_frames(path, 2, (), asked)]
    found = pd.concat(chunks, ignore_index=True).astype(expected.dtypes)
    pd.testing.assert_frame_equal(found, expected)
    counts = [count for _, count in widths(path, sniffed(path, asked)) if count]
    assert counts == [2] * (1 + len(expected))


def test_comments_between_cells_apart_by_spaces(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("a b\n1 2\n# some more words\n3 4 # and more\n5 6\n")
    (only,) = [part for part, _ in text_frames(path, 9, (), Dialect.asked(comment="#"))]
    assert only.to_numpy().tolist() == [[1, 2], [3, 4], [5, 6]]


def test_a_row_that_is_too_long_before_its_comment_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n# one, two, three\n3,4,5 # six\n")
    with pytest.raises(DataError, match="line 4 has 3 fields, the first line has 2"):
        list(text_frames(path, 9, (), Dialect.asked(comment="#")))
