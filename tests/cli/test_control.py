"""control: an agent from collecting to a film, and everything that can go wrong."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from lowerbound.applications.control import train
from lowerbound.applications.control.environments import Environment
from lowerbound.applications.control.grid_catch import SIDE
from lowerbound.applications.control.player import AgentRecord, read_records, write_records
from lowerbound.applications.control.train import TrainAgentReport
from lowerbound.cli import main
from tests.cli.conftest import Run

pytest.importorskip("gymnasium")
CATCH = "lowerbound/GridCatch-v0"
SIZES = ("network.hidden=[16]", "model.memory=16", "model.width=16", "model.groups=4")
RUN = ("agent.prefill=60", "agent.length=8", "agent.batch=4", "imagination.starts=8")
NETWORK = ("--network", "mlp")
SETTINGS = [word for setting in (*SIZES, *RUN) for word in ("--set", setting)]
SHORT = ("--steps", "160", "--evaluate-every", "80", "--episodes", "2")


def frames(film: Path) -> int:
    """Number of frames of a film."""
    with Image.open(film) as animation:
        return int(animation.n_frames)


def run(*words: object) -> int:
    return main(["control", *map(str, words)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("control")
    assert run("train", CATCH, "-o", made / "a.lb", *SHORT, *NETWORK, *SETTINGS) == 0
    assert run("collect", CATCH, "-o", made / "c.npz", "--steps", 90) == 0
    return made


def test_the_group_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["control"]) == 0
    said = capsys.readouterr().out
    assert "control collect" in said
    assert "predict-frames" not in said
    assert main(["control", "trian"]) == 2
    assert "did you mean: lowerbound control train?" in capsys.readouterr().err


@pytest.mark.slow
def test_an_agent_is_trained_and_played(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", folder / "a.lb", "--episodes", 3, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["sampled"]) == len(found["greedy"]) == 3
    assert set(found["sampled"] + found["greedy"]) <= {-1.0, 1.0}
    assert found["steps"] == 7
    assert main(["info", str(folder / "a.lb")]) == 0
    said = capsys.readouterr().out
    assert "windows of 8 frames" in said
    assert "agent      lowerbound/GridCatch-v0, " in said


@pytest.mark.slow
def test_collected_clips_are_read_by_other_commands(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(folder / "c.npz") as arrays:
        assert arrays["frames"].shape == (90 + len(set(arrays["episode"])), 2, 8, 8)
        assert int(arrays["action_classes"]) == 3
        ends = arrays["reward"][arrays["terminated"]]
        assert set(ends) <= {-1.0, 1.0}
    assert run("encode", folder / "a.lb", folder / "c.npz", "-o", folder / "z.npz") == 0
    with np.load(folder / "z.npz") as arrays:
        assert arrays["state"].shape == (len(arrays["episode"]), 16 + 4 * 16)
    fit = ["fit", str(folder / "c.npz"), "-o", str(folder / "w.lb"), "--window", "6"]
    assert main([*fit, "--updates", "4", "--no-report", "--test", "0", "--threads", "1"]) == 0
    film = folder / "w.gif"
    words = ["predict-frames", str(folder / "w.lb"), str(folder / "c.npz"), "--episodes", "0,1"]
    assert main([*words, "--context", "3", "--frames", "4", "-o", str(film)]) == 0
    assert frames(film) == 7
    assert run("evaluate", folder / "w.lb") == 2
    assert "no environment and no actor" in capsys.readouterr().err


def test_clips_with_other_actions_are_not_encoded(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(folder / "c.npz") as arrays:
        np.savez(tmp_path / "c.npz", frames=arrays["frames"], episode=arrays["episode"])
    words = ("encode", folder / "a.lb", tmp_path / "c.npz", "-o", tmp_path / "z.npz")
    assert run(*words) == 2
    assert "actions of 3 numbers, and the clips have no actions" in capsys.readouterr().err


def test_numbers_are_collected_in_their_own_units(tmp_path: Path) -> None:
    assert run("collect", "CartPole-v1", "-o", tmp_path / "x.npz", "--steps", 30) == 0
    with np.load(tmp_path / "x.npz") as clips:
        frames, episode = clips["frames"], clips["episode"]
    assert frames.dtype == np.float32
    assert frames.shape[1:] == (4,)
    (begun,) = np.nonzero(np.diff(episode, prepend=-1))
    assert np.abs(frames[begun]).max() <= 0.05  # where CartPole-v1 starts
    assert np.abs(frames).max() > 0.2


@pytest.mark.slow
def test_an_agent_collects_and_dreams(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = folder / "own.npz"
    assert run("collect", CATCH, "-o", clips, "--steps", 20, "--agent", folder / "a.lb") == 0
    words = ("video", folder / "a.lb", "--context", 3, "--frames", 4)
    assert run(*words, "-o", folder / "dream.gif", "--json") == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["windows"] == 2
    assert found["ratio"] > 0
    assert frames(folder / "dream.gif") == 7
    assert run(*words[:2], "--frames", 40, "-o", folder / "long.gif") == 2
    assert "of 200 episodes have 45 frames" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["ppo", "ppo_codes", "ppo_joint"])
def test_policies_are_compared_with_it(
    folder: Path,
    agent: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("stable_baselines3")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    other = folder / f"{agent}.lb"
    sizes = ["--set", "policy.rollout=16", "--set", "policy.environments=2"]
    if agent != "ppo":
        sizes += ["--set", "policy.collect=64", "--set", "policy.vae_updates=3"]
    assert run("train", CATCH, "-o", other, "--agent", agent, *SHORT, *sizes) == 0
    assert not list(tmp_path.glob("SB3*"))
    capsys.readouterr()
    assert main(["info", str(other)]) == (2 if agent == "ppo" else 0)
    assert (f"{CATCH}, " if agent != "ppo" else "and no model") in "".join(capsys.readouterr())
    picture = folder / f"{agent}.png"
    own = f"world={folder / 'a.lb'}"
    capsys.readouterr()
    assert run("compare", own, f"other={other},{other}", "-o", picture, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {kind["name"] for kind in found["agents"]} == {"world", "other"}
    assert all(kind["last"]["low"] <= kind["last"]["high"] for kind in found["agents"])
    with Image.open(picture) as drawn:
        assert drawn.size[0] > 300


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["ppo", "ppo_codes", "ppo_joint"])
def test_ppo_is_resumed_exactly(
    agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("stable_baselines3")
    from lowerbound.applications.control.policy_gradient import Watch

    sizes = ["policy.rollout=16", "policy.environments=2", "policy.stack=2"]
    sizes += ["policy.collect=64", "policy.vae_updates=3"] if agent != "ppo" else []
    words = ["--agent", agent, *SHORT, *(word for size in sizes for word in ("--set", size))]
    assert run("train", CATCH, "-o", tmp_path / "whole", *words) == 0
    evaluate, calls = Watch._after_updates, iter(range(9))

    def interrupts(watch: Watch, last: bool = False) -> None:
        evaluate(watch, last)
        if next(calls) == 2:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Watch, "_after_updates", interrupts)
    assert run("train", CATCH, "-o", tmp_path / "part", *words) == 128 + signal.SIGTERM
    assert "and saved in" in capsys.readouterr().err
    other = ("--set", "policy.entropy=0.5")
    assert run("train", CATCH, "-o", tmp_path / "part", *words, *other, "--resume") == 2
    assert "other settings" in capsys.readouterr().err
    np.random.seed(9)  # noqa: NPY002, what happens in between changes nothing
    assert run("train", CATCH, "-o", tmp_path / "part", *words, "--resume") == 0
    whole, part = (read_records(tmp_path / name) for name in ("whole", "part"))
    assert [replace(each, seconds=0.0) for each in part] == [
        replace(each, seconds=0.0) for each in whole
    ]
    names = [{path.name for path in (tmp_path / name).iterdir()} for name in ("whole", "part")]
    assert names[0] == names[1]
    assert not names[0] & {"checkpoint", "vae"}
    if agent != "ppo":
        weights = [tmp_path / name / "model.safetensors" for name in ("whole", "part")]
        assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.parametrize(
    ("agent", "left"),
    [
        ("world_model", "agent: a.lb"),
        ("ppo", "records, and no policy: a.lb"),
        ("ppo_codes", "records and VAE, and no policy: a.lb"),
    ],
)
def test_the_last_line_of_training_says_what_is_left(agent: str, left: str) -> None:
    report = TrainAgentReport("a.lb", agent, 100, 9, 2, 60.0, 1.5, 2.0, ())
    assert report.text().splitlines()[1:] == [
        "mean return 1.5 (drawn actions), 2 (likeliest actions)",
        left,
    ]


def test_figures_without_an_episode_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = TrainAgentReport("a.lb", "world_model", 100, 9, 1, 60.0, np.nan, np.nan, ())
    assert report.text() == (
        "world_model: 100 steps, 9 updates, 1 episode in 1.0 processor minutes\nagent: a.lb"
    )
    assert run("collect", CATCH, "-o", tmp_path / "c.npz", "--steps", 1) == 0
    assert capsys.readouterr().out.startswith(f"1 step, 1 episode: {tmp_path / 'c.npz'}")
    write_records(tmp_path / "n.lb", [AgentRecord(50, 0, 1, 0.0, None)])
    assert run("compare", tmp_path / "n.lb") == 2
    said = capsys.readouterr().err
    assert "n.lb was never evaluated after an update" in said
    assert "--steps above agent.prefill" in said


def test_agents_of_numbers_are_not_filmed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = [*NETWORK, *SETTINGS, "--episodes", "0", "--steps", "62"]
    assert run("train", "CartPole-v1", "-o", tmp_path / "n.lb", *sizes) == 0
    for name in ("f.gif", "f.npz"):
        assert run("video", tmp_path / "n.lb", "-o", tmp_path / name) == 2
        assert "films need pictures, and this agent sees numbers" in capsys.readouterr().err


def recorded(folder: Path, steps: range, place: str = "") -> Path:
    """An agent's folder whose returns are its thousands of steps."""
    records = [AgentRecord(n, n, 1, 0.0, 1.0, (n / 1000,), (n / 1000,), {}, place) for n in steps]
    write_records(folder, records)
    return folder


