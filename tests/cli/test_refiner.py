"""refiner: the detail of a model's pictures, every command on such a model, and bad input."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from lowerbound.cli import main
from lowerbound.fitting.folder import read
from lowerbound.training import History
from tests.cli.conftest import Run, fitted
from tests.cli.test_process import SECONDS, start

SIZE = ("--set", "width=8", "--set", "steps=2", "--set", "bound_times=2")
SHORT = (*SIZE, "--updates", "4", "--batch-size", "16", "--validation", "0.2")


@pytest.fixture(scope="module")
def unrefined(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE of the pictures that also compresses exactly."""
    folder = tmp_path_factory.mktemp("models") / "exact"
    return fitted(pictures, folder, "--set", "network.activation=relu", "--network", "mlp")


@pytest.fixture(scope="module")
def refined(unrefined: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with a refiner, in a folder of its own."""
    folder = tmp_path_factory.mktemp("models") / "refined"
    words = ("refiner", unrefined, pictures, *SHORT, "--no-report", "-o", folder)
    assert main([str(word) for word in words]) == 0
    return folder


@pytest.fixture
def model(unrefined: Path, tmp_path: Path) -> Path:
    """A copy of the model, to be changed."""
    return Path(shutil.copytree(unrefined, tmp_path / "m"))


@pytest.mark.parametrize("command", ["refiner", "prior"])
def test_pictures_unlike_the_models_are_made_like_them_only_on_request(
    command: str, run: Run, model: Path, tmp_path: Path
) -> None:
    from PIL import Image

    (tmp_path / "new").mkdir()
    colors = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), dtype=np.uint8)
    for i, values in enumerate(colors):
        Image.fromarray(values).save(tmp_path / f"new/{i}.png")
    size = SIZE if command == "refiner" else ("--kind", "mixture", "--set", "components=2")
    words = (command, model, tmp_path / "new", *size, "--updates", 1, "--no-report")
    refused = run(*words, "-o", tmp_path / "made")
    assert refused.code == 2
    assert "0.png has 24x24 pixels and color, and " in refused.err
    assert "was fitted to grey pictures of " in refused.err
    assert "add --allow-resize to train on pictures that are made so" in refused.err
    assert not (tmp_path / "made").exists()
    if command == "prior":  # which reads and encodes them before anything that takes long
        allowed = run(*words, "-o", tmp_path / "made", "--allow-resize")
        assert "3 of 3 are resized from 24x24 to " in allowed.err
        assert "3 of 3 are in color and become grey" in allowed.err
        assert "encoding" in allowed.err


@pytest.mark.slow
def test_distortion_and_realism_stand_side_by_side(run: Run, model: Path, pictures: Path) -> None:
    done = run("refiner", model, pictures, *SHORT, "--no-report")
    assert done.code == 0, done.err
    distortion, realism = done.out.splitlines()[1:3]
    assert "dB refined, " in distortion
    assert "dB before, on 6 held-out pictures" in distortion
    assert "Fréchet distance not measured: at least " in realism
    assert "sharpness " in realism
    shown = run("info", model).out
    assert "refiner    diffusion (width 8, steps 2, bound_times 2), trained on 54 pictures" in shown
    assert distortion.removeprefix("distortion: ") in shown
    assert realism.removeprefix("realism: ") in shown
    card = (model / "MODEL_CARD.md").read_text()
    assert "- refiner of pictures p(x | z, decoder's mean): diffusion" in card
    assert distortion.removeprefix("distortion: ") in card
    history = History.from_lines((model / "refiner" / "metrics.jsonl").read_text())
    assert history.last is not None
    assert history.last.updates == 4
    assert not (model / "refiner" / "diffusion").exists()


@pytest.mark.long
def test_the_report_shows_pictures_with_and_without(run: Run, model: Path, pictures: Path) -> None:
    found = run("refiner", model, pictures, *SHORT, "--updates", "120", "--json").object
    assert found["page"] == str(model / "report.html")
    assert found["fit"]["psnr"] < found["fit"]["former_psnr"] + 3
    page = (model / "report.html").read_text()
    for words in ("The refiner", "decoder&#39;s mean", "PSNR is lower"):
        assert words in page
    for figure in ("01_refined_reconstructions", "02_refined_samples", "03_training_of_the_refine"):
        assert list((model / "figures").glob(f"{figure}*.png"))


def rows(path: Path) -> np.ndarray:
    with np.load(path) as file:
        return np.asarray(file["reconstruction" if "reconstruction" in file else "x"])


@pytest.mark.slow
def test_rows_are_refined_unless_the_mean_is_wanted(
    run: Run, refined: Path, unrefined: Path, pictures: Path, tmp_path: Path
) -> None:
    for words in (("sample", "-n", 5), ("reconstruct", pictures)):
        command, rest = words[0], words[1:]
        plain, mean, draw, again, steps = (tmp_path / f"{command}{i}.npz" for i in range(5))
        assert run(command, unrefined, *rest, "-o", plain, *_mean(command)).code == 0
        assert run(command, refined, *rest, "-o", mean, "--mean").code == 0
        shown = run(command, refined, *rest, "-o", draw)
        assert "refined draws" in shown.out
        assert run(command, refined, *rest, "-o", again).code == 0
        assert run(command, refined, *rest, "-o", steps, "--steps", 7).code == 0
        assert np.array_equal(rows(mean), rows(plain))
        assert np.array_equal(rows(draw), rows(again))
        assert not np.array_equal(rows(draw), rows(mean))
        assert not np.array_equal(rows(draw), rows(steps))
    refused = run("reconstruct", unrefined, pictures, "-o", tmp_path / "no.npz", "--steps", 3)
    assert refused.code == 2
    assert "train one with lowerbound refiner" in refused.err
    refused = run(
        "reconstruct", refined, pictures, "-o", tmp_path / "no.npz", "--steps", 3, "--mean"
    )
    assert "leave out --mean or --steps" in refused.err


def _mean(command: str) -> tuple[str, ...]:
    return ("--mean",) if command == "sample" else ()


@pytest.mark.slow
def test_decoded_codes_are_refined_where_draws_are_wanted(
    run: Run, refined: Path, pictures: Path, tmp_path: Path
) -> None:
    codes, mean, draw = (tmp_path / name for name in ("z.npz", "mean.npz", "draw.npz"))
    assert run("encode", refined, pictures, "-o", codes).code == 0
    assert "decoder means" in run("decode", refined, codes, "-o", mean).out
    assert "refined draws" in run("decode", refined, codes, "-o", draw, "--draw").out


@pytest.mark.slow
def test_commands_that_need_the_density_use_the_unrefined_likelihood(
    run: Run, refined: Path, unrefined: Path, pictures: Path, tmp_path: Path
) -> None:
    scores = [run("evaluate", one, pictures, "--json").object for one in (refined, unrefined)]
    assert scores[0]["findings"]["likelihood"] == scores[1]["findings"]["likelihood"]
    assert "without the refiner" in run("evaluate", refined, pictures).out
    files = [tmp_path / f"{i}.lbz" for i in range(2)]
    for one, file in zip((refined, unrefined), files, strict=True):
        assert run("compress", one, pictures, "-o", file).code == 0
        assert run("verify", file, "--model", one).code == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    found = [run("detect", one, pictures, "--json").object for one in (refined, unrefined)]
    assert found[0]["rows"] == found[1]["rows"]


LONG = (*SIZE, "--updates", "150", "--batch-size", "16", "--patience", "0", "--no-report")


@pytest.mark.long
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(
    run: Run, model: Path, pictures: Path, tmp_path: Path
) -> None:
    whole = Path(shutil.copytree(model, tmp_path / "whole"))
    before = (model / "manifest.json").read_bytes()
    process = start("refiner", model, pictures, *LONG, stderr=subprocess.PIPE)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("training:"):
            break
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(SECONDS) == 130
    assert "the model is unchanged: lowerbound refiner" in said
    assert (model / "manifest.json").read_bytes() == before
    assert "--resume goes on" in run("refiner", model, pictures, *LONG).err
    assert (
        "cannot resume"
        in run("refiner", model, pictures, *LONG, "--learning-rate", "0.1", "--resume").err
    )
    (command,) = (line for line in said.splitlines() if "lowerbound refiner" in line)
    going_on = run("refiner", *command.split("lowerbound refiner ")[1].split())
    assert "resumed at update " in going_on.err
    assert run("refiner", whole, pictures, *LONG).code == 0
    weights = [(folder / "model.safetensors").read_bytes() for folder in (model, whole)]
    assert weights[0] == weights[1]


def test_every_kind_of_data_without_pictures_is_refused(
    run: Run, table_model: Path, table: Path, pca: Path
) -> None:
    for folder in (table_model, pca):
        done = run("refiner", folder, table, *SHORT)
        assert (done.code, len(done.err.splitlines())) == (2, 1)
        assert "restores the detail of pictures, and this model is of" in done.err


@pytest.mark.slow
def test_models_without_a_prior_take_one_too(
    run: Run, autoencoder: Path, pictures: Path, tmp_path: Path
) -> None:
    done = run("refiner", autoencoder, pictures, *SHORT, "--no-report", "-o", tmp_path / "ae")
    assert done.code == 0, done.err
    assert read(tmp_path / "ae").model.refiner is not None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "widht=8"), "'widht'"),
        (("--set", "width"), "--set takes OPTION=VALUE, such as width=48, not 'width'"),
        (("--set", "width=-1"), "width must be at least 1, not -1"),
        (("--resume",), "holds no interrupted training: start without --resume"),
    ],
)
def test_bad_options_are_refused(
    run: Run, unrefined: Path, pictures: Path, words: tuple[str, ...], message: str
) -> None:
    done = run("refiner", unrefined, pictures, *words)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert message in done.err


def test_bad_pictures_are_refused(run: Run, unrefined: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "none.npy", np.zeros((0, 6, 5), np.uint8))
    np.save(tmp_path / "wide.npy", np.zeros((5, 9, 9), np.uint8))
    for name in ("none.npy", "wide.npy", "absent.npy"):
        done = run("refiner", unrefined, tmp_path / name, *SHORT)
        assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
