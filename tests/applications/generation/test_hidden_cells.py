"""Rows of two files keep what is known of their cells: a model that is exact for every pattern of
missing cells says which code each row has."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from lowerbound.applications.common.application import Silent
from lowerbound.applications.generation.arithmetic import open_labeled
from lowerbound.applications.generation.attributes import from_sets
from lowerbound.applications.generation.interpolate import interpolate
from lowerbound.applications.generation.requests import InterpolateRequest
from lowerbound.errors import OptionError
from lowerbound.fitting import FitOptions, Fitted
from lowerbound.training import History
from tests.evaluation.incomplete_rows import FEATURES, dataset_of, drawn, factors, model_of

FACTORS = factors()
NAMES = [f"x{index}" for index in range(FEATURES)]


@pytest.fixture
def fitted() -> Fitted:
    data = dataset_of(torch.zeros(2, FEATURES), torch.ones(2, FEATURES, dtype=torch.bool))
    return Fitted(model_of(FACTORS), data.schema, FitOptions(), History())


def written(path: Path, x: Tensor, observed: Tensor) -> Path:
    pd.DataFrame(x.where(observed, torch.nan).numpy(), columns=NAMES).to_csv(path, index=False)
    return path


def code(x: Tensor, observed: Tensor) -> Tensor:
    """E[z | the observed cells], by factor analysis."""
    return FACTORS.posterior(x.where(observed, 0.0), observed.double())[0]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Tensor, Tensor]:
    """Two files of rows, the first of which misses cells; their rows and masks."""
    x = drawn(FACTORS, 12)
    observed = torch.ones(12, FEATURES, dtype=torch.bool)
    observed[:6, 1] = observed[:3, 4] = False
    a = written(tmp_path / "a.csv", x[:6], observed[:6])
    return a, written(tmp_path / "b.csv", x[6:], observed[6:]), x, observed


def test_a_path_leads_from_the_code_of_what_was_observed(
    fitted: Fitted, files: tuple[Path, Path, Tensor, Tensor], tmp_path: Path
) -> None:
    a, b, x, observed = files
    request = InterpolateRequest("", str(a), str(tmp_path / "path.csv"), str(b), frames=3)
    interpolate(request, Silent(), fitted)
    found = torch.tensor(pd.read_csv(tmp_path / "path.csv")[NAMES].to_numpy())
    ends = code(x, observed)[[0, 6]]
    expected = ends @ FACTORS.weight.T + FACTORS.offset
    torch.testing.assert_close(found[[0, -1]], expected, rtol=1e-5, atol=1e-5)
    zero_filled = code(x.where(observed, 0.0), torch.ones_like(observed))[0]
    assert (zero_filled - ends[0]).norm() > 0.1


def test_rows_that_differ_by_a_hidden_cell_alone_differ(fitted: Fitted, tmp_path: Path) -> None:
    x = drawn(FACTORS, 1)
    x[0, 2] = 0.0  # what stands in for a hidden cell
    seen = torch.ones(1, FEATURES, dtype=torch.bool)
    hidden = seen.clone()
    hidden[0, 2] = False
    a, b = written(tmp_path / "a.csv", x, seen), written(tmp_path / "b.csv", x, hidden)
    out = str(tmp_path / "path.csv")
    interpolate(InterpolateRequest("", str(a), out, str(b)), Silent(), fitted)
    with pytest.raises(OptionError, match="are the same"):
        interpolate(InterpolateRequest("", str(b), out, str(b)), Silent(), fitted)


def test_a_classifier_of_two_files_is_given_what_was_observed(
    fitted: Fitted,
    files: tuple[Path, Path, Tensor, Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b, _, observed = files
    given = []
    monkeypatch.setattr(
        "lowerbound.applications.generation.attributes.fit_realism_classifier",
        lambda *parts, seed: given.extend(parts),
    )
    from_sets(fitted, open_labeled(str(a), fitted), (str(a), str(b)), "mean", 0, Silent())
    masks = torch.cat([part.mask for part in given])
    assert masks.sum() == observed.sum()
    assert [int(row) for row in (~masks).sum(0)] == [int(row) for row in (~observed).sum(0)]
