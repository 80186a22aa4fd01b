"""impute, sample, reconstruct and classify on tables in chunks: the same answers, flat memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.common import requested_rows
from lowerbound.applications.restoration import impute
from lowerbound.cli import main
from lowerbound.data.tables import chunks as table_chunks
from tests.cli.conftest import Run, fitted

ROWS = 30  # of a chunk
Array = np.ndarray[Any, Any]


def people(rows: int = 100) -> pd.DataFrame:
    """Columns of several kinds with cells missing, some from the second chunk on only."""
    rng = np.random.default_rng(0)
    size = rng.normal(170.0, 10.0, rows).round(2)
    frame = pd.DataFrame(
        {
            "size": size,
            "weight": (size / 2 - 15 + rng.normal(size=rows)).round(2),
            "visits": rng.poisson(3.0, rows),
            "age": rng.integers(18, 80, rows),
            "town": rng.choice(["Graz", "Linz", "Wien"], rows),
        }
    )
    holes = rng.random(frame.shape) < 0.2
    holes[:ROWS, list(frame).index("age")] = False
    return frame.mask(holes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """people.csv and people.parquet, and a model of them."""
    place = tmp_path_factory.mktemp("people")
    people().to_csv(place / "people.csv", index=False)
    people().to_parquet(place / "people.parquet", row_group_size=25, index=False)
    fitted(place / "people.csv", place / "m")
    return place


def read(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)


@pytest.mark.parametrize("source", ["people.csv", "people.parquet"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_imputed_means_do_not_depend_on_the_chunks(
    run: Run,
    folder: Path,
    tmp_path: Path,
    source: str,
    suffix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, parts = (tmp_path / f"{name}{suffix}" for name in ("whole", "parts"))
    words = ("impute", folder / "m", folder / source, "--samples", 20, "--json", "-o")
    before = run(*words, whole).object
    monkeypatch.setattr(table_chunks, "MOST_ROWS", ROWS)
    after = run(*words, parts).object
    pd.testing.assert_frame_equal(read(whole), read(parts), rtol=1e-6)
    if suffix == ".csv":  # observed cells and their order are the same bytes
        seen = people().notna().to_numpy()
        old, new = (pd.read_csv(path, dtype=str).to_numpy() for path in (whole, parts))
        assert (old[seen] == new[seen]).all()
    same = ("rows", "incomplete", "filled", "strategy")
    assert [before[name] for name in same] == [after[name] for name in same]
    assert before["effective_sample_size"] == pytest.approx(after["effective_sample_size"])


def test_parts_of_a_table_have_noise_of_their_own(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows twice, a chunk each: draws of cells repeat only by chance."""
    rows = people(ROWS)
    pd.concat([rows, rows]).to_csv(tmp_path / "twice.csv", index=False)
    monkeypatch.setattr(table_chunks, "CELLS", 1)
    monkeypatch.setattr(table_chunks, "FEWEST_ROWS", ROWS)
    words = ("--draws", 2, "--samples", 20, "--json", "-o", tmp_path / "out.csv")
    report = run("impute", folder / "m", tmp_path / "twice.csv", *words).object
    assert report["files_written"] == 3
    assert set(report["widths"]) == {"size", "weight", "visits"}
    gone = rows["size"].isna().to_numpy()
    for number in (1, 2):
        drawn = pd.read_csv(tmp_path / f"out-{number}.csv")["size"].to_numpy()
        # trees draw equal cells for equal rows
        assert (drawn[:ROWS][gone] != drawn[ROWS:][gone]).mean() > 0.5
        assert (drawn[:ROWS][~gone] == drawn[ROWS:][~gone]).all()


