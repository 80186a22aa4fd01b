"""The numbers that the figures of an audit show."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from lowerbound.applications.release import page


def fidelity(**columns: float) -> Any:
    return SimpleNamespace(columns=columns)


def rate(value: float) -> Any:
    return SimpleNamespace(value=value, low=value - 0.1, high=value + 0.1)


def points(figure: Any, place: int = 0) -> list[list[float]]:
    """Coordinates of every point of a panel, in the order of drawing."""
    return [
        [round(float(v), 9) for v in xy]
        for drawn in figure.axes[place].collections
        for xy in np.asarray(drawn.get_offsets()).reshape(-1, 2)
    ]


def test_bars_are_of_released_rows_and_marks_of_training_rows() -> None:
    drawn = page.column_errors(fidelity(a=0.1, b=0.4), fidelity(a=0.02, b=0.03))
    (axes,) = drawn.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a"]
    assert [bar.get_width() for bar in axes.patches] == [0.4, 0.1]
    assert points(drawn) == [[0.03, 0.0], [0.02, 1.0]]


def test_each_attack_is_beside_its_control() -> None:
    attacks: Any = [
        SimpleNamespace(
            attack="linkability", target=name, training=rate(own), control=rate(0.2), excess=rate(e)
        )
        for name, own, e in (("low", 0.3, 0.1), ("high", 0.7, 0.5))
    ]
    drawn = page.attack_rates(attacks)
    assert points(drawn)[:4] == [[0.7, -0.14], [0.2, 0.14], [0.3, 0.86], [0.2, 1.14]]
    names = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert names == ["linkability: high", "linkability: low"]


def test_each_learner_has_both_scores_in_the_panel_of_its_measure() -> None:
    lines = [
        SimpleNamespace(measure=measure, learner=name, real=real, synthetic=synthetic)
        for measure, name, real, synthetic in (
            ("AUROC", "trees", 0.9, 0.8),
            ("AUROC", "linear", 0.7, 0.6),
            ("accuracy", "trees", 0.5, 0.4),
            ("accuracy", "linear", 0.3, 0.2),
        )
    ]
    found: Any = SimpleNamespace(comparisons=lines)
    drawn = page.learners(found)
    assert points(drawn, 0) == [[0.9, 0.0], [0.8, 0.0], [0.7, 1.0], [0.6, 1.0]]
    assert points(drawn, 1) == [[0.5, 0.0], [0.4, 0.0], [0.3, 1.0], [0.2, 1.0]]


def test_an_area_has_its_interval() -> None:
    found: Any = [SimpleNamespace(attack="distance", area=rate(0.6))]
    drawn = page.membership_areas(found)
    assert points(drawn) == [[0.6, 0.0]]
    whisker = drawn.axes[0].lines[-1]
    np.testing.assert_allclose(whisker.get_xdata(), [0.5, 0.7])
