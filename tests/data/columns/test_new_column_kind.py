"""A kind of column that this file alone defines goes through every command: angles on a circle."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import VonMises

from lowerbound import VAE
from lowerbound.cli import main
from lowerbound.data import Column
from lowerbound.data.columns.inference import understood
from lowerbound.data.columns.kind import COLUMN_KINDS, ColumnKind, Feature
from lowerbound.likelihoods.columns.group import COLUMN_FAMILIES, ColumnGroup
from lowerbound.registry import Registry
from lowerbound.trace import Emission, masked_terms
from tests.data.columns.every_kind import (
    check_expectation,
    check_features,
    check_round_trip,
    check_slope,
)

Array = np.ndarray[Any, Any]


# What a person would write into data/columns/cyclic.py.


@dataclass(frozen=True)
class Cosine(Feature):
    stage = 10

    @staticmethod
    def values(x: Tensor, parameter: Tensor) -> Tensor:
        return torch.cos(x)


@dataclass(frozen=True)
class Sine(Feature):
    stage = 11

    @staticmethod
    def values(x: Tensor, parameter: Tensor) -> Tensor:
        return torch.sin(x)


class CyclicKind(ColumnKind):
    """Angles from ``low`` on, ``high`` being ``low`` again; 0 to 360 degrees unless said."""

    family = "von_mises"
    ordered = False
    has_deviation = False

    def completed(self, series: Any) -> Column:
        fields = {"low": 0.0, "high": 360.0, "name": self.column.name, "dtype": self.column.dtype}
        said = {name: value for name in ("low", "high") if (value := vars(self.column)[name])}
        return Column(kind="cyclic", **{**fields, **said})

    @property
    def _turn(self) -> float:
        """Radians in one of the person's units."""
        assert self.column.low is not None
        assert self.column.high is not None
        return 2 * math.pi / (self.column.high - self.column.low)

    def encode(self, values: Array) -> Array:
        return np.asarray((values - self.column.low) * self._turn % (2 * math.pi) - math.pi)

    def decode(self, units: Array) -> Array:
        return np.asarray(self.column.low + (units + math.pi) % (2 * math.pi) / self._turn)

    def log_slope(self, units: Array) -> Array:
        return np.full(units.shape, math.log(self._turn))

    def features(self) -> Sequence[Feature]:
        return Cosine(), Sine(number=1)

    @property
    def width(self) -> int:
        return 2

    def decided(self, averaged: Array) -> Array:
        return self.decode(np.arctan2(averaged[:, 1], averaged[:, 0]))

    def coordinates(self, values: Array) -> Array:
        angles = self.encode(values)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def quantiles(self, draws: Array, shares: Sequence[float]) -> Array:
        means = np.stack([self.coordinates(draw) for draw in draws]).mean(0)
        return np.broadcast_to(self.decided(means), (len(shares), len(means)))


class VonMisesEmission(Emission):
    """log p(u) = a cos u + b sin u - log(2 pi I_0(|(a, b)|)), per column."""

    def __init__(self, a: Tensor, b: Tensor) -> None:
        self.a, self.b = a, b
        self.kappa = torch.sqrt(a.square() + b.square() + 1e-12)
        super().__init__(a.shape[:2], a.shape[2:], validate_args=False)

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        return masked_terms(self._terms, x, observed)

    def _terms(self, x: Tensor) -> Tensor:
        log_bessel = torch.special.i0e(self.kappa).log() + self.kappa
        return self.a * torch.cos(x) + self.b * torch.sin(x) - log_bessel - math.log(2 * math.pi)

    @property
    def mean(self) -> Tensor:
        return torch.atan2(self.b, self.a)

    @property
    def resultant(self) -> Tensor:
        """E[cos], E[sin], (samples, batch, columns, 2)."""
        length = torch.special.i1e(self.kappa) / torch.special.i0e(self.kappa)
        return torch.stack([self.a, self.b], -1) * (length / self.kappa).unsqueeze(-1)

    @property
    def variance(self) -> Tensor:
        return 1 - self.resultant.square().sum(-1).sqrt()

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        drawn: Tensor = VonMises(self.mean, self.kappa).sample(sample_shape)
        return drawn


class VonMisesColumns(ColumnGroup):
    """Angles; two numbers owed each, a and b."""

    mass = False
    support = "angles"

    @classmethod
    def averages(cls, columns: Sequence[Column], emission: Emission) -> Any:
        return lambda emission: emission.resultant.flatten(2).double()

    @property
    def numbers(self) -> int:
        return 2

    def forward(self, parameters: Tensor) -> VonMisesEmission:
        return VonMisesEmission(*self.by_column(parameters).unbind(-1))

    def inside(self, x: Tensor) -> Tensor:
        return x.abs() <= math.pi + 1e-6

    def initial_bias(self, x: Tensor) -> Tensor:
        """From the mean direction; Fisher 1993's concentration of a resultant below 0.53."""
        resultant = torch.stack([torch.cos(x).mean(0), torch.sin(x).mean(0)], -1)
        r = resultant.square().sum(-1, keepdim=True).sqrt()
        return (resultant * (2 + r**2 + 5 / 6 * r**4)).flatten()


