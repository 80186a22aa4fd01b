"""prior: training a prior on the latents of a model folder, and everything that can go wrong."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lowerbound.cli import main
from lowerbound.data import load
from lowerbound.evaluation.report import effort
from lowerbound.fitting.folder import read
from lowerbound.inference.codes import draw_latents
from lowerbound.training import History
from tests.cli.conftest import Run, fitted
from tests.cli.test_process import SECONDS, start

SHORT = ("--kind", "flow", "--updates", "4", "--no-report")


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 rows in two far blobs, which N(0, I) does not describe."""
    rng = np.random.default_rng(0)
    centers = np.array([[-5.0, 0, 5], [5, 5, -5]])[np.arange(300) % 2]
    path = tmp_path_factory.mktemp("blobs") / "blobs.npy"
    np.save(path, centers + 0.1 * rng.normal(size=(300, 3)))
    return path


@pytest.fixture(scope="module")
def trained(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE of the blobs, fitted long enough that its latents know the blob."""
    folder = tmp_path_factory.mktemp("models") / "blobs"
    words = (
        "--latent-dim",
        "2",
        "--learning-rate",
        "0.01",
        "--set",
        "network.hidden=[16]",
        "--network",
        "mlp",
    )
    assert (
        main(["fit", str(blobs), "-o", str(folder), "--no-report", "--updates", "600", *words]) == 0
    )
    return folder


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    """A copy of the model, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "m"))


@pytest.mark.slow
def test_two_priors_are_compared_on_the_same_held_out_latents(
    run: Run, model: Path, blobs: Path
) -> None:
    former = read(model).model
    quick = ("--no-report", "--updates", "200", "--learning-rate", "0.05", "--set", "components=2")
    found = run("prior", model, blobs, "--kind", "mixture", *quick, "--json").object
    made = read(model).model
    schema = read(model).schema
    rows = load(np.load(blobs), schema=schema)
    from lowerbound.applications.common.sources import SetAside, apart

    request = json.loads((model / "request.json").read_text())
    rows = apart(str(blobs), rows, SetAside.of(request["test"], 0, False), "raise").training
    latents = draw_latents(made, rows)
    _, unseen = latents.dataset().split(0.1, 0)
    z = unseen.x.unflatten(1, (latents.z.shape[1], -1)).movedim(1, 0)
    with torch.no_grad():
        after, before = (
            one.prior_distribution().log_prob(z).double().mean(0) for one in (made, former)
        )
    gain = after - before
    assert found["held_out"] == len(unseen)
    assert found["after"] == pytest.approx(float(after.mean()), abs=1e-5)
    assert found["before"] == pytest.approx(float(before.mean()), abs=1e-5)
    assert found["error"] == pytest.approx(float(gain.std() / len(gain) ** 0.5), abs=1e-5)
    assert (found["before_density"], found["after_density"]) == ("exact", "exact")
    assert found["after"] > found["before"]


@pytest.mark.slow
def test_info_and_the_card_describe_the_prior(run: Run, model: Path, blobs: Path) -> None:
    done = run(
        "prior", model, blobs, "--kind", "mixture", "--set", "components=3", "--updates", "4"
    )
    (nats,) = (line for line in done.out.splitlines() if line.startswith("log p(z)"))
    shown = run("info", model).out
    assert "prior      mixture (components 3), trained on latents of 270 rows" in shown
    assert nats.removeprefix("log p(z) of latents: ") in shown
    assert "nats per row (exact), on 27 held-out rows" in nats
    assert "under the former prior standard_normal; difference" in nats
    assert "before the prior was trained" in shown
    card = (model / "MODEL_CARD.md").read_text()
    assert "- prior p(z): mixture" in card
    assert nats.removeprefix("log p(z) of latents: ") in card
    history = History.from_lines((model / "prior" / "metrics.jsonl").read_text())
    assert history.last is not None
    assert history.last.updates == 4


