"""evaluate: the same numbers as the library, on the rows that were asked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.data import load
from lowerbound.fitting.folder import read
from lowerbound.inference.likelihood import score
from tests.cli.conftest import Run


def test_the_bound_is_the_librarys(run: Run, table: Path, table_model: Path) -> None:
    done = run("evaluate", table_model, table, "--samples", 7, "--gap-rows", 0, "--json")
    found = done.object["findings"]["likelihood"]
    fitted = read(table_model)
    expected = score(fitted.model, load(table, schema=fitted.schema), samples=7).summary()
    assert found["bound"]["mean"] == pytest.approx(expected.bound.mean, abs=1e-9)
    assert done.object["rows"] == 80


def test_the_test_part_is_the_one_that_was_set_aside(
    run: Run, table: Path, table_model: Path
) -> None:
    words = ("evaluate", table_model, table, "--samples", 3, "--gap-rows", 0)
    done = run(*words, "--part", "test", "--json")
    fitted = read(table_model)
    _, test = load(table, schema=fitted.schema).split(0.1, 0)
    expected = score(fitted.model, test, samples=3).summary()
    assert done.object["findings"]["likelihood"]["protocol"]["sha256"] == expected.protocol.sha256
    assert "--part test uses only the rows that were set aside" in run(*words).err


def test_a_test_part_of_other_data_is_refused(
    run: Run, table: Path, table_model: Path, tmp_path: Path
) -> None:
    rows = pd.read_csv(table)
    rows.sample(frac=1, random_state=1).to_csv(shuffled := tmp_path / "shuffled.csv", index=False)
    rows[:50].to_csv(first := tmp_path / "first.csv", index=False)
    rows.to_parquet(same := tmp_path / "same.parquet")
    words = ("--part", "test", "--samples", 3, "--gap-rows", 0)
    assert run("evaluate", table_model, same, *words).code == 0
    refused = run("evaluate", table_model, shuffled, *words)
    assert refused.code == 2
    assert "not the data of the fit (other rows, or the same rows in another order)" in refused.err
    refused = run("evaluate", table_model, first, *words)
    assert "first.csv is not the data of the fit (50 rows, the fit read 80)" in refused.err
    assert "leave --part out" in refused.err


def test_a_folder_without_a_record_of_its_rows_is_measured(
    run: Run, table: Path, table_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(table_model, older := tmp_path / "older.lb")
    request = json.loads((older / "request.json").read_text())
    assert request["set_aside"]["rows"] == 80
    for damaged in ({}, {"set_aside": {"rows": "many", "test": []}}):
        kept = {name: value for name, value in request.items() if name != "set_aside"}
        (older / "request.json").write_text(json.dumps(kept | damaged))
        words = ("--part", "test", "--samples", 3, "--gap-rows", 0)
        assert run("evaluate", older, table, *words).code == 0


def test_the_data_of_the_fit_is_known_by_another_path(
    run: Run, table: Path, table_model: Path
) -> None:
    same = table.parent / ".." / table.parent.name / table.name
    done = run("evaluate", table_model, same, "--samples", 3, "--gap-rows", 0)
    assert "--part test uses only the rows that were set aside" in done.err
    assert "the model was fitted to these rows" in done.out


def test_the_verdict_comes_first(run: Run, table: Path, table_model: Path) -> None:
    words = ("evaluate", table_model, table, "--samples", 3, "--gap-rows", 0)
    found = run(*words, "--part", "test", "--json").object
    verdict = found["verdict"]
    sentences = [verdict[name] for name in ("quality", "trust", "advice")]
    assert found["lines"][:3] == [sentence.replace("−", "-") for sentence in sentences]
    assert {margin["name"] for margin in verdict["evidence"]["margins"]} >= {"independent columns"}
    assert "there are only 8 rows" in verdict["trust"]
    seen = run(*words, "--json").object["verdict"]
    assert seen["quality"].startswith("Not compared with a baseline: ")
    assert "the model was fitted to these rows" in seen["trust"]
    assert run(*words, "--suite", "latents", "--json").object["verdict"] is None


def test_a_check_that_fails_is_exit_code_1(run: Run, table: Path, table_model: Path) -> None:
    words = ("evaluate", table_model, table, "--samples", 3, "--gap-rows", 0, "--at-least")
    done = run(*words, "1000")
    assert done.code == 1
    assert "at least 1000 nats per row: not reached" in done.out
    assert run(*words, "-1000").code == 0


def test_the_limit_is_on_the_bound_and_without_one_none_is_reached(
    run: Run, table: Path, table_model: Path
) -> None:
    words = ("evaluate", table_model, table, "--samples", 3, "--gap-rows", 0, "--json")
    plain = run(*words).object
    assert plain["reached"] is None
    scores = plain["findings"]["likelihood"]
    elbo, bound = scores["elbo"]["mean"], scores["bound"]["mean"]
    assert elbo < bound - 1e-3
    for least, reached in ((elbo + 5e-4, True), (bound - 1e-9, True), (bound + 1e-4, False)):
        done = run(*words, "--at-least", repr(least))
        assert (done.object["reached"], done.code) == (reached, int(not reached))


def test_two_models_are_compared_on_the_same_rows(
    run: Run, table: Path, table_model: Path, pca: Path
) -> None:
    words = ("evaluate", table_model, table, "--samples", 3, "--gap-rows", 0, "--compare", pca)
    done = run(*words, "--json")
    assert done.object["differences"][str(pca)]["mean"] > 0
    assert f"above {pca}" in "".join(done.object["lines"])


def test_models_of_other_columns_are_not_compared(
    run: Run, table: Path, pca: Path, tmp_path: Path
) -> None:
    words = ("--model", "pca", "--label", "age", "--no-report")
    assert run("fit", table, "-o", tmp_path / "one", *words).code == 0
    done = run("evaluate", pca, table, "--gap-rows", 0, "--compare", tmp_path / "one")
    assert done.code == 2
    reason = "they model columns differently: 'age' (real and not modeled)"
    assert f"{pca} cannot be compared with {tmp_path / 'one'}: {reason}" in done.err


def test_test_rows_are_those_of_the_model_and_not_of_its_rivals(run: Run, tmp_path: Path) -> None:
    """PCA reads counts as real numbers, so its test part has other numbers."""
    rng = np.random.default_rng(0)
    size = rng.normal(170, 10, 200).round(1)
    frame = pd.DataFrame({"size": size, "visits": rng.poisson(2, 200), "weight": size / 2})
    frame.to_csv(tmp_path / "t.csv", index=False)
    few = ("--updates", "20", "--no-report")
    for name, words in {"a": (), "b": ("--model", "pca")}.items():
        assert run("fit", tmp_path / "t.csv", "-o", tmp_path / name, *few, *words).code == 0
    words = ("--part", "test", "--gap-rows", 0, "--compare", tmp_path / "b")
    done = run("evaluate", tmp_path / "a", tmp_path / "t.csv", *words)
    assert done.code == 0, done.err
    assert f"above {tmp_path / 'b'}" in done.out or f"below {tmp_path / 'b'}" in done.out


def test_masses_and_densities_are_not_compared(
    run: Run, table: Path, table_model: Path, picture_model: Path
) -> None:
    done = run("evaluate", table_model, table, "--gap-rows", 0, "--compare", picture_model)
    assert done.code == 2


def test_all_suites_and_their_files(
    run: Run, pictures: Path, picture_model: Path, tmp_path: Path
) -> None:
    words = ("--samples", 3, "--gap-rows", 2, "--draws", 40, "-o", tmp_path / "out", "--json")
    done = run("evaluate", picture_model, pictures, "--suite", "all", *words)
    findings = done.object["findings"]
    assert {"likelihood", "units", "agreement", "accepted"} <= set(findings)
    assert json.loads((tmp_path / "out" / "findings.json").read_text()) == findings
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert len(scores) == 60
    assert scores["elbo"].mean() == pytest.approx(findings["likelihood"]["elbo"]["mean"])


def test_a_model_without_a_bound_says_so(run: Run, pictures: Path, autoencoder: Path) -> None:
    done = run("evaluate", autoencoder, pictures, "--suite", "likelihood")
    assert done.code == 0
    assert "no likelihood: autoencoder has no prior" in done.out
    assert run("evaluate", autoencoder, pictures, "--at-least", "3").code == 2


@pytest.mark.slow
def test_tighter_bounds_and_the_protocol_are_printed_when_asked(
    run: Run, pictures: Path, picture_model: Path
) -> None:
    words = ("evaluate", picture_model, pictures, "--samples", 30, "--gap-rows", 0)
    dear = ("--tight-rows", 4, "--tight-samples", 60)
    slow = ("--ais-rows", 2, "--ais-temperatures", 3, "--ais-chains", 2)
    done = run(*words, *dear, *slow)
    assert "L_60 is" in done.out
    assert "annealed importance sampling of 2 rows (3 temperatures, 2 chains)" in done.out
    assert "Pareto k" in done.out
    assert "protocol: 60 rows" in done.out
    assert "SHA-256 of the rows" in done.out
    found = run(*words, *dear, *slow, "--json").object["findings"]
    assert found["tighter"]["samples"] == 60
    assert found["annealed"]["rows"] == 2
    plain = run(*words)
    assert "annealed" not in plain.out


def test_rows_of_the_test_part_keep_their_numbers_in_the_table(
    run: Run, table: Path, table_model: Path, tmp_path: Path
) -> None:
    words = ("evaluate", table_model, table, "--samples", 3, "--gap-rows", 0)
    run(*words, "--part", "test", "-o", tmp_path / "part")
    numbers = pd.read_csv(tmp_path / "part" / "scores.csv")["id"].tolist()
    rows = load(table, schema=read(table_model).schema)
    assert torch.equal(rows.subset(numbers).x, rows.split(0.1, 0)[1].x)
