"""The readings of the latents in the chapter on training."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from lowerbound.evaluation.report import training_chapter
from tests.evaluation.report.test_page import History, Record


def plates(*records: Record) -> list[Any]:
    found = SimpleNamespace(name="VAE", subject=SimpleNamespace(history=History(records)))
    return list(training_chapter.information(SimpleNamespace(findings=[found])))  # type: ignore[arg-type]


def test_curves_of_the_readings_that_a_training_has() -> None:
    readings = {"active units": (3.0, 8.0), "mutual information": (2.5,)}
    records = [Record(float(epoch), readings=readings) for epoch in (1, 2, 3)]
    (plate,) = plates(*records)
    assert plate.key == "information"
    assert plate.chapter == "Training"
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in plate.figure.axes]
    assert titles == ["rate (nats)", "active units", "mutual information (nats)"]
    assert [list(axes.lines[0].get_ydata()) for axes in plate.figure.axes] == [
        [10.0] * 3,
        [3.0] * 3,
        [2.5] * 3,
    ]


def test_a_training_without_readings_has_no_curves() -> None:
    assert plates(Record(1.0), Record(2.0, readings={"perplexity": (3.0,)})) == []
    assert plates(Record(1.0, readings={"active units": (3.0, 8.0)})) == []
