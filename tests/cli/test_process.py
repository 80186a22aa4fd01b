"""The command line as a process of its own: pipes, signals, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from lowerbound import __main__ as program
from lowerbound.fitting.folder import read
from tests.cli.conftest import QUICK, Run

SECONDS = 120


def start(*words: object, **pipes: int) -> subprocess.Popen[str]:
    """The command line, started."""
    program = [sys.executable, "-m", "lowerbound", *(str(word) for word in words)]
    return subprocess.Popen(program, text=True, env=environment(), **pipes)


def environment() -> dict[str, str]:
    """That of the tests, with one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def finish(*words: object) -> subprocess.CompletedProcess[str]:
    """The command line, run to its end."""
    process = start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=SECONDS)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.slow
def test_piped_output_is_plain_lines(table: Path, tmp_path: Path) -> None:
    done = finish("fit", table, "-o", tmp_path / "m", *QUICK, "--json")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert json.loads(done.stdout)["command"] == "fit"
    for line in (*done.stdout.splitlines(), *done.stderr.splitlines()):
        assert line.isprintable(), line


@pytest.mark.slow
def test_the_package_is_the_command_line(table_model: Path) -> None:
    assert finish("--version").stdout.startswith("lowerbound ")
    done = finish("inf", table_model)
    assert done.returncode == 2
    assert done.stderr == "lowerbound: unknown command 'inf'; did you mean: lowerbound info?\n"


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error(table_model: Path) -> None:
    process = start("info", table_model, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(SECONDS) == 0


INTERRUPTED_IMPORT = """
import os, runpy, signal, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.{sent})
sys.meta_path.insert(0, Finder())
for name in {ignored}:
    signal.signal(getattr(signal, name), signal.SIG_IGN)
sys.argv[1:] = ["fit", "nothing-is-here", "-o", "m"]
runpy.run_module("lowerbound", run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "sent", "ignored", "code", "said"),
    [
        ("lowerbound.cli.main", "SIGINT", [], 130, "lowerbound: interrupted\n"),
        ("torch", "SIGTERM", [], 143, "lowerbound: interrupted\n"),
        ("torch", "SIGINT", ["SIGINT"], 130, "lowerbound: interrupted\n"),
        ("torch", "SIGINT", ["SIGINT", "SIGHUP"], 2, "lowerbound: there is no file, folder or"),
    ],
)
def test_an_interrupted_import_is_one_line(
    tmp_path: Path, module: str, sent: str, ignored: list[str], code: int, said: str
) -> None:
    source = INTERRUPTED_IMPORT.format(module=module, sent=sent, ignored=ignored)
    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=tmp_path,
        timeout=SECONDS,
    )
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1


def test_the_script_is_the_module() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["scripts"] == {"lowerbound": f"{program.__name__}:main"}


def interrupted(
    table: Path, folder: Path, *words: str, by: signal.Signals = signal.SIGINT
) -> tuple[int, str]:
    """A long fit, interrupted as soon as it trains: exit code and standard error."""
    process = start("fit", table, "-o", folder, *words, stderr=subprocess.PIPE)
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("training:"):
            break
    time.sleep(0.5)
    process.send_signal(by)
    lines.append(process.stderr.read())
    process.stderr.close()
    return process.wait(SECONDS), "".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_fit_goes_on_as_if_it_had_not_been(
    run: Run, table: Path, tmp_path: Path, by: signal.Signals
) -> None:
    long = ("--updates", "1200", "--no-report", "--samples", "3", "--patience", "0")
    code, said = interrupted(table, tmp_path / "m", *long, by=by)
    assert code == 128 + by
    assert f"lowerbound fit {table} -o {tmp_path / 'm'} --resume" in said
    assert "Traceback" not in said
    part = read(tmp_path / "m").history
    assert part.ended == "interrupted"
    assert part.last is None or part.last.updates < 1200  # none: before the first record
    refused = run("fit", table, "-o", tmp_path / "m", *long)
    assert refused.code == 2
    assert "--resume goes on" in refused.err
    going_on = run("fit", table, "-o", tmp_path / "m", "--resume", "--json")
    assert "resumed at update " in going_on.err
    resumed = going_on.object
    whole = run("fit", table, "-o", tmp_path / "n", *long, "--json").object
    assert (resumed["ended"], resumed["updates"]) == ("finished", 1200)
    assert resumed["findings"] == whole["findings"]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "mn"]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_a_file_that_outgrows_its_limit_is_no_traceback(
    picture_model: Path, tmp_path: Path
) -> None:
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
        "from lowerbound.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["sample", str(picture_model), "-n", "5000", "-o", str(tmp_path / "x.npz")]
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=SECONDS,
    )
    assert done.returncode == 2
    assert str(tmp_path / "x.npz") in done.stderr
    assert "file too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
