"""A prior that is given classes and attributes: p(z | y) of a linear model is known on paper."""

from __future__ import annotations

import contextlib
import itertools
import json
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound import VAE
from lowerbound.applications.common.conditions import prompt_of, with_prompts
from lowerbound.applications.common.form import PromptOptions
from lowerbound.applications.generation.prior import PriorReport
from lowerbound.cli.main import main
from lowerbound.data import load
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.fitting import folder as model_folder
from lowerbound.inference.codes import draw_latents
from lowerbound.inference.prior_draws import prior_settings, sample_prior

pytest.importorskip("diffusers")

NAMES = {"class": ["left", "right"], "height": ["low", "middle", "high"]}
QUICK = ("--kind", "diffusion", "--set", "width=64", "--set", "depth=1")
QUICK += ("--learning-rate", "0.005", "--weight-average", "0.99", "--no-report")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The world whose prior is hardly trained: it takes what a prior takes; its draws are off."""
    return made(tmp_path_factory.mktemp("world"), "--updates", "5")


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The world whose prior is trained."""
    return made(tmp_path_factory.mktemp("learned"), "--updates", "900")


def made(folder, *effort):
    """Rows whose mean depends on two attributes, a linear model of them, and its conditional prior.

    Each number of z has a mean that is a sum over the attributes, so p(z | y) is a Gaussian whose
    mean is known from the latents.
    """
    rng = np.random.default_rng(0)
    side, height = rng.integers(0, 2, 1500), rng.integers(0, 3, 1500)
    x = np.stack([4 * side - 2, 3 * height - 3, 0 * side], 1) + 0.3 * rng.normal(size=(1500, 3))
    x @= np.linalg.qr(rng.normal(size=(3, 3)))[0]
    names = np.array(NAMES["class"])[side]
    np.savez(folder / "rows.npz", x=x, y=names)
    table = pd.DataFrame({"height": np.array(NAMES["height"])[height], "side": names})
    table.loc[:50, "height"] = None
    table.to_csv(folder / "attributes.csv", index=False)
    how = {"latent_dim": 2, "network": "linear", "likelihood": "gaussian", "epochs": 60}
    vae = VAE(**how, learning_rate=0.02, random_state=0)
    vae.fit(folder / "rows.npz").save(folder / "model.lb")
    words = ("--label", "--attributes", folder / "attributes.csv", "--only", "height")
    run("prior", folder / "model.lb", folder / "rows.npz", *words, *QUICK, *effort)
    return folder, x, side, height


def run(*words: object) -> int:
    """A command, which must succeed."""
    assert main([str(word) for word in words]) == 0
    return 0


def refused(capsys, *words: object) -> str:
    """The sentence of a command that fails."""
    assert main([str(word) for word in words]) == 2
    return capsys.readouterr().err


def latents_of(world):
    """Latents of the rows, with the attributes of each."""
    folder, _, side, height = world
    fitted = model_folder.read(folder / "model.lb")
    z = draw_latents(fitted.model, load(folder / "rows.npz", schema=fitted.schema)).z[:, 0]
    return fitted, z, torch.from_numpy(side), torch.from_numpy(height)


@pytest.mark.slow
def test_draws_have_the_mean_and_the_spread_of_their_attributes(learned):
    fitted, z, side, height = latents_of(learned)
    for i, j in itertools.product(range(2), range(3)):
        rows = z[(side == i) & (height == j)]
        values = {"class": NAMES["class"][i], "height": NAMES["height"][j]}
        prompt = prompt_of(fitted, values, "", 600)
        drawn = sample_prior(fitted.model, 600, prompt=prompt, seed=i).z
        assert (drawn.mean(0) - rows.mean(0)).abs().max() < 0.1
        assert (drawn.std(0) - rows.std(0)).abs().max() < 0.1


@pytest.mark.slow
def test_an_attribute_that_is_not_given_keeps_the_frequencies_of_the_data(learned):
    fitted, z, side, _ = latents_of(learned)
    prompt = prompt_of(fitted, {"class": "right"}, "", 1000)
    drawn, rows = sample_prior(fitted.model, 1000, prompt=prompt).z, z[side == 1]
    assert (drawn.mean(0) - rows.mean(0)).abs().max() < 0.12
    assert (drawn.T.cov() - rows.T.cov()).abs().max() < 0.12


