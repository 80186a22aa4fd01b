"""One process at a time writes a model folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lowerbound.applications.io import fit_folder
from lowerbound.cli import main
from lowerbound.errors import ModelFolderError

HOLDING = """
import sys
from pathlib import Path
from lowerbound.applications.io.fit_folder import locked
with locked(Path(sys.argv[1]).resolve()):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "states"))


def test_a_second_process_is_refused_until_the_first_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "m.lb"
    (tmp_path / "x.csv").write_text("a,b\n" + "1,2\n3,5\n4,9\n" * 9)
    words = ["fit", str(tmp_path / "x.csv"), "-o", str(folder), "--updates", "3", "--no-report"]
    command = [sys.executable, "-c", HOLDING, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert main(words) == 2
        assert f"another process is writing {folder}: wait" in capsys.readouterr().err
        assert not folder.exists()
        other.kill()
    assert main(words) == 0


def test_other_folders_are_free(tmp_path: Path) -> None:
    with (
        fit_folder.locked(tmp_path / "a"),
        fit_folder.locked(tmp_path / "b"),
        pytest.raises(ModelFolderError),
        fit_folder.locked(tmp_path / "a"),
    ):
        pass
    with fit_folder.locked(tmp_path / "a"):
        pass
    assert not (tmp_path / "a").exists()


def test_without_a_place_for_locks_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with fit_folder.locked(tmp_path / "a"):
        pass
    monkeypatch.delenv("XDG_STATE_HOME")

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert fit_folder.user_states() is None
    with fit_folder.locked(tmp_path / "a"):
        pass
