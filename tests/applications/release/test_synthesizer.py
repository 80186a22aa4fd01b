"""The likeness of drawn and fitted rows, which a synthesizer's folder keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.release.synthesizer import likeness
from lowerbound.applications.release.synthesizer_fit import SynthesizerOptions, fit_synthesizer
from lowerbound.cli import main
from lowerbound.fitting import Fitted
from lowerbound.fitting.card import model_card
from lowerbound.fitting.source import Likeness


def table(rows: int = 600) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    a = draw.normal(size=rows)
    return pd.DataFrame({"a": a.round(1), "b": (a + 0.1 * draw.normal(size=rows)).round(1)})


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit_synthesizer(table(), SynthesizerOptions(prior="standard_normal"))


@pytest.mark.long
def test_rows_of_another_distribution_are_less_alike(fitted: Fitted) -> None:
    found = likeness(fitted, table())
    assert found is not None
    assert found.rows == 600
    assert found.area < 0.65
    torn = table().assign(b=table()["b"].sample(frac=1, random_state=0).to_numpy())
    other = likeness(fitted, torn)
    assert other is not None
    assert other.area > 0.9
    assert likeness(fitted, table().head(20)) is None


@pytest.mark.slow
def test_row_numbers_do_not_give_rows_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowerbound.applications.release.synthesizer.MOST_ROWS", 300)
    frame = table().assign(place=np.arange(600))
    fitted = fit_synthesizer(
        frame, SynthesizerOptions(prior="standard_normal", minutes=0.1, least_people=1)
    )
    assert fitted.schema.left_out == ("place",)
    for hints in (None, {"place": "identifier"}):
        found = likeness(fitted, frame, hints)
        assert found is not None
        assert found.area < 0.8  # 1, if the numbers of 300 of the rows are taken for a quantity


@pytest.mark.slow
def test_the_card_says_it_in_one_line(fitted: Fitted) -> None:
    assert "Boosting" not in model_card("m", fitted)
    kept = replace(fitted.options, likeness=Likeness(600, 0.5344, 0.51, 0.558))
    card = model_card("m", replace(fitted, options=kept))
    line = next(line for line in card.splitlines() if "Boosting" in line)
    assert "AUROC of 0.534 (95 % interval 0.510 to 0.558; 0.5: it cannot, 1: always)." in line
    assert "resemble single fitted ones" in Likeness(600, 0.4, 0.3, 0.45).sentence


@pytest.mark.slow
def test_the_command_reports_and_keeps_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table().to_csv(tmp_path / "t.csv", index=False)
    command = ["synthesizer", str(tmp_path / "t.csv"), "-o", str(tmp_path / "m"), "--json"]
    assert main([*command, "--prior", "standard_normal", "--minutes", "0.02"]) == 0
    said = json.loads(capsys.readouterr().out)["likeness"]
    kept = json.loads((tmp_path / "m" / "config.json").read_text())
    assert said == kept["likeness"]
    assert 0 <= said["low"] <= said["area"] <= said["high"] <= 1
    assert f"{said['area']:.3f}" in (tmp_path / "m" / "MODEL_CARD.md").read_text()
