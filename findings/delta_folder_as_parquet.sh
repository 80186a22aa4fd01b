#!/usr/bin/env bash
# A Delta Lake table that is read as a folder of Parquet files gives back deleted rows.
#
# Seen with: deltalake 1.6.6, pandas 3.1.1, pyarrow 26.0.1, polars 2.1.0, duckdb 2.0.0.
# Behavior: a table of 5 rows is written, 3 rows are deleted, and 1 is overwritten. The table then
#   has 2 rows. The same folder has 9 rows for pandas.read_parquet and for pyarrow.dataset, and for a
#   glob of its files in polars and duckdb. None of them warns, although the folder holds _delta_log/.
# Expected by most: the two current rows, or a refusal that names the format.
# Why it matters: whoever trains on the folder trains on rows that somebody had removed, for
#   instance because a person asked for it.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/env"
"$place/env/bin/pip" install -q --disable-pip-version-check \
    deltalake==1.6.6 pandas==3.1.1 pyarrow==26.0.1 polars==2.1.0 duckdb==2.0.0
cd "$place"
"$place/env/bin/python" - <<'PYTHON'
import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as dataset
from deltalake import DeltaTable, write_deltalake

write_deltalake("people", pd.DataFrame({"name": list("abcde"), "age": [31, 42, 53, 64, 75]}))
table = DeltaTable("people")
table.delete("age > 45")
table.update(updates={"age": "32"}, predicate="name = 'a'")

current = DeltaTable("people").to_pandas()
counts = {
    "deltalake": len(current),
    "pandas.read_parquet": len(pd.read_parquet("people")),
    "pyarrow.dataset": dataset.dataset("people", format="parquet").count_rows(),
    "polars.read_parquet of a glob": len(pl.read_parquet("people/*.parquet")),
    "duckdb read_parquet of a glob": duckdb.sql("select * from 'people/*.parquet'").df().shape[0],
}
for reader, rows in counts.items():
    print(f"{reader:<30} {rows} rows")
assert counts.pop("deltalake") == 2, "the table itself has 2 rows"
print("deleted people read back:", sorted(set(pd.read_parquet("people").name) - set(current.name)))
assert set(counts.values()) == {9}, "a reader no longer gives the removed rows: update this page"
PYTHON
