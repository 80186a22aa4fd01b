"""fit: an unseen table or folder needs no other flag, and nothing of a person's is overwritten."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound.fitting.folder import read
from tests.cli.conftest import QUICK, Run


@pytest.mark.slow
def test_a_table_is_understood_fitted_and_scored(run: Run, table: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "people"
    done = run("fit", table, "-o", folder, *QUICK)
    assert done.code == 0
    assert "72 rows of 4 columns\n" in done.err
    assert "real: size, weight, age" in done.err
    assert "binary: kind" in done.err
    assert "likelihood mixed (each column by its kind)" in done.err
    assert "network tabular (starts as factor analysis, for any missing cells)" in done.err
    assert "8 of 80 rows, drawn by seed 0" in done.out
    assert "log p(x) is at least" in done.out
    assert read(folder).schema.kind == "table"


def test_a_folder_of_pictures_is_understood(run: Run, pictures: Path, tmp_path: Path) -> None:
    done = run("fit", pictures, "-o", tmp_path / "m", *QUICK, "--json")
    assert "54 grey pictures, 5x6 pixels, 256 levels" in done.err
    assert "2 classes: above, below" in done.err
    assert "likelihood discretized_logistic (each of 256 levels has a probability" in done.err
    found = done.object
    assert (found["command"], found["kind"], found["test_rows"]) == ("fit", "vae", 6)
    assert found["findings"][0]["likelihood"]["bits_per_dimension"]["mean"] > 0


def test_options_reach_the_model(run: Run, table: Path, tmp_path: Path) -> None:
    words = "--label kind --latent-dim 1 --likelihood laplace --prior mixture --objective"
    words += " importance_weighted --set objective.samples=2 --set network.hidden=[8] --seed 5"
    done = run("fit", table, "-o", tmp_path / "m", *QUICK, *words.split())
    assert done.code == 0
    options = read(tmp_path / "m").options
    assert (options.model.latent_dim, options.model.prior) == (1, "mixture")
    assert options.objective_options == {"samples": 2}
    assert options.model.network_options == {"hidden": [8]}
    assert options.training.seed == 5


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model(run: Run, table: Path, tmp_path: Path) -> None:
    found = [
        run("fit", table, "-o", tmp_path / str(i), *QUICK, "--json", "--seed", "3").object
        for i in range(2)
    ]
    assert found[0]["findings"] == found[1]["findings"]


@pytest.mark.slow
def test_the_report_has_its_figures_inside(run: Run, table: Path, tmp_path: Path) -> None:
    line = "--label kind --updates 4 --samples 3 --gap-rows 4 --draws 50 --compare"
    done = run("fit", table, "-o", tmp_path / "m", *line.split(), "--json")
    assert [one["name"] for one in done.object["findings"]] == ["VAE", "autoencoder", "PCA"]
    verdict = done.object["verdict"]
    sentences = [verdict[name].replace("−", "-") for name in ("quality", "trust", "advice")]
    assert done.object["lines"][:3] == sentences
    page = (tmp_path / "m" / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == len(list((tmp_path / "m/figures").iterdir()))
    for outside in ("http://", "https://", "<script", "<link"):
        assert outside not in page
    assert f"lowerbound fit {table} -o {tmp_path / 'm'} --label kind --updates 4" in page


@pytest.mark.slow
def test_no_test_part_is_said(run: Run, table: Path, tmp_path: Path) -> None:
    done = run("fit", table, "-o", tmp_path / "m", *QUICK, "--test", "0")
    assert "on the rows it was fitted to:" in done.out
    assert "Next: measure rows that the model has not seen" in done.out


def test_a_published_test_part_is_used(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x_train=rng.normal(size=(40, 3)), x_test=rng.normal(size=(9, 3)))
    done = run("fit", tmp_path / "d.npz", "-o", tmp_path / "m", *QUICK)
    assert "on the published test part, 9 rows:" in done.out


def test_the_folder_called_test_is_the_test_part(run: Run, pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(pictures, tmp_path / "d" / "train")
    shutil.copytree(pictures / "above", tmp_path / "d" / "test" / "above")
    done = run("fit", tmp_path / "d", "-o", tmp_path / "m", *QUICK)
    assert "on the published test part, 30 rows:" in done.out
    (tmp_path / "d" / "test" / "above" / "00.png").write_bytes(b"no picture")
    done = run("fit", tmp_path / "d", "-o", tmp_path / "n", *QUICK)
    assert done.code == 2
    assert "00.png cannot be read" in done.err


def test_files_of_others_are_left_alone(run: Run, table: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = run("fit", table, "-o", tmp_path, *QUICK, "--overwrite")
    assert done.code == 2
    assert "holds other files and no model" in done.err
    assert "training:" not in done.err  # before any work is done
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    done = run("fit", table, "-o", tmp_path / "thesis.txt", *QUICK)
    assert done.code == 2
    assert "is a file" in done.err


@pytest.fixture
def finished(run: Run, table: Path, tmp_path: Path) -> Path:
    assert run("fit", table, "-o", tmp_path / "m", *QUICK, "--latent-dim", "2").code == 0
    return tmp_path / "m"


@pytest.mark.slow
def test_a_model_is_replaced_only_when_told(run: Run, table: Path, finished: Path) -> None:
    done = run("fit", table, "-o", finished, *QUICK)
    assert done.code == 2
    assert "holds a model already: --overwrite replaces it" in done.err
    assert read(finished).options.model.latent_dim == 2
    assert run("fit", table, "-o", finished, *QUICK, "--latent-dim", 1, "--overwrite").code == 0
    assert read(finished).options.model.latent_dim == 1


def test_a_table_may_be_taken_for_numbers_alone(run: Run, table: Path, tmp_path: Path) -> None:
    done = run("fit", table, "-o", tmp_path / "m", *QUICK, "--likelihood", "gaussian")
    assert done.code == 0
    assert "left out 'kind'" in done.err
    assert "72 rows of 3 columns of real numbers (size, weight, age)" in done.err


@pytest.mark.slow
def test_the_person_corrects_a_column(run: Run, table: Path, tmp_path: Path) -> None:
    columns = tmp_path / "columns.json"
    assert run("schema", table, "-o", columns).code == 0
    said = json.loads(columns.read_text())
    assert said["columns"]["kind"] == {"kind": "binary", "levels": ["short", "tall"]}
    said["columns"]["kind"] = {"kind": "ordinal", "levels": ["tall", "short", "middling"]}
    columns.write_text(json.dumps(said))
    words = ("fit", table, "-o", tmp_path / "m", *QUICK, "--columns", columns)
    assert run(*words, "--kind", "age=count").code == 0
    found = {column.name: column for column in read(tmp_path / "m").schema.columns}
    assert found["kind"].levels == ("tall", "short", "middling")
    assert found["age"].kind == "count"


@pytest.mark.slow
def test_resuming_a_finished_run_says_so(run: Run, table: Path, finished: Path) -> None:
    before = (finished / "manifest.json").read_bytes()
    done = run("fit", table, "-o", finished, "--resume")
    assert done.code == 0
    assert "is finished: there is nothing to resume" in done.err
    assert "log p(x) is at least" in done.out
    assert (finished / "manifest.json").read_bytes() == before


def test_resuming_with_other_options_is_refused(run: Run, table: Path, finished: Path) -> None:
    done = run("fit", table, "-o", finished, "--resume", "--batch-size", "7", "--prior", "flow")
    assert done.code == 2
    assert "started with other options (--prior, --batch-size)" in done.err
    done = run("fit", table, "-o", finished, "--resume", "--no-standardize")
    assert "other options (--no-standardize)" in done.err
    done = run("fit", table, "-o", finished, "--resume", "--seed", "4")
    assert "other options (--seed)" in done.err


def test_there_has_to_be_something_to_resume(run: Run, table: Path, tmp_path: Path) -> None:
    done = run("fit", table, "-o", tmp_path / "m", "--resume")
    assert done.code == 2
    assert "does not exist: start without --resume" in done.err


def test_how_it_was_asked_for_is_kept(finished: Path, table: Path) -> None:
    request = json.loads((finished / "request.json").read_text())
    assert request["data"] == str(table)
    assert request["fitting"]["training"]["updates"] == 4


def test_an_autoencoder_says_that_it_has_no_likelihood(
    run: Run, pictures: Path, tmp_path: Path
) -> None:
    done = run("fit", pictures, "-o", tmp_path / "m", *QUICK, "--model", "autoencoder")
    assert done.code == 0
    assert "no likelihood: autoencoder has no prior" in done.out


@pytest.mark.slow
def test_columns_of_many_levels_alone(run: Run, tmp_path: Path) -> None:
    """Factor analysis has no number to start from."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame({name: random.choice(60, 300) for name in "ab"}).map("{} x".format)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    done = run("fit", tmp_path / "rows.csv", "-o", tmp_path / "m", *QUICK)
    assert done.code == 0, done.err
    assert "network mlp" in done.err
