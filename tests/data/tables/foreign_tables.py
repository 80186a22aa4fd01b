"""Small tables as people have them, and what each must give."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

ROWS = 24
HEIGHTS = [150.5 + 1.25 * row for row in range(ROWS)]
PRICES = [880.5 + 97.25 * row for row in range(ROWS)]  # some below and some above a thousand
COUNTS = [3 * row * row + 1 for row in range(ROWS)]
TOWNS = ["Graz", "Linz", "Wien"] * (ROWS // 3)
DAYS = [f"{1 + row:02d}.{1 + row % 12:02d}.2024" for row in range(ROWS)]

Cells = Sequence[Any]


@dataclass(frozen=True)
class ForeignTable:
    """A file, and the columns that it must give.

    Attributes:
        name: of the file.
        content: of the file.
        columns: numbers, or texts, by name.
        given: arguments of ``Dialect.asked``; empty: all is inferred.
        warned: what a warning must say; "": there is none.
    """

    name: str
    content: bytes
    columns: dict[str, Cells] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    warned: str = ""


def german(value: float, decimals: int = 2, group: str = ".") -> str:
    """1.234,50"""
    return english(value, decimals).replace(",", "G").replace(".", ",").replace("G", group)


def english(value: float, decimals: int = 2) -> str:
    """1,234.50"""
    return f"{value:,.{decimals}f}"


def text(columns: dict[str, Cells], delimiter: str = ",", end: str = "\n") -> str:
    """A file of text; cells with a delimiter are quoted."""

    def cell(value: Any) -> str:
        marked = any(mark in str(value) for mark in (delimiter, '"', "\n"))
        return f'"{value}"' if marked else str(value)

    lines = [list(columns), *zip(*columns.values(), strict=True)]
    return "".join(delimiter.join(map(cell, line)) + end for line in lines)


NUMBERS: dict[str, Cells] = {"height": HEIGHTS, "price": PRICES}
MIXED: dict[str, Cells] = {"height": HEIGHTS, "town": TOWNS}
COMMAS = "with decimal commas"


def _delimiters() -> list[ForeignTable]:
    names = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
    found = [
        ForeignTable(f"{name}.csv", text(MIXED, mark).encode(), MIXED)
        for mark, name in names.items()
    ]
    spaced = text({"height": HEIGHTS, "count": COUNTS}, " ")
    return [
        *found,
        ForeignTable("spaces.txt", spaced.encode(), {"height": HEIGHTS, "count": COUNTS}),
        ForeignTable("tabs.tsv", text(MIXED, "\t").encode(), MIXED),
        ForeignTable("windows_lines.csv", text(MIXED, ",", "\r\n").encode(), MIXED),
        ForeignTable("sep.csv", ("sep=;\r\n" + text(MIXED, ";", "\r\n")).encode(), MIXED),
        ForeignTable("sep_comma.csv", ("sep=,\n" + text(MIXED)).encode(), MIXED),
        ForeignTable("one_column.csv", text({"height": HEIGHTS}).encode(), {"height": HEIGHTS}),
        ForeignTable("tilde.csv", text(MIXED, "~").encode(), MIXED, given={"delimiter": "~"}),
        ForeignTable(
            "commas_in_names.csv",
            text({"height, cm": HEIGHTS, "town; of birth": TOWNS}).encode(),
            {"height, cm": HEIGHTS, "town; of birth": TOWNS},
        ),
        ForeignTable(
            "quotes_in_names.csv",
            ('"the ""height""",town\n' + text(MIXED).partition("\n")[2]).encode(),
            {'the "height"': HEIGHTS, "town": TOWNS},
        ),
        ForeignTable(
            "sentences.csv",
            text({"height": HEIGHTS, "note": [f"{t}, he said; no" for t in TOWNS]}).encode(),
            {"height": HEIGHTS, "note": [f"{t}, he said; no" for t in TOWNS]},
        ),
        ForeignTable(
            "lines_in_cells.csv",
            (
                "height,note\n"
                + "".join(f'{h},"{t}\nand more"\n' for h, t in zip(HEIGHTS, TOWNS, strict=True))
            ).encode(),
            {"height": HEIGHTS, "note": [f"{t}\nand more" for t in TOWNS]},
        ),
        ForeignTable("blank_lines.csv", ("\n\n" + text(MIXED) + "\n\n").encode(), MIXED),
        ForeignTable("spaces_after.csv", text(MIXED).replace(",", ", ").encode(), MIXED),
    ]


