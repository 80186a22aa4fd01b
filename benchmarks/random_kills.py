"""Commands that are killed at random times, and pairs of runs on one output.

Each trial of a kill runs a command in a process that is killed (SIGKILL) at a random time of its
usual duration. What it was to write must then be absent, as before, or whole, and every other file
as before; a fit may also have left the model of a checkpoint, whose hashes fit, and the former
agent of ``control train`` may be beside the new one. The command runs again (with --resume where it
has that), and must give the bytes of a run that was never stopped; of ``private-schema``, whose
noise has no seed, the same columns.

Each trial of a pair starts two runs at once that write one output: with other seeds, of other
models, or the same command. One must write, whole, and the other must end with exit code 2 and say
who works there; a pair whose second run began after the first had ended counts as in turn.

    python benchmarks/random_kills.py --list
    python benchmarks/random_kills.py --cell fit       one cell
    python benchmarks/random_kills.py                  all missing cells, then the result
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _cells import done, drive, write_cells
from _record import Metric, commit, keep_answer

sys.path.insert(0, str(Path(__file__).parents[1]))

from lowerbound.applications.common import drawn_parts
from lowerbound.cli import main as command_line
from lowerbound.data.tables import chunks as table_chunks
from lowerbound.errors import ModelFolderError
from lowerbound.fitting import folder as model_folder
from tests.hostile.commands import COMMANDS, FIT, MLP, OFTEN, PRIOR, QUICK, prepare

NAME = "random_kills"
KILLS, FEW_KILLS, PAIRS = 200, 40, 40
CHUNK = 10  # rows of a table that detect scores together, so that kills fall between parts
DRAWN = 16_384  # rows of a table that are drawn together
WARM = 5  # whole runs whose longest duration is that of a command
BEYOND = 1.1  # times that duration: the latest kill
GOOD = ("absent", "as before", "whole", "of a checkpoint")
BROKEN = "broken: "

Answer = dict[str, Any]


@dataclass(frozen=True)
class Command:
    """One cell: a command, the file or folder that it writes, and whether it can be resumed.

    ``seeded``: whether two runs give the same bytes.
    """

    words: tuple[str, ...]
    output: str
    resumes: bool = False
    kills: int = FEW_KILLS
    seeded: bool = True


@dataclass(frozen=True)
class Pair:
    """Two runs that write ``output``, for some of the pairs."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    output: str