def test_the_vocabulary_and_the_draws_survive_save_and_load(world, tmp_path):
    folder, *_ = world
    config = json.loads((folder / "model.lb" / "config.json").read_text())
    fields = config["model"]["prior_options"]["fields"]
    assert fields == {"class": NAMES["class"], "height": sorted(NAMES["height"])}
    vae = VAE.load(folder / "model.lb")
    vae.save(tmp_path / "again.lb")
    again = VAE.load(tmp_path / "again.lb")
    assert again.fitted_.options.model.prompts == vae.fitted_.options.model.prompts
    given = {"given": {"height": "low"}, "random_state": 3}
    assert np.array_equal(vae.sample(5, **given), again.sample(5, **given))


def test_the_prompt_of_each_row_stays_with_its_latents(world):
    folder, *_ = world
    fitted = model_folder.read(folder / "model.lb")
    rows = load(folder / "rows.npz", schema=fitted.schema)
    options = PromptOptions(attributes=str(folder / "attributes.csv"), only=("height",))
    prompted = with_prompts(options, rows)
    latents = draw_latents(fitted.model, prompted)
    assert torch.equal(latents.prompt, prompted.prompt)
    assert torch.equal(latents.dataset().subset([70, 3]).prompt, prompted.prompt[[70, 3]])
    assert (prompted.prompt[:51, 0] == -1).all()


@pytest.mark.slow
def test_the_command_draws_given_attributes(learned, tmp_path):
    folder, x, side, height = learned
    given = ("--given", "class=left", "--given", "height=high", "--steps", "10")
    run("sample", folder / "model.lb", "-n", "300", *given, "-o", tmp_path / "a.npz")
    drawn = np.load(tmp_path / "a.npz")
    drawn = drawn[drawn.files[0]]
    assert (
        np.abs(drawn.mean(0) - x[(side == 0) & (height == 2)].mean(0)).max() < 0.8
    )  # of 3 and more between the classes


@pytest.mark.slow
def test_guidance_zero_ignores_the_attributes_and_more_exaggerates_them(learned):
    folder, x, side, _ = learned
    vae = VAE.load(folder / "model.lb")
    given = {"given": {"class": "left"}, "random_state": 0, "mean": True}
    difference = x[side == 0].mean(0) - x[side == 1].mean(0)
    by_guidance = [vae.sample(400, guidance=g, **given).mean(0) @ difference for g in (0, 1, 2)]
    assert by_guidance[0] + 2 < by_guidance[1] < by_guidance[2]
    other = {**given, "given": {"class": "right"}}
    both = [vae.sample(9, guidance=0, **prompt) for prompt in (given, other)]
    assert np.allclose(*both, atol=1e-5)


def test_settings_hold_during_the_call_only(world):
    folder, *_ = world
    vae = VAE.load(folder / "model.lb")
    prior = vae.model_.prior
    vae.sample(2, guidance=3.0, steps=4)
    assert (prior.guidance, prior.steps) == (1.0, 20)
    with contextlib.suppress(RuntimeError), prior_settings(vae.model_, guidance=2.0, steps=7):
        assert (prior.guidance, prior.steps) == (2.0, 7)
        raise RuntimeError
    assert (prior.guidance, prior.steps) == (1.0, 20)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--given", "clas=left"), "unknown attribute 'clas'; did you mean 'class'"),
        (("--given", "class=rigth"), "unknown value of class 'rigth'; did you mean 'right'"),
        (("--given", "class"), "--given takes ATTRIBUTE=VALUE, such as mouth=smile, not 'class'"),
        (("--given", "class=left", "--given", "class=right"), "--given class is given twice"),
        (("--prompt", "left"), "takes no captions; it takes attributes"),
        (("--guidance", "-1"), "guidance is zero or more, not -1"),
        (("--steps", "0"), "a draw takes at least 1 step, not 0"),
        (("--top-k", "3"), "has no --top-k: only a prior over codes has"),
        (("--top-p", "0.9"), "has no --top-p: only a prior over codes has"),
        (("--top-p", "1.5"), "--top-p is a probability above 0, at most 1, not 1.5"),
    ],
)
def test_prompts_that_the_prior_does_not_take_are_refused(world, capsys, tmp_path, words, message):
    folder, *_ = world
    out = tmp_path / "a.npz"
    assert message in refused(capsys, "sample", folder / "model.lb", "-n", "2", *words, "-o", out)


