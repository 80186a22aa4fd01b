"""The progress bar of a terminal."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress as Bar, TaskID, TextColumn

from lowerbound.training.progress import Progress


class BarReporter:
    """A bar with epoch, updates, bound, rate, distortion, validation and time left.

    Args:
        stream: the terminal; standard error unless given.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        console = Console(file=stream, stderr=stream is None, highlight=False)
        self._bar = Bar(
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.description}"),
            console=console,
            auto_refresh=False,  # no thread of its own: the loop says when there is news
        )
        self._task: TaskID | None = None

    def start(self) -> None:
        self._bar.start()
        self._task = self._bar.add_task("", total=1.0)

    def message(self, text: str) -> None:
        self._bar.console.print(text, markup=False, soft_wrap=True)

    def update(self, progress: Progress) -> None:
        assert self._task is not None
        words = [progress.position(), progress.numbers(), progress.time_left()]
        text = "  ".join(word for word in words if word)
        self._bar.update(self._task, completed=progress.share, description=text, refresh=True)

    def stop(self) -> None:
        self._bar.stop()
