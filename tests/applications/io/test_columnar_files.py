"""Parquet written chunk by chunk: few row groups, and the table that one write would have made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from lowerbound.applications.io import columnar_files
from lowerbound.applications.io.columnar_files import columnar


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