def _decimals() -> list[ForeignTable]:
    commas = {
        "height": [german(v) for v in HEIGHTS],
        "price": [german(v, group="") for v in PRICES],
    }
    grouped = {**commas, "price": [german(v) for v in PRICES]}
    found = [
        ForeignTable("decimal_commas.csv", text(commas, ";").encode(), NUMBERS, warned=COMMAS),
        ForeignTable("decimal_commas.tsv", text(commas, "\t").encode(), NUMBERS, warned=COMMAS),
        ForeignTable("quoted_decimal_commas.csv", text(commas).encode(), NUMBERS, warned=COMMAS),
        ForeignTable("points_in_groups.csv", text(grouped, ";").encode(), NUMBERS, warned=COMMAS),
        ForeignTable(
            "one_column_of_commas.csv",
            text({"height": [german(v) for v in HEIGHTS]}, ";").encode(),
            {"height": HEIGHTS},
            warned=COMMAS,
        ),
        ForeignTable(
            "negative_commas.csv",
            text({"a": [german(v - 160) for v in HEIGHTS], "town": TOWNS}, ";").encode(),
            {"a": [v - 160 for v in HEIGHTS], "town": TOWNS},
            warned=COMMAS,
        ),
        ForeignTable(
            "whole_groups_beside_commas.csv",
            text(
                {"height": commas["height"], "n": [german(1000 + c, 0) for c in COUNTS]}, ";"
            ).encode(),
            {"height": HEIGHTS, "n": [1000 + c for c in COUNTS]},
            warned=COMMAS,
        ),
        ForeignTable(
            "three_decimals.csv",
            text({"a": [f"{v / 100:.3f}" for v in HEIGHTS], "town": TOWNS}, ";").encode(),
            {"a": [round(v / 100, 3) for v in HEIGHTS], "town": TOWNS},
        ),
        ForeignTable(
            "three_decimal_commas.csv",
            text({"a": [german(v / 100, 3) for v in HEIGHTS], "town": TOWNS}, ";").encode(),
            {"a": [round(v / 100, 3) for v in HEIGHTS], "town": TOWNS},
            warned=COMMAS,
        ),
        ForeignTable(
            "asked_commas.csv",
            text({"a": [english(1000 + c, 0) for c in COUNTS], "town": TOWNS}, ";").encode(),
            {"a": [(1000 + c) / 1000 for c in COUNTS], "town": TOWNS},
            given={"decimal": ","},
        ),
        ForeignTable(
            "powers.csv",
            text(
                {"a": [f"{v:.2e}".replace(".", ",") for v in HEIGHTS], "town": TOWNS}, ";"
            ).encode(),
            {"a": [float(f"{v:.2e}") for v in HEIGHTS], "town": TOWNS},
            warned=COMMAS,
        ),
    ]
    marks = {"spaces": " ", "hard_spaces": "\u00a0", "narrow_spaces": "\u202f"}
    for name, mark in marks.items():
        cells = {"height": commas["height"], "price": [german(v, group=mark) for v in PRICES]}
        found.append(ForeignTable(f"{name}.csv", text(cells, ";").encode(), NUMBERS, warned=COMMAS))
    swiss = {"height": HEIGHTS, "price": [english(v).replace(",", "'") for v in PRICES]}
    typeset = {"height": HEIGHTS, "price": [english(v).replace(",", "\u2019") for v in PRICES]}
    return [
        *found,
        ForeignTable("apostrophes.csv", text(swiss).encode(), NUMBERS),
        ForeignTable("apostrophes_of_print.csv", text(typeset).encode(), NUMBERS),
        ForeignTable(
            "groups.csv",
            text({"height": HEIGHTS, "price": [english(v) for v in PRICES]}).encode(),
            NUMBERS,
        ),
        ForeignTable(
            "whole_groups.csv",
            text({"height": HEIGHTS, "n": [english(c, 0) for c in COUNTS]}).encode(),
            {"height": HEIGHTS, "n": COUNTS},
            warned="is read as",
        ),
        ForeignTable(
            "millions.csv",
            text({"height": HEIGHTS, "n": [english(10**6 + c, 0) for c in COUNTS]}).encode(),
            {"height": HEIGHTS, "n": [10**6 + c for c in COUNTS]},
        ),
        ForeignTable(
            "lakhs_stay_text.csv",
            text({"height": HEIGHTS, "n": ["12,34,567", "1,00,000", "3,45,678"] * 8}).encode(),
            {"height": HEIGHTS, "n": ["12,34,567", "1,00,000", "3,45,678"] * 8},
        ),
    ]


