"""A model folder comes back as it was written, and whatever is wrong with one is said by name."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lowerbound import durable
from lowerbound.data import load
from lowerbound.data.dataset import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import ModelFolderError
from lowerbound.fitting import FitOptions, Fitted, fit, folder as model_folder
from lowerbound.fitting.assembly import assemble, resolve
from lowerbound.fitting.card import model_card
from lowerbound.fitting.manifest import BESIDE, CHECKPOINT
from lowerbound.models.options import ModelOptions
from lowerbound.networks import NETWORKS
from lowerbound.trace import Batch, Mean
from lowerbound.training import History, Record, TrainingOptions, checkpoint

RECORD = Record(2.0, 20, 1.5, -10.0, 8.0, (2.0,), -11.5, 1e-3, 0)


def table() -> Dataset:
    values = np.random.default_rng(0).normal(size=(40, 5))
    return load(values @ np.diag([1.0, 2.0, 0.5, 1.0, 3.0]))


def fitted(seed: int = 0, **model: Any) -> Fitted:
    """A model of five columns with weights drawn from ``seed``."""
    schema = table().schema
    options = FitOptions(model=resolve(schema, ModelOptions(**{"latent_dim": 2, **model})))
    with seeded(seed):
        built = assemble(schema, options.model)
    return Fitted(built.eval(), schema, options, History((RECORD,), "finished", best=20))


def seed_of(folder: Path, seeds: range = range(4)) -> int:
    """Which seed's weights are in the folder, all of them; it has to be readable."""
    state = model_folder.read(folder).model.state_dict()
    for seed in seeds:
        other = fitted(seed).model.state_dict()
        if all(torch.equal(state[name], value) for name, value in other.items()):
            return seed
    raise AssertionError("weights of no seed, or a mixture of several")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model.lb"
    model_folder.write(path, fitted())
    return path


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"likelihood": "student_t", "network": "linear"},
        {"prior": "vamp"},
        {"prior": "flow", "posterior": "flow"},
        {"model": "autoencoder", "network_options": {"hidden": [7]}},
        {"model": "pca"},
    ],
    ids=str,
)
@pytest.mark.usefixtures("untouched_random_state")
def test_what_is_written_comes_back(tmp_path: Path, model: dict[str, Any]) -> None:
    written = fitted(**model)
    model_folder.write(tmp_path / "m", written)
    found = model_folder.read(tmp_path / "m")
    assert found.schema == written.schema
    assert found.options == written.options
    assert found.history == written.history
    assert not found.model.training
    batch = Batch(table().batch(torch.arange(40)).filled.float())
    one, other = (f.model(batch, Mean()).likelihood.log_prob(batch.x) for f in (written, found))
    assert torch.equal(one, other)


def test_an_own_part_that_was_not_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as own:
        own.setitem(NETWORKS._parts, "wide", NETWORKS["mlp"])
        model_folder.write(tmp_path / "m", fitted(network="wide"))
    with pytest.raises(ModelFolderError, match=r"must be imported before.* network 'wide'"):
        model_folder.read(tmp_path / "m")


def test_a_fitted_model_of_real_data_comes_back(tmp_path: Path) -> None:
    training = TrainingOptions(updates=60, precision="float32", compile="off")
    done = fit(table(), FitOptions(ModelOptions(latent_dim=2), training=training))
    model_folder.write(tmp_path / "m", done)
    found = model_folder.read(tmp_path / "m")
    assert found.options == done.options
    assert found.history == done.history
    state = found.model.state_dict()
    assert all(torch.equal(state[n], value) for n, value in done.model.state_dict().items())


