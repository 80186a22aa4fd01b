"""A likelihood as somebody would add it: an emission and a class, registered while the program
runs, then fitted, looked at, measured, sampled and used to find odd rows. No other file knows
it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import poisson
from torch import Tensor

from lowerbound.cli import main
from lowerbound.errors import DataError
from lowerbound.fitting.folder import read
from lowerbound.likelihoods import LIKELIHOODS, Likelihood
from lowerbound.trace import Emission

RATES = np.array([1.0, 4.0, 9.0])
ROWS = 400


class ToyEmission(Emission):
    """log P(x) = x l - exp(l) - log x!, from the log-rate l (samples, batch, *event)."""

    def __init__(self, log_rate: Tensor) -> None:
        self.log_rate = log_rate
        super().__init__(log_rate.shape[:2], log_rate.shape[2:], validate_args=False)

    def _terms(self, x: Tensor) -> Tensor:
        return x * self.log_rate - self.log_rate.exp() - torch.lgamma(x + 1)

    @property
    def mean(self) -> Tensor:
        return self.log_rate.exp()

    @property
    def variance(self) -> Tensor:
        return self.log_rate.exp()

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        return torch.poisson(self.mean.expand(sample_shape + self.log_rate.shape))


class ToyCounts(Likelihood):
    """Counts: whole numbers from 0 up without an upper end."""

    mass = True

    def forward(self, parameters: Tensor) -> ToyEmission:
        return ToyEmission(*self.split(parameters))

    def check(self, x: Tensor) -> None:
        if not bool(((x >= 0) & (x == x.round())).all()):
            raise DataError("toy counts are whole numbers from 0 up")

    def initial_bias(self, x: Tensor) -> Tensor:
        return x.float().mean(0).clamp_min(0.01).log()


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    LIKELIHOODS.register("toy_counts")(ToyCounts)
    yield
    del LIKELIHOODS._parts["toy_counts"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Independent counts at the rates."""
    counts = np.random.default_rng(0).poisson(RATES, (ROWS, 3))
    pd.DataFrame(counts, columns=["a", "b", "c"]).to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path / "rows.csv"


def run(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What a command shows; it has to end well."""
    code = main([str(word) for word in words])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    return shown.out + shown.err


@pytest.mark.slow
def test_it_goes_through_every_command(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "toy.lb"
    named = ("--likelihood", "toy_counts", "--no-standardize", "--network", "mlp")
    rest = ("--latent-dim", "1", "--updates", "2000", "--learning-rate", "0.01")
    said = run(capsys, "fit", data, "-o", folder, *named, *rest, "--samples", "20")
    assert "likelihood toy_counts" in said
    assert "VAE" in (folder / "report.html").read_text(encoding="utf-8")
    assert "likelihood p(x | z): toy_counts" in (folder / "MODEL_CARD.md").read_text()
    assert isinstance(read(folder).model.declared_likelihood, ToyCounts)

    assert "likelihood toy_counts" in run(capsys, "info", folder)

    evaluated = run(capsys, "evaluate", folder, data, "--samples", "20", "--json")
    scores = json.loads(evaluated.splitlines()[0])["findings"]["likelihood"]
    truth = poisson.logpmf(pd.read_csv(data).to_numpy(), RATES).sum(1).mean()
    assert scores["bound"]["mean"] == pytest.approx(truth, abs=0.1)
    assert scores["bits_per_dimension"] is not None  # it says that it is a mass

    run(capsys, "sample", folder, "-n", "4000", "-o", tmp_path / "new.csv")
    made = pd.read_csv(tmp_path / "new.csv").to_numpy()
    assert (made == made.round()).all()
    assert made.min() >= 0
    np.testing.assert_allclose(made.mean(0), RATES, rtol=0.1)

    rows = pd.read_csv(data)
    rows.loc[7] = 40  # a row that the rates do not explain
    rows.to_csv(tmp_path / "with.csv", index=False)
    run(capsys, "detect", folder, tmp_path / "with.csv", "-o", tmp_path / "odd.csv")
    odd = pd.read_csv(tmp_path / "odd.csv")
    assert int(odd["row"][odd["score"].idxmax()]) == 7


def test_what_it_refuses_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.DataFrame({"a": [0.5, 1.5, 2.5] * 20, "b": [1.0, 2.0, 4.0] * 20}).to_csv(
        tmp_path / "rows.csv", index=False
    )
    words = ["fit", str(tmp_path / "rows.csv"), "-o", str(tmp_path / "toy.lb"), "--no-report"]
    assert main([*words, "--likelihood", "toy_counts", "--no-standardize"]) == 2
    assert "toy counts are whole numbers" in capsys.readouterr().err


def test_an_emission_that_lacks_a_method_is_refused_where_it_is_written() -> None:
    with pytest.raises(TypeError, match="Unfinished is an Emission without _sample: write each"):

        class Unfinished(Emission):
            _terms = ToyEmission._terms
            mean = ToyEmission.mean
            variance = ToyEmission.variance
