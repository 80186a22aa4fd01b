from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest

from lowerbound.training import LineReporter, Progress, reporter_for
from lowerbound.training.reporter import clock

STATE = Progress(
    epoch=12.34,
    updates=6642,
    total=27000,
    share=0.246,
    bound=-98.214,
    rates=(24.1,),
    distortion=74.114,
    validation=None,
    seconds=13.0,
    seconds_left=41.2,
    skipped=0,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Watch:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_says_where_the_run_stands() -> None:
    stream = io.StringIO()
    reporter = LineReporter(stream, seconds=0.0)
    reporter.start()
    reporter.update(STATE)
    reporter.update(replace(STATE, validation=-99.0, skipped=2, total=None, seconds_left=None))
    reporter.stop()
    assert stream.getvalue().splitlines() == [
        "epoch 12.3  update 6,642/27,000  bound -98.21  rate 24.10  distortion 74.11  0:41 left",
        "epoch 12.3  update 6,642  bound -98.21  rate 24.10  distortion 74.11  "
        "validation -99.00  skipped 2",
    ]


def test_a_private_fit_which_measures_no_bound_shows_none() -> None:
    private = replace(STATE, bound=math.nan, distortion=math.nan)
    assert private.numbers() == ""
    assert replace(private, skipped=2).numbers() == "skipped 2"


def test_rates_of_several_levels_stand_beside_their_sum() -> None:
    line = replace(STATE, rates=(1.25, 2.0, 3.0)).numbers()
    assert "rate 6.25 (1.2 + 2.0 + 3.0)  distortion" in line
    assert "+" not in replace(STATE, rates=(1.0,) * 30).numbers()


def test_lines_keep_their_distance_and_the_last_state_is_always_written() -> None:
    stream, watch = io.StringIO(), Watch()
    reporter = LineReporter(stream, seconds=5.0, clock=watch)
    reporter.start()
    for second in range(13):
        watch.now = 100.0 + second
        reporter.update(replace(STATE, updates=second))
    reporter.stop()
    written = [line.split()[3].partition("/")[0] for line in stream.getvalue().splitlines()]
    assert written == ["5", "10", "12"]


def test_nothing_is_written_twice() -> None:
    stream = io.StringIO()
    reporter = LineReporter(stream, seconds=0.0)
    reporter.start()
    reporter.update(STATE)
    reporter.stop()
    assert len(stream.getvalue().splitlines()) == 1


def test_a_pipe_gets_lines_and_a_terminal_a_bar() -> None:
    assert isinstance(reporter_for(io.StringIO()), LineReporter)
    terminal = Terminal()
    reporter = reporter_for(terminal)
    assert not isinstance(reporter, LineReporter)
    reporter.start()
    reporter.message("float32, not compiled [really]")
    reporter.update(replace(STATE, validation=-99.0))
    reporter.stop()
    shown = terminal.getvalue()
    for words in ["float32, not compiled [really]", "25 %", "12.3", "-98.21", "-99.00", "0:41"]:
        assert words in shown


def test_a_bar_fits_a_terminal_of_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal()
    reporter = reporter_for(terminal)
    reporter.start()
    reporter.update(replace(STATE, validation=-99.0))
    reporter.stop()
    for words in ["-98.21", "24.10", "74.11", "-99.00", "0:41"]:
        assert words in terminal.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0:00"), (41.2, "0:41"), (725.0, "12:05"), (3723.0, "1:02:03")]
)
def test_the_clock(seconds: float, words: str) -> None:
    assert clock(seconds) == words


def test_what_else_the_model_says_stands_beside_the_bound() -> None:
    assert STATE.beside() == ""
    state = replace(STATE, readings={"codes used": (1.0, 0.975), "perplexity": (61.23, 4.0)})
    assert state.beside() == "codes used 1/0.975  perplexity 61.2/4"
    many = replace(STATE, readings={"active units": (90.0, 1560.0)})
    assert many.beside() == "active units 90/1,560"
    stream = io.StringIO()
    reporter = LineReporter(stream, seconds=0.0)
    reporter.start()
    reporter.update(state)
    assert "distortion 74.11  codes used 1/0.975  perplexity 61.2/4  0:41 left" in stream.getvalue()
