"""Sources by absolute paths."""

from __future__ import annotations

import pytest

from lowerbound.applications.common.sources import located, same_source


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a.csv", "/data/a.csv"),
        ("../a.csv", "/data/../a.csv"),
        ("/other/a.csv", "/other/a.csv"),
        ("digits", "digits"),
        ("duckdb:sales.db?table=t", "duckdb:////data/sales.db?table=t"),
        ("duckdb:///sales.db?query=select 1?", "duckdb:////data/sales.db?query=select 1?"),
        ("duckdb:////other/s.db?table=t", "duckdb:////other/s.db?table=t"),
        ("duckdb:?query=select 1", "duckdb:?query=select 1"),
    ],
)
def test_relative_paths_start_in_the_directory(source: str, expected: str) -> None:
    assert same_source(located(source, "/data"), expected)
    assert located(source, "") == source
