"""Words of a stranger reach neither a terminal, nor a spreadsheet, nor a browser as commands."""

from __future__ import annotations

import csv
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.common.columnar_files import columnar
from lowerbound.applications.common.formulas import formulas_kept, is_formula, keep_formulas
from lowerbound.cli import main
from lowerbound.data import load
from lowerbound.data.tables.files import read_table, read_text
from lowerbound.fitting import FitOptions, fit, folder as model_folder
from lowerbound.fitting.folder import CARD
from lowerbound.training import TrainingOptions
from lowerbound.untrusted import printable

SCRIPT = "<script>alert(1)</script>"


def test_terminals_get_no_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a\x1b]0;owned\x07\u202egnp.csv"
    path.write_text("\x1b[2Ja,b\n1,2\n3,x\x1b[31m\n5,y\n")
    assert main(["schema", str(path)]) in (0, 2)
    assert main(["schema", f"{path}.missing"]) == 2
    out, err = capsys.readouterr()
    assert not {"\x1b", "\x07", "\u202e"} & set(out + err)
    assert "gnp.csv.missing" in err


def test_colors_of_other_libraries_leave_no_trace() -> None:
    assert printable("note: \x1b[33mWARN: odd\x1b[0m [1m]\n\x1b[2J\x1b") == "note: WARN: odd [1m]\n"


@pytest.mark.parametrize(
    "cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "-A1:B2", "+smile", "-1-2"]
)
def test_formulas_are_known(cell: str) -> None:
    assert is_formula(cell)


@pytest.mark.parametrize(
    "cell",
    [
        *["", "-", "+", "-1", "- 1", "+1e5", "+49 170 1", "-inf", "A+", "a=b", "1-2", "x@y.z"],
        *["-4:38", "-12:00:01.5", "-1 days +23:59:50"],
    ],
)
def test_other_texts_are_none(cell: str) -> None:
    assert not is_formula(cell)


def test_spreadsheets_get_no_formulas(tmp_path: Path) -> None:
    columns = {"note": ["=1+1", "fine", "-3", None], "number": [-1.0, 2.0, 3.0, 4.0]}
    with (
        pytest.warns(UserWarning, match="1 texts of 'note' begin as a formula .*--keep-formulas"),
        columnar(tmp_path / "a.csv") as file,
    ):
        file.add(columns)
    with (tmp_path / "a.csv").open(newline="") as found:
        rows = list(csv.reader(found))
    assert [row[0] for row in rows] == ["note", "'=1+1", "fine", "-3", ""]
    assert [row[1] for row in rows] == ["number", "-1.0", "2.0", "3.0", "4.0"]


def test_formulas_are_kept_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model, out = tmp_path / "x.csv", tmp_path / "m.lb", tmp_path / "y.csv"
    data.write_text("a,b\n" + "=1+1,2\n+b,5\nc,\n" * 20)
    words = ["fit", str(data), "-o", str(model), "--updates", "3", "--no-report", "--test", "0"]
    assert main(words) == 0
    for flags, expected in (([], "'=1+1"), (["--keep-formulas"], "=1+1")):
        assert main(["impute", str(model), str(data), "-o", str(out), *flags]) == 0
        with out.open(newline="") as found:
            assert list(csv.reader(found))[1][0] == expected
        assert ("texts of 'a'" in capsys.readouterr().err) == (not flags)
    assert not keep_formulas.get()  # of the command alone


NAMES = ("=1+1", "+a|x", "-b", "@c", "\td", "\re")


def headers(path: Path) -> list[str]:
    with path.open(newline="") as found:
        return next(csv.reader(found))


@pytest.mark.parametrize("kept", [False, True])
def test_names_of_columns_are_no_formulas(tmp_path: Path, kept: bool) -> None:
    columns = {name: np.arange(3.0) for name in (*NAMES, "f", "-1")}
    path = tmp_path / "a.csv"
    with warnings.catch_warnings(record=True) as said, formulas_kept(kept):
        warnings.simplefilter("always")
        with columnar(path) as file:
            file.add(columns)
            file.add(columns)
    marks = [name if kept or name in ("f", "-1") else f"'{name}" for name in columns]
    assert headers(path) == marks
    assert len(said) == (not kept)
    assert kept or re.search(
        "the names of columns '=1.1', .* begin as a formula", str(said[0].message)
    )
    if not kept:
        assert list(read_table(path)[0].columns) == list(columns)
        assert list(read_text(path).columns) == list(columns)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_command_protects_names_and_reads_them_back(tmp_path: Path) -> None:
    rng, names = np.random.default_rng(0), ["=1+1", "+a", "-b", "@c"]
    frame = pd.DataFrame(rng.normal(size=(60, 3)).round(2), columns=names[:3])
    frame["@c"] = ["007", "08", None, "x1"] * 15
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    model = str(tmp_path / "m.lb")
    few = ["--updates", "3", "--no-report"]
    assert main(["fit", str(tmp_path / "rows.parquet"), "-o", model, *few]) == 0
    table = str(tmp_path / "s.lb")
    words = ["--minutes", "0.001", "--overwrite"]
    assert main(["synthesizer", str(tmp_path / "rows.csv"), "-o", table, *words]) == 0
    for name, given in {
        "sample": [model, "-n", "50"],
        "impute": [model, str(tmp_path / "rows.csv")],
        "reconstruct": [model, str(tmp_path / "rows.csv")],
        "detect": [model, str(tmp_path / "rows.csv")],
        "synthesize": [table, "-n", "50"],
    }.items():
        out = tmp_path / f"{name}.csv"
        assert main([name, *given, "-o", str(out)]) == 0
        found = headers(out)
        assert not any(is_formula(each) for each in found), name
        if name != "detect":
            assert {f"'{each}" for each in names} <= set(found), name
            assert main(["detect", model, str(out), "-o", str(tmp_path / "d.csv")]) == 0, name
            assert set(names) <= set(read_table(out)[0].columns)
    again = str(tmp_path / "n.lb")
    assert main(["fit", str(tmp_path / "sample.csv"), "-o", again, *few]) == 0
    columns = model_folder.read(Path(again)).schema.columns
    assert [column.name for column in columns] == names
    assert "007" in columns[3].levels


def test_cards_are_no_html(tmp_path: Path) -> None:
    rows = f"a{SCRIPT},b*c,[d](javascript:x)\n" + "1,2,3\n4,6,5\n7,8,10\n" * 9
    (tmp_path / "x.csv").write_text(rows)
    options = FitOptions(training=TrainingOptions(updates=2, validation=0.0))
    folder = tmp_path / "<img src=x>`.lb"
    model_folder.write(folder, fit(load(str(tmp_path / "x.csv")), options))
    card = (folder / CARD).read_text()
    outside = [line for line in card.splitlines() if not line.startswith("    ")]
    head = "\n".join(outside).partition("## Options")[0]
    assert "<script" not in head
    assert "<img" not in head
    assert r"\[d\](javascript:x)" in head  # no link
    assert "a&lt;script&gt;alert(1)&lt;/script&gt;" in head
