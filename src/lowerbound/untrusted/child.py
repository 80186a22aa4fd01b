"""Readers of others that may abort, or never end, in a process of their own.

On Linux the process has limits of memory and of the processor's time; on other Unixes of time; on
Windows the time on the clock alone ends it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from pathlib import Path

from lowerbound import untrusted

LIMITED = Path(__file__).with_name("limited.py")
SLOW = -int(getattr(signal, "SIGXCPU", 0)) or None  # the exit code at the limit of time
START = 1 << 25  # bytes of addresses of the libraries that the script imports
CLOCK = 10.0  # seconds on the clock for each of the processor, which others may use


def lines(
    script: Path, arguments: Sequence[str], what: str, error: untrusted.Fault, seconds: float
) -> Generator[bytes]:
    """The lines that a script prints, run as a process under the limit of memory.

    The script is run with the standard library alone, and imports nothing of the package.

    Args:
        script: to run.
        arguments: of it.
        what: it reads, as the message names it.
        error: that is raised if it does not end by itself.
        seconds: of the processor that it may take.

    Raises:
        error: it aborted, as where memory is not enough, or took too long.
    """
    limits = [str(int(untrusted.memory_limit()) + START), str(max(int(seconds), 1))]
    command = [sys.executable, "-I", "-S", str(LIMITED), *limits, str(script), *arguments]
    late = threading.Event()
    with ExitStack() as ending:
        process = ending.enter_context(
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        )
        ending.callback(process.kill)  # at an error or Ctrl-C of whoever takes the lines

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(CLOCK * seconds, end)
        timer.daemon = True
        timer.start()
        ending.callback(timer.cancel)
        assert process.stdout is not None
        yield from process.stdout
        code = process.wait()
    if late.is_set() or code == SLOW:
        raise error(f"{what} is not read: its reader takes longer than {seconds:,.0f} seconds")
    if code:
        raise error(
            f"{what} is not read: its reader stopped, as it does where more memory is needed than "
            f"the limit of {untrusted.memory_limit() / untrusted.GIGABYTE:g} GB: raise it with "
            "--memory (in Python: lowerbound.untrusted.memory), or save the file in another format"
        )
