"""Conditional models go through everything that others go through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications import load
from lowerbound.applications.fit.fit import FitReport
from lowerbound.applications.fit.requests import FitRequest
from lowerbound.data.reading_flags import ReadingOptions
from lowerbound.errors import DataError, OptionError
from lowerbound.evaluation.report.sizes import SuiteOptions
from lowerbound.fitting import FitOptions
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions


@pytest.fixture
def rows(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    path = tmp_path / "rows.npz"
    np.savez(path, x=rng.normal(size=(120, 4)), y=np.arange(120) % 2)
    return str(path)


def request(rows: str, folder: Path, kind: str) -> FitRequest:
    options = FitOptions(
        ModelOptions(kind, 3, conditional=True), training=TrainingOptions(updates=2)
    )
    few = SuiteOptions(samples=2, gap_rows=2, draws=40, agreement_rows=50)
    return FitRequest(rows, str(folder), fitting=options, measuring=few, compare=True)


@pytest.mark.slow
def test_a_conditional_model_is_compared(rows: str, tmp_path: Path) -> None:
    report = load("fit")(request(rows, tmp_path / "m", "vae"))
    assert isinstance(report, FitReport)
    assert [one["name"] for one in report.findings] == ["VAE", "autoencoder", "PCA"]
    assert any("log p(x | y) is at least" in line for line in report.lines)


def test_pca_cannot_be_told_the_class(rows: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="pca cannot be conditioned on the class"):
        load("fit")(request(rows, tmp_path / "m", "pca"))


@pytest.mark.parametrize("rows_in", ["memory", "disk"])
def test_rows_without_a_class_have_their_numbers_in_the_file(
    rows_in: Literal["memory", "disk"], tmp_path: Path
) -> None:
    path = tmp_path / "p.parquet"
    flags = [None if row % 34 == 0 else "ab"[row % 2] for row in range(120)]
    pd.DataFrame({"x": np.linspace(0, 1, 120), "flag": flags}).to_parquet(path)
    asked = request(str(path), tmp_path / "m", "vae")
    reading = ReadingOptions(label="flag")
    with pytest.raises(DataError, match="no class is known for rows 0, 34, 68, 102, counted"):
        load("fit")(replace(asked, reading=reading, rows_in=rows_in))
