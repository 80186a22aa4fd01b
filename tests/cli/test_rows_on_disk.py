"""fit with rows on disk: for large tables by itself, the same model, and nothing is left behind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.applications.common.application import Silent
from lowerbound.applications.fit.preparing import rows_folder
from lowerbound.applications.fit.requests import FitRequest
from lowerbound.cli import main
from lowerbound.data import dataset as datasets
from lowerbound.data.tables import on_disk as tables
from lowerbound.data.tables.on_disk import load_on_disk
from lowerbound.errors import DataError
from lowerbound.fitting.folder import read
from tests.cli.conftest import QUICK, Run
from tests.cli.test_process import interrupted

WORDS = ("--network", "mlp", *QUICK)


@pytest.fixture
def parquet(table: Path, tmp_path: Path) -> Path:
    path = tmp_path / "people.parquet"
    pd.read_csv(table).to_parquet(path, row_group_size=25, index=False)
    return path


@pytest.fixture(autouse=True)
def nothing_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "MOST_IN_MEMORY", 0)


def content(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "model.safetensors").read_bytes(), (folder / "schema.json").read_bytes()


def test_a_fit_to_rows_on_disk_writes_the_same_model(
    run: Run, parquet: Path, tmp_path: Path
) -> None:
    for where in ("memory", "disk"):
        words = ("--rows-in", where, "--json", *WORDS)
        done = run("fit", parquet, "-o", tmp_path / where, *words)
        assert done.code == 0, done.err
        assert ("rows: encoded to files" in done.err) == (where == "disk")
    assert content(tmp_path / "memory") == content(tmp_path / "disk")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["disk", "memory", "people.parquet"]


@pytest.mark.parametrize(("gigabytes", "on_disk"), [("1e-5", True), ("1e-3", False)])
def test_a_large_table_is_held_on_disk(
    run: Run, parquet: Path, tmp_path: Path, gigabytes: str, on_disk: bool
) -> None:
    """80 rows of 4 columns take 15 kB with their copies."""
    done = run("fit", parquet, "-o", tmp_path / "m", "--memory", gigabytes, *WORDS)
    assert done.code == 0, done.err
    assert ("rows: encoded to files" in done.err) == on_disk


def test_a_cache_is_kept_and_used_again(
    run: Run, parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--cache", tmp_path / "cache", *WORDS)
    assert run("fit", parquet, "-o", tmp_path / "m", *words).code == 0
    (folder,) = (tmp_path / "cache").iterdir()
    assert {file.name for file in folder.iterdir()} == {"rows.json", "x.bin"}
    monkeypatch.setattr(tables, "_encode", None)  # it would fail
    assert run("fit", parquet, "-o", tmp_path / "n", *words).code == 0
    assert content(tmp_path / "m") == content(tmp_path / "n")


@pytest.mark.parametrize(
    ("failure", "kept"), [(KeyboardInterrupt, True), (DataError, False), (ValueError, False)]
)
def test_rows_are_kept_for_a_fit_that_can_be_resumed(
    parquet: Path, tmp_path: Path, failure: type[BaseException], kept: bool
) -> None:
    request = FitRequest(str(parquet), str(tmp_path / "m"), rows_in="disk")

    def stopped() -> None:
        with rows_folder(request, False, Silent()) as folder:
            assert folder == tmp_path / "m.rows"
            load_on_disk(parquet, folder)
            raise failure("stopped")

    with pytest.raises(failure):
        stopped()
    assert (tmp_path / "m.rows").exists() == kept


@pytest.mark.long
def test_an_interrupted_fit_to_rows_on_disk_goes_on(
    run: Run, parquet: Path, tmp_path: Path
) -> None:
    long = ("--rows-in", "disk", "--updates", "3000", "--no-report", "--samples", "3")
    code, said = interrupted(parquet, tmp_path / "m", *long)
    assert code == 130, said
    beside = tmp_path / "m.rows"
    (kept,) = beside.glob("*/x.bin")
    written = kept.stat().st_mtime_ns
    assert written
    going_on = run("fit", parquet, "-o", tmp_path / "m", "--resume", "--json")
    assert "resumed at update " in going_on.err
    assert not beside.exists()
    whole = run("fit", parquet, "-o", tmp_path / "n", *long, "--json")
    assert going_on.object["findings"] == whole.object["findings"]
    assert content(tmp_path / "m") == content(tmp_path / "n")


@pytest.mark.slow
def test_a_folder_of_files_is_one_table(run: Run, parquet: Path, tmp_path: Path) -> None:
    folder, frame = tmp_path / "days", pd.read_parquet(parquet)
    folder.mkdir()
    for number in range(4):
        rows = frame.iloc[20 * number : 20 * number + 20]
        rows.to_parquet(folder / f"{number}.parquet", index=False)
    for name, source in (("one", parquet), ("many", folder)):
        words = ("--rows-in", "disk", *WORDS)
        assert run("fit", source, "-o", tmp_path / name, *words).code == 0
    assert content(tmp_path / "one") == content(tmp_path / "many")
    scored = run("detect", tmp_path / "one", folder, "-o", tmp_path / "scores.csv", "--json")
    assert scored.object["rows"] == 80
    os.truncate(folder / "2.parquet", 500)
    failed = run("fit", folder, "-o", tmp_path / "bad", "--rows-in", "disk", *WORDS)
    assert failed.code == 2
    assert "2.parquet cannot be read as parquet" in failed.err
    assert not (tmp_path / "bad.rows").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--rows-in", "disk", "--window", "3"), "--window is not for rows on disk"),
        (("--rows-in", "disk", "--epsilon", "1"), "a private fit reads its table as a whole"),
        (("--rows-in", "memory", "--cache", "c"), "--cache is for rows on disk"),
    ],
)
def test_what_cannot_be_on_disk_is_refused(
    run: Run, parquet: Path, tmp_path: Path, words: tuple[str, ...], reason: str
) -> None:
    done = run("fit", parquet, "-o", tmp_path / "m", *words)
    assert done.code == 2
    assert reason in done.err
    assert not (tmp_path / "m").exists()


def test_a_fit_to_a_csv_on_disk_is_that_in_memory(run: Run, table: Path, tmp_path: Path) -> None:
    for where in ("disk", "memory"):
        words = ("--rows-in", where, "--label", "kind", *WORDS)
        assert run("fit", table, "-o", tmp_path / where, *words).code == 0
    on_disk, in_memory = (read(tmp_path / where) for where in ("disk", "memory"))
    assert on_disk.schema == in_memory.schema
    weights = in_memory.model.state_dict()
    assert all(
        torch.equal(value, weights[name]) for name, value in on_disk.model.state_dict().items()
    )
    assert not (tmp_path / "disk.rows").exists()


def test_a_large_csv_goes_to_disk_by_itself(
    run: Run, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lowerbound.untrusted.memory_limit", lambda: 1_000.0)
    done = run("fit", table, "-o", tmp_path / "m", "--label", "kind", *WORDS)
    assert "rows: encoded to files in" in done.err


def test_arrays_cannot_be_on_disk(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(40, 3)))
    done = run("fit", tmp_path / "a.npy", "-o", tmp_path / "m", "--rows-in", "disk", *WORDS)
    assert done.code == 2
    assert "only Parquet and csv are held on disk" in done.err


@pytest.mark.slow
def test_the_report_is_of_rows_on_disk_too(parquet: Path, tmp_path: Path) -> None:
    words = ["fit", str(parquet), "-o", str(tmp_path / "m"), "--rows-in", "disk", "--updates", "4"]
    assert main([*words, "--label", "kind"]) == 0
    assert (tmp_path / "m" / "report.html").exists()
    assert read(tmp_path / "m").schema.class_names


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_a_schema_of_a_table_beyond_the_memory(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("lowerbound.data.tables.on_disk.estimated_bytes", lambda *_: 1e9)
    rng, path = np.random.default_rng(0), tmp_path / f"t{suffix}"
    frame = pd.DataFrame({"a": rng.normal(size=900).round(3), "town": rng.choice(list("xyz"), 900)})
    frame.loc[::9, "a"] = np.nan
    if suffix == ".parquet":
        frame.to_parquet(path, row_group_size=100, index=False)
    else:
        frame.to_csv(path, index=False)
    usual, small = (
        run("schema", path, "--json", "--memory", limit, "-o", tmp_path / f"{limit}.json")
        for limit in ("4", "1e-5" if suffix == ".parquet" else "0.5")
    )
    assert usual.code == small.code == 0, small.err
    said = {"columns", "rows", "left_out"}
    first, second = (json.loads(done.out) for done in (usual, small))
    assert {name: first[name] for name in said} == {name: second[name] for name in said}
    assert second["columns"]["a"]["missing"] == 0.1111
    assert len({each.read_bytes() for each in tmp_path.glob("*.json")}) == 1
    assert not [each for each in (tmp_path / "cache").rglob("*") if each.is_file()]


def test_a_schema_beyond_the_memory_counts_all_rows(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tables, "SAMPLED_CELLS", 200)
    monkeypatch.setattr(tables, "estimated_bytes", lambda *_: 1e9)
    path = tmp_path / "t.csv"
    cells = ["" if row % 4 == 0 else f"{row % 7}.5" for row in range(1000)]
    pd.DataFrame({"a": cells, "b": list("xy") * 500}).to_csv(path, index=False)
    done = run("schema", path, "--json", "--memory", "0.5")
    assert done.code == 0, done.err
    assert json.loads(done.out)["columns"]["a"]["missing"] == 0.25
    assert json.loads(done.out)["rows"] == 1000