def _symbols() -> list[ForeignTable]:
    def made(
        name: str, cells: Cells, numbers: Cells, delimiter: str = ",", warned: str = ""
    ) -> ForeignTable:
        content = text(
            {"height": HEIGHTS if not warned else [german(v) for v in HEIGHTS], "a": cells},
            delimiter,
        )
        return ForeignTable(
            name, content.encode(), {"height": HEIGHTS, "a": numbers}, warned=warned
        )

    shares = [0.5 + row for row in range(ROWS)]
    return [
        made("dollars.csv", [f"${english(v)}" for v in PRICES], PRICES),
        made("dollars_apart.csv", [f"$ {english(v)}" for v in PRICES], PRICES),
        made("euros.csv", [f"{german(v)} \u20ac" for v in PRICES], PRICES, ";", COMMAS),
        made("euros_before.csv", [f"\u20ac {german(v)}" for v in PRICES], PRICES, ";", COMMAS),
        made("pounds.csv", [f"\u00a3{english(v)}" for v in PRICES], PRICES),
        made("percent.csv", [f"{v}%" for v in shares], shares),
        made("percent_apart.csv", [f"{v} %" for v in shares], shares),
        made("percent_commas.csv", [f"{german(v, 1)} %" for v in shares], shares, ";", COMMAS),
        made("whole_percent.csv", [f"{row}%" for row in range(ROWS)], list(range(ROWS))),
        made(
            "brackets.csv",
            [f"({english(v)})" if row % 2 else english(v) for row, v in enumerate(PRICES)],
            [-v if row % 2 else v for row, v in enumerate(PRICES)],
        ),
        made("minus_of_print.csv", [f"\u2212{v}" for v in shares], [-v for v in shares]),
        made("minus_dollars.csv", [f"-${english(v)}" for v in PRICES], [-v for v in PRICES]),
        made("plus.csv", [f"+{v}%" for v in shares], shares),
    ]


