"""Run every quick benchmark, every example and every marked command of the docs: ``make smoke``.

``--half 0`` or ``--half 1`` runs one half of the scripts and pages, chosen by their names.

- benchmarks/*.py with ``--quick``, from the root of the checkout: those that can be run (they test
  for ``__main__``) and whose names do not begin with an underscore. Results must not change by it.
- examples/*.py, with ``--quick`` where the script takes it, each in an empty folder.
- README.md and docs/**/*.md: the ``$ `` lines of a console block right under a ``<!-- smoke -->``
  comment, in order, in one empty folder per page, where ``examples`` links to the checkout's; a
  backslash at the end goes on in the next line. Blocks without the comment are counted, not run.

A benchmark or an example of a real data set that is neither here nor to be downloaded is skipped,
and said so; so is an example whose optional library is not installed.

As many run at once as there are cores; what belongs to one page runs in order, and pages start
first, the longest before the others, so that none is still running when all else is done.

Prints what ran and for how long. Exits with 1 if anything failed, took longer than its limit or was
not reached before the time for all of them was over; also if there was nothing to run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

ROOT = Path(__file__).resolve().parents[1]
TOTAL_SECONDS = 30 * 60
# A command is meant to take 30 s on an idle machine; this is where it is cut.
LIMIT = 240
SHOWN_LINES = 40
MISSING_DATA = re.compile(r"^\S*DataError: the data set (\S+) is missing", re.MULTILINE)

MISSING_LIBRARY = re.compile(r"^\S*Missing(?:Extra|Library)Error: (.+)$", re.MULTILINE)

BLOCK = re.compile(
    r"^(?P<mark><!-- smoke -->\n)?^```console\n(?P<body>.*?)^```", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Item:
    """One command, as a shell would read it."""

    kind: str
    origin: str
    command: str


@dataclass(frozen=True)
class Group:
    """Commands that follow each other in one folder; after a failure the rest are not reached."""

    items: tuple[Item, ...]
    folder: Path | None  # None: an empty one


@dataclass(frozen=True)
class Outcome:
    item: Item
    seconds: float
    failure: str | None
    output: str

    @property
    def skipped(self) -> bool:
        """Whether it only lacks its data, or an example its optional library."""
        return self.failure is not None and self.reason != ""

    @property
    def reason(self) -> str:
        """What this machine lacks; empty if nothing."""
        if self.item.kind != "docs" and MISSING_DATA.search(self.output):
            return "its data set is not here: LOWERBOUND_DATA names no folder that has it"
        missing = MISSING_LIBRARY.search(self.output) if self.item.kind == "example" else None
        return "" if missing is None else missing[1]


def benchmarks(root: Path) -> Iterator[Group]:
    for script in sorted((root / "benchmarks").glob("[!_]*.py")):
        if "__main__" in script.read_text(encoding="utf-8"):
            name = script.relative_to(root).as_posix()
            yield Group((Item("benchmark", name, f"python {name} --quick"),), root)


def examples(root: Path) -> Iterator[Group]:
    for script in sorted((root / "examples").glob("[!_]*.py")):
        quick = " --quick" if "--quick" in script.read_text(encoding="utf-8") else ""
        name = script.relative_to(root).as_posix()
        yield Group((Item("example", name, f"python {name}{quick}"),), None)


def pages(root: Path) -> list[Path]:
    readme = root / "README.md"
    return [*([readme] if readme.exists() else []), *sorted((root / "docs").rglob("*.md"))]


def docs(root: Path) -> Iterator[Group]:
    for page in pages(root):
        found = marked_commands(page.read_text(encoding="utf-8"))
        name = page.relative_to(root).as_posix()
        if found:
            yield Group(tuple(Item("docs", name, command) for command in found), None)


def marked_commands(text: str) -> list[str]:
    """The commands of the console blocks that are marked for running."""
    marked = [match["body"] for match in BLOCK.finditer(text) if match["mark"]]
    return [command for body in marked for command in commands(body)]


def unmarked_commands(root: Path) -> int:
    """How many commands the pages show that are not marked for running."""
    texts = [page.read_text(encoding="utf-8") for page in pages(root)]
    blocks = [match for text in texts for match in BLOCK.finditer(text) if not match["mark"]]
    return sum(len(commands(match["body"])) for match in blocks)


def commands(block: str) -> list[str]:
    """The ``$ `` lines of a console block; other lines are output.

    >>> commands("$ lowerbound info digits.lb\\na VAE\\n$ ls")
    ['lowerbound info digits.lb', 'ls']
    """
    joined = re.sub(r"\\\n>?\s*", "", block)
    return [line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ ")]


def run(item: Item, folder: Path, seconds: float) -> Outcome:
    """Run one command in ``folder``, with this interpreter's scripts first on the path.

    Whatever it started is ended with it when the time is over.
    """
    scripts = str(Path(sys.executable).parent)
    environment = {"MPLBACKEND": "Agg", **os.environ}
    environment["PATH"] = os.pathsep.join([scripts, os.environ.get("PATH", "")])
    start = time.monotonic()
    process = subprocess.Popen(
        ["bash", "-c", item.command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
        failure = f"exit code {process.returncode}" if process.returncode else None
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        failure = f"not done after {seconds:.0f} s"
    return Outcome(item, time.monotonic() - start, failure, output)


def run_group(group: Group, root: Path, deadline: float) -> Iterator[Outcome]:
    with tempfile.TemporaryDirectory(prefix="smoke-") as empty:
        folder = group.folder or Path(empty)
        if group.folder is None:
            (folder / "examples").symlink_to(root / "examples", target_is_directory=True)
        failed = False
        for item in group.items:
            left = deadline - time.monotonic()
            if failed or left <= 0:
                reason = "an earlier command of the page failed" if failed else "time is over"
                yield Outcome(item, 0.0, f"not reached: {reason}", "")
                continue
            outcome = run(item, folder, min(LIMIT, left))
            failed = outcome.failure is not None
            yield outcome


def quoted_results(root: Path) -> dict[str, str]:
    """The hash of every committed result; a quick run is never quoted, so it may not touch them."""
    files = sorted((root / "benchmarks" / "results").glob("*.json"))
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def show(outcome: Outcome) -> None:
    state = "skip" if outcome.skipped else "FAILED" if outcome.failure else "ok"
    item = outcome.item
    print(f"{state:>6} {outcome.seconds:6.1f} s  {item.origin}: {item.command}", flush=True)
    if outcome.skipped:
        print(f"        {outcome.reason}")
    elif outcome.failure:
        print(f"        {outcome.failure}")
        for line in outcome.output.splitlines()[-SHOWN_LINES:]:
            print(f"        | {line}")


def shown(groups: list[Group], root: Path, deadline: float) -> list[Outcome]:
    """The outcomes of all groups, each printed when its command ends."""
    lock, outcomes = threading.Lock(), []

    def work(group: Group) -> None:
        for outcome in run_group(group, root, deadline):
            with lock:
                show(outcome)
                outcomes.append(outcome)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(work, groups))
    return outcomes


def chosen(root: Path, only: str = "", half: int | None = None) -> list[Group]:
    """What runs, in its order: the ``half`` of what contains ``only`` in its path."""
    groups = [*benchmarks(root), *examples(root), *docs(root)]
    groups = [group for group in groups if only in group.items[0].origin]
    if half is not None:
        groups = [g for g in groups if crc32(g.items[0].origin.encode()) % 2 == half]
    return sorted(groups, key=lambda group: -len(group.items))


def smoke(root: Path, only: str = "", half: int | None = None) -> int:
    """Run what is chosen under ``root``; the exit code."""
    start = time.monotonic()
    before = quoted_results(root)
    outcomes = shown(chosen(root, only, half), root, start + TOTAL_SECONDS)
    after = quoted_results(root)
    changed = sorted(name for name in before | after if before.get(name) != after.get(name))
    for name in changed:
        print(f"FAILED benchmarks/results/{name} was changed by a quick run")
    skipped = sum(outcome.skipped for outcome in outcomes)
    failures = sum(outcome.failure is not None for outcome in outcomes) - skipped + len(changed)
    print(f"{unmarked_commands(root)} commands of the docs are not marked for running")
    print(f"all of it took {time.monotonic() - start:.0f} s")
    passed = len(outcomes) + len(changed) - failures - skipped
    print(f"smoke: {passed} passed, {skipped} skipped, {failures} failed")
    return 1 if failures or not passed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="run quick benchmarks, examples, docs commands")
    parser.add_argument("--only", default="", help="run only files whose path contains this")
    parser.add_argument("--half", type=int, choices=(0, 1), help="run one half: 0 or 1")
    given = parser.parse_args()
    return smoke(ROOT, given.only, given.half)


if __name__ == "__main__":
    sys.exit(main())