def test_columns_keep_one_type_and_their_text(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a column whose first chunk looks like numbers, or is empty, and whose last is short."""
    rows = people(ROWS + 3)
    rows["code"] = [*(f"{n:03d}" for n in range(ROWS)), "x1", "x2", "x3"]
    rows["note"] = [*[None] * ROWS, "late", "later", None]
    rows["age"] = rows["age"].where(rows.index != ROWS + 1, np.nan)
    rows.to_csv(tmp_path / "odd.csv", index=False)
    monkeypatch.setattr(table_chunks, "MOST_ROWS", ROWS)
    for suffix in (".csv", ".parquet"):
        out = tmp_path / f"out{suffix}"
        done = run("impute", folder / "m", tmp_path / "odd.csv", "--samples", 5, "-o", out)
        assert done.code == 0, done.err
        found = pd.read_csv(out, dtype=str) if suffix == ".csv" else pd.read_parquet(out)
        assert found["code"].tolist() == rows["code"].tolist()
        assert found["note"].tolist()[ROWS : ROWS + 2] == ["late", "later"]
        assert found["note"].isna().sum() == ROWS + 1


@pytest.mark.slow
def test_a_short_last_chunk_writes_levels_as_the_file_does(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    level = rng.choice(["01", "02", "03"], 61)
    level[60] = ""
    rows = pd.DataFrame({"size": rng.normal(size=61), "level": level})
    rows.to_csv(tmp_path / "t.csv", index=False)
    fitted(tmp_path / "t.csv", tmp_path / "m", "--kind", "level=ordinal")
    monkeypatch.setattr(table_chunks, "MOST_ROWS", ROWS)
    out = tmp_path / "out.csv"
    assert run("impute", tmp_path / "m", tmp_path / "t.csv", "--samples", 5, "-o", out).code == 0
    assert pd.read_csv(out, dtype=str)["level"].iloc[60] in ("01", "02", "03")


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_reconstructions_do_not_depend_on_the_chunks(
    run: Run, folder: Path, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = (tmp_path / f"{name}{suffix}" for name in ("whole", "parts"))
    words = ("reconstruct", folder / "m", folder / "people.csv", "--uncertainty", "--json", "-o")
    before = run(*words, whole).object
    monkeypatch.setattr(table_chunks, "MOST_ROWS", ROWS)
    after = run(*words, parts).object
    for name in ("rows", "explained", "uncertainty"):
        assert before[name] == pytest.approx(after[name], rel=1e-6)
    if suffix != ".npz":
        pd.testing.assert_frame_equal(read(whole), read(parts), rtol=1e-6)
        return
    with np.load(whole) as old, np.load(parts) as new:
        assert old.files == new.files
        for name in old.files:
            np.testing.assert_allclose(old[name], new[name], rtol=1e-5)


def test_classes_do_not_depend_on_the_chunks(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    sick = np.arange(80) % 2
    rows = pd.DataFrame({"a": rng.normal(size=80) + 2 * sick, "b": rng.normal(size=80)})
    rows["state"] = np.where(np.arange(80) < 40, np.where(sick, "sick", "well"), "")
    rows.to_csv(tmp_path / "rows.csv", index=False)
    words = ("--label", "state", "--model", "semi_supervised", "--folds", "0")
    fitted(tmp_path / "rows.csv", tmp_path / "m", *words)
    whole, parts = (tmp_path / f"{name}.csv" for name in ("whole", "parts"))
    words = ("classify", tmp_path / "m", tmp_path / "rows.csv", "--suggest", 7, "--json", "-o")
    before = run(*words, whole).object
    monkeypatch.setattr(table_chunks, "MOST_ROWS", ROWS)
    after = run(*words, parts).object
    pd.testing.assert_frame_equal(pd.read_csv(whole), pd.read_csv(parts), rtol=1e-6)
    assert after["counts"] == before["counts"]
    assert after["labeled"] == before["labeled"] == 40
    assert [q["row"] for q in after["questions"]] == [q["row"] for q in before["questions"]]
    assert after["judged"] == pytest.approx(before["judged"], rel=1e-6)


def test_an_interrupted_imputation_leaves_what_was_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_chunks, "CELLS", 1)
    monkeypatch.setattr(table_chunks, "FEWEST_ROWS", ROWS)
    (tmp_path / "out.csv").write_text("of yesterday\n")
    fill, calls = impute.fill, []

    def interrupted(*arguments: Any, **more: Any) -> Any:
        calls.append(more["first"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fill(*arguments, **more)

    monkeypatch.setattr(impute, "fill", interrupted)
    words = ["impute", str(folder / "m"), str(folder / "people.csv"), "--samples", "5"]
    assert main([*words, "-o", str(tmp_path / "out.csv"), "--draws", "1"]) == 130
    assert calls == [0, ROWS, 2 * ROWS]
    assert (tmp_path / "out.csv").read_text() == "of yesterday\n"
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"out.csv", "out.csv.unfinished"}  # the latter for --resume


def test_chunks_are_let_go(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the table is: the first chunk, the last one, and the one that is read."""
    pd.concat([people()] * 3).to_csv(tmp_path / "long.csv", index=False)
    monkeypatch.setattr(table_chunks, "MOST_ROWS", ROWS)
    seen: list[weakref.ref[Any]] = []
    alive: list[int] = []
    read_chunks = requested_rows.read_chunks

    def watched(*arguments: Any, **more: Any) -> Iterator[Any]:
        for chunk in read_chunks(*arguments, **more):
            gc.collect()
            alive.append(sum(one() is not None for one in seen))
            seen.append(weakref.ref(chunk.frame))
            yield chunk

    monkeypatch.setattr(requested_rows, "read_chunks", watched)
    gc.freeze()  # what is there already takes long to look through
    for command in ("impute", "reconstruct"):
        seen.clear()
        alive.clear()
        words = [command, str(folder / "m"), str(tmp_path / "long.csv")]
        words += ["--samples", "2"] if command == "impute" else []
        assert main([*words, "-o", str(tmp_path / "out.parquet")]) == 0
        assert len(alive) == 10
        assert max(alive) <= 3, command
    gc.unfreeze()


def test_bad_rows_of_a_later_chunk_are_a_sentence(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_chunks, "MOST_ROWS", ROWS)
    out = tmp_path / "out.csv"
    rows = people()
    rows.loc[65, "size"] = np.inf
    rows.to_csv(tmp_path / "inf.csv", index=False)
    people().drop(columns="size").to_csv(tmp_path / "less.csv", index=False)
    people().head(0).to_csv(tmp_path / "none.csv", index=False)
    whole = (folder / "people.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    expected = {
        "inf.csv": f"(0 is row 60 of {tmp_path / 'inf.csv'})",
        "less.csv": "column 'size' missing",
        "none.csv": "the table is empty",
        "cut.parquet": "cannot be read as parquet",
    }
    for name, words in expected.items():
        for command in ("impute", "reconstruct"):
            done = run(command, folder / "m", tmp_path / name, "-o", out)
            assert done.code == 2, name
            assert words in " ".join(done.err.split()), (name, done.err)
    assert not out.exists()


def test_progress_counts_the_rows_of_the_table(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_chunks, "MOST_ROWS", ROWS)
    done = run("impute", folder / "m", folder / "people.csv", "-o", tmp_path / "out.csv")
    assert "imputing: 100 of 100  " in done.err
    assert " per second" in done.err