def test_a_prior_over_codes_is_named_too(run: Run, pictures: Path, tmp_path: Path) -> None:
    folder = fitted(pictures, tmp_path / "codes", "--model", "vq_vae", "--set", "model.codes=8")
    assert "prior      uniform" in run("info", folder).out
    done = run("prior", folder, pictures, "--kind", "marginal", "--no-report")
    assert done.code == 0, done.err
    assert "prior      marginal, trained on latents of 54 rows" in run("info", folder).out
    assert "- prior p(z): marginal" in (folder / "MODEL_CARD.md").read_text()
    wrong = run("prior", folder, pictures, "--kind", "flow")
    assert (wrong.code, len(wrong.err.splitlines())) == (2, 1)
    assert "'flow' is of numbers, and the latents of this model are codes" in wrong.err


@pytest.mark.slow
def test_latents_are_used_again_and_never_those_of_others(
    run: Run, model: Path, blobs: Path, tmp_path: Path
) -> None:
    cache = model / "prior" / "latents.safetensors"
    assert "encoding" in run("prior", model, blobs, *SHORT).err
    again = run("prior", model, blobs, *SHORT, "-o", tmp_path / "other")
    assert f"latents: those in {cache}" in again.err
    assert "encoding" not in again.err
    content = bytearray(cache.read_bytes())
    content[-3] ^= 1
    cache.write_bytes(content)
    assert "is damaged: the rows are encoded again" in run("prior", model, blobs, *SHORT).err
    cache.write_bytes(b"nonsense")
    assert "is damaged: the rows are encoded again" in run("prior", model, blobs, *SHORT).err
    fewer = tmp_path / "fewer.npy"
    np.save(fewer, np.load(blobs)[:100])
    assert "of other rows: the rows are encoded again" in run("prior", model, fewer, *SHORT).err


def test_a_prior_that_is_worse_than_the_former_has_a_warning(
    run: Run, model: Path, blobs: Path
) -> None:
    done = run("prior", model, blobs, *SHORT, "--updates", 1, "--learning-rate", 0.3)
    assert done.code == 0, done.err
    assert "warning: the new prior is worse than the former on held-out rows by " in done.err


def test_another_folder_leaves_the_model_alone(
    run: Run, model: Path, blobs: Path, tmp_path: Path
) -> None:
    before = (model / "manifest.json").read_bytes()
    assert run("prior", model, blobs, *SHORT, "-o", tmp_path / "new").code == 0
    assert (model / "manifest.json").read_bytes() == before
    assert read(tmp_path / "new").options.model.prior == "flow"
    refused = run("prior", model, blobs, *SHORT, "-o", tmp_path / "new")
    assert refused.code == 2
    assert "holds a model already: --overwrite replaces it" in refused.err
    assert run("prior", model, blobs, *SHORT, "-o", tmp_path / "new", "--overwrite").code == 0


@pytest.mark.slow
def test_a_killed_training_leaves_the_former_prior(model: Path, blobs: Path) -> None:
    before = (model / "manifest.json").read_bytes()
    process = _training(model, blobs)
    process.kill()
    process.communicate(timeout=SECONDS)
    assert (model / "manifest.json").read_bytes() == before
    assert read(model).options.model.prior == "standard_normal"


@pytest.mark.slow
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(
    run: Run, model: Path, blobs: Path, tmp_path: Path
) -> None:
    whole = Path(shutil.copytree(model, tmp_path / "whole"))
    process = _training(model, blobs)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(SECONDS) == 130
    assert "Traceback" not in said
    assert "the model keeps its former prior: " in said
    assert read(model).options.model.prior == "standard_normal"
    refused = run("prior", model, blobs, *LONG)
    assert "--resume goes on, --overwrite starts anew" in refused.err
    other = run("prior", model, blobs, *LONG, "--set", "transforms=2", "--resume")
    assert other.code == 2
    assert "cannot resume" in other.err
    (command,) = (line for line in said.splitlines() if "lowerbound prior" in line)
    going_on = run("prior", *command.split("lowerbound prior ")[1].split())
    assert "resumed at update " in going_on.err
    assert run("prior", whole, blobs, *LONG).code == 0
    weights = [(folder / "model.safetensors").read_bytes() for folder in (model, whole)]
    assert weights[0] == weights[1]
    assert not (model / "prior" / "flow").exists()
    assert "no interrupted training" in run("prior", model, blobs, *LONG, "--resume").err