def _encodings() -> list[ForeignTable]:
    towns = {"height": HEIGHTS, "Größe": ["Köln", "Zürich", "Łódź"] * 8}
    west = {"height": HEIGHTS, "Größe": ["Köln", "Zürich", "Málaga"] * 8}
    return [
        ForeignTable("utf8.csv", text(towns).encode(), towns),
        ForeignTable("utf8_mark.csv", text(towns).encode("utf-8-sig"), towns),
        ForeignTable("utf16.csv", text(towns).encode("utf-16"), towns, warned="as utf-16"),
        ForeignTable(
            "utf16_tabs.txt", text(towns, "\t").encode("utf-16"), towns, warned="as utf-16"
        ),
        ForeignTable(
            "utf16_little.csv", text(towns).encode("utf-16-le"), towns, warned="as utf-16"
        ),
        ForeignTable("utf16_big.csv", text(towns).encode("utf-16-be"), towns, warned="as utf-16"),
        ForeignTable("utf32.csv", text(towns).encode("utf-32"), towns, warned="as utf-32"),
        ForeignTable("latin1.csv", text(west).encode("latin-1"), west, warned="as cp1252"),
        ForeignTable("windows.csv", text(west).encode("cp1252"), west, warned="as cp1252"),
        ForeignTable(
            "latin2.csv", text(towns).encode("latin2"), towns, given={"encoding": "latin2"}
        ),
        ForeignTable(
            "cyrillic.csv",
            text({"height": HEIGHTS, "a": ["Омск", "Уфа", "Тула"] * 8}).encode("cp1251"),
            {"height": HEIGHTS, "a": ["Омск", "Уфа", "Тула"] * 8},
            given={"encoding": "cp1251"},
        ),
    ]


def _comments() -> list[ForeignTable]:
    return [
        ForeignTable("comments.csv", ("# made by hand\n#\n" + text(MIXED)).encode(), MIXED),
        ForeignTable(
            "comments_inside.csv",
            text(MIXED).replace("\n", "\n% a note\n", 3).encode(),
            MIXED,
            given={"comment": "%"},
        ),
        ForeignTable(
            "hash_in_cells.csv",
            text({"height": HEIGHTS, "house": [f"{t} #4" for t in TOWNS]}).encode(),
            {"height": HEIGHTS, "house": [f"{t} #4" for t in TOWNS]},
        ),
    ]


def _dates() -> list[ForeignTable]:
    days = {"height": HEIGHTS, "day": DAYS}
    times = {
        "times": [f"{row}:30" for row in range(ROWS)],
        "laps": [f"0:{row:02d}:30" for row in range(ROWS)],
        "waits": [f"{row} days 00:00:30.5" for row in range(ROWS)],
    }
    steps = {"times": (1800, 3600), "laps": (30, 60), "waits": (30.5, 86_400)}
    return [
        *(
            ForeignTable(
                f"{name}.csv",
                text({"height": HEIGHTS, "a": cells}).encode(),
                {"height": HEIGHTS, "a": [first + step * row for row in range(ROWS)]},
            )
            for (name, cells), (first, step) in zip(times.items(), steps.values(), strict=True)
        ),
        ForeignTable("days.csv", text(days, ";").encode(), days),
        ForeignTable(
            "days_and_commas.csv",
            text({"height": [german(v) for v in HEIGHTS], "day": DAYS}, ";").encode(),
            days,
            warned=COMMAS,
        ),
    ]


def _no_numbers() -> list[ForeignTable]:
    codes = {
        "leading_zeros": [f"{row:05d}" for row in range(ROWS)],
        "addresses": [f"192.168.100.{100 + row}" for row in range(ROWS)],
        "versions": [f"1.{row}.3" for row in range(ROWS)],
        "lists": ["1,2,3", "4,5,6", "7,8"] * 8,
        "articles": [f"AB{row:03d}" for row in range(ROWS)],
        "aspects": [f"{row}:9" for row in range(ROWS)],
    }
    return [
        ForeignTable(
            f"{name}.csv",
            text({"height": HEIGHTS, "a": cells}).encode(),
            {"height": HEIGHTS, "a": cells},
        )
        for name, cells in codes.items()
    ]


def workbook(columns: dict[str, Cells]) -> bytes:
    """A workbook with one sheet."""
    import pandas as pd

    out = io.BytesIO()
    pd.DataFrame(columns).to_excel(out, index=False, engine="openpyxl")
    return out.getvalue()


TABLES = [
    *_delimiters(),
    *_decimals(),
    *_symbols(),
    *_encodings(),
    *_comments(),
    *_dates(),
    *_no_numbers(),
]