CATCH = "lowerbound/GridCatch-v0"
AGENT = (
    *("--steps", "80", "--evaluate-every", "40", "--episodes", "1", "--network", "mlp"),
    *("--set", "network.hidden=[16]", "--set", "model.memory=16", "--set", "model.width=16"),
    *("--set", "model.groups=4", "--set", "agent.prefill=60", "--set", "agent.length=8"),
    *("--set", "agent.batch=4", "--set", "imagination.starts=8"),
)
DIFFUSION = ("--kind", "diffusion", "--no-report", *OFTEN, "--updates", "30", "--set", "width=16")
AUDITED = ("real.csv", "synthetic.csv", "--rows", "30", "--attacked", "20")
OLD_CELLS: dict[str, Command] = {
    "fit": Command((*FIT, "--updates", "60"), "m.lb", True, KILLS),
    "prior": Command((*PRIOR, "--updates", "60"), "2.lb", True, KILLS),
    **{
        name.replace(" ", "_"): Command(tuple(words), output, kills=KILLS)
        for name, (words, output) in COMMANDS.items()
    },
    "sample_into_a_folder": Command(("sample", "0.lb", "-n", "9", "-o", "out"), "out", kills=KILLS),
}
COMMAND_CELLS = OLD_CELLS | {
    "audit": Command(("audit", *AUDITED, "--holdout", "holdout.csv", "-o", "a.html"), "a.html"),
    "canaries": Command(
        ("canaries", "real.csv", "-o", "train.csv", "--key", "key.csv", "-n", "20"), "train.csv"
    ),
    "private_schema": Command(
        ("private-schema", "real.csv", "-o", "s.json", "--epsilon", "50"), "s.json", seeded=False
    ),
    "design": Command(
        ("design", "1.lb", "gaps.csv", "--objective", "a", "--calls", "10", "-o", "d.csv"),
        "d.csv",
        True,
    ),
    "detect": Command(("detect", "1.lb", "gaps.csv", "-o", "scores.csv"), "scores.csv", True),
    "export": Command(("export", "1.lb", "--torch", "graphs"), "graphs"),
    "control_collect": Command(
        ("control", "collect", CATCH, "-o", "clips.npz", "--steps", "300"), "clips.npz"
    ),
    "control_train": Command(
        ("control", "train", CATCH, "-o", "agent.lb", *AGENT, "--overwrite"), "agent.lb", True
    ),
    "control_encode": Command(
        ("control", "encode", "agent.lb", "seen.npz", "-o", "states.npz"), "states.npz"
    ),
    "control_video": Command(
        ("control", "video", "agent.lb", "--context", "3", "--frames", "3", "-o", "dream.gif"),
        "dream.gif",
    ),
    "diffusion_prior": Command(
        ("prior", "2.lb", "gaps.csv", "-o", "d.lb", *DIFFUSION), "d.lb", True
    ),
}
MANY = ("-n", "60000", "-o", "out.csv")
PAIR_KINDS = (
    Pair(
        ("sample", "1.lb", *MANY, "--seed", "1"),
        ("sample", "1.lb", *MANY, "--seed", "2"),
        "out.csv",
    ),
    Pair(("sample", "1.lb", *MANY), ("sample", "2.lb", *MANY), "out.csv"),
    Pair(("sample", "1.lb", *MANY), ("sample", "1.lb", *MANY), "out.csv"),
    Pair(("sample", "1.lb", *MANY), ("impute", "1.lb", "gaps.csv", "-o", "out.csv"), "out.csv"),
    Pair(
        ("sample", "0.lb", "-n", "900", "-o", "out", "--seed", "1"),
        ("sample", "0.lb", "-n", "900", "-o", "sub/../out/", "--seed", "2"),
        "out",
    ),
    Pair(
        ("sample", "0.lb", "-n", "9000", "-o", "out.npz", "--seed", "1"),
        ("sample", "0.lb", "-n", "9000", "-o", "out.npz", "--seed", "2"),
        "out.npz",
    ),
    Pair(
        (*FIT, "--updates", "60", "--seed", "1"), (*FIT, "--updates", "60", "--seed", "2"), "m.lb"
    ),
    Pair(
        ("detect", "1.lb", "gaps.csv", "-o", "out.csv"),
        ("detect", "2.lb", "gaps.csv", "-o", "out.csv"),
        "out.csv",
    ),
)
CELLS: dict[str, Command | None] = {**COMMAND_CELLS, "pairs": None}


def run(_: str, name: str, cell: Command | None, held_out: bool) -> Answer:
    """All kills of a command, or all pairs."""
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        prepare_all(name)
        answer = paired(PAIRS) if cell is None else killed(name, cell, cell.kills)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


def prepare_all(name: str) -> None:
    """Data and models in the folder ``work``, and that as the present folder."""
    torch.set_num_threads(1)  # a process with more could not be copied
    os.environ["XDG_STATE_HOME"] = str(Path("states").resolve())
    table_chunks.MOST_ROWS, drawn_parts.PART = CHUNK, DRAWN
    Path("work", "sub").mkdir(parents=True)
    with quiet():
        prepare(Path("work"))
        os.chdir("work")
        for seed, table in enumerate(("real.csv", "synthetic.csv", "holdout.csv")):
            write_table(Path(table), seed)
        if name.startswith("control"):
            assert command_line(["control", "train", CATCH, "-o", "agent.lb", *AGENT]) == 0
            steps = ("-o", "seen.npz", "--steps", "90")
            assert command_line(["control", "collect", CATCH, *steps]) == 0
        if name == "control_train":  # the former one is another
            shutil.rmtree("agent.lb")
            former = (*AGENT, "--seed", "7")
            assert command_line(["control", "train", CATCH, "-o", "agent.lb", *former]) == 0
        if name == "export":  # the former one is of another model
            fit = ["fit", "gaps.csv", "-o", "3.lb", "--updates", "4", *QUICK, *MLP, "--seed", "5"]
            assert command_line(fit) == 0
            assert command_line(["export", "3.lb", "--torch", "graphs"]) == 0


