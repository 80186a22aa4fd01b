"""Models on another device: the choice of the device, and answers equal to those of the processor.

Most tests use the device of ``tests/far_device.py``, which every machine has; some need CUDA.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from lowerbound import VAE
from lowerbound.applications import APPLICATIONS, load
from lowerbound.applications.common.form import entries
from lowerbound.applications.control.agent import AgentOptions
from lowerbound.applications.control.environment_options import EnvironmentOptions
from lowerbound.applications.control.imagined_returns import ImaginationOptions
from lowerbound.applications.control.player import EvaluationOptions
from lowerbound.applications.control.training import AgentSettings, train_agent
from lowerbound.cli import main
from lowerbound.distributions.keyed_noise import same_on_every_device
from lowerbound.errors import OptionError
from lowerbound.fitting import folder as model_folder
from lowerbound.inference.likelihood import score
from lowerbound.inference.passes import collected
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO
from lowerbound.training import TrainingOptions, device as devices, train
from lowerbound.training.checkpoint import load as load_checkpoint
from lowerbound.training.device import chosen_device
from lowerbound.training.feed import Feed
from tests.far_device import FAR, NEAR, DeviceError, FarTensor, far_device
from tests.fixtures import answers
from tests.fixtures.answers import Answers, ask
from tests.fixtures.cases import FILES, FOLDER, FOLDERS, QUICK, Folder
from tests.test_old_files import _copied
from tests.training.cases import grey_rows, options, vae
from tests.training.test_loop import Recorder
from tests.training.test_resume import interrupted_at

CLOSE = 1e-4
ON_THE_PROCESSOR = {
    *("schema", "info", "audit", "canaries", "import", "export"),  # no model computes, or hardly
    *("compress", "decompress", "verify", "compare"),  # in whole numbers, equal on every machine
    *("private-schema", "private-table"),  # no network
    # one frame at a time
    *(name for name in APPLICATIONS if name.startswith("control ") and name != "control train"),
}
KINDS = {  # a folder of each model
    *("pca", "autoencoder", "conditional", "hierarchical", "ladder", "codes", "transform"),
    *("semi_supervised", "semi_supervised_regression", "table", "mixture"),
}
DETECTORS = {"autoencoder", "detector", "picture_detector"}  # whose answers are ranks, distances
NOT_FAR = {"sound"}  # torch's transform of Fourier turns a tensor in place, which no far one can
pytestmark = pytest.mark.filterwarnings("ignore:for .*copying from a non-meta parameter")
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def far() -> Iterator[None]:
    """This machine has the device ``FAR``, and "auto" chooses it."""
    with far_device():
        yield


# the choice ---------------------------------------------------------------------------------------


def test_auto_is_the_fastest_device(monkeypatch: pytest.MonkeyPatch, every_device: None) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert chosen_device() == torch.device("cuda")
    assert chosen_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(OptionError, match="'cuda:2' cannot be used: this machine has cpu, cuda:1"):
        chosen_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device() == torch.device("cpu")


@pytest.mark.parametrize("works", [True, False])
def test_mps_counts_only_with_float64(
    monkeypatch: pytest.MonkeyPatch, every_device: None, works: bool
) -> None:
    def zeros(*size: int, **_: Any) -> torch.Tensor:
        if not works:
            raise TypeError("MPS has no float64")
        return torch.ones(*size)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch, "zeros", zeros)
    assert chosen_device() == torch.device("mps" if works else "cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "CPU", "", "meta"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="device must be auto, cpu, cuda, cuda:N or mps"):
        TrainingOptions(device=name)


def test_every_command_with_a_model_takes_the_device() -> None:
    takes = {
        name
        for name in APPLICATIONS
        if any(entry.name == "device" for entry in entries(load(name).request))
    }
    assert set(APPLICATIONS) - takes == ON_THE_PROCESSOR


@pytest.mark.parametrize("words", ["sample {}/pca -o out.csv", "fit nowhere.csv -o m"])
@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_an_absent_device_is_refused_in_one_sentence(
    words: str, device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = words.format(FOLDER / "models").split()
    assert main([*command, "--device", device]) == 2
    said = capsys.readouterr().err
    assert said == (
        f"lowerbound: --device {device} cannot be used: this machine has cpu; choose one of these, "
        "or auto\n"
    )


# answers of models --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "folder",
    [
        pytest.param(each, marks=() if each.name in KINDS else pytest.mark.long, id=each.name)
        for each in FOLDERS
        if each.name not in NOT_FAR
    ],
)
def test_another_device_gives_the_same_answers(folder: Folder, tmp_path: Path) -> None:
    """A tensor that stays behind fails, and so does a draw with other numbers."""
    place = _copied(folder.name, tmp_path)
    here, there = tmp_path / "near", tmp_path / "far"
    for out in (here, there):
        out.mkdir()
    near = ask(folder, place, FOLDER / "data", here)
    with far_device():
        far = ask(folder, place, FOLDER / "data", there)
    assert near.keys() == far.keys()
    assert not [name for name in near if not _agree(near[name], far[name])]


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param(each, marks=() if each.name in DETECTORS else pytest.mark.long, id=each.name)
        for each in FOLDERS
    ],
)
def test_no_answer_hangs_on_rounding(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine rounds differently, which may not decide a rank or a direction."""
    place, usual = _copied(folder.name, tmp_path), torch.nn.functional.linear

    def rounded(x: Tensor, *weights: Tensor) -> Tensor:
        values = usual(x, *weights)
        return values * (1 + 3e-7 * torch.cos(1e4 * values))

    found = []
    for linear in (usual, rounded):
        monkeypatch.setattr(torch.nn.functional, "linear", linear)
        (tmp_path / linear.__name__).mkdir()
        found.append(ask(folder, place, FOLDER / "data", tmp_path / linear.__name__))
    one, other = found
    assert not [name for name in one if not _agree(one[name], other[name])]


