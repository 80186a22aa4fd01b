"""The tour: digits without a network, a page to look at, and a summary that says what it means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lowerbound.applications import load
from lowerbound.applications.common import fit_folder
from lowerbound.applications.fit import demo as demo_module
from lowerbound.applications.fit.demo import DemoReport, refuse_other_folder
from lowerbound.applications.fit.requests import DemoRequest
from lowerbound.errors import ModelFolderError
from lowerbound.evaluation.report.sizes import SuiteOptions
from lowerbound.fitting.folder import read


@pytest.fixture
def toured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DemoReport:
    monkeypatch.setattr(demo_module, "MODEL", replace(demo_module.MODEL, latent_dim=3))
    few = SuiteOptions(samples=4, agreement_rows=200, gap_rows=4, draws=70)
    monkeypatch.setattr(demo_module, "MEASURING", few)
    report = load("demo")(DemoRequest(str(tmp_path / "d"), minutes=0.005))
    assert isinstance(report, DemoReport)
    return report


@pytest.mark.slow
def test_the_tour(toured: DemoReport, tmp_path: Path) -> None:
    assert read(tmp_path / "d").schema.event_shape == (1, 8, 8)
    figures = {path.stem.partition("_")[2] for path in (tmp_path / "d" / "figures").iterdir()}
    assert {
        "data",
        "latent_maps",
        "active_units",
        "manifold",
        "reconstructions",
        "reconstructions_compared",
        "samples",
        "samples_compared",
        "class_shares",
    } <= figures
    text = toured.text()
    assert "1,438 handwritten digits" in text
    assert (tmp_path / "d" / "report.html").as_uri() in text
    for sentence in toured.fit.lines[:3]:
        assert "".join(sentence.split()) in "".join(text.split())
    assert "None" not in text
    assert "nan" not in text
    refuse_other_folder(tmp_path / "d")  # a second tour replaces the first, and nothing else
    fit_folder.remember(tmp_path / "d", {"data": "other.csv", "compare": True})
    with pytest.raises(ModelFolderError, match="not from this tour"):
        refuse_other_folder(tmp_path / "d")
