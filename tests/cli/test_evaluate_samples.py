"""evaluate --suite samples and latents: what is printed, and what is refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from lowerbound.cli import main
from tests.cli.conftest import QUICK, Run


@pytest.mark.slow
def test_a_table_is_compared_column_by_column(run: Run, table: Path, table_model: Path) -> None:
    done = run("evaluate", table_model, table, "--suite", "samples", "--draws", 40)
    assert done.code == 0
    lines = done.out.splitlines()
    seen = "rows of the data, some of which the model was fitted to"
    assert f"40 samples against 40 {seen}, column by column" in done.out
    assert any("FD[columns]" in line and "KD[columns]" in line for line in lines)
    named = ("prior, drawn from p(x | z)", "real against real (floor)", "shuffled (ceiling)")
    for name in named:
        assert sum(line.strip().startswith(name) for line in lines) == 1
    assert "prior, mean of p(x | z)" not in done.out
    assert "no sharpness, which is for pictures" in done.out


def test_too_few_pictures_say_how_many_are_needed(
    run: Run, pictures: Path, picture_model: Path
) -> None:
    done = run("evaluate", picture_model, pictures, "--suite", "samples", "--draws", 50)
    assert done.code == 0
    needed = "no distances of samples: at least 64 held-out rows, 64 other real rows and 64 samples"
    assert needed in done.out
    assert "are 30, 15 and 50" in done.out


def test_distances_can_be_left_out(run: Run, pictures: Path, picture_model: Path) -> None:
    words = ("--suite", "samples", "--draws", 50, "--feature-rows", 0)
    done = run("evaluate", picture_model, pictures, *words)
    assert "no distances of samples: not requested" in done.out


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "digits"
    assert main(["fit", "digits", "-o", str(folder), "--network", "mlp", *QUICK]) == 0
    return folder


@pytest.mark.slow
def test_pictures_are_measured_in_the_features_of_one_network(
    run: Run, digits: Path, tmp_path: Path
) -> None:
    words = ("--suite", "samples", "--draws", 80, "--feature-rows", 300)
    words = (*words, "--features", tmp_path / "kept")
    done = run("evaluate", digits, "digits", *words, "--json")
    found = done.object["findings"]["distances"]
    name = f"FD[{found['space']}]"
    assert name.startswith("FD[lenet-")
    forms = found["samples"]["prior"]
    assert set(forms) == {"mean of p(x | z)", "drawn from p(x | z)"}
    floor, ceiling = (found[b]["mean of p(x | z)"][name]["mean"] for b in ("floor", "ceiling"))
    assert floor < ceiling
    assert (tmp_path / "kept" / "features.json").exists()
    again = run("evaluate", digits, "digits", *words, "--seed", 5)
    assert found["space"] in again.out
    assert "real against real (floor)" in again.out


@pytest.mark.slow
def test_factors_are_measured_where_they_are_known(run: Run, digits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sprites"
    assert main(["fit", "sprites", "-o", str(folder), "--network", "mlp", *QUICK]) == 0
    done = run("evaluate", folder, "sprites", "--part", "test", "--suite", "latents")
    assert "known factors: MIG 0." in done.out
    assert "DCI by random forests: disentanglement" in done.out
    assert "nats of mutual information" in done.out
    assert "nats from the prior (KL)" in done.out
    unknown = run("evaluate", digits, "digits", "--suite", "latents")
    assert "no disentanglement: MIG, DCI and SAP need the causes of each row" in unknown.out
