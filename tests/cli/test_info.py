"""info: what a folder holds, without torch; and nothing that has been altered."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lowerbound.applications.control.player import AgentRecord, write_records
from lowerbound.fitting.folder import read, write
from lowerbound.training.reporter import History
from tests.cli.conftest import Run


def test_what_a_folder_holds(run: Run, picture_model: Path) -> None:
    found = run("info", picture_model, "--json").object
    model = read(picture_model).model
    assert found["weights"] == sum(value.numel() for value in model.state_dict().values())
    assert (found["kind"], found["ended"], found["updates"]) == ("vae", "finished", 4)
    shown = run("info", picture_model).out
    assert "grey pictures, 5x6 pixels, 256 levels; classes above, below" in shown
    assert "verified   config.json, schema.json, model.safetensors" in shown


def test_the_bound_of_a_start_that_training_did_not_improve(
    run: Run, table_model: Path, tmp_path: Path
) -> None:
    fitted = read(table_model)
    write(tmp_path / "m.lb", replace(fitted, history=replace(fitted.history, best=0, start=-2.5)))
    assert run("info", tmp_path / "m.lb", "--json").object["bound"] == -2.5
    assert "bound      -2.50 nats per row" in run("info", tmp_path / "m.lb").out
    assert "-2.50 nats per row" in (tmp_path / "m.lb" / "MODEL_CARD.md").read_text()


def test_a_run_that_ended_before_it_measured_anything(
    run: Run, picture_model: Path, tmp_path: Path
) -> None:
    early = replace(read(picture_model), history=History(ended="interrupted"))
    write(tmp_path / "m.lb", early)
    shown = run("info", tmp_path / "m.lb").out
    assert "interrupted" in shown
    assert "0 updates" not in shown
    card = (tmp_path / "m.lb" / "MODEL_CARD.md").read_text()
    assert "because training did not reach the first measurement" in card
    assert "solved in closed form" not in card


def test_pca_was_not_trained(run: Run, pca: Path) -> None:
    shown = run("info", pca).out
    assert "training" not in shown
    assert "rows of 3 columns of real numbers (size, weight, age)" in shown


def test_the_vae_of_a_policy_has_no_details(run: Run, picture_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ppo_codes.lb"
    shutil.copytree(picture_model, folder)
    write_records(folder, [AgentRecord(900, 7, 1, 0.0, None, (2.0,), (), {}, "CartPole-v1")])
    done = run("info", folder)
    assert "agent      CartPole-v1, 900 steps, 7 updates, mean return 2" in done.out


@pytest.mark.parametrize("words", [["--help"], ["info"], ["info", "--help"], ["nonsense"]])
def test_torch_is_not_waited_for(words: list[str], picture_model: Path) -> None:
    if words == ["info"]:
        words = ["info", str(picture_model)]
    program = (
        "import sys; from lowerbound.cli import main; main(sys.argv[1:]);"
        "heavy = {'torch', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["config.json", "schema.json", "model.safetensors"])
@pytest.mark.parametrize("how", ["missing", "truncated", "altered"])
def test_a_damaged_folder_is_named(
    run: Run, picture_model: Path, tmp_path: Path, name: str, how: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(picture_model, folder)
    content = bytearray((folder / name).read_bytes())
    if how == "missing":
        (folder / name).unlink()
    elif how == "truncated":
        (folder / name).write_bytes(content[: len(content) // 2])
    else:
        content[-2] ^= 1
        (folder / name).write_bytes(content)
    for words in (("info", folder), ("sample", folder, "-o", tmp_path / "s.png")):
        done = run(*words)
        assert done.code == 2
        assert f"{folder / name} is" in done.err
        assert len(done.err.splitlines()) == 1