def _agree(near: np.ndarray[Any, Any], far: np.ndarray[Any, Any]) -> bool:
    if near.dtype.kind != "f":
        return np.array_equal(near, far)
    most = CLOSE * float(np.nanmax(np.abs(near), initial=1e-9))
    return np.allclose(near, far, CLOSE, most, equal_nan=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["table", "exact_convolutional"])
def test_the_processor_by_name_is_the_default(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = next(replace(each, estimator="") for each in FOLDERS if each.name == name)
    place = _copied(name, tmp_path)

    def asked(*words: str) -> Answers:
        out = tmp_path / "-".join(("out", *words))
        out.mkdir()
        usual = answers.call
        with monkeypatch.context() as patch:
            patch.setattr(
                answers, "call", lambda *typed: usual(*typed, *words * (typed[0] != "info"))
            )
            return ask(folder, place, FOLDER / "data", out)

    default, by_name = asked(), asked("--device", "cpu")
    assert default.keys() == by_name.keys()
    assert all(answers.digest(default[each]) == answers.digest(by_name[each]) for each in default)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(KINDS - {"pca", "mixture", "table"}))
def test_every_model_is_trained_on_another_device(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = next(each for each in FOLDERS if each.name == name)
    monkeypatch.chdir(FOLDER)
    words = [*QUICK, *folder.words, "--updates", "3"]
    with far_device():
        assert main(["fit", f"data/{folder.data}", "-o", str(tmp_path / "m"), *words]) == 0
    near = model_folder.read(tmp_path / "m")  # the tensors in a folder are of the processor
    with far_device():
        far = model_folder.read(tmp_path / "m")
    assert {value.device for value in near.model.state_dict().values()} == {NEAR}
    moved = {
        value.device
        for name, value in far.model.state_dict().items()
        # in float64, which some devices lack
        if not name.startswith(("pool.", "correction."))
    }
    assert moved == {FAR}


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [("meta", "cpu"), ("cpu", "meta")])
@pytest.mark.parametrize("gradient", ["reinforce", "pathwise"])
def test_an_agent_learns_on_another_device_and_continues_elsewhere(
    tmp_path: Path,
    far: None,
    monkeypatch: pytest.MonkeyPatch,
    gradient: Literal["reinforce", "pathwise"],
    first: str,
    second: str,
) -> None:
    pytest.importorskip("gymnasium", reason="pip install 'lowerbound[rl]'")
    monkeypatch.setattr(
        "lowerbound.applications.control.agent.check_device_name", lambda name: None
    )
    monkeypatch.setattr(devices, "check_device_name", lambda name: None)
    agent = AgentOptions(
        steps=40, prefill=30, every=4, batch=2, length=5, device=first, precision="float32"
    )
    settings = AgentSettings(
        EnvironmentOptions("lowerbound/GridCatch-v0"),
        ModelOptions(model_options={"memory": 8, "width": 8}),
        ImaginationOptions(horizon=3, starts=4, gradient=gradient),
        agent,
        EvaluationOptions(evaluate_every=0, episodes=1),
    )
    trained = train_agent(settings, folder=tmp_path)
    assert {value.device.type for value in trained.fitted.model.parameters()} == {first}
    more = replace(settings, agent=replace(agent, steps=60, device=second))
    trained = train_agent(more, folder=tmp_path, resume=True)
    assert {value.device.type for value in trained.fitted.model.parameters()} == {second}
    assert trained.records[-1].updates == 8


