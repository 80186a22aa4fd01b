"""A model as somebody would add it: one class, registered while the program runs, and then fitted,
looked at, measured, sampled, used to find odd rows, and shown on a page. No other file knows it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import Parameter

from lowerbound import ProbabilisticPCA
from lowerbound.cli import main
from lowerbound.config import option
from lowerbound.data import Dataset
from lowerbound.data.schema import Schema
from lowerbound.distributions.reparameterization import diagonal_normal
from lowerbound.errors import OptionError
from lowerbound.fitting.folder import read
from lowerbound.likelihoods import Likelihood
from lowerbound.models import MODELS, Model
from lowerbound.models.options import ModelOptions
from lowerbound.models.parts import ModelParts
from lowerbound.trace import Batch, Choose, Draw, Emission, Step, Trace, fold

ROWS = 120
DRAW = Draw()


@dataclass(frozen=True)
class ToyOptions:
    """What can be said about it."""

    start_scale: float = option(0.1, "standard deviation of the first weights")


class Toy(Model):
    """z ~ N(0, I), x | z by a likelihood around W z + b, and q(z | x) of one linear layer."""

    title: ClassVar[str] = "toy model"
    Options: ClassVar[type[Any]] = ToyOptions
    uses: ClassVar[tuple[str, ...]] = ("likelihood",)
    remark: ClassVar[str] = "linear both ways"
    numbers_only: ClassVar[bool] = True

    def __init__(self, features: int, latent_dim: int, likelihood: Likelihood, scale: float):
        super().__init__()
        self.latent_dim, self.likelihood = latent_dim, likelihood
        self.encoder = nn.Linear(features, latent_dim)
        self.decoder = nn.Linear(latent_dim, likelihood.parameter_shape[0])
        self.log_scale = nn.Parameter(torch.zeros(latent_dim))
        nn.init.normal_(self.decoder.weight, std=scale)

    @classmethod
    def check(cls, schema: Schema, options: ModelOptions) -> None:
        if len(schema.event_shape) != 1 or options.conditional:
            raise OptionError("a toy takes rows of columns, and no class: choose vae")

    @classmethod
    def latent_dim_of(cls, schema: Schema, options: ModelOptions) -> int:
        return options.latent_dim or 1

    @classmethod
    def build(cls, parts: ModelParts) -> Toy:
        own = parts.own(ToyOptions)
        features = parts.schema.dimension
        return cls(features, parts.latent_dim, parts.likelihood(), own.start_scale)

    def start(self, dataset: Dataset) -> None:
        x = self.start_at_marginals(dataset.all())
        self.decoder.bias.data.copy_(x.mean(0))

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        if batch.x is None:
            return self.imagine(batch, choose)
        return self._pass(self.encode(batch), len(batch), choose)

    def imagine(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        return self._pass(None, len(batch), choose)

    def encode(self, batch: Batch) -> Distribution:
        loc = self.encoder(batch.filled).unsqueeze(0)
        return diagonal_normal(loc, self.log_scale.exp().expand_as(loc))

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Emission:
        emission: Emission = self.likelihood(fold(lambda rows, _: self.decoder(rows), z))
        return emission

    def prior_distribution(self) -> Distribution:
        zeros = self.log_scale.new_zeros(1, 1, self.latent_dim)
        return diagonal_normal(zeros, torch.ones_like(zeros))

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        generative = [*self.decoder.parameters(), *self.likelihood.parameters()]
        return {"inference": [*self.encoder.parameters(), self.log_scale], "generative": generative}

    def _pass(self, posterior: Distribution | None, rows: int, choose: Choose) -> Trace:
        prior = self.prior_distribution().expand(torch.Size((1, rows)))
        z = choose(0, posterior, prior)
        return Trace((Step(z, posterior, prior),), self.decode(z))


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    MODELS.register("toy")(Toy)
    yield
    del MODELS._parts["toy"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Rows along a line."""
    rng = np.random.default_rng(0)
    along = rng.normal(size=(ROWS, 1)) @ np.array([[2.0, -1.0, 0.5]])
    frame = pd.DataFrame(along + 0.1 * rng.normal(size=(ROWS, 3)), columns=["a", "b", "c"])
    frame.to_csv(tmp_path / "rows.csv", index=False)
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
    named = ("--model", "toy", "--set", "model.start_scale=0.5", "--no-standardize")
    long = ("--updates", "1000", "--learning-rate", "0.02", "--weight-average", "0")
    said = run(capsys, "fit", data, "-o", folder, *named, *long, "--samples", "20", "--compare")
    assert "model: toy, 1 latent number" in said
    assert "linear both ways" in said
    assert "likelihood gaussian" in said

    page = (folder / "report.html").read_text(encoding="utf-8")
    for title in ("toy model", "VAE", "autoencoder", "PCA"):
        assert title in page
    assert "Toy model with 1 latent number" in (folder / "MODEL_CARD.md").read_text()

    shown = run(capsys, "info", folder)
    assert "toy, 1 latent number" in shown
    assert "likelihood gaussian" in shown
    assert "network" not in shown

    evaluated = run(capsys, "evaluate", folder, data, "--samples", "20", "--json")
    scores = json.loads(evaluated.splitlines()[0])["findings"]["likelihood"]
    exact = ProbabilisticPCA(latent_dim=1, random_state=0).fit(pd.read_csv(data))
    assert scores["bound"]["mean"] == pytest.approx(exact.score(pd.read_csv(data)), abs=0.05)

    run(capsys, "sample", folder, "-n", "500", "-o", tmp_path / "new.csv")
    made = pd.read_csv(tmp_path / "new.csv")
    assert list(made.columns) == ["a", "b", "c"]
    assert made["a"].corr(made["b"]) < -0.5

    rows = pd.read_csv(data)
    rows.loc[7] = [4.0, 4.0, 4.0]  # far from the line
    rows.to_csv(tmp_path / "with.csv", index=False)
    run(capsys, "detect", folder, tmp_path / "with.csv", "-o", tmp_path / "odd.csv")
    odd = pd.read_csv(tmp_path / "odd.csv")
    assert int(odd["row"][odd["score"].idxmax()]) == 7


def test_its_options_reach_it(data: Path, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "toy.lb"
    words = ("fit", data, "-o", folder, "--model", "toy", "--updates", "2", "--no-report")
    run(capsys, *words, "--set", "model.start_scale=2.5")
    back = read(folder)
    assert isinstance(back.model, Toy)
    assert back.options.model.model_options == {"start_scale": 2.5}
    assert main([str(word) for word in (*words, "--overwrite", "--set", "model.scale=1")]) == 2
    assert "start_scale" in capsys.readouterr().err


def test_what_it_refuses_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fit", "digits", "-o", str(tmp_path / "toy.lb"), "--model", "toy", "--no-report"]
    assert main(words) == 2
    assert "a toy takes rows of columns" in capsys.readouterr().err
