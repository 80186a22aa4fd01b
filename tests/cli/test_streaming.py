"""detect and encode on tables that are read in chunks: the same answers, and no half files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.anomaly import reference as anomaly
from lowerbound.cli import main
from lowerbound.data.tables import chunks as table_chunks
from tests.cli.conftest import QUICK, Run

ROWS = 30  # of a chunk, so that the 80 people come in three


@pytest.fixture
def chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_chunks, "MOST_ROWS", ROWS)


@pytest.fixture(params=["people.csv", "people.parquet"])
def people(request: pytest.FixtureRequest, table: Path, tmp_path: Path) -> Path:
    """The people, the first of them again at the end."""
    path = tmp_path / str(request.param)
    rows = pd.read_csv(table)
    rows = pd.concat([rows, rows.head(3)])
    if path.suffix == ".csv":
        rows.to_csv(path, index=False)
    else:
        rows.to_parquet(path, row_group_size=25, index=False)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_scores_do_not_depend_on_the_chunks(
    run: Run,
    people: Path,
    table_model: Path,
    tmp_path: Path,
    suffix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("detect", table_model, people, "--json", "--label", "kind", "-o")
    whole = run(*words, tmp_path / f"whole{suffix}").object
    monkeypatch.setattr(table_chunks, "MOST_ROWS", ROWS)
    parts = run(*words, tmp_path / f"parts{suffix}").object
    before, after = (_read(tmp_path / f"{name}{suffix}") for name in ("whole", "parts"))
    assert after["row"].tolist() == list(range(83))
    pd.testing.assert_frame_equal(before, after, rtol=1e-6)
    np.testing.assert_allclose(after["score"][:3], after["score"][80:], rtol=1e-6)
    assert [odd["row"] for odd in parts["oddest"]] == [odd["row"] for odd in whole["oddest"]]
    assert (parts["rows"], parts["found"]) == (whole["rows"], whole["found"])
    assert parts["ranking"]["anomalies"] == whole["ranking"]["anomalies"]
    assert parts["ranking"]["auroc"] == pytest.approx(whole["ranking"]["auroc"], abs=1e-9)


def _read(path: Path) -> pd.DataFrame:
    if path.suffix == ".json":
        return pd.read_json(path)
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_codes_do_not_depend_on_the_chunks(
    run: Run,
    people: Path,
    table_model: Path,
    tmp_path: Path,
    suffix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, parts = (tmp_path / f"{name}{suffix}" for name in ("whole", "parts"))
    run("encode", table_model, people, "-o", whole)
    monkeypatch.setattr(table_chunks, "MOST_ROWS", ROWS)
    assert run("encode", table_model, people, "-o", parts, "--json").object["rows"] == 83
    if suffix == ".csv":
        pd.testing.assert_frame_equal(pd.read_csv(whole), pd.read_csv(parts), rtol=1e-5)
        return
    with np.load(whole) as before, np.load(parts) as after:
        assert before.files == after.files
        for name in ("z", "z_std"):
            np.testing.assert_allclose(before[name], after[name], rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("chunked")
def test_an_interruption_leaves_what_was_there(
    table: Path, table_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "scores.csv"
    out.write_text("of yesterday\n")
    components, calls = anomaly.Reference.components, []

    def interrupted(*arguments: Any, **options: Any) -> object:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return components(*arguments, **options)

    monkeypatch.setattr(anomaly.Reference, "components", interrupted)
    assert main(["detect", str(table_model), str(table), "-o", str(out)]) == 130
    assert len(calls) == 2
    assert out.read_text() == "of yesterday\n"
    assert [path.name for path in tmp_path.iterdir()] == ["scores.csv"]


@pytest.mark.usefixtures("chunked")
def test_messages_say_in_which_chunk_a_row_is(
    run: Run, table: Path, table_model: Path, tmp_path: Path
) -> None:
    rows = pd.read_csv(table)
    rows.loc[65, "size"] = np.inf
    rows.to_csv(tmp_path / "inf.csv", index=False)
    done = run("detect", table_model, tmp_path / "inf.csv")
    assert done.code == 2
    assert "column 'size' has inf in row 5, counted from 0" in done.err
    assert f"(0 is row 60 of {tmp_path / 'inf.csv'})" in done.err


@pytest.mark.usefixtures("chunked")
def test_a_note_is_made_once(run: Run, table: Path, table_model: Path, tmp_path: Path) -> None:
    pd.read_csv(table).assign(extra=1).to_csv(tmp_path / "more.csv", index=False)
    done = run("detect", table_model, tmp_path / "more.csv")
    assert done.code == 0
    assert done.err.count("not fitted on column 'extra': ignored") == 1


@pytest.mark.slow
@pytest.mark.usefixtures("chunked")
def test_windows_see_the_whole_series(run: Run, tmp_path: Path) -> None:
    """A window must not end with a chunk."""
    load = np.sin(np.arange(200) / 4) + 0.1 * np.random.default_rng(0).normal(size=200)
    pd.DataFrame({"load": load}).to_csv(tmp_path / "series.csv", index=False)
    words = ["fit", str(tmp_path / "series.csv"), "-o", str(tmp_path / "model"), "--window", "8"]
    assert main([*words, *QUICK]) == 0
    done = run("detect", tmp_path / "model", tmp_path / "series.csv", "--json")
    assert done.object["rows"] == 200


@pytest.mark.slow
def test_a_database_is_fitted_and_scored_by_its_address(
    run: Run, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    duckdb = pytest.importorskip("duckdb", reason="pip install 'lowerbound[duckdb]'")
    path, model, out = tmp_path / "people.db", tmp_path / "model", tmp_path / "scores.csv"
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE TABLE people AS FROM read_csv('{table}')")
    source = f"duckdb:{path}?query=SELECT * FROM people ORDER BY size -- {'long ' * 60}"
    assert main(["fit", source, "-o", str(model), *QUICK, "--label", "kind"]) == 0
    monkeypatch.setattr(table_chunks, "MOST_ROWS", ROWS)
    done = run("detect", model, f"duckdb:{path}", "-o", out, "--json")
    assert done.object["rows"] == len(pd.read_csv(out)) == 80
    assert done.object["verdict"]["rows"] == 8  # the rows set aside are found again
    assert run("impute", model, source, "-o", tmp_path / "whole.csv").code == 0
    assert run("schema", source).code == 0
    done = run("detect", model, f"duckdb:{path}?table=peple")
    assert done.code == 2
    assert "Table with name peple does not exist" in done.err