def test_agents_that_are_evaluated_at_other_steps_are_compared_at_equal_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ppo = recorded(tmp_path / "ppo.lb", range(4992, 39_937, 4992))
    world = recorded(tmp_path / "world.lb", range(5000, 40_001, 5000))
    assert run("compare", ppo, world, "--json") == 0
    first, second = json.loads(capsys.readouterr().out)["agents"]
    assert first["steps"] == second["steps"] == 39_936
    for name in ("last", "area"):
        assert first[name]["value"] == pytest.approx(second[name]["value"])
    assert first["last"]["value"] == pytest.approx(39.936)


def test_agents_of_different_environments_are_compared_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, same = (recorded(tmp_path / n, range(1, 3), CATCH) for n in ("a.lb", "b.lb"))
    other = recorded(tmp_path / "c.lb", range(1, 3), "CartPole-v1")
    assert run("compare", one, same) == 0
    out, err = capsys.readouterr()
    assert ("(1 seed)" in out, err) == (True, "")
    assert run("compare", one, other) == 0
    assert f"(a: {CATCH}; c: CartPole-v1)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        ("CartPole-v9",),
        (CATCH, "--network", "convolutional", "--pixels", "-1"),
        (CATCH, "--network", "mlp", "--set", "network.hidden=2.5"),
        ("CartPole-v9", "--agent", "ppo"),
    ],
)
def test_an_agent_is_replaced_only_by_one_that_can_be_made(
    folder: Path, wrong: tuple[str, ...]
) -> None:
    before = {path: path.read_bytes() for path in (folder / "a.lb").rglob("*") if path.is_file()}
    assert run("train", *wrong, "-o", folder / "a.lb", "--overwrite", *SHORT) == 2
    assert before == {path: path.read_bytes() for path in before}