def test_a_model_without_a_conditional_prior_refuses_prompts():
    x = np.random.default_rng(0).normal(size=(30, 2))
    vae = VAE(latent_dim=1, epochs=1, random_state=0).fit(x)
    with pytest.raises(OptionError, match="prior takes no attributes: train it again with"):
        vae.sample(2, given={"side": "left"})
    with pytest.raises(UnsupportedError, match="has no guidance: train one that has"):
        vae.sample(2, guidance=2.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kind", "flow", "--label"), "FlowPrior takes no prompts: choose --kind diffusion"),
        (("--attributes", "data"), "holds no attributes: give a csv or parquet file"),
        (("--attributes", "nowhere.csv"), "there is no file nowhere.csv"),
        (("--captions", "nowhere.txt"), "there is no file nowhere.txt"),
        (("--only", "side"), "--only chooses among --attributes: give both"),
    ],
)
def test_conditions_that_are_not_there_are_refused(world, capsys, words, message):
    folder, *_ = world
    command = ("prior", folder / "model.lb", folder / "rows.npz", "--updates", "2")
    assert message in refused(capsys, *command, *words)


@pytest.mark.long
def test_captions_of_attributes_are_prompts_too(learned, tmp_path, capsys):
    folder, x, side, height = learned
    book = {"templates": ["a {before} row {after}"]}
    book["phrases"] = {
        "side": {"left": ["left", "western"], "right": ["right", "eastern"]},
        "height": {"low": ["with low places"], "middle": ["with middle places"], "high": ["high"]},
    }
    (tmp_path / "book.json").write_text(json.dumps(book))
    words = ["--attributes", folder / "attributes.csv", "--captions", tmp_path / "book.json"]
    words += [*QUICK, "--updates", "900", "-o", tmp_path / "captions.lb"]
    run("prior", folder / "model.lb", folder / "rows.npz", *words)
    vae = VAE.load(tmp_path / "captions.lb")
    for i, word in enumerate(("western", "eastern")):
        drawn = vae.sample(300, given=f"a {word} row with low places", random_state=0)
        assert np.abs(drawn.mean(0) - x[(side == i) & (height == 0)].mean(0)).max() < 0.8
    drawn = vae.sample(300, given={"side": "left", "height": "low"}, random_state=0)
    assert np.abs(drawn.mean(0) - x[(side == 0) & (height == 0)].mean(0)).max() < 0.8
    typed = (
        "--prompt",
        "a row with low places",
        "--given",
        "side=left",
        "-n",
        "300",
        "--seed",
        "0",
    )
    run("sample", tmp_path / "captions.lb", *typed, "-o", tmp_path / "both.npz")
    with np.load(tmp_path / "both.npz") as arrays:
        drawn = arrays["x"]
    assert np.abs(drawn.mean(0) - x[(side == 0) & (height == 0)].mean(0)).max() < 0.8
    model, rows = tmp_path / "captions.lb", ("--rows", "60,61")
    run("edit", model, folder / "rows.npz", *rows, "--set", "side=right", "-o", tmp_path / "e.npz")
    capsys.readouterr()
    run("info", model)
    found = capsys.readouterr().out
    assert "height (3 values), side (2 values), captions (9 words)" in found
    assert "places" not in found
    out = ("-o", tmp_path / "a.npz")
    typed = ("--prompt", "a northern row")
    said = refused(capsys, "sample", tmp_path / "captions.lb", *typed, *out)
    assert "unknown word of a prompt 'northern'; did you mean 'western'" in said


# edits --------------------------------------------------------------------------------------------


