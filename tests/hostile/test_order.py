"""The order of rows, and how many are worked on at a time, change results by rounding only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from lowerbound.data import Dataset, load
from lowerbound.errors import UnsupportedError
from lowerbound.fitting import folder as model_folder
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.likelihood import score
from lowerbound.models import Model
from tests.fixtures.cases import FOLDER, FOLDERS

Measure = Callable[[Model, Dataset, int], Tensor]
LARGE = 1 << 30
NAMES = [folder.name for folder in FOLDERS]
DATA = {folder.name: folder.data for folder in FOLDERS}


def _codes(model: Model, rows: Dataset, memory: int) -> Tensor:
    return encode_rows(model, rows, memory=memory).mean


def _bounds(model: Model, rows: Dataset, memory: int) -> Tensor:
    return score(model, rows, samples=3, seed=1, memory=memory).bound


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("measure", [_codes, _bounds])
def test_each_row_has_its_own_result(name: str, measure: Measure) -> None:
    fitted = model_folder.read(FOLDER / "models" / name)
    rows = load(str(FOLDER / "data" / DATA[name]), schema=fitted.schema)
    rows = rows.subset(list(range(min(12, len(rows)))))
    order = np.random.default_rng(0).permutation(len(rows)).tolist()
    try:
        expected = measure(fitted.model, rows, LARGE)
    except UnsupportedError as error:
        pytest.skip(str(error))
    if torch.isnan(expected).all():
        pytest.skip("it has no bound")
    mixed = measure(fitted.model, rows.subset(order), LARGE)
    alone = measure(fitted.model, rows, 1)
    torch.testing.assert_close(mixed, expected[order], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(alone, expected, rtol=1e-4, atol=1e-4)
