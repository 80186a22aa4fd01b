"""Commands that are killed at random times: what is in their files, and whether they go on.

Each trial runs a command in a process that is killed (SIGKILL) at a random time of its usual
duration. What it was to write must then be absent, as before, or whole; a fit may also have left
the model of a checkpoint, whose hashes fit. The command runs again (a fit and a prior with --resume
where they left a checkpoint), and must give the bytes of a run that was never stopped.

    python benchmarks/random_kills.py --list
    python benchmarks/random_kills.py --cell fit       one cell
    python benchmarks/random_kills.py                  all missing cells, then the result
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from _cells import done, drive, write_cells
from _record import Metric, commit, keep_answer

sys.path.insert(0, str(Path(__file__).parents[1]))

from lowerbound.cli import main as command_line
from lowerbound.errors import ModelFolderError
from lowerbound.model_folder import folder as model_folder
from tests.hostile.commands import COMMANDS, FIT, PRIOR, prepare

NAME = "random_kills"
KILLS = 200
WARM = 5  # whole runs whose longest duration is that of a command
BEYOND = 1.1  # times that duration: the latest kill
GOOD = ("absent", "as before", "whole", "of a checkpoint")
BROKEN = "broken: "

Answer = dict[str, Any]


@dataclass(frozen=True)
class Command:
    """One cell: a command, the file or folder that it writes, and whether it can be resumed."""

    words: tuple[str, ...]
    output: str
    resumes: bool = False


CELLS = {
    "fit": Command((*FIT, "--updates", "60"), "m.lb", resumes=True),
    "prior": Command((*PRIOR, "--updates", "60"), "2.lb", resumes=True),
    **{
        name.replace(" ", "_"): Command(tuple(words), output)
        for name, (words, output) in COMMANDS.items()
    },
    "sample_into_a_folder": Command(("sample", "0.lb", "-n", "9", "-o", "out"), "out"),
}


def run(_: str, name: str, cell: Command, held_out: bool) -> Answer:
    """All kills of a command."""
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        answer = killed(name, cell, KILLS)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


def killed(name: str, cell: Command, kills: int) -> Answer:
    """What became of a command in the present folder."""
    torch.set_num_threads(1)  # a process with more could not be copied
    os.environ["XDG_STATE_HOME"] = str(Path("states").resolve())
    Path("work").mkdir()
    with quiet():
        prepare(Path("work"))
    os.chdir("work")
    output = Path(cell.output)
    kept = Path("../kept")
    if output.exists():
        shutil.copytree(output, kept)
    before = state(output)
    durations = [_timed(cell, output, kept) for _ in range(WARM)]
    whole, longest = state(output), max(durations)
    rng, found, stopped = random.Random(0), Counter[str](), 0
    began = time.process_time()
    for _ in range(kills):
        _restore(output, kept)
        child = start(cell.words)
        time.sleep(rng.uniform(0.0, BEYOND * longest))
        os.kill(child, signal.SIGKILL)
        stopped += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        found[judged(state(output), before, whole, cell.resumes)] += 1
        found["completed" if _completed(cell, output, whole) else "not completed"] += 1
    minutes = round((time.process_time() - began) / 60, 2)
    print(f"{name}: {dict(found)}, {stopped} stopped before their end", flush=True)
    return {
        "cell": name,
        "seed": 0,
        "kills": kills,
        "stopped": stopped,
        "found": dict(found),
        "seconds": statistics.median(durations),
        "minutes": minutes,
        "commit": commit(),
    }


def judged(now: str, before: str, whole: str, resumes: bool) -> str:
    """What is in the output after a kill, in a word."""
    if now in (whole, before):
        return "whole" if now == whole else "as before" if before else "absent"
    checkpoint = resumes and not now.startswith(BROKEN)
    return "of a checkpoint" if checkpoint else f"{BROKEN}{now.removeprefix(BROKEN)}"


def state(output: Path) -> str:
    """A hash of what is in a file, a folder or a model folder; empty: nothing that can be read."""
    if output.suffix == ".lb":
        try:
            weights = model_folder.read(output).model.state_dict()
        except ModelFolderError as error:
            unfinished = "there is no model folder" in str(error) or "resume" in str(error)
            return "" if unfinished else f"{BROKEN}{error}"
        content = b"".join(value.numpy().tobytes() for value in weights.values())
    elif output.is_dir():
        names = sorted(output.iterdir())
        content = b"".join(path.name.encode() + path.read_bytes() for path in names)
    else:
        content = output.read_bytes() if output.exists() else b""
    return hashlib.sha256(content).hexdigest() if content else ""


def start(words: Sequence[str]) -> int:
    """The number of a process that runs a command; it is a copy of this one, so it starts fast."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with quiet():
            code = command_line(list(words))
    finally:
        os._exit(code)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Context in which nothing is printed."""
    with (
        open(os.devnull, "w") as nothing,
        contextlib.redirect_stdout(nothing),
        contextlib.redirect_stderr(nothing),
    ):
        yield


def _completed(cell: Command, output: Path, whole: str) -> bool:
    """Whether running again gives what a run that was never stopped gives."""
    if state(output) == whole:
        return True
    ways = [[*cell.words, "--resume"], cell.words] if cell.resumes else [cell.words]
    return any(_exit_code(words) == 0 and state(output) == whole for words in ways)


def _exit_code(words: Sequence[str]) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(start(words), 0)[1])


def _timed(cell: Command, output: Path, kept: Path) -> float:
    _restore(output, kept)
    began = time.perf_counter()
    code = _exit_code(cell.words)
    if code:
        raise RuntimeError(f"{' '.join(cell.words)} ended with exit code {code}")
    return time.perf_counter() - began


def _restore(output: Path, kept: Path) -> None:
    """The output as before the command."""
    if output.is_dir():
        shutil.rmtree(output)
    output.unlink(missing_ok=True)
    if kept.exists():
        shutil.copytree(kept, output)


def summarize() -> None:
    answers = done(NAME)
    metrics = []
    for name, answer in answers.items():
        good = sum(answer["found"].get(word, 0) for word in GOOD)
        shares = {word: answer["found"].get(word, 0) for word in GOOD}
        baselines = {**shares, "stopped before their end": answer["stopped"]}
        metrics += [
            Metric(
                f"{name}: absent, old or whole", good, "kills", "higher", None, KILLS, baselines
            ),
            Metric(
                f"{name}: bytes of a run that was never stopped, after running again",
                answer["found"].get("completed", 0),
                "kills",
                "higher",
                target=KILLS,
            ),
        ]
    write_cells(NAME, metrics, [{"file": "made by the script", "split": "-", "sha256": "-"}], "")


def quick(seed: int) -> None:
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        killed("sample", CELLS["sample"], 5)


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick, run)
