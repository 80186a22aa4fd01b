"""Print a sheet of a workbook as lines of JSON: ``read_workbook`` runs this as a process.

    python workbook_rows.py LIBRARIES FILE [SHEET]

The first line is the names of the sheets, each further one a row. A cell is a text, a number or a
truth; dates and times are lists, as ["date", "2026-12-01"]. A failure is a line {"error": WORDS}.
It imports nothing of the package.
"""

from __future__ import annotations

import json
import sys
from datetime import date, datetime, time, timedelta
from typing import Any

FAMILIES = {kind.__name__: kind for kind in (datetime, date, time)}


def cell_of(value: list[Any]) -> Any:
    """A date or a time from JSON."""
    name, *parts = value
    return timedelta(*parts) if name == "timedelta" else FAMILIES[name].fromisoformat(*parts)


def json_of(value: Any) -> list[Any]:
    """A date or a time for JSON."""
    if isinstance(value, timedelta):
        return ["timedelta", value.days, value.seconds, value.microseconds]
    return [type(value).__name__, value.isoformat()]


def main(libraries: str, path: str, *wanted: str) -> None:
    """Print the names of the sheets and the rows of one: the wanted, else the first."""
    sys.path.append(libraries)
    from python_calamine import SheetTypeEnum, load_workbook

    book = load_workbook(path)
    sheets = [each.name for each in book.sheets_metadata if each.typ == SheetTypeEnum.WorkSheet]
    encoded = json.JSONEncoder(default=json_of).encode
    print(encoded(sheets))
    for name in [each for each in wanted or sheets if each in sheets][:1]:
        for row in book.get_sheet_by_name(name).to_python(skip_empty_area=False):
            print(encoded(row))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except MemoryError:
        sys.exit(1)
    except Exception as failure:
        print(json.dumps({"error": str(failure)}))
