"""Signals: which are heeded, and the exit code of each."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from lowerbound.processes import signals


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in signals.ALL}
    for number in signals.ALL:  # a library that another test used may have set its own
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, usual)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("ignored", "heeded"),
    [
        ([], ["SIGINT", "SIGTERM", "SIGHUP"]),
        (["SIGINT"], ["SIGINT", "SIGTERM", "SIGHUP"]),  # a shell's &
        (["SIGHUP"], ["SIGINT", "SIGTERM"]),  # nohup
        (["SIGINT", "SIGHUP"], ["SIGTERM"]),  # both
    ],
)
def test_ignored_signals_stay_so_but_not_that_of_a_background_job(
    ignored: list[str], heeded: list[str]
) -> None:
    for name in ignored:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    assert [number.name for number in signals.heeded()] == heeded


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143), (1, 129)])
def test_the_exit_code_is_that_of_the_signal(number: int, code: int) -> None:
    signals.leave_when_interrupted()
    signals.interruptible()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    assert signals.exit_code() == code
    assert signals.exit_code() == 130  # of an exception without a signal


def test_a_handler_of_the_caller_stays() -> None:
    def own(number: int, frame: object) -> None: ...

    signal.signal(signal.SIGTERM, own)
    signals.leave_when_interrupted()
    signals.interruptible()
    assert signal.getsignal(signal.SIGTERM) is own


def test_handlers_that_a_library_sets_in_a_call_do_not_stay() -> None:
    signals.leave_when_interrupted()
    signals.interruptible()
    with signals.kept():
        signal.signal(signal.SIGTERM, lambda number, frame: None)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    signals.exit_code()