def test_another_model_is_not_resumed_as_an_agent(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    assert run("train", CATCH, "-o", tmp_path, "--resume", *SHORT) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", CATCH, "-o", "{}/a.lb"), "holds files already"),
        (("train", "CartPole-v9", "-o", "{}/b.lb"), "cannot be made"),
        (("train", CATCH, "-o", "{}/b.lb", "--set", "agent.evry=2"), "every"),
        (("train", CATCH, "-o", "{}/b.lb", "--set", "policy.rollout=2"), "does not apply"),
        (("train", CATCH, "-o", "{}/b.lb", "--set", "agent.steps=9"), "give --steps instead"),
        (("collect", CATCH, "-o", "{}/c.npz", "--greedy"), "give --agent too"),
        (("train", CATCH, "-o", "{}/b.lb", "--set", "agent.length=2000"), "raise prefill"),
        (
            ("train", CATCH, "-o", "{}/b.lb", "--steps", "1000"),
            "--steps must be above agent.prefill",
        ),
        (
            ("train", CATCH, "-o", "{}/c.lb", "--agent", "ppo", "--resume"),
            "holds no interrupted training",
        ),
        (("train", CATCH, "-o", "{}/b.lb", "--resume"), "holds no interrupted training"),
        (
            ("train", CATCH, "-o", "{}/a.lb", "--resume", "--steps", "90", *NETWORK, *SETTINGS),
            "has done 160 steps already",
        ),
        (("collect", CATCH, "-o", "{}/c.csv"), "written as .npz"),
        (("collect", CATCH, "-o", "{}/d.npz", "--steps", "0"), "at least 1"),
        (
            ("collect", "CartPole-v1", "-o", "{}/d.npz", "--agent", "{}/a.lb", "--limit", "9"),
            f"a.lb was trained in {CATCH}, and not in CartPole-v1 --limit 9: give the former\n",
        ),
        (("evaluate", "{}/a.lb", "--episodes", "0"), "at least 1"),
        (("encode", "{}/a.lb", "{}/none.npz", "-o", "{}/z.npz"), "no file"),
        (("video", "{}/a.lb", "-o", "{}/a.txt"), "as a film"),
        (("video", "{}/a.lb", "-o", "{}/a.npz"), "as a .png sheet; lowerbound predict-frames"),
        (("video", "{}/a.lb", "-o", "{}/a.gif", "--windows", "9"), "from 1 to 4"),
        (("compare", "{}/none.lb"), "no records"),
        (("compare", "x="), "names no folder"),
        (("compare", "{}/a.lb", "{}/other/a.lb"), "two agents have the name 'a': give NAME="),
        (("compare", "x={}/a.lb", "x={}/a.lb"), "two agents have the name 'x': give NAME="),
    ],
)
def test_bad_input_is_said(
    folder: Path, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*(word.format(folder) for word in words)) == 2
    assert said in capsys.readouterr().err


