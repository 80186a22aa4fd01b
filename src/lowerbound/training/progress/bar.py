"""The progress bar of a terminal.

::

    ━━━━━━━━━━━━━━━━━━━━  25 %  epoch 12.3  update 6,642/27,000  0:41 left
    bound -98.21  rate 24.10  distortion 74.11  validation -99.00
"""

from __future__ import annotations

from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lowerbound.training.progress.reporter import Progress

WIDTH = 20


class BarReporter:
    """Two lines that stay in place: the progress of the run, and its measurements.

    Args:
        stream: the terminal; standard error unless given.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        console = Console(file=stream, stderr=stream is None, highlight=False)
        # without a thread that redraws, because the loop calls ``update``
        self._live = Live(console=console, auto_refresh=False)

    def start(self) -> None:
        self._live.start()

    def message(self, text: str) -> None:
        self._live.console.print(text, markup=False, soft_wrap=True)

    def update(self, progress: Progress) -> None:
        self._live.update(picture(progress), refresh=True)

    def stop(self) -> None:
        self._live.stop()


def picture(progress: Progress) -> Group:
    """The two lines, at most 80 columns wide; a third line if the model has readings."""
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_row(
        ProgressBar(total=1.0, completed=progress.share, width=WIDTH),
        Text(f"{progress.share:4.0%}".replace("%", " %")),
        Text(progress.position()),
        Text(progress.time_left()),
    )
    lines = [line for line in (progress.numbers(), progress.beside()) if line]
    return Group(row, *map(Text, lines))
