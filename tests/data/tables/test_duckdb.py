"""Tables of a DuckDB database: the same rows as from Parquet, and its errors in one sentence."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound import VAE, VAEDetector
from lowerbound.data import load
from lowerbound.data.tables.chunks import read_chunks
from lowerbound.data.tables.duckdb import Address
from lowerbound.data.tables.on_disk import load_on_disk
from lowerbound.errors import DataError, MissingExtraError

duckdb = pytest.importorskip("duckdb", reason="pip install 'lowerbound[duckdb]'")


@pytest.fixture
def people() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    size = rng.normal(170.0, 10.0, 60)
    size[3] = np.nan
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, 60), "D")
    names = rng.choice(["north", "east", "south"], 60)
    return pd.DataFrame(
        {
            "size": size,
            "n": rng.integers(0, 50, 60),
            "region": names,
            "day": days,
            "odd": size > 175,
        }
    )


@pytest.fixture
def database(people: pd.DataFrame, tmp_path: Path) -> Path:
    """A database of one table."""
    path = tmp_path / "people.db"
    with duckdb.connect(str(path)) as connection:
        connection.register("given", people)
        connection.execute("CREATE TABLE people AS SELECT * FROM given")
    return path


def test_a_table_is_what_it_is_as_parquet(
    people: pd.DataFrame, database: Path, tmp_path: Path
) -> None:
    people.to_parquet(tmp_path / "people.parquet")
    expected = load(tmp_path / "people.parquet")
    columns = tuple(replace(column, arrow_type="") for column in expected.schema.columns)
    schema = replace(expected.schema, columns=columns)  # a database has types of its own
    whole = (f"duckdb:{database}", f"duckdb:///{database}?table=people")
    for source in (*whole, f"duckdb:{database}?query=SELECT * FROM people"):
        found = load(source)
        assert found.schema == schema
        assert torch.equal(found.x, expected.x)
        assert found.observed is not None
        assert expected.observed is not None
        assert torch.equal(found.observed, expected.observed)
    files = f"duckdb:?query=SELECT * FROM '{tmp_path}/*.parquet'"
    assert torch.equal(load(files).x, expected.x)


def test_a_query_is_taken_as_it_is(database: Path) -> None:
    query = "SELECT size, n FROM people WHERE region LIKE '%th' AND n <> 3 ORDER BY n, size"
    found = load(f"duckdb:{database}?query={query}")
    assert [column.name for column in found.schema.columns] == ["size", "n"]
    assert 10 < len(found) < 60


def test_decimals_and_sums_are_numbers_and_dates_are_dates(database: Path) -> None:
    query = (
        "SELECT (size / 10)::DECIMAL(9, 3) AS tenth, sum(n) OVER (ORDER BY day, n) AS run, "
        "day::DATE AS day, (n > 20)::INT AS flag FROM people"
    )
    found = load(f"duckdb:{database}?query={query}").schema.columns
    kinds = {column.name: column.kind for column in found}
    assert kinds["tenth"] == "real"
    assert kinds["run"] in ("real", "positive")
    assert kinds["day"] == "datetime"
    assert kinds["flag"] == "binary"


def test_chunks_are_the_table(database: Path) -> None:
    source = f"duckdb:{database}?query=SELECT * FROM people ORDER BY day, size"
    whole = load(source)
    parts = [load(c.frame, schema=whole.schema).x for c in read_chunks(source, whole.schema, 2048)]
    assert torch.equal(torch.cat(parts), whole.x)


@pytest.mark.slow
def test_a_relation_is_a_table(people: pd.DataFrame, database: Path) -> None:
    with duckdb.connect(str(database), read_only=True) as connection:
        relation = connection.sql("SELECT * FROM people")
        assert torch.equal(load(relation).x, load(people).x)
        model = VAE(epochs=1, random_state=0).fit(relation)
        assert list(model.feature_names_in_) == list(people.columns)
        np.testing.assert_array_equal(model.score_samples(relation), model.score_samples(people))
        detector = VAEDetector(epochs=1, random_state=0, false_alarm_rate=0.2).fit(relation)
        assert detector.anomaly_score(relation).shape == (60,)


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("?table=peple", "Table with name peple does not exist"),
        ("?query=SELEC 1", 'syntax error at or near "SELEC"'),
        ("?query=SELECT colour FROM people", 'Referenced column "colour" not found'),
        ("?query=DROP TABLE people", "read-only"),
        ("?query=SELECT [1, 2] AS pair FROM people", "'pair' (list<"),
        ("?query=", "is not the address of a table: write duckdb:FILE"),
        ("?tabel=people", "is not the address of a table: write duckdb:FILE"),
        ("?query=SELECT * FROM people WHERE n < 0", "is empty: 0 rows"),
    ],
)
def test_what_the_database_cannot_answer_is_one_sentence(
    database: Path, rest: str, words: str
) -> None:
    with pytest.raises(DataError) as raised:
        load(f"duckdb:{database}{rest}")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("database_too", [True, False])
@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1 AS a) TO '{folder}/stolen.csv'",
        "SELECT 1 AS a; COPY (SELECT 1 AS a) TO '{folder}/stolen.csv'",
        "EXPORT DATABASE '{folder}/stolen'",
        "ATTACH '{folder}/stolen.db'; CREATE TABLE stolen.t AS SELECT 1 AS a",
        "SET enable_external_access = true",
        "SELECT * FROM 'https://127.0.0.1:9/rows.csv'",
        "INSTALL httpfs",
    ],
)
def test_a_query_only_reads(query: str, database_too: bool, database: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    file = database if database_too else ""
    with pytest.raises(DataError):
        load(f"duckdb:{file}?query={query.format(folder=tmp_path)}")
    assert sorted(tmp_path.iterdir()) == before


def test_a_query_of_a_database_reads_no_other_file(database: Path, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a\n1\n2\n")
    query = f"query=SELECT * FROM '{tmp_path}/other.csv'"
    with pytest.raises(DataError, match="Permission Error: Cannot access file"):
        load(f"duckdb:{database}?{query}")
    assert len(load(f"duckdb:?{query}")) == 2


def test_a_database_that_is_none_is_refused(tmp_path: Path, database: Path) -> None:
    with pytest.raises(DataError, match="there is no database"):
        load(f"duckdb:{tmp_path / 'none.db'}")
    (tmp_path / "text.db").write_text("rows, and no database\n" * 100)
    with pytest.raises(DataError, match="not a valid DuckDB database file"):
        load(f"duckdb:{tmp_path / 'text.db'}")
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE TABLE pets (name TEXT)")
    with pytest.raises(DataError, match=r"the database has 2 tables \(people, pets\); choose one"):
        load(f"duckdb:{database}")


def test_the_missing_library_is_named(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingExtraError, match=r"run: pip install 'lowerbound\[duckdb\]'"):
        load(f"duckdb:{database}")


def test_an_address_keeps_what_follows_the_first_mark() -> None:
    found = Address.read("duckdb:a.db?query=SELECT b = 1 FROM c WHERE d LIKE '?%'")
    assert found == Address("a.db", query="SELECT b = 1 FROM c WHERE d LIKE '?%'")
    assert Address.read("duckdb:////data/a.db").file == "/data/a.db"


def test_a_folder_in_parts_is_read_by_the_address_in_its_message(tmp_path: Path) -> None:
    rng, folder = np.random.default_rng(0), tmp_path / "it's"
    for part in range(2):
        place = folder / f"part={part}"
        place.mkdir(parents=True)
        pd.DataFrame({"size": rng.normal(size=30)}).to_parquet(place / "rows.parquet")
    with pytest.raises(DataError, match="in subfolders NAME=VALUE, such as part=0") as refused:
        load(folder)
    data = load(str(refused.value).split('"')[1])
    assert [column.name for column in data.schema.columns] == ["size", "part"]
    assert len(data) == 60
    with pytest.raises(DataError, match=r"in DuckDB by COPY \(SELECT") as refused:
        load_on_disk(folder, tmp_path / "cache")
    copied = str(refused.value).partition(" by ")[2]
    duckdb.sql(copied.replace("table.parquet", str(tmp_path / "table.parquet")))
    assert len(load_on_disk(tmp_path / "table.parquet", tmp_path / "cache")) == 60
