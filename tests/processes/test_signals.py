"""Signals: which are heeded, and the exit code of each."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from lowerbound.processes import signals


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in signals.ALL}
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
