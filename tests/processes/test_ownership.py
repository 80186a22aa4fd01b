"""One owner per output: other runs, threads and spellings meet its lock, and nothing is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lowerbound import durable
from lowerbound.cli import main
from lowerbound.errors import OptionError
from lowerbound.processes import ownership

HOLDING = """
import sys
from pathlib import Path
from lowerbound.processes.ownership import owned
with owned([Path(sys.argv[1])], "lowerbound sample"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "states"))


@contextmanager
def held_elsewhere(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that owns ``path``; killed at the end."""
    command = [sys.executable, "-c", HOLDING, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        yield other
        other.kill()


def test_a_second_process_is_refused_until_the_first_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "models" / "m.lb"
    (tmp_path / "x.csv").write_text("a,b\n" + "1,2\n3,5\n4,9\n" * 9)
    words = ["fit", str(tmp_path / "x.csv"), "-o", str(folder), "--updates", "3", "--no-report"]
    with held_elsewhere(folder) as other:
        assert main(words) == 2
        said = capsys.readouterr().err
        assert f"process {other.pid} (lowerbound sample, since " in said
        assert f"is writing {folder}: wait until it ends, or name another output" in said
        assert not folder.exists()
    assert [path.name for path in folder.parent.iterdir()] == [".m.lb.lowerbound"]  # of the killed
    assert main(words) == 0
    assert [path.name for path in folder.parent.iterdir()] == ["m.lb"]


def test_other_spellings_and_other_threads_meet_the_lock(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "last").symlink_to(tmp_path / "real" / "out")
    spellings = ["real/out", "link/out", "real/../link/out/", "last"]

    def taken(spelling: str) -> bool:
        try:
            with ownership.owned([tmp_path / spelling]):
                return False
        except OptionError:
            return True

    with ownership.owned([tmp_path / "real" / "out"]), ThreadPoolExecutor(1) as thread:
        assert all(thread.map(taken, spellings))
        assert not any(map(taken, spellings))  # its owner may write it again
        assert not any(thread.map(taken, ["real", "real/out.csv", "real/out2"]))
    assert not any(map(taken, spellings))
    assert list((tmp_path / "real").iterdir()) == []


def test_of_several_outputs_all_or_none_are_held(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path / "new" / "b"):
        with (
            pytest.raises(OptionError, match="new/b"),
            ownership.owned([tmp_path / "a" / "x", tmp_path / "new" / "b"]),
        ):
            pass
        assert not (tmp_path / "a").exists()
        with ownership.owned([tmp_path / "a" / "x"]):
            pass


def test_a_folder_that_cannot_be_written_has_its_lock_in_the_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ownership._files

    def beside_is_refused(place: Path) -> Iterator[Path]:
        yield tmp_path / "no folder" / "lock"
        yield from list(files(place))[1:]

    (tmp_path / "no folder").write_text("")
    monkeypatch.setattr(ownership, "_files", beside_is_refused)
    with ownership.owned([tmp_path / "a"]):
        assert len(list((tmp_path / "states" / "lowerbound" / "locks").iterdir())) == 1
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "no folder"))
    with ownership.owned([tmp_path / "a"]):  # nowhere: work goes on
        pass
    monkeypatch.delenv("XDG_STATE_HOME")

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert durable.user_states() is None
    with ownership.owned([tmp_path / "a"]):
        pass


@pytest.mark.parametrize("content", ["mine\n", '{"process": "x"}'])
def test_a_file_of_somebody_elses_is_neither_replaced_nor_removed(
    tmp_path: Path, content: str
) -> None:
    file = tmp_path / ".out.csv.lowerbound"
    file.write_text(content)
    with ownership.owned([tmp_path / "out.csv"]):
        pass
    assert file.read_text() == content


def test_no_link_is_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("")
    (tmp_path / ".out.csv.lowerbound").symlink_to(precious)
    with ownership.owned([tmp_path / "out.csv"]):
        pass
    assert precious.read_text() == ""


def test_a_name_may_be_as_long_as_names_may_be(tmp_path: Path) -> None:
    long, other = "x" * 254 + "1", "x" * 254 + "2"
    with ownership.owned([tmp_path / long]), ownership.owned([tmp_path / other]):
        assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("runs", [True, False])
def test_a_lock_of_another_user_is_believed_while_its_owner_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: bool
) -> None:
    """A file that only its owner may open says who that is; who has ended is none."""
    owner = ownership._self("lowerbound fit") | ({} if runs else {ownership.PROCESS: 2**40})
    file = tmp_path / ".out.csv.lowerbound"
    file.write_text(json.dumps(owner))
    usual = os.open

    def refused(path: str | Path, *rest: Any, **more: Any) -> int:
        if Path(path) == file and rest[0] & os.O_RDWR:
            raise PermissionError(13, "Permission denied", str(path))
        return usual(path, *rest, **more)

    monkeypatch.setattr(os, "open", refused)
    if not runs:
        with ownership.owned([tmp_path / "out.csv"]):
            assert len(list((tmp_path / "states" / "lowerbound" / "locks").iterdir())) == 1
        return
    with (
        pytest.raises(OptionError, match=rf"process {os.getpid()} \(lowerbound fit, since "),
        ownership.owned([tmp_path / "out.csv"]),
    ):
        pass


def test_two_threads_save_one_model_one_after_the_other(tmp_path: Path) -> None:
    """An estimator that another thread writes is refused, and nothing of it is changed."""
    from lowerbound import VAE

    vae = VAE(latent_dim=1, epochs=1).fit([[float(i), 1.0 - i] for i in range(20)])
    with ownership.owned([tmp_path / "m.lb"]), ThreadPoolExecutor(1) as thread:
        with pytest.raises(OptionError, match="is writing"):
            thread.submit(vae.save, tmp_path / "m.lb").result()
        assert not (tmp_path / "m.lb").exists()
    vae.save(tmp_path / "m.lb")
    assert sorted(os.listdir(tmp_path)) == ["m.lb"]


def test_a_file_in_a_folder_that_another_run_writes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.lb" / "deep" / "x.csv"
    with held_elsewhere(tmp_path / "m.lb"), pytest.raises(OptionError, match="is writing") as seen:
        ownership.owned([file]).__enter__()
    assert "(lowerbound sample, since" in str(seen.value)
    with ownership.owned([file]):
        assert file.parent.is_dir()