def test_the_report_of_a_training_is_that_of_its_last_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [AgentRecord(5, 1, 2, 3.0, None), AgentRecord(9, 4, 6, 7.5, None)]
    records = [replace(one, sampled=(1.0, 2.0), greedy=(5.0, 8.0)) for one in records]

    def trained(*_: object, folder: Path, **__: object) -> object:
        folder.mkdir()
        return SimpleNamespace(fitted=None, records=records)

    monkeypatch.setattr(train, "train_agent", trained)
    monkeypatch.setattr(train.model_folder, "write", lambda *_: None)
    assert run("train", CATCH, "-o", tmp_path / "a.lb", *SHORT, *SETTINGS, "--json") == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    named = [found[name] for name in ("steps", "updates", "episodes", "seconds")]
    assert named == [9, 4, 6, 7.5]
    assert (found["sampled"], found["greedy"]) == (1.5, 6.5)


@pytest.mark.slow
def test_the_former_agent_stays_until_the_new_one_is_whole(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, former = tmp_path / "a.lb", tmp_path / "a.lb.former"
    shutil.copytree(folder / "a.lb", agent)
    before = {path.name: path.read_bytes() for path in agent.iterdir() if path.is_file()}
    words = ("train", CATCH, "-o", agent, *SHORT, *NETWORK, *SETTINGS, "--overwrite")

    def stopped(*_: object, folder: Path, ready: Callable[[], None], **__: object) -> None:
        ready()
        write_records(folder, [AgentRecord(1, 0, 0, 0.0, None)])
        raise KeyboardInterrupt

    for _ in range(2):  # the second run replaces what is left of the first
        with monkeypatch.context() as patch:
            patch.setattr(train, "train_agent", stopped)
            assert run(*words) == 130
        assert {path.name: path.read_bytes() for path in former.glob("*.*")} == before
    assert run(*words) == 0
    assert not former.exists()
    assert (agent / "model.safetensors").read_bytes() == before["model.safetensors"]


@pytest.mark.parametrize("existed", [False, True])
def test_an_interrupted_collection_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    existed: bool,
) -> None:
    clips = tmp_path / "c.npz"
    if existed:
        clips.write_text("of another run")
    step, taken = Environment.step, list[int]()

    def stopping(self: Environment, action: object) -> object:
        taken.append(1)
        if len(taken) > 50:
            raise KeyboardInterrupt
        return step(self, action)  # type: ignore[arg-type]

    monkeypatch.setattr(Environment, "step", stopping)
    assert run("collect", CATCH, "-o", clips, "--steps", 90) == 130
    place = tmp_path / "c.unfinished.npz" if existed else clips
    assert f"interrupted; 50 of 90 steps are in {place}" in capsys.readouterr().err
    with np.load(place) as arrays:
        assert len(arrays["frames"]) == 50 + len(set(arrays["episode"]))
    assert not existed or clips.read_text() == "of another run"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"sampled": [4.', '"sampled": ["x", 4.', "option 'sampled' takes numbers"),
        ('"steps": 10000', '"steps": 3', "the steps of its records do not rise from 1"),
        ('"episodes": 1, ', "", "a value of it has a wrong type"),
    ],
)
def test_records_of_wrong_values_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, said: str
) -> None:
    path = recorded(tmp_path / "a.lb", range(4000, 40_001, 6000)) / "agent.jsonl"
    content = path.read_text()
    assert before in content
    path.write_text(content.replace(before, after, 1))
    assert run("compare", tmp_path / "a.lb") == 2
    error = capsys.readouterr().err
    assert "has no records of an agent (agent.jsonl)" in error
    assert said in error


@pytest.mark.parametrize(("limit", "ends"), [("0", 3), ("4", 0)])
def test_collected_episodes_end_where_they_end_of_themselves(
    run: Run, tmp_path: Path, limit: str, ends: int
) -> None:
    place, steps = tmp_path / "clips.npz", 3 * (SIDE - 1)
    done = run("control", "collect", CATCH, "-o", place, "--steps", steps, "--limit", limit)
    assert done.code == 0
    with np.load(place) as found:
        assert int(found["terminated"].sum()) == ends
