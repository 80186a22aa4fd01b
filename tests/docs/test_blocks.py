"""The Python on the pages runs, and does what the page says it does."""

from __future__ import annotations

import inspect
import types
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.applications.common import application
from lowerbound.applications.common.rows import ROW_FILES
from lowerbound.data import DATA_KINDS, load
from lowerbound.data.columns.kind import COLUMN_KINDS
from lowerbound.likelihoods import LIKELIHOODS
from lowerbound.models import MODELS
from lowerbound.networks import NETWORKS
from lowerbound.priors import PRIORS
from tests.data.columns.every_kind import (
    check_expectation,
    check_round_trip,
    check_slope,
    column_of,
)
from tests.docs.pages import DOCS, PAGES, blocks, name_of

WITH_PYTHON = [page for page in PAGES if blocks(page, "python") and page.name != "extending.md"]


def run(page: Path) -> dict[str, Any]:
    """Run a page's blocks from top to bottom in one namespace, and give it back."""
    module = types.ModuleType(f"docs.{page.stem}")
    namespace = vars(module)
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec", dont_inherit=True), namespace)
    return namespace


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(page)


def _is_abstract(member: object) -> bool:
    return bool(getattr(member, "__isabstractmethod__", False))


@pytest.fixture
def unregistered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Takes the worked example's parts out of the registries again, for other tests' sake."""
    monkeypatch.chdir(tmp_path)
    registries = (COLUMN_KINDS, DATA_KINDS, LIKELIHOODS, MODELS, NETWORKS, PRIORS, ROW_FILES)
    before = [set(registry) for registry in registries]
    yield
    for registry, names in zip(registries, before, strict=True):
        for name in set(registry) - names:
            del registry._parts[name]  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("unregistered")
def test_the_worked_example_of_extending_works() -> None:
    found = run(DOCS / "extending.md")
    vae, counts = found["vae"], found["counts"]
    likelihood = vae.model_.likelihood
    assert type(likelihood).__name__ == "Poisson"
    assert type(vae.model_.prior).__name__ == "LearnedNormal"
    rates = torch.tensor([0.3, 1.0, 2.5, 7.0]).log().reshape(1, 1, 4)
    emission = likelihood(rates)
    assert not [name for name, _ in inspect.getmembers(type(emission), _is_abstract)]
    every = torch.arange(60.0).reshape(60, 1).expand(60, 4)
    torch.testing.assert_close(emission.terms(every).exp().sum(1)[0], torch.ones(4))
    samples = vae.sample(200)
    assert (samples == samples.round()).all()
    assert (samples >= 0).all()
    assert abs(samples.mean(0) - counts.mean(0)).max() < 1.5
    assert np.isfinite(vae.score(counts))
    denoising = found["denoising"]
    assert (denoising.model.noise, denoising.options.model.network) == (0.2, "mlp")
    batch = load(counts).all().to(torch.float32)
    still = denoising.model.encode(batch).mean
    assert torch.equal(still, denoising.model.encode(batch).mean)  # no noise outside training
    assert not torch.equal(still, denoising.model.train().encode(batch).mean)
    assert not torch.equal(vae.model_.prior.loc, torch.zeros_like(vae.model_.prior.loc))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("unregistered")
def test_the_worked_column_kind_keeps_the_conventions() -> None:
    run(DOCS / "extending.md")
    powers = pd.Series(np.exp(np.random.default_rng(0).normal(size=200)), name="values")
    check_round_trip(powers, "power")
    check_slope(column_of(powers, "power"))
    check_expectation(column_of(powers, "power"))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("unregistered")
def test_the_worked_application_is_one() -> None:
    found = run(DOCS / "extending.md")
    report = found["report"]
    assert isinstance(report, application.Report)
    assert report.text().startswith("mean of 500 samples: ")
    assert len(report.to_mapping()["mean"]) == 4