def write_table(path: Path, seed: int) -> None:
    """A table of a number and two texts, one of which follows from the others."""
    rng = np.random.default_rng(seed)
    numbers, letters = rng.normal(size=60), rng.integers(0, 3, 60)
    rows = (
        f"{number:.3f},{'xyz'[letter]},{'yes' if number + letter > 1 else 'no'}\n"
        for number, letter in zip(numbers, letters, strict=True)
    )
    path.write_text("a,b,y\n" + "".join(rows), encoding="utf-8")


def killed(name: str, cell: Command, kills: int) -> Answer:
    """What became of a command in the present folder."""
    output = Path(cell.output)
    kept = Path("../kept")
    if output.exists():
        shutil.copytree(output, kept)
    before, inputs = state(output, cell.seeded), other_files(output)
    with quiet():  # imports what the copies of this process need then
        command_line(list(cell.words))
    durations = [_timed(cell, output, kept) for _ in range(WARM)]
    whole, longest = state(output, cell.seeded), max(durations)
    rng, found, stopped = random.Random(0), Counter[str](), 0
    began = time.process_time()
    for _ in range(kills):
        _restore(output, kept)
        child = start(cell.words)
        time.sleep(rng.uniform(0.0, BEYOND * longest))
        os.kill(child, signal.SIGKILL)
        stopped += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        checkpoints = cell.resumes and output.suffix == ".lb"
        found[judged(state(output, cell.seeded), before, whole, checkpoints)] += 1
        if not inputs.items() <= other_files(output).items():
            found["another file lost"] += 1
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


def paired(pairs: int) -> Answer:
    """What became of pairs of runs."""
    alone: dict[tuple[str, ...], str] = {}
    for pair in PAIR_KINDS:
        for words in (pair.first, pair.second):
            if words not in alone:
                _restore(Path(pair.output), Path("../kept"))
                assert _exit_code(words) == 0, words
                alone[words] = state(Path(pair.output))
    found = Counter[str]()
    began = time.process_time()
    for _, pair in zip(range(pairs), itertools.cycle(PAIR_KINDS), strict=False):
        output = Path(pair.output)
        _restore(output, Path("../kept"))
        saying = Path("../said.0"), Path("../said.1")
        runs = [start(w, s) for w, s in zip((pair.first, pair.second), saying, strict=True)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in runs]
        said = [path.read_text(encoding="utf-8") for path in saying]
        word = judged_pair(
            codes, said, runs, state(output), [alone[pair.first], alone[pair.second]]
        )
        found[word] += 1
        found["litter"] += len(_siblings(output)) - output.exists()
    print(f"pairs: {dict(found)}", flush=True)
    return {
        "cell": "pairs",
        "seed": 0,
        "pairs": pairs,
        "found": dict(found),
        "minutes": round((time.process_time() - began) / 60, 2),
        "commit": commit(),
    }


def judged_pair(
    codes: Sequence[int], said: Sequence[str], runs: Sequence[int], now: str, alone: Sequence[str]
) -> str:
    """What a pair of runs left, in a few words."""
    if not now or now.startswith(BROKEN) or 0 not in codes:
        return "lost"
    writers = [i for i, code in enumerate(codes) if code == 0]
    if now not in [alone[i] for i in writers]:
        return "mixed"
    if len(writers) == 2:
        return "in turn"
    other = 1 - writers[0]
    told = codes[other] == 2 and f"process {runs[writers[0]]} (" in said[other]
    return "one writes, one says so" if told else "one fails for another reason"


def judged(now: str, before: str, whole: str, checkpoints: bool) -> str:
    """What is in the output after a kill, in a word."""
    if now in (whole, before):
        return "whole" if now == whole else "as before" if before else "absent"
    checkpoint = checkpoints and not now.startswith(BROKEN)
    return "of a checkpoint" if checkpoint else f"{BROKEN}{now.removeprefix(BROKEN)}"


def state(output: Path, seeded: bool = True) -> str:
    """A hash of what is in a file, a folder or a model folder; empty: nothing that can be read."""
    if output.suffix == ".lb":
        former = output.with_name(f"{output.name}.former")
        try:
            read = model_folder.read(former if former.exists() else output)
        except ModelFolderError as error:
            unfinished = "there is no model folder" in str(error) or "resume" in str(error)
            return "" if unfinished else f"{BROKEN}{error}"
        content = b"".join(value.numpy().tobytes() for value in read.model.state_dict().values())
    elif output.is_dir():
        names = sorted(output.iterdir())
        content = b"".join(path.name.encode() + path.read_bytes() for path in names)
    else:
        content = output.read_bytes() if output.exists() else b""
    if content and not seeded:
        content = json.dumps(_form(json.loads(content))).encode()
    return hashlib.sha256(content).hexdigest() if content else ""


