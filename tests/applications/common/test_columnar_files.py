"""Parquet written chunk by chunk: few row groups, and the table that one write would have made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from lowerbound.applications.common import columnar_files
from lowerbound.applications.common.columnar_files import columnar
from lowerbound.data.columns.levels import level_type
from tests.data.tables.test_unusual_types import HELD


def write(path: Path, chunks: list[dict[str, Any]]) -> None:
    with columnar(path) as file:
        for chunk in chunks:
            file.add(chunk)


def chunks_of(frame: pd.DataFrame, rows: int) -> list[dict[str, Any]]:
    parts = (frame.iloc[start : start + rows] for start in range(0, len(frame), rows))
    return [{name: part[name].array for name in part.columns} for part in parts]


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    words = np.array(["north", "east", "south"])
    return pd.DataFrame({"x": rng.normal(size=950), "place": rng.choice(words, 950)})


def test_small_chunks_share_row_groups(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar_files, "GROUP_ROWS", 300)
    path = tmp_path / "t.parquet"
    write(path, chunks_of(frame, 10))
    metadata = pq.read_metadata(path)
    sizes = [metadata.row_group(place).num_rows for place in range(metadata.num_row_groups)]
    assert sizes == [300, 300, 300, 50]
    pd.testing.assert_frame_equal(pd.read_parquet(path), frame)


def test_large_chunks_do_not_wait(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar_files, "GROUP_BYTES", 1)
    path = tmp_path / "t.parquet"
    write(path, chunks_of(frame, 100))
    assert pq.read_metadata(path).num_row_groups == 10


@pytest.mark.parametrize("rows", [20, 10_000], ids=["groups are written", "all wait"])
def test_a_column_that_turns_out_wider_is_as_if_written_at_once(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar_files, "GROUP_ROWS", rows)
    path = tmp_path / "t.parquet"
    whole = [np.arange(start, start + 10) for start in range(0, 60, 10)]
    write(path, [{"n": part} for part in whole[:5]] + [{"n": np.append(whole[5][:9], np.nan)}])
    expected = pd.DataFrame({"n": np.append(np.arange(59.0), np.nan)})
    pd.testing.assert_frame_equal(pd.read_parquet(path), expected)


def test_no_rows_keep_the_columns(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write(path, [{name: frame[name].array[:0] for name in frame.columns}])
    assert list(pd.read_parquet(path).columns) == ["x", "place"]
    assert pq.read_metadata(path).num_rows == 0


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_levels_of_other_types_are_text(suffix: str, tmp_path: Path) -> None:
    levels = {name: cells for name, cells in HELD.items() if level_type(cells.dtype)}
    assert len(levels) == 8
    path = tmp_path / f"t{suffix}"
    write(path, [levels])
    readers: dict[str, Any] = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    read = readers.get(suffix, lambda path: pd.DataFrame(json.loads(path.read_text())))
    found = read(path)
    for name, cells in levels.items():
        assert found[name].tolist() == cells.map(str).tolist()