def edited(world, out, *words):
    """Reconstructions and edited rows of the first 40, as ``lowerbound edit`` writes them."""
    folder, *_ = world
    picked = ("--rows", ",".join(str(row) for row in range(60, 100)))
    run("edit", folder / "model.lb", folder / "rows.npz", *picked, *words, "-o", out)
    with np.load(out) as arrays:
        versions = arrays["version"]
        return arrays["x"][versions == "reconstruction"], arrays["x"][versions == "edited"]


@pytest.mark.slow
def test_an_edit_changes_its_attribute_and_keeps_the_other(learned, tmp_path):
    folder, x, side, height = learned
    known = ("--attributes", folder / "attributes.csv", "--strength", "1")
    before, after = edited(learned, tmp_path / "a.npz", "--set", "class=right", *known)
    rows = np.arange(60, 100)
    wanted = np.stack([x[(side == 1) & (height == j)].mean(0) for j in height[rows]])
    assert np.abs(after - wanted).max() < 1.5
    assert np.abs((after - before)[side[rows] == 1]).max() < 0.3  # they are right already
    moved = np.abs((after - before)[side[rows] == 0]).max(1)
    assert moved.min() > 2


@pytest.mark.slow
def test_what_is_unknown_of_the_rows_is_read_from_them(learned, tmp_path, capsys):
    folder, x, side, height = learned
    rows = np.arange(60, 100)
    np.savez(tmp_path / "bare.npz", x=x[rows])
    picked = ",".join(map(str, range(40)))
    words = ("--set", "class=right", "--rows", picked, "--strength", "1")
    run("edit", folder / "model.lb", tmp_path / "bare.npz", *words, "-o", tmp_path / "a.npz")
    assert "40 rows with class=right; read from the rows and kept: height: " in (
        capsys.readouterr().out
    )
    with np.load(tmp_path / "a.npz") as arrays:
        after = arrays["x"][arrays["version"] == "edited"]
    wanted = np.stack([x[(side == 1) & (height == j)].mean(0) for j in height[rows]])
    assert np.abs(after - wanted).max() < 1.5


def test_the_report_of_an_edit_names_what_was_known(world, tmp_path, capsys):
    edited(world, tmp_path / "a.npz", "--set", "height=low", "--steps", "4")
    assert "40 rows with height=low; known and kept: class: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing to change: give --set ATTRIBUTE=VALUE, such as mouth=smile"),
        (("--set", "hight=low"), "unknown attribute 'hight'; did you mean 'height'"),
        (("--set", "height=lo"), "unknown value of height 'lo'; did you mean 'low'"),
        (("--set", "height=low", "--strength", "2"), "strength is above 0 and at most 1, not 2"),
        (("--set", "height=low", "--rows", "9999"), "--rows: there is no row 9999"),
    ],
)
def test_edits_that_cannot_be_made_are_refused(world, capsys, tmp_path, words, message):
    folder, *_ = world
    command = ("edit", folder / "model.lb", folder / "rows.npz", "-o", tmp_path / "a.npz")
    assert message in refused(capsys, *command, *words)


def test_a_model_without_a_prior_that_edits_refuses_edits(capsys, tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 2))
    VAE(latent_dim=1, epochs=1, random_state=0).fit(x).save(tmp_path / "m.lb")
    np.save(tmp_path / "x.npy", x)
    command = ("edit", tmp_path / "m.lb", tmp_path / "x.npy", "--set", "a=b", "-o", "a.npz")
    assert "needs a diffusion prior that is given them: lowerbound prior" in refused(
        capsys, *command
    )


@pytest.mark.parametrize(
    ("prompts", "flags"),
    [
        (("mouth", "hair"), "--given"),
        (("captions",), "--prompt"),
        (("mouth", "captions"), "--given, --prompt"),
    ],
)
def test_the_end_of_prior_names_the_flags_that_work(prompts: tuple[str, ...], flags: str) -> None:
    facts: dict[str, Any] = dict.fromkeys(each.name for each in fields(PriorReport))
    facts |= {"rows": 9, "prompts": prompts, "page": "", "latents": ""}
    report = PriorReport(**facts)
    assert f"given: {', '.join(prompts)} (lowerbound sample {flags})" in report.text()
