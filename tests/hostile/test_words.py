"""Words of a stranger reach neither a terminal, nor a spreadsheet, nor a browser as commands."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from lowerbound.applications.io.columnar_files import columnar
from lowerbound.applications.io.formulas import is_formula, keep_formulas
from lowerbound.cli import main
from lowerbound.data import load
from lowerbound.fitting import FitOptions, fit
from lowerbound.model_folder import folder as model_folder
from lowerbound.model_folder.folder import CARD
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