def test_only_safetensors_json_and_text_are_written(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "MODEL_CARD.md",
        "config.json",
        "manifest.json",
        "metrics.jsonl",
        "model.safetensors",
        "schema.json",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["model.lb"]


@pytest.mark.parametrize("name", ["config.json", "schema.json", "model.safetensors"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-7]), "truncated or altered"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b" "), "truncated or altered"),
        (lambda path: path.write_bytes(b""), "truncated or altered"),
    ],
    ids=["missing", "truncated", "altered", "empty"],
)
def test_a_damaged_file_is_named(
    folder: Path, name: str, damage: Callable[[Path], None], words: str
) -> None:
    damage(folder / name)
    for check in (model_folder.read, model_folder.verify):
        with pytest.raises(ModelFolderError, match=words) as caught:
            check(folder)
        assert str(folder / name) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "manifest.json is damaged"),
        ('{"format": 1, "sha', "manifest.json is damaged"),
        ('{"name": "an extension", "version": "2"}', "is no model folder"),
        ("[1, 2]", "is no model folder"),
        ('{"format": 1, "lowerbound": "0.1.0", "sha256": {}}', "does not list config.json"),
        ('{"format": 2, "lowerbound": "9.1", "sha256": {}}', r"lowerbound 9\.1 in format 2.*pip"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(folder: Path, text: str, words: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ModelFolderError, match=words):
        model_folder.read(folder)


def test_what_is_no_model_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "run" / "checkpoint").mkdir(parents=True)
    (tmp_path / "copy" / "checkpoint").mkdir(parents=True)
    (tmp_path / "copy" / "model.safetensors").write_bytes(b"x")
    for name, words in [
        ("absent", "there is no model folder .*absent"),
        ("file", "is a file"),
        ("empty", r"has no manifest\.json"),
        ("run", "a training run that has not saved a model yet; resume it"),
        ("copy", r"no manifest\.json: if it is a copy, copy the folder again"),
    ]:
        with pytest.raises(ModelFolderError, match=words):
            model_folder.read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "key", "words"),
    [("config.json", "novelty", "option 'novelty'"), ("schema.json", "novelty", "'novelty'")],
)
def test_an_option_of_another_version_is_named(
    folder: Path, name: str, key: str, words: str
) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), key: 1}))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"][name] = durable.sha256(path)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelFolderError, match=words):
        model_folder.read(folder)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    durable.write_tensors(folder / "model.safetensors", {"w": torch.ones(2)})
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"]["model.safetensors"] = durable.sha256(folder / "model.safetensors")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelFolderError, match="do not fit the model"):
        model_folder.read(folder)


def test_the_history_is_not_part_of_the_model(folder: Path) -> None:
    (folder / "metrics.jsonl").write_text("{")
    with pytest.raises(ModelFolderError, match=r"metrics\.jsonl is damaged; delete it"):
        model_folder.read(folder)
    (folder / "metrics.jsonl").unlink()
    assert model_folder.read(folder).history == History()


def test_a_model_is_replaced_and_its_checkpoint_stays(folder: Path) -> None:
    (folder / "checkpoint").mkdir()
    (folder / "checkpoint" / "state.json").write_text("{}")
    (folder / "report.html").write_text("a report")
    model_folder.write(folder, fitted(seed=1))
    assert seed_of(folder) == 1
    assert (folder / "checkpoint" / "state.json").exists()
    assert (folder / "report.html").exists()
    assert not list(folder.glob("*.new"))


def test_other_peoples_files_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_text("x")
    for place in (tmp_path, tmp_path / "holiday.jpg"):
        with pytest.raises(ModelFolderError, match="choose another name"):
            model_folder.write(place, fitted())
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_an_empty_folder_and_missing_parents_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "a" / "b" / "c"):
        model_folder.write(place, fitted())
        assert seed_of(place) == 0


class Killed(BaseException):
    """The process is gone: nothing after it runs."""


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("at", range(0, 40, 2))
def test_a_stop_at_any_step_leaves_the_folder_absent_old_or_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool, at: int
) -> None:
    folder = tmp_path / "m"
    monkeypatch.setattr(durable, "_runs", lambda process: False)  # what is left is of a dead one
    if exists:
        model_folder.write(folder, fitted(0))
    stop_after(monkeypatch, at, lambda: model_folder.write(folder, fitted(1)))
    assert (not exists and not folder.exists()) or seed_of(folder) in ({0, 1} if exists else {1})
    stop_after(monkeypatch, at // 2, lambda: model_folder.write(folder, fitted(2)))
    assert not folder.exists() or seed_of(folder) in {0, 1, 2}
    model_folder.write(folder, fitted(3))
    assert seed_of(folder) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert not list(folder.glob("*.new"))


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int, action: Callable[[], None]) -> None:
    """Run ``action``, which dies at its step of that number, as far as files are concerned."""
    taken = 0

    def mortal(function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **keywords: Any) -> Any:
            nonlocal taken
            taken += 1
            if taken > steps:
                raise Killed
            return function(*arguments, **keywords)

        return step

    with monkeypatch.context() as patched:
        for owner, name in [
            (os, "replace"),
            (os, "fsync"),
            (os, "open"),
            (Path, "unlink"),
            (Path, "rmdir"),
            (Path, "write_text"),
            (shutil, "rmtree"),
        ]:
            patched.setattr(owner, name, mortal(getattr(owner, name)))
        with contextlib.suppress(Killed):
            action()


