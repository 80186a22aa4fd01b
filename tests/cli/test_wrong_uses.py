"""Wrong uses, and the sentence that each of them gets: in flags and words, with what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications import APPLICATIONS, load
from lowerbound.applications.common.form import entries
from lowerbound.applications.fit.requests import part_options
from lowerbound.cli import flags, main
from lowerbound.cli.wording import by_flags, note_by_flags
from tests.cli.conftest import Run

FIT = "fit {table} -o {new} --updates 2 --no-report"
DESIGN = "design {model} {table} --objective size -o {new}.csv"
SAMPLE = "sample {model} -o {new}.csv"
WRONG_USES = {
    # options that mean another
    f"{FIT} --beta 2": "unknown option --beta; did you mean --set objective.beta=2 (of elbo)?",
    f"{FIT} --beta=2": "unknown option --beta=2; did you mean --set objective.beta=2 (of elbo)?",
    f"{FIT} --kl-weight": (
        "unknown option --kl-weight; did you mean --set objective.beta=VALUE (of elbo)?"
    ),
    f"{FIT} --codes 64": "unknown option --codes; did you mean --set model.codes=64 (of vq_vae)?",
    f"{FIT} --free-bts 1": (
        "unknown option --free-bts; did you mean --set objective.free_bits=1 (of elbo)?"
    ),
    f"{FIT} --lr 0.01": "unknown option --lr; did you mean --learning-rate?",
    f"{FIT} --z-dim 8": "unknown option --z-dim; did you mean --latent-dim?",
    f"{FIT} --epoch 3": "unknown option --epoch; did you mean --epochs?",
    f"{FIT} --force": "unknown option --force; did you mean --overwrite?",
    f"{FIT} --zzzz": "unknown option --zzzz; see lowerbound fit --help",
    f"{FIT} --gpu": "unknown option --gpu; did you mean --device cuda?",
    "compress {model} {table} --gpu": (
        "unknown option --gpu; this command computes on the processor"
    ),
    "prior {model} {table} --components 9": (
        "unknown option --components; did you mean --set components=9 (of mixture, vamp)?"
    ),
    "fit --lr 0.01": "unknown option --lr; did you mean --learning-rate?",
    # and options whose spelling is near none
    "imputer {table} --epochs 3": "unknown option --epochs; see lowerbound imputer --help",
    "imputer {table} --epoch 3": "unknown option --epoch; see lowerbound imputer --help",
    "impute {model} {table} --median": "unknown option --median; see lowerbound impute --help",
    "audit {table} {table} --entity who": "unknown option --entity; see lowerbound audit --help",
    f"{SAMPLE} --count 3": "unknown option --count; did you mean --number?",
    # commands that mean another
    "train {table}": "unknown command 'train'; did you mean: lowerbound fit?",
    "generate {model}": "unknown command 'generate'; did you mean: lowerbound sample?",
    "eval {model}": "unknown command 'eval'; did you mean: lowerbound evaluate?",
    "reconstuct {model}": "unknown command 'reconstuct'; did you mean: lowerbound reconstruct?",
    "control trian": "unknown command 'control trian'; did you mean: lowerbound control train?",
    "posteriors": (
        "unknown command 'posteriors'; lowerbound fit --help-all lists what --posterior takes: "
        "auto, gaussian, clamped_gaussian, flow, full"
    ),
    "qqqq": "unknown command 'qqqq'; see lowerbound --help",
    # values that are missing or of another kind
    "fit {table} -o": "-o/--output needs a value after it; see lowerbound fit --help",
    "fit {table}": "missing: -o/--output (model folder to write); see lowerbound fit --help",
    f"{FIT} --compare=yes": "--compare takes no value; see lowerbound fit --help",
    f"{FIT} one more": "'one' is one word too many; see lowerbound fit --help",
    f"{FIT} --latent-dim two": "--latent-dim takes a whole number, not 'two'",
    f"{FIT} --latent-dim 2.5": "--latent-dim takes a whole number, not '2.5'",
    f"{FIT} --learning-rate fast": "--learning-rate takes a number, not 'fast'",
    f"{FIT} --learning-rate nan": "--learning-rate takes a finite number, not nan",
    f"{FIT} --seed -1": "--seed takes a whole number from 0 up, not '-1'",
    f"{FIT} --memory much": "--memory takes a number of gigabytes, not 'much'",
    f"{FIT} --schedule cosin": (
        "unknown value for --schedule: 'cosin'; did you mean 'cosine'? (known: constant, cosine, "
        "linear)"
    ),
    f"{FIT} --set network.hidden=wide": (
        "--set network.hidden takes whole numbers, such as [200,200], not 'wide'"
    ),
    f"{FIT} --set network.hidden=[20,x]": (
        "--set network.hidden takes whole numbers, such as [200,200], not '[20,x]'"
    ),
    f"{FIT} --set network.hidden=20,0.5": (
        "--set network.hidden takes whole numbers, such as [200,200], not [20, 0.5]"
    ),
    f"{FIT} --set objective.beta=strong": "--set objective.beta takes a number, not 'strong'",
    f"{FIT} --set hidden": (
        "--set takes part.option=value, such as network.hidden=[200,200]: 'hidden'"
    ),
    # values out of range, which Python calls by other names
    f"{FIT} --latent-dim 0": "--latent-dim must be at least 1, not 0",
    f"{FIT} --batch-size 0": "--batch-size must be positive, not 0",
    f"{FIT} --threads 5000": "--threads must be at most 1,024, not 5000",
    f"{FIT} --samples 0": "--samples must be at least 1, not 0",
    f"{FIT} --gap-rows -1": "--gap-rows must be at least 0, not -1",
    f"{FIT} --epsilon 0": "--epsilon must be positive and finite, not 0.0",
    f"{FIT} --delta 1e-5 --clip 2": (
        "--delta, --clip are for private training: give --epsilon too"
    ),
    f"{DESIGN} --tolerance 1": "--tolerance is a distance from a target: give --target too",
    f"{DESIGN} --target 3 --direction min": (
        "--target replaces a direction: leave out --direction or --target"
    ),
    f"{DESIGN} --least 0.5": "--least is a similarity to a molecule: give --similar-to too",
    "audit {table} {table} --delta 1e-5": (
        "--delta is for the bound from canaries: give --canaries too"
    ),
    f"{FIT} --set objective.samples=0": "--set objective.samples must be at least 1, not 0",
    f"{FIT} --folds 3": "vae has no probabilities of classes to calibrate: leave --folds out",
    f"{FIT} --image-size 8": (
        "--image-size and --resize are for folders of pictures and picture files"
    ),
    f"{FIT} --missingness self_masking --missing error": (
        "--missingness self_masking needs missing cells, but the data was read as complete rows: "
        "read it with --missing model"
    ),
}


@pytest.mark.parametrize("line", WRONG_USES)
def test_a_wrong_use_is_explained(
    run: Run, table: Path, table_model: Path, tmp_path: Path, line: str
) -> None:
    places = {"table": table, "model": table_model, "new": tmp_path / "new"}
    done = run(*(word.format(**places) for word in line.split()))
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1] == f"lowerbound: {WRONG_USES[line]}"
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("family", part_options())
def test_every_family_of_parts_can_be_listed(run: Run, family: str) -> None:
    said = run(f"{family}s").err
    assert f"lowerbound fit --help-all lists what --{family} takes: " in said
    assert set(part_options()[family]) <= set(said.strip().partition("takes: ")[2].split(", "))


def test_words_of_the_field_lead_to_what_exists() -> None:
    known = {entry.name for command in APPLICATIONS for entry in entries(load(command).request)}
    for parts in part_options().values():
        known |= {name for names in parts.values() for name in names}
    assert set(flags.COMMANDS.values()) <= set(APPLICATIONS)
    assert not set(flags.COMMANDS) & set(APPLICATIONS)
    assert set(flags.OPTIONS.values()) <= known


@pytest.mark.parametrize(
    ("message", "words", "expected"),
    [
        ("use binarize='dynamic' or 'threshold'", (), "use --binarize dynamic or 'threshold'"),
        ("(on_error='skip' leaves it out)", (), "(--on-error skip leaves it out)"),
        ("set validation=0", (), "set --validation 0"),
        ("lower learning_rate", (), "lower --learning-rate"),
        ("it is 4 rows: leave folds at 0", (), "it is 4 rows: leave --folds at 0"),
        # options of parts, which --set takes by these names
        ("set model.stride=4", (), "set model.stride=4"),
        ("levels=5 is too many", (), "levels=5 is too many"),
        ("warm_up=0 has none", (), "warm_up=0 has none"),
        ("warm_up=0 has none", ("--warm-up", "0"), "--warm-up 0 has none"),
        (
            "unknown option 'network' of model 'vae' (known: stride)",
            ("--set", "model.network=linear"),
            "unknown --set model.network of model 'vae' (known: stride); did you mean --network?",
        ),
        # words of the language
        ("the rows and samples of a model", ("--rows", "3"), "the rows and samples of a model"),
    ],
)
def test_python_names_become_flags(message: str, words: tuple[str, ...], expected: str) -> None:
    assert by_flags(message, entries(load("fit").request), words) == expected


def test_a_remedy_that_a_command_does_not_have_is_not_named() -> None:
    message = "a.png cannot be read as a picture: it ends early (on_error='skip' leaves it out)"
    said = by_flags(message, entries(load("sample").request), ())
    assert said == "a.png cannot be read as a picture: it ends early"
    gaps = "fill those rows, or missing='model' (data_options={'missing': 'model'} of an estimator)"
    assert by_flags(gaps, entries(load("fit").request), ()) == "fill those rows, or --missing model"
    note = "all are stretched (resize='crop' does otherwise, and image_size=64 sets a size)"
    said = note_by_flags(note, entries(load("fit").request), ())
    assert said.endswith(
        "stretched (--resize crop does otherwise, and --image-size 64 sets a size)"
    )
    assert note_by_flags(note, entries(load("encode").request), ()).endswith("are stretched")


@pytest.mark.slow
def test_notes_name_flags_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=40), "b": rng.normal(size=40)})
    table["kind"] = np.where(table["a"] > 0, "x", "y")
    table.to_csv(tmp_path / "t.csv", index=False)
    words = ["--label", "kind", "--model", "semi_supervised", "--updates", "2", "--folds", "2"]
    assert main(["fit", str(tmp_path / "t.csv"), "-o", str(tmp_path / "m.lb"), *words]) == 0
    said = capsys.readouterr().err
    assert "--folds 0 leaves these out" in said
    assert "folds=0" not in said