@pytest.mark.slow
def test_the_report_compares_the_two_priors(
    run: Run, model: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effort, "LEAST_SECONDS", 0.0)  # less is measured after a short training
    words = ("--kind", "mixture", "--set", "components=2", "--updates", "120")
    found = run("prior", model, blobs, *words, "--json").object
    assert found["page"] == str(model / "report.html")
    page = (model / "report.html").read_text()
    for words in ("mixture prior", "former standard normal prior", "The new prior"):
        assert words in page
    assert (model / "figures" / "01_training_of_the_prior.png").exists()
    assert "measured on" in page
    assert f"lowerbound evaluate {model} {blobs} --suite all measures all" in page


LONG = ("--kind", "flow", "--updates", "400", "--patience", "0", "--no-report")


def _training(model: Path, blobs: Path) -> subprocess.Popen[str]:
    """The command as a process, returned when its training has begun."""
    process = start("prior", model, blobs, *LONG, stderr=subprocess.PIPE)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("training:"):
            break
    return process


@pytest.mark.slow
def test_the_default_budget_is_limited_and_said(
    run: Run, model: Path, blobs: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few.npy"
    np.save(few, np.load(blobs)[:30])
    done = run("prior", model, few, "--kind", "mixture", "--patience", "1", "--no-report")
    assert done.code == 0, done.err
    assert "or 20 minutes" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kind", "flwo"), "did you mean 'flow'?"),
        (("--kind", "marginal"), "'marginal' is of codes, and the latents of this model are numb"),
        (("--set", "transfroms=2", "--kind", "flow"), "unknown option of FlowPrior 'transfroms'"),
        (("--set", "transforms", "--kind", "flow"), "--set takes OPTION=VALUE"),
        (("--resume", "--kind", "flow"), "holds no interrupted training: start without --resume"),
    ],
)
def test_options_that_cannot_be_used_are_refused_before_encoding(
    run: Run, model: Path, blobs: Path, words: tuple[str, ...], message: str
) -> None:
    done = run("prior", model, blobs, *words)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert message in done.err


def test_rows_that_cannot_be_used_are_refused(
    run: Run, model: Path, table: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "none.npy", np.zeros((0, 3)))
    np.save(tmp_path / "wide.npy", np.zeros((5, 4)))
    for name in ("none.npy", "wide.npy", "absent.npy"):
        done = run("prior", model, tmp_path / name, *SHORT)
        assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
    assert run("prior", model, table, *SHORT).code == 2


def test_models_without_such_latents_name_those_that_have_them(
    run: Run, autoencoder: Path, pca: Path, pictures: Path, table: Path, tmp_path: Path
) -> None:
    ladder = fitted(pictures, tmp_path / "ladder", "--model", "ladder", "--network", "mlp")
    for folder, data in ((autoencoder, pictures), (pca, table), (ladder, pictures)):
        done = run("prior", folder, data)
        assert (done.code, len(done.err.splitlines())) == (2, 1)
        assert "cannot train a prior on latents" in done.err
        assert "models that can: vae, event_history, vq_vae" in done.err


def test_collapsed_latents_are_refused_with_the_numbers(
    run: Run, blobs: Path, tmp_path: Path
) -> None:
    strong = ("--set", "objective.beta=1000", "--network", "mlp")
    words = ["fit", str(blobs), "-o", str(tmp_path / "c"), "--no-report", "--epochs", "40", *strong]
    assert main(words) == 0
    done = run("prior", tmp_path / "c", blobs, *SHORT)
    assert done.code == 2
    assert "the latents are collapsed: of the variance" in done.err
    assert read(tmp_path / "c").options.model.prior == "standard_normal"
