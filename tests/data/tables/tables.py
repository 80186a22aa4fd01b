"""A table of columns of all kinds, in Parquet files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def mixed_frame(rows: int = 600, seed: int = 0) -> pd.DataFrame:
    """Columns of every kind; missing cells in numbers, flags and text come late in the table."""
    rng = np.random.default_rng(seed)
    late = np.arange(rows) >= rows - 40
    hidden = rng.normal(size=rows)
    frame = pd.DataFrame(
        {
            "row": np.arange(100, 100 + rows),
            "real": hidden + rng.normal(0.0, 0.3, rows),
            "cents": np.round(20 + 5 * rng.normal(size=rows), 2),
            "income": np.exp(9 + 0.8 * hidden),
            "rate": 1 / (1 + np.exp(-2 * hidden)),
            "spent": np.where(rng.random(rows) < 0.3, 0.0, np.exp(rng.normal(3, 1, rows))),
            "visits": rng.poisson(30.0, rows),
            "grade": rng.integers(1, 6, rows),
            "day": pd.Timestamp("2021-03-01") + pd.to_timedelta(rng.integers(0, 700, rows), "D"),
            "region": rng.choice(["north", "east", "south", "west"], rows),
            "member": rng.random(rows) < 0.4,
            "fixed": 7,
            "kind": np.where(hidden > 0, "b", "a"),
        }
    )
    gone = late & (rng.random(rows) < 0.5)
    whole = frame["grade"].astype("float64").where(~gone)
    flag = frame["member"].astype(object).where(~gone, None)
    return frame.assign(
        real=frame["real"].where(rng.random(rows) > 0.1),
        grade=pd.array(whole, dtype="Int64"),
        member=pd.array(flag, dtype="boolean"),
        region=frame["region"].where(~gone, None),
    )


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with types of numpy, which pandas changes where a cell is missing."""
    return frame.astype({"grade": "float64", "member": object})


def written(frame: pd.DataFrame, path: Path, group: int = 50) -> Path:
    """The frame in a Parquet file, whole numbers and flags with empty cells as such."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(table, path, row_group_size=group)
    return path


def shards(frame: pd.DataFrame, folder: Path, count: int = 3) -> Path:
    """The frame in files of a folder, beside what other programs leave there."""
    folder.mkdir()
    for number, rows in enumerate(np.array_split(np.arange(len(frame)), count)):
        written(frame.iloc[rows], folder / f"part-{number}.parquet")
    (folder / "_SUCCESS").touch()
    return folder
