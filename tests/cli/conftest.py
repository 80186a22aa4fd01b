"""Small data, small models, and the command line called in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.cli import main

QUICK = ("--updates", "4", "--samples", "3", "--no-report")


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        (line,) = self.out.splitlines()
        found = json.loads(line)
        assert isinstance(found, dict)
        return found


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command line: run("info", folder)."""

    def call(*words: object) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        shown = capsys.readouterr()
        return Outcome(code, shown.out, shown.err)

    return call


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 rows of three columns and a class, two of the columns tied together."""
    rng = np.random.default_rng(0)
    size = rng.normal(170.0, 10.0, 80)
    frame = pd.DataFrame(
        {
            "size": size,
            "weight": size / 2 - 15 + rng.normal(size=80),
            "age": rng.integers(18, 80, 80),
            "kind": np.where(size > 170, "tall", "short"),
        }
    )
    path = tmp_path_factory.mktemp("table") / "people.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 pictures, 6x5 grey, in two classes: a bright half above or below."""
    from PIL import Image

    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("pictures")
    for index in range(60):
        name = ("above", "below")[index % 2]
        picture = rng.integers(0, 90, (6, 5)).astype(np.uint8)
        picture[3 * (index % 2) :][:3] += 120
        (root / name).mkdir(exist_ok=True)
        Image.fromarray(picture).save(root / name / f"{index:02d}.png")
    return root


def fitted(data: Path, folder: Path, *words: str) -> Path:
    """A model folder, fitted in a moment."""
    assert main(["fit", str(data), "-o", str(folder), *QUICK, *words]) == 0
    return folder


@pytest.fixture(scope="session")
def table_model(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE of the table."""
    return fitted(table, tmp_path_factory.mktemp("models") / "people", "--label", "kind")


@pytest.fixture(scope="session")
def picture_model(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE of the pictures."""
    return fitted(pictures, tmp_path_factory.mktemp("models") / "halves")


@pytest.fixture(scope="session")
def conditional_model(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE of the pictures that is told the class."""
    folder = tmp_path_factory.mktemp("models") / "told"
    return fitted(pictures, folder, "--conditional", "--latent-dim", "2")


@pytest.fixture(scope="session")
def autoencoder(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An autoencoder of the pictures."""
    return fitted(pictures, tmp_path_factory.mktemp("models") / "ae", "--model", "autoencoder")


@pytest.fixture(scope="session")
def pca(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PCA of the table."""
    return fitted(table, tmp_path_factory.mktemp("models") / "pca", "--model", "pca")
