"""The program ``lowerbound``, also ``python -m lowerbound`` where its script is not on the path."""

from __future__ import annotations

import sys

from lowerbound.processes import signals


def main() -> int:
    """Run the command line; Ctrl-C is one line from the first import on."""
    signals.leave_when_interrupted()
    from lowerbound.cli import main as command_line

    return command_line()


if __name__ == "__main__":
    sys.exit(main())