# What shows that nothing else has to be touched.


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    registries: list[Registry[Any]] = [COLUMN_KINDS, COLUMN_FAMILIES]
    COLUMN_KINDS.register("cyclic")(CyclicKind)
    COLUMN_FAMILIES.register("von_mises")(VonMisesColumns)
    yield
    for registry, name in zip(registries, ("cyclic", "von_mises"), strict=True):
        del registry._parts[name]


def weather(rows: int = 160, seed: int = 0) -> pd.DataFrame:
    """A wind that turns about north, so that its degrees jump, and what comes with it."""
    random = np.random.default_rng(seed)
    z = random.normal(size=rows)
    return pd.DataFrame(
        {
            "wind": np.round((40 * z + 8 * random.normal(size=rows)) % 360, 1),
            "warmth": np.round(10 - 4 * z + random.normal(size=rows), 2),
            "rain": np.where(z + 0.3 * random.normal(size=rows) > 0, "yes", "no"),
        }
    )


def apart(one: Any, other: Any) -> Array:
    """Degrees between directions."""
    return np.abs((np.asarray(one) - np.asarray(other) + 180) % 360 - 180)


def test_it_keeps_the_conventions_of_column_kinds() -> None:
    winds = weather().wind
    column = understood(winds, "cyclic")
    check_round_trip(winds, "cyclic")
    check_slope(column)
    check_features(column, winds)
    check_expectation(column)


def test_its_density_is_that_of_scipy() -> None:
    a, b = torch.tensor([[[1.2, -0.3]]]).double(), torch.tensor([[[0.4, 2.0]]]).double()
    x = torch.linspace(-3.1, 3.1, 50).double().unsqueeze(1).expand(-1, 2)
    found = VonMisesEmission(a, b).terms(x)[0]
    for j in range(2):
        kappa, mu = math.hypot(a[0, 0, j], b[0, 0, j]), math.atan2(b[0, 0, j], a[0, 0, j])
        np.testing.assert_allclose(found[:, j], stats.vonmises(kappa, mu).logpdf(x[:, j]))


def ask(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, registered: None) -> Path:
    """A model of the weather, its report and all."""
    folder = tmp_path_factory.mktemp("weather")
    weather().to_csv(folder / "weather.csv", index=False)
    words = ["--kind", "wind=cyclic", "--updates", "60", "--samples", "5"]
    ask("fit", folder / "weather.csv", "-o", folder / "model", *words)
    return folder / "model"


@pytest.mark.slow
def test_it_goes_through_every_command(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = fitted.with_name("weather.csv")
    ask("info", fitted)
    assert "wind" in capsys.readouterr().out
    assert (fitted / "report.html").is_file()
    assert json.loads((fitted / "schema.json").read_text())["columns"][0]["high"] == 360
    ask("evaluate", fitted, data, "--samples", "5")

    ask("sample", fitted, "-n", "400", "-o", tmp_path / "new.csv")
    wind = pd.read_csv(tmp_path / "new.csv")["wind"]
    assert wind.between(0, 360).all()
    assert apart(wind, 0).mean() < 60  # about north, as the data

    holes = weather()
    hidden = np.arange(len(holes)) % 4 == 0
    holes.loc[hidden, "wind"] = np.nan
    holes.to_csv(tmp_path / "holes.csv", index=False)
    ask("impute", fitted, tmp_path / "holes.csv", "-o", tmp_path / "filled.csv")
    filled = pd.read_csv(tmp_path / "filled.csv")["wind"]
    assert filled[~hidden].tolist() == weather()["wind"][~hidden].tolist()
    error = apart(filled[hidden], weather()["wind"][hidden]).mean()
    assert error < 0.7 * apart(0, weather()["wind"][hidden]).mean()  # better than "north"

    ask("detect", fitted, data, "-o", tmp_path / "scores.csv")
    assert np.isfinite(pd.read_csv(tmp_path / "scores.csv").filter(like="score")).all(axis=None)
    ask("reconstruct", fitted, data, "-o", tmp_path / "again.csv", "--uncertainty")
    assert "wind_std" not in pd.read_csv(tmp_path / "again.csv")


def test_its_bound_is_a_density_in_degrees(fitted: Path) -> None:
    """A uniform angle costs log 360 nats; a wind about north costs less."""
    model = VAE.load(fitted)
    frame = weather(seed=1)
    frame["rain"] = None
    frame["warmth"] = np.nan
    assert -math.log(360) < model.score_samples(frame).mean() < -4.5