@pytest.mark.slow
def test_a_codec_stays_on_the_processor(tmp_path: Path, far: None) -> None:
    pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")
    file = next(each for each in FILES if each.folder and not each.lossy)
    model, out = _copied(file.folder, tmp_path), tmp_path / "out.lbz"
    data = FOLDER / "data" / file.data
    assert main(["compress", str(model), str(data), "-o", str(out), *file.words]) == 0
    assert out.read_bytes() == (FOLDER / "files" / f"{file.name}.lbz").read_bytes()


def test_an_estimator_computes_where_it_is_told(far: None, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 3))
    fitted = VAE(latent_dim=1, epochs=1, random_state=0).fit(rows)
    assert isinstance(next(fitted.model_.parameters()), FarTensor)
    fitted.save(tmp_path / "m")
    loaded = VAE.load(tmp_path / "m", device="cpu")
    assert loaded.device == "cpu"
    assert not isinstance(next(loaded.model_.parameters()), FarTensor)
    bounds = loaded.score_samples(rows)
    assert np.allclose(bounds, fitted.score_samples(rows), CLOSE, CLOSE)
    assert np.allclose(loaded.sample(5), fitted.sample(5), CLOSE, CLOSE)


# draws --------------------------------------------------------------------------------------------


def test_draws_are_the_same_on_every_device(far: None) -> None:
    def drawn(device: torch.device) -> list[torch.Tensor]:
        torch.manual_seed(0)
        rate = torch.full((4,), 3.0, device=device)
        filled = torch.empty(4, device=device).exponential_()
        every = [torch.randn(4, device=device), torch.rand_like(rate), torch.poisson(rate), filled]
        every += [torch.randperm(9, device=device), torch.bernoulli(rate / 6), torch.normal(rate)]
        return [value.cpu() for value in (*every, torch.multinomial(rate, 2))]

    near, own = drawn(NEAR), drawn(FAR)
    with same_on_every_device(FAR):
        same = drawn(FAR)
    assert all(map(torch.equal, near, same))
    assert not all(map(torch.equal, near, own))  # else this test could not fail


def test_batches_of_training_are_the_same_on_every_device(far: None) -> None:
    """The bits of dynamic binarization and the hidden cells."""
    rows = grey_rows()
    near, there = (
        Feed(rows, device, torch.float32, masking=1.0).batch(
            torch.arange(20), torch.Generator().manual_seed(0)
        )
        for device in (NEAR, FAR)
    )
    assert torch.equal(near.filled, there.filled.cpu())
    assert near.observed is not None
    assert there.observed is not None
    assert torch.equal(near.observed, there.observed.cpu())


def test_a_tensor_that_stays_behind_is_an_error(far: None) -> None:
    there = torch.ones(3, device=FAR)
    with pytest.raises(DeviceError, match="add of tensors of two devices"):
        there + torch.ones(3)
    with pytest.raises(RuntimeError, match="numpy"):
        there.numpy()
    assert (there + torch.ones(())).tolist() == [2.0, 2.0, 2.0]  # one number may stay


