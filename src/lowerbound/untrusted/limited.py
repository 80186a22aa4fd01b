"""Run a script under limits of memory and of the processor's time: ``child.lines`` starts this.

    python -I -S limited.py BYTES SECONDS SCRIPT ARGUMENT ...

It imports nothing of the package, so that it starts in some milliseconds.
"""

from __future__ import annotations

import runpy
import signal
import sys
from contextlib import suppress

USUAL = 1 << 28  # bytes of addresses of a process of Python, where the system does not say


def limit(memory: int, seconds: int) -> None:
    """Limit this process; where the system has no such limits, it stays without.

    Args:
        memory: bytes that may be taken from now on.
        seconds: of the processor.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    used = USUAL
    with suppress(OSError), open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    for kind, most, last in (
        (resource.RLIMIT_AS, used + memory, used + memory),
        (resource.RLIMIT_CPU, seconds, seconds + 1),  # a signal that says so, then SIGKILL
        (resource.RLIMIT_CORE, 0, 0),  # a reader that aborts leaves no file
    ):
        with suppress(ValueError, OSError):  # macOS has no limit of addresses
            resource.setrlimit(kind, (most, last))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    limit(int(sys.argv[1]), int(sys.argv[2]))
    sys.argv = sys.argv[3:]
    runpy.run_path(sys.argv[0], run_name="__main__")
