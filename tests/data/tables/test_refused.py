"""Tables that keep their deleted rows in files are refused by name, wherever they are named."""

from __future__ import annotations

from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
import pytest

from lowerbound.data import load
from lowerbound.data.tables.chunks import read_chunks
from lowerbound.data.tables.on_disk import load_on_disk
from lowerbound.data.tables.refused import refuse_sparse_lines
from lowerbound.errors import DataError

FRAME = pd.DataFrame({"a": np.arange(60) ** 1.5, "b": [*"xyz"] * 20})
LOGS = {
    "a Delta Lake table": "_delta_log/00000000000000000000.json",
    "an Iceberg table": "metadata/00000-aaaa.metadata.json",
    "a Hudi table": ".hoodie/hoodie.properties",
}


def table(folder: Path, title: str, part: str = "") -> Path:
    """The folder of such a table, with a file of rows."""
    inner = folder / "people" / ("data" if "Iceberg" in title else "") / part
    inner.mkdir(parents=True)
    FRAME.to_parquet(inner / "part-0.parquet")
    log = folder / "people" / LOGS[title]
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("{}")
    return folder / "people"


@pytest.mark.parametrize("title", LOGS)
@pytest.mark.parametrize("part", ["", "year=2024"])
def test_such_tables_are_refused_by_name(tmp_path: Path, title: str, part: str) -> None:
    root = table(tmp_path, title, part)
    file = next(root.rglob("*.parquet"))
    for source in (root, file.parent, file, root / "*.parquet"):
        with pytest.raises(DataError, match=f"{title}: .* deleted .* to one Parquet file"):
            load(source)
        with pytest.raises(DataError, match=title):
            load_on_disk(source, tmp_path / "cache")
    schema = load(FRAME).schema
    for source in (file.parent, file):
        with pytest.raises(DataError, match=title):
            next(read_chunks(source, schema))


@pytest.mark.parametrize("title", LOGS)
def test_queries_over_their_files_are_refused(tmp_path: Path, title: str) -> None:
    pytest.importorskip("duckdb")
    root = table(tmp_path, title, "year=2024")
    for pattern in ("**/*.parquet", "**/part-?.parquet"):
        with pytest.raises(DataError, match=title):
            load(f"duckdb:?query=SELECT * FROM '{root}/{pattern}'")


def test_other_folders_beside_a_log_are_read(tmp_path: Path) -> None:
    """A folder named metadata alone is no table of Iceberg."""
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "notes.json").write_text("{}")
    (tmp_path / "data").mkdir()
    FRAME.to_parquet(tmp_path / "data" / "part-0.parquet")
    assert len(load(tmp_path / "data")) == 60


def test_lines_that_are_no_sparse_rows_are_tables() -> None:
    """Times of a day and ratios; the time of a wide line of whole numbers does not double."""
    for lines in (["5 12:30", "7 09:05"], ["1 16:9 4:3", "2 3:1 2:1"], ["x 3:1", "1 3:1"]):
        refuse_sparse_lines(Path("x.txt"), lines)
    begun = process_time()
    refuse_sparse_lines(Path("x.csv"), [",".join(["123"] * 40) + ",abc", "1" * 10_000 + "x"])
    assert process_time() - begun < 1
    with pytest.raises(DataError, match="LIBSVM"):
        refuse_sparse_lines(Path("x.txt"), ["1 3:1 11:0.5", "-1 2:1"])
