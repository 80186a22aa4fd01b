"""One defect in a copy of the checkout: which test notices it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.defects import PACKAGE, Defect
from tests.mutation.planted import Planted
from tests.smoke import Item, Outcome, run

STAGES = (4, 12, 24)  # test files, from the nearest on; the next are run if no test failed
ALL, QUICK = "not long", "not slow and not long"  # tests of the first stage, and of the others
PROCESSOR = 900  # seconds of processor time of a stage, which a busy machine does not change
WAITING = 4 * 3600.0  # seconds of a stage in all, if a defect makes it wait for ever
MEMORY = 12 << 20  # KB of address space, because a defect may ask for any amount
FAILURE = re.compile(r"^(?:FAILED|ERROR) (\S+?\.py(?:::.*?)?)(?: - .*)?$", re.MULTILINE)
NO_START = "ImportError while loading conftest"  # the package itself fails
NOT_COPIED = (".git", ".venv", "runs", "site", "dist", "*.lb", "__pycache__", ".*_cache")


@dataclass(frozen=True)
class Verdict:
    """What the tests say of a defect.

    Attributes:
        caught_by: the test that fails because of it; "" if none does.
        files: number of test files that were run.
        stopped: whether a stage had no end, because its time was over or it crashed.
        seconds: of the trial.
    """

    caught_by: str
    files: int
    stopped: bool
    seconds: float


class Copy:
    """A copy of the checkout in which defects are planted.

    Args:
        root: the checkout.
        folder: of the copy, which is made anew.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(root, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
        self.root, self.folder = root, folder
        self.sound: set[str] = set()  # tests that pass without a defect
        self.broken: set[str] = set()  # and those that fail

    def trial(
        self, defect: Defect | Planted, tests: Sequence[Path], stages: Sequence[int] = STAGES
    ) -> Verdict:
        """Plant a defect, and run the tests in stages up to the first that notices it.

        If it names tests that notice it, those are run before.
        """
        start, waiting = time.monotonic(), list(tests)
        known = list(defect.tests) if isinstance(defect, Planted) else []
        failed, ended = self._notices(defect, known, ALL) if known else ("", True)
        done, stopped = len({test.partition("::")[0] for test in known}), not ended
        while stages and waiting and not failed:
            count, *stages = stages
            names = [path.relative_to(self.root).as_posix() for path in waiting[:count]]
            first = len(waiting) == len(tests)
            failed, ended = self._notices(defect, names, ALL if first else QUICK)
            done, stopped, waiting = done + len(names), stopped or not ended, waiting[count:]
        return Verdict(failed, done, stopped, time.monotonic() - start)

    def _notices(
        self, defect: Defect | Planted, names: Sequence[str], marks: str
    ) -> tuple[str, bool]:
        """The first test that fails with the defect alone, and whether the tests had an end."""
        file = self.folder / PACKAGE / defect.file
        content = file.read_bytes()
        while waiting := [name for name in names if name not in self.broken]:
            before = set(self.broken)
            file.write_bytes(defect.planted(content))
            try:
                outcome = self._pytest(waiting, marks)
            finally:
                file.write_bytes(content)
            found = FAILURE.search(outcome.output) if outcome.failure else None
            if outcome.failure and NO_START in outcome.output:
                return "tests/conftest.py", True
            if found is None or found[1] in before:
                return "", outcome.failure is None
            if self._is_sound(found[1]):
                return found[1], True
        return "", True

    def _is_sound(self, test: str) -> bool:
        """Whether a test passes without a defect; of a file that failed as a whole, its imports."""
        if test not in self.sound | self.broken:
            known = self.sound if self._pytest([test]).failure is None else self.broken
            known.add(test)
        return test in self.sound

    def _pytest(self, names: Sequence[str], marks: str = ALL) -> Outcome:
        """Run some tests in the copy, up to the first failure."""
        options = ["-x", "-q", "-m", marks, "-p", "no:xdist", "-p", "no:cacheprovider"]
        options += [f"--deselect={test}" for test in sorted(self.broken) if test not in names]
        paths = os.pathsep.join(str(self.folder / part) for part in ("src", "."))
        # bytecode of before could pass for that of a file of the same size and second
        settings = f"PYTHONPATH={paths} PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1 COLUMNS=400"
        words = shlex.join([sys.executable, "-m", "pytest", *options, *names])
        command = f"ulimit -v {MEMORY} -t {PROCESSOR}; {settings} exec {words}"
        return run(Item("test", names[0], command), self.folder, WAITING)
