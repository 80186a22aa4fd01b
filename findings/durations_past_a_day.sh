#!/usr/bin/env bash
# Durations in a workbook, shown as hh:mm:ss, become dates of 1900 where they reach 24 hours.
#
# Seen with: openpyxl 3.1.5, python-calamine 0.9.1, fastexcel 0.21.0, pandas 3.1.1, polars 2.1.0.
# Behavior: a column of 3, 27 and 50 hours with the number format hh:mm:ss is read by pandas, with
#   either engine, as the time 03:00, then 1900-01-01 03:00 and 1900-01-02 02:00: three types of one
#   quantity in one column. polars reads three dates, the first in 1899. With the format [h]:mm:ss all
#   of them read durations.
# Expected by most: durations, or an error. The cells hold 0.125, 1.125 and 2.083 days in both files.
# Why it matters: run times, waiting times and times on shift are kept so. As dates they leave the
#   column, or get ages of a century; as times of day, those above 24 hours are wrong by whole days.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/env"
"$place/env/bin/pip" install -q --disable-pip-version-check \
    openpyxl==3.1.5 python-calamine==0.9.1 fastexcel==0.21.0 pandas==3.1.1 polars==2.1.0
cd "$place"
"$place/env/bin/python" - <<'PYTHON'
import datetime as dt

import openpyxl
import pandas as pd
import polars as pl

HOURS = (3, 27, 50)
for form in ("hh:mm:ss", "[h]:mm:ss"):
    book = openpyxl.Workbook()
    book.active.append(["time"])
    for row, hours in enumerate(HOURS, 2):
        cell = book.active.cell(row, 1, hours / 24)
        cell.number_format = form
    book.save("times.xlsx")
    cells = {e: list(pd.read_excel("times.xlsx", engine=e).time) for e in ("openpyxl", "calamine")}
    cells["polars"] = pl.read_excel("times.xlsx")["time"].to_list()
    for reader, values in cells.items():
        print(f"{form:<10} {reader:<9} {[str(value) for value in values]}")
    durations = [all(isinstance(value, dt.timedelta) for value in v) for v in cells.values()]
    if form == "[h]:mm:ss":
        assert all(durations), "durations with brackets are read otherwise"
        continue
    assert not any(durations), "a reader now gives durations: update this page"
    for engine in ("openpyxl", "calamine"):
        kinds = [type(value) for value in cells[engine]]
        assert kinds[0] is dt.time and all(issubclass(kind, dt.datetime) for kind in kinds[1:])
    assert [value.year for value in cells["polars"]] == [1899, 1900, 1900]
PYTHON
