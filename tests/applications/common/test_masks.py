"""What is not a mask of the rows, and how the message says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lowerbound.applications.common.masks import read_mask
from lowerbound.data import load
from lowerbound.errors import DataError


def test_sides_are_named_because_a_rectangle_has_the_height_first() -> None:
    schema = load(np.arange(120, dtype=np.uint8).reshape(2, 4, 15)).schema
    assert read_mask(Path("1,2,3,4"), schema, 2).sum() == 2 * 3 * 4
    with pytest.raises(DataError, match="does not lie in pictures 4 pixels high and 15 wide"):
        read_mask(Path("1,2,4,4"), schema, 2)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    schema = load(np.arange(120, dtype=np.uint8).reshape(2, 4, 15)).schema
    with pytest.raises(DataError, match=r"^there is no file .*none\.png, which should be a mask$"):
        read_mask(tmp_path / "none.png", schema, 2)