def test_a_full_disk_leaves_the_old_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for failing in range(1, 8):
        calls = 0

        def full(path: Path) -> None:
            nonlocal calls
            calls += 1
            if calls >= failing:  # noqa: B023 - called in this turn only
                raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(durable, "sync", full)
            with pytest.raises(OSError, match="No space left"):
                model_folder.write(folder, fitted(seed=1))
        assert seed_of(folder) == 0
        assert not list(folder.glob("*.new"))


def test_a_full_disk_leaves_no_half_of_a_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable, "sync", full)
    with pytest.raises(OSError, match="No space left"):
        model_folder.write(tmp_path / "m", fitted())
    assert not list(tmp_path.iterdir())


def test_the_card_says_what_the_model_is(folder: Path) -> None:
    card = (folder / "MODEL_CARD.md").read_text()
    for words in [
        "# model.lb",
        "VAE with 2 latent numbers",
        "likelihood p(x | z): gaussian",
        "5 values per row",
        "20 updates",
        "-11.50 nats per row",
        "lowerbound sample model.lb",
        '"latent_dim": 2',
    ]:
        assert words in card


def test_the_card_of_a_model_without_training_says_so() -> None:
    done = replace(fitted(model="pca"), history=History())
    card = model_card("m", done)
    assert "closed form" in card
    assert "The bound was not measured" in card


KILLER = """
import os, random, shutil, signal, sys, time
from pathlib import Path

import torch

torch.set_num_threads(1)
sys.path.insert(0, {root!r})

from lowerbound.fitting import folder as model_folder
from lowerbound.fitting import FitOptions, ModelOptions, fit
from lowerbound.training import TrainingOptions, loop
from lowerbound.training import saving
from tests.fitting.test_folder import table

loop.SECONDS_BETWEEN_REPORTS = 0.0
saving.SHARE_OF_TIME = 1e9  # a checkpoint after every update
folder = Path({folder!r})
training = TrainingOptions(
    updates=60, precision="float32", compile="off", checkpoint_seconds=0.0, weight_average=0.9
)
model = ModelOptions(latent_dim=2, network_options={{"hidden": [8]}})
options = FitOptions(model, training=training)
data = table()


def train_and_write():
    publish = lambda fitted: model_folder.write(folder, fitted)
    publish(fit(data, options, folder=folder, resume=True, publish=publish))


random.seed({seed})
absent = unfinished = finished = 0
for _ in range({kills}):
    if finished and random.random() < 0.3:  # start again from nothing now and then
        shutil.rmtree(folder, ignore_errors=True)
        finished = 0
    child = os.fork()
    if child == 0:
        train_and_write()
        os._exit(0)
    time.sleep(random.uniform(0.0, {longest}))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if not folder.exists():
        absent += 1
        continue
    history = model_folder.read(folder).history
    unfinished += history.ended == "running"
    finished += history.ended == "finished"
train_and_write()
assert model_folder.read(folder).history.ended == "finished"
print(absent, unfinished, finished)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "seed"), [(10, 0), pytest.param(50, 1, marks=pytest.mark.long)])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_random_moments_the_folder_is_absent_or_loadable(
    tmp_path: Path, kills: int, seed: int
) -> None:
    root = str(Path(__file__).parents[2])
    script = KILLER.format(
        root=root, folder=str(tmp_path / "m"), kills=kills, seed=seed, longest=0.5
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    absent, unfinished, finished = map(int, run.stdout.split())
    assert unfinished >= kills // 5  # the kills did come in the middle of training
    assert absent + unfinished + finished <= kills


def test_training_and_the_folder_name_the_checkpoint_alike() -> None:
    assert checkpoint.FOLDER == CHECKPOINT


@pytest.mark.parametrize("name", BESIDE)
def test_what_belongs_to_the_weights_stays_with_them(folder: Path, name: str) -> None:
    """A detector, trees and the like: another record keeps them, other weights do not."""
    (folder / name).write_bytes(b"of these weights")
    same = replace(fitted(), calibration="said otherwise")
    model_folder.write(folder, same)
    assert (folder / name).read_bytes() == b"of these weights"
    model_folder.write(folder, fitted(1))
    assert not (folder / name).exists()