# checkpoints --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [("meta", "cpu"), ("cpu", "meta")])
def test_a_run_continues_on_another_device(
    tmp_path: Path, far: None, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    monkeypatch.setattr(devices, "check_device_name", lambda name: None)
    monkeypatch.setattr("lowerbound.training.options.check_device_name", lambda name: None)
    chosen = options(updates=12, threads=1, weight_average=0.9, checkpoint_seconds=3600.0)
    start = replace(chosen, device=first)
    interrupted_at(5, vae(), ELBO(), grey_rows(), start, folder=tmp_path)
    with far_device():
        kept = load_checkpoint(tmp_path)
    assert kept is not None
    assert not any(isinstance(value, FarTensor) for value in kept.tensors.values())
    model = vae()
    history = train(
        model, ELBO(), grey_rows(), replace(chosen, device=second), folder=tmp_path, resume=True
    )
    assert history.ended == "finished"
    assert history.last is not None
    assert history.last.updates == 12
    assert {value.device for value in model.parameters()} == {torch.device(second)}


# memory -------------------------------------------------------------------------------------------


def test_full_memory_of_a_gpu_halves_the_batches() -> None:
    model, rows, sizes = vae(), grey_rows(), []

    def measure(part: slice, batch: Any) -> list[torch.Tensor]:
        sizes.append(len(batch))
        if len(batch) > 15:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [batch.filled.sum(1)]

    expected = rows.all().filled.sum(1)
    with pytest.warns(UserWarning, match="smaller batches, with the same results") as said:
        (found,) = collected(model, rows, 40, measure)
    assert torch.equal(found, expected)
    assert len(said) == 1
    assert sizes == [40, 20, *[10] * 9]


def test_full_memory_changes_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = vae().eval(), grey_rows().binarized()
    expected = score(model, rows, samples=20)
    usual = type(model).forward

    def forward(self: Any, batch: Any, *rest: Any) -> Any:
        if len(batch) > 30:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return usual(self, batch, *rest)

    monkeypatch.setattr(type(model), "forward", forward)
    with pytest.warns(UserWarning, match="memory of the GPU is full"):
        found = score(model, rows, samples=20)
    assert torch.allclose(found.bound, expected.bound, 1e-6, 1e-6)


def test_one_row_too_large_for_the_gpu_is_an_error() -> None:
    def measure(part: slice, batch: Any) -> list[torch.Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.warns(UserWarning, match="GPU is full"), pytest.raises(torch.OutOfMemoryError):
        collected(vae(), grey_rows(), 4, measure)


# CUDA ---------------------------------------------------------------------------------------------


@cuda
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("compiled", ["off", "on"])
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # of torch's own compiler
def test_cuda_trains(every_device: None, precision: str, compiled: str) -> None:
    model, said = vae(), Recorder()
    chosen = options(updates=200, device="cuda", precision=precision, compile=compiled)
    history = train(model, ELBO(), grey_rows(), chosen, validation=grey_rows(), reporter=said)
    assert next(model.parameters()).device.type == "cuda"
    assert history.last is not None
    assert history.last.bound > history.records[0].bound
    assert not any("failed" in message for message in said.messages)


@cuda
def test_cuda_scores_and_draws_as_the_processor(every_device: None) -> None:
    near, there = vae().eval(), vae().eval().to("cuda")
    rows = grey_rows().binarized()
    expected, found = (score(model, rows, samples=20) for model in (near, there))
    assert torch.allclose(expected.bound, found.bound, CLOSE, CLOSE)
    drawn, same = (sample_prior(model, 50, seed=1) for model in (near, there))
    assert torch.allclose(drawn.z, same.z, CLOSE, CLOSE)
    assert torch.allclose(drawn.mean, same.mean, CLOSE, CLOSE)


@cuda
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_cuda_gives_the_answers_of_the_processor(
    folder: Folder, tmp_path: Path, every_device: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = _copied(folder.name, tmp_path)
    found = []
    for device in ("cpu", "cuda"):
        (tmp_path / device).mkdir()
        monkeypatch.setattr(devices, "present_devices", lambda device=device: [device, "cpu"])
        found.append(ask(folder, place, FOLDER / "data", tmp_path / device))
    near, there = found
    assert not [name for name in near if not _agree(near[name], there[name])]


@cuda
@pytest.mark.parametrize(("first", "second"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_run_of_cuda_continues_elsewhere(
    tmp_path: Path, every_device: None, first: str, second: str
) -> None:
    chosen = options(updates=12, weight_average=0.9, checkpoint_seconds=3600.0)
    interrupted_at(5, vae(), ELBO(), grey_rows(), replace(chosen, device=first), folder=tmp_path)
    again = replace(chosen, device=second)
    history = train(vae(), ELBO(), grey_rows(), again, folder=tmp_path, resume=True)
    assert history.ended == "finished"
