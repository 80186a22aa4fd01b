"""Parquet files come back with the types that pandas does not tell."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lowerbound.applications.common.columnar_files import columnar
from lowerbound.cli.main import main
from lowerbound.data import load, to_frame
from lowerbound.data.tables.arrow import in_arrow_types
from lowerbound.data.tables.text_form import TextForm

ROWS = 120


def table(gaps: bool) -> pa.Table:
    random = np.random.default_rng(0)
    cents = random.integers(0, 10**6, ROWS)
    code = [2**63 + 7 + int(each) for each in random.integers(0, 3, ROWS)]
    names = [f"n{each}" for each in random.permutation(ROWS)]
    columns = {
        "x": pa.array(random.normal(size=ROWS)),
        "word": pa.array(random.choice(["a", "b", "c"], ROWS), pa.string()),
        "wide": pa.array(random.choice(["a", "b", "c"], ROWS), pa.large_string()),
        "paid": pa.array([Decimal(int(each)) / 100 for each in cents], pa.decimal128(12, 2)),
        "whole": pa.array([Decimal(int(each)) for each in cents], pa.decimal128(9, 0)),
        "time": pa.array(random.integers(0, 10**6, ROWS), pa.duration("s")),
        "code": pa.array(code, pa.uint64()),
        "name": pa.array(names, pa.string()),  # left out of the model
    }
    if gaps:
        gone = random.random(ROWS) < 0.1
        for name in ("word", "paid", "time", "code"):
            cells = [None if g else cell for g, cell in zip(gone, columns[name], strict=True)]
            columns[name] = pa.array(cells, columns[name].type)
    return pa.table(columns)


def test_numbers_become_decimals_where_no_digit_is_lost() -> None:
    kind = "decimal128(5, 2)"
    for cells, expected in (
        (pa.array([1.25, None, 0.35]), [Decimal("1.25"), None, Decimal("0.35")]),
        (pa.array([7, None]), [Decimal("7.00"), None]),
        (pa.array([1.2501]), None),
        (pa.array([12345.5]), None),
        (pa.array([123456]), None),
        (pa.array(["1.25"]), None),
    ):
        made = in_arrow_types(pa.table({"v": cells}), {"v": kind, "other": kind})["v"]
        assert made.to_pylist() == (cells.to_pylist() if expected is None else expected)
        assert str(made.type) == (str(cells.type) if expected is None else kind)


def test_a_later_part_with_more_digits_makes_a_column_of_floats(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with columnar(path, TextForm(types={"v": "decimal128(5, 2)"})) as file:
        file.add({"v": np.array([1.25, 0.35])})
        file.add({"v": np.array([1.2501])})
    assert pq.read_table(path)["v"].to_pylist() == [1.25, 0.35, 1.2501]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("gaps", [False, True])
def test_commands_write_the_types_of_the_file(gaps: bool, tmp_path: Path) -> None:
    given, model = tmp_path / "given.parquet", str(tmp_path / "model")
    pq.write_table(table(gaps), given)
    assert main(["fit", str(given), "-o", model, "--updates", "2"]) == 0
    for command in ("sample", "synthesize", "impute"):
        made = tmp_path / f"{command}.parquet"
        more = [str(given), "--strategy", "sample"] if command == "impute" else ["-n", "50"]
        assert main([command, model, *more, "-o", str(made)]) == 0
        kinds = {field.name: field.type for field in pq.read_schema(made)}
        own = {field.name: field.type for field in pq.read_schema(given)}
        assert kinds == {name: own[name] for name in kinds}
        assert len(kinds) == len(own) - (command != "impute")
    for name, cells in table(gaps).to_pydict().items():
        filled = pq.read_table(made)[name].to_pylist()
        assert None not in filled
        assert all(a == b for a, b in zip(cells, filled, strict=True) if a is not None)


def test_codes_above_the_largest_signed_number_are_exact(tmp_path: Path) -> None:
    path = tmp_path / "codes.csv"
    codes = ["", 2**63 + 7, 2**63 + 8] * 3
    path.write_text("x,code\n" + "".join(f"{i / 7},{each}\n" for i, each in enumerate(codes)))
    dataset = load(path)
    assert dataset.schema.columns[1].levels == (2**63 + 7, 2**63 + 8)
    back = to_frame(dataset.schema, dataset.schema.units(dataset.x))["code"]
    assert set(back.dropna()) == {2**63 + 7, 2**63 + 8}
