"""Results go to standard output, the way there to standard error, and pipes get plain lines."""

from __future__ import annotations

import io
import json
import sys
import warnings

import pytest

from lowerbound.cli import console as console_module
from lowerbound.cli.console import Console
from lowerbound.cli.main import spoken_warnings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_is_one_object_and_sentences_go_elsewhere(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Console(as_json=True) as console:
        console.say("on the way")
        console.advance("work", 3, 3)
        console.result("done", {"rows": 3})
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"rows": 3}
    assert shown.err.splitlines() == ["on the way", "work: 3 of 3"]


def test_a_warning_of_two_places_is_one_note(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # of each command
        with Console() as console, spoken_warnings(console):
            warnings.warn("a.heic left out", UserWarning, stacklevel=1)
            warnings.warn("a.heic left out", UserWarning, stacklevel=2)
        assert capsys.readouterr().err.splitlines() == ["note: a.heic left out"]


def test_piped_progress_is_lines_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(1000))
    monkeypatch.setattr(console_module.time, "monotonic", lambda: float(next(now)))
    with Console() as console:
        for done in range(1, 41):
            console.advance("epochs", done, 40, "bound -3.1")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "epochs: 11 of 40  1 per second  0:29 left  bound -3.1"
    assert lines[-1] == "epochs: 40 of 40  1 per second  bound -3.1"
    assert len(lines) == 4  # one every ten seconds of the forty
    assert all(line.isprintable() for line in lines)


def test_a_terminal_gets_a_bar_that_is_gone_at_the_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", terminal)
    now = iter(range(1000))
    monkeypatch.setattr(console_module.time, "monotonic", lambda: float(next(now)))
    with Console() as console:
        console.advance("epochs", 1, 201, "bound [-3.1]")
        console.say("a [remark]")
        console.advance("epochs", 201, 201)
        console.result("done", {})
    assert " per second" in terminal.getvalue()
    assert "epochs" in terminal.getvalue()
    assert "a [remark]" in terminal.getvalue()
    assert capsys.readouterr().out == "done\n"


def test_details_need_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    with Console() as console:
        console.detail("small print")
    with Console(verbose=True) as console:
        console.detail("large print")
    assert capsys.readouterr().err == "large print\n"