def _form(value: Any) -> Any:
    """The names in a measured schema, without its numbers."""
    columns = value["columns"] if isinstance(value, Mapping) and "columns" in value else value
    return sorted(columns)


def other_files(output: Path) -> dict[str, bytes]:
    """The content of every file in the present folder that is no output."""
    return {
        str(path): path.read_bytes()
        for path in Path().rglob("*")
        if path.is_file() and not str(path).lstrip(".").startswith(output.name)
    }


def start(words: Sequence[str], says: Path = Path(os.devnull)) -> int:
    """The number of a process that runs a command; it is a copy of this one, so it starts fast."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with quiet(says):
            code = command_line(list(words))
    finally:
        os._exit(code)


@contextlib.contextmanager
def quiet(says: Path = Path(os.devnull)) -> Iterator[None]:
    """Context in which all that is printed goes to a file."""
    with (
        says.open("w", encoding="utf-8") as nothing,
        contextlib.redirect_stdout(nothing),
        contextlib.redirect_stderr(nothing),
    ):
        yield


def _completed(cell: Command, output: Path, whole: str) -> bool:
    """Whether running again gives what a run that was never stopped gives."""
    if state(output, cell.seeded) == whole:
        return True
    ways = [[*cell.words, "--resume"], cell.words] if cell.resumes else [cell.words]
    return any(_exit_code(words) == 0 and state(output, cell.seeded) == whole for words in ways)


def _exit_code(words: Sequence[str]) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(start(words), 0)[1])


def _timed(cell: Command, output: Path, kept: Path) -> float:
    _restore(output, kept)
    began = time.perf_counter()
    code = _exit_code(cell.words)
    if code:
        raise RuntimeError(f"{' '.join(cell.words)} ended with exit code {code}")
    return time.perf_counter() - began


def _siblings(output: Path) -> list[Path]:
    """The output, and what has a name that begins with it: parts, locks, what is unfinished."""
    return [path for path in Path().iterdir() if path.name.lstrip(".").startswith(output.name)]


def _restore(output: Path, kept: Path) -> None:
    """The output as before the command, and nothing of it beside it."""
    for path in _siblings(output):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    if kept.exists():
        shutil.copytree(kept, output)


def summarize() -> None:
    answers = done(NAME)
    metrics = []
    for name, answer in answers.items():
        metrics += _of_pairs(answer) if "pairs" in answer else _of_kills(name, answer)
    write_cells(NAME, metrics, [{"file": "made by the script", "split": "-", "sha256": "-"}], "")


def _of_kills(name: str, answer: Answer) -> list[Metric]:
    found, kills = answer["found"], answer["kills"]
    shares = {word: found.get(word, 0) for word in (*GOOD, "another file lost")}
    beside = {**shares, "stopped before their end": answer["stopped"]}
    good = sum(found.get(word, 0) for word in GOOD) - shares["another file lost"]
    again = found.get("completed", 0)
    return [
        Metric(
            f"{name}: absent, old or whole", good, "kills", "higher", target=kills, beside=beside
        ),
        Metric(
            f"{name}: bytes of a run that was never stopped, after running again",
            again,
            "kills",
            "higher",
            target=kills,
        ),
    ]


def _of_pairs(answer: Answer) -> list[Metric]:
    found, pairs = answer["found"], answer["pairs"]
    told = found.get("one writes, one says so", 0)
    turns = found.get("in turn", 0)
    return [
        *(
            Metric(
                f"two runs on one output: {word}", found.get(word, 0), "pairs", "lower", target=0
            )
            for word in ("mixed", "lost", "one fails for another reason", "litter")
        ),
        Metric(
            "two runs on one output: one writes, and the other says so, or both in turn",
            told + turns,
            "pairs",
            "higher",
            target=pairs,
            beside={"one writes, one says so": told, "in turn": turns},
        ),
    ]


def quick(seed: int) -> None:
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        prepare_all("sample")
        killed("sample", COMMAND_CELLS["sample"], 5)


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick, run)
