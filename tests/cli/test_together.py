"""``lowerbound fit --devices``: several processes of this machine, one model folder."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lowerbound.cli.launch import launch
from lowerbound.cli.main import run_one
from lowerbound.errors import TrainingError
from lowerbound.fitting.folder import read
from tests.cli.conftest import Run

SECONDS = 240
QUICK = ("--updates", "20", "--samples", "3", "--no-report", "--devices", "2")
LONG = ("--updates", "1000000", "--patience", "0", "--no-report", "--devices", "2")


def start(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lowerbound", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # as a terminal has it: Ctrl-C reaches all processes
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def until(process: subprocess.Popen[str], words: str) -> list[str]:
    """The lines on standard error until one starts with ``words``."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith(words):
            return lines
    raise AssertionError("".join(lines))


@pytest.mark.slow
def test_two_processes_write_one_model_and_speak_once(table: Path, tmp_path: Path) -> None:
    process = start("fit", table, "-o", tmp_path / "m", *QUICK, "--json")
    out, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    found = json.loads(out)
    assert (found["command"], found["updates"]) == ("fit", 20)
    assert said.count("training: ") == 1
    assert read(tmp_path / "m").history.ended == "finished"


@pytest.mark.slow
def test_bad_input_is_said_once_and_no_process_starts_again(tmp_path: Path) -> None:
    process = start("fit", tmp_path / "nothing.csv", "-o", tmp_path / "m", *QUICK)
    out, said = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (2, "")
    assert said.count("lowerbound: ") == 1
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "sign", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_a_signal_saves_what_is_done(table: Path, tmp_path: Path, sign: signal.Signals) -> None:
    """Ctrl-C reaches all processes of a terminal; a scheduler ends the first one."""
    process = start("fit", table, "-o", tmp_path / "m", *LONG)
    lines = until(process, "epoch ")
    (os.killpg if sign == signal.SIGINT else os.kill)(process.pid, sign)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + sign, "".join(lines) + said
    assert said.count("training was interrupted at update") == 1
    assert f"lowerbound fit {table} -o {tmp_path / 'm'} --resume" in said
    assert not [line for line in said.splitlines() if "Traceback" in line or "elastic" in line]
    assert read(tmp_path / "m").history.ended == "interrupted"


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc to find the processes in")
def test_a_process_that_is_killed_is_started_again(table: Path, tmp_path: Path) -> None:
    often = ("--checkpoint-seconds", "0.1")
    process = start("fit", table, "-o", tmp_path / "m", *LONG, *often)
    until(process, "epoch ")
    time.sleep(1)
    os.kill(children(process.pid)[-1], signal.SIGKILL)
    lines = until(process, "resumed at update ")
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=SECONDS)
    assert int(lines[-1].split()[-1].replace(",", "")) > 0


def children(parent: int) -> list[int]:
    """The training processes, by number."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state = (place / "stat").read_text().rpartition(")")[2].split()
            words = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if int(state[1]) == parent and b"spawn_main" in words:
            found.append(int(place.name))
    return sorted(found)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--devices 0", "--devices and --nodes are at least 1, not 0 and 1"),
        ("--nodes 2", "--nodes 2 needs --rendezvous HOST:PORT"),
        ("--devices 2 --device cpu:1", "device must be"),
    ],
)
def test_impossible_processes_are_refused(
    run: Run, table: Path, tmp_path: Path, words: str, message: str
) -> None:
    done = run("fit", table, "-o", tmp_path / "m", *words.split())
    assert done.code == 2
    assert message in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_machines_that_do_not_meet_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The launcher's own waiting, of ten minutes, is made short."""
    from torch.distributed.launcher import api

    full = api.LaunchConfig

    def short(**options: Any) -> Any:
        return full(**options, rdzv_configs={"join_timeout": 2, "last_call_timeout": 1})

    monkeypatch.setattr(api, "LaunchConfig", short)
    with pytest.raises(TrainingError, match=r"2 machines did not meet at 127\.0\.0\.1:\d+ \("):
        launch(1, 2, f"127.0.0.1:{free_port()}", run_one, ["--version"])


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_from_python_a_launcher_is_needed(table: Path, tmp_path: Path) -> None:
    from lowerbound.applications import load
    from lowerbound.applications.common.application import Silent
    from lowerbound.applications.fit.requests import FitRequest, ProcessOptions
    from lowerbound.errors import OptionError

    request = FitRequest(str(table), str(tmp_path / "m"), together=ProcessOptions(devices=2))
    with pytest.raises(OptionError, match="torchrun"):
        load("fit")(request, Silent())
