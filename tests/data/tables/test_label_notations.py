"""Labels that are numbers in a notation of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from lowerbound.data import load
from lowerbound.data.dataset import Dataset
from lowerbound.data.tables.chunks import read_chunks
from lowerbound.errors import DataError
from tests.data.tables.foreign_tables import german

VALUES = [900.25 + 47.5 * row for row in range(30)]
WRITTEN = {
    "german": [german(value) for value in VALUES],
    "commas": [german(value, group="") for value in VALUES],
    "euros": [f"{german(value)} \u20ac" for value in VALUES],
    "dollars": [f"${value:,.2f}" for value in VALUES],
    "percent": [f"{value:.2f}%" for value in VALUES],
    "plain": [f"{value:.2f}" for value in VALUES],
}
COMMAS = ("german", "commas", "euros")  # with decimal commas


def table(path: Path, cells: list[str], decimal: str) -> Path:
    rows = [f"{row % 7}{decimal}5;{cell}" for row, cell in enumerate(cells)]
    path.write_text("\n".join(["a;y", *rows]))
    return path


def targets(found: Dataset) -> Tensor:
    assert found.target is not None
    assert found.schema.target is not None
    return found.schema.target.restored(found.target)


@pytest.mark.filterwarnings("ignore:.*decimal commas")
@pytest.mark.parametrize("name", WRITTEN)
def test_a_model_reads_its_own_label_and_that_of_other_tables(name: str, tmp_path: Path) -> None:
    path = table(tmp_path / "x.csv", WRITTEN[name], "," if name in COMMAS else ".")
    fitted = load(path, label="y", regression=True)
    np.testing.assert_allclose(targets(fitted), VALUES)
    known = fitted.schema
    for other in (path, table(tmp_path / "plain.csv", WRITTEN["plain"], ".")):
        np.testing.assert_allclose(targets(load(other, schema=known)), VALUES)
        (chunk,) = read_chunks(other, known)
        np.testing.assert_allclose(targets(load(chunk.frame, schema=known)), VALUES)
    if name == "plain":
        commas = table(tmp_path / "commas.csv", WRITTEN["commas"], ",")
        np.testing.assert_allclose(targets(load(commas, schema=known)), VALUES)


def test_a_label_in_another_notation_is_named(tmp_path: Path) -> None:
    fitted = load(table(tmp_path / "x.csv", WRITTEN["dollars"], "."), label="y", regression=True)
    wrong = table(tmp_path / "y.csv", [*WRITTEN["dollars"][:-1], "12 kg"], ".")
    with pytest.raises(DataError, match=r"column 'y' holds numbers .*row 29: '12 kg'"):
        load(wrong, schema=fitted.schema)


@pytest.mark.filterwarnings("ignore:.*decimal commas")
@pytest.mark.parametrize("name", WRITTEN)
def test_fractions_are_no_classes(name: str, tmp_path: Path) -> None:
    path = table(tmp_path / "x.csv", WRITTEN[name], "," if name in COMMAS else ".")
    with pytest.raises(DataError, match=r"the label holds numbers such as \d+\.25, not classes"):
        load(path, label="y")


def test_whole_numbers_may_be_classes(tmp_path: Path) -> None:
    found = load(table(tmp_path / "x.csv", ["$1,000", "$500", "$1"] * 10, "."), label="y")
    assert found.schema.class_names == ("$1", "$1,000", "$500")
