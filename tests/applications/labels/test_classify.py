"""How far probabilities of classes can be trusted: against made-up classifiers that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from lowerbound.applications.labels.classify import (
    CalibrationTally,
    calibration,
    class_logits,
    class_probabilities,
    information,
)
from lowerbound.data import load
from lowerbound.errors import UnsupportedError
from lowerbound.fitting.assembly import assemble
from lowerbound.models.labels.pools import best_temperature
from lowerbound.models.options import ModelOptions


def drawn(rows: int = 20_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels that were drawn by them."""
    torch.manual_seed(0)
    logits = 2 * torch.randn(rows, 4, dtype=torch.float64)
    return logits, torch.multinomial(torch.softmax(logits, 1), 1).squeeze(1)


def test_labels_drawn_by_the_probabilities_are_calibrated() -> None:
    logits, label = drawn()
    found = calibration(torch.softmax(logits, 1), label)
    assert found.error < 0.02
    surer = calibration(torch.softmax(3 * logits, 1), label)
    assert surer.error > 0.1
    assert surer.accuracy == found.accuracy
    assert surer.nats > found.nats


def test_the_error_is_the_gap_by_hand() -> None:
    probability = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]], dtype=torch.float64)
    found = calibration(probability, torch.tensor([0, 1, 0]))
    assert math.isclose(found.error, (abs(1 - 1.8) + 0.4) / 3)
    assert math.isclose(found.accuracy, 2 / 3)
    assert math.isclose(found.nats, -math.log(0.9 * 0.1 * 0.6) / 3)


def test_parts_of_the_rows_add_up() -> None:
    logits, label = drawn(1_000)
    probability, tally = torch.softmax(logits, 1), CalibrationTally()
    for part in (slice(0, 300), slice(300, 1_000)):
        tally.add(probability[part], label[part])
    parts, whole = tally.result(), calibration(probability, label)
    assert math.isclose(parts.error, whole.error)
    assert math.isclose(parts.accuracy, whole.accuracy)
    assert math.isclose(parts.nats, whole.nats)


@pytest.mark.parametrize(
    ("confidences", "error"),
    [((0.61, 0.65), (0.61 - 0.35) / 2), ((0.66, 0.67), (0.66 + 0.33) / 2)],
)
def test_gaps_cancel_within_each_of_15_bins(confidences: tuple[float, float], error: float) -> None:
    """The second of two rows is right; Guo et al. 2017 have 15 bins, and 2/3 is a limit of one."""
    probability = torch.tensor([[p, 1 - p] for p in confidences], dtype=torch.float64)
    assert math.isclose(calibration(probability, torch.tensor([1, 0])).error, error)


def test_the_temperature_that_was_put_in_is_found() -> None:
    logits, label = drawn()
    assert math.isclose(best_temperature(3 * logits, label), 3, rel_tol=0.05)


def test_few_labels_hardly_change_the_temperature() -> None:
    logits, label = drawn(3)
    found = [best_temperature(3 * logits.repeat(n, 1), label.repeat(n)) for n in (1, 10, 1_000)]
    assert abs(math.log(found[0])) < abs(math.log(found[1])) < abs(math.log(found[2]))

    def unlikely(log_t: float) -> float:
        scaled = torch.log_softmax(3 * logits / math.exp(log_t), 1)
        return -float(scaled.gather(1, label.unsqueeze(1)).sum()) + log_t**2 / (2 * 0.5**2)

    by_scipy = minimize_scalar(unlikely, bounds=(-2, 3), method="bounded").x
    assert math.log(found[0]) == pytest.approx(by_scipy, abs=0.012)  # half a step of the grid


def test_the_information_of_a_label_is_the_entropy_of_the_class() -> None:
    probability = torch.tensor([[0.5, 0.5], [1.0, 0.0]], dtype=torch.float64)
    assert information(probability).tolist() == [math.log(2), 0.0]


def test_a_model_without_classes_says_which_have() -> None:
    data = load(torch.randn(8, 3).numpy())
    model = assemble(data.schema, ModelOptions(latent_dim=1, network="mlp"))
    with pytest.raises(UnsupportedError, match=r"models that can: semi_supervised"):
        class_probabilities(model, data)


def test_probabilities_have_the_temperature_of_the_model() -> None:
    x = np.random.default_rng(0).normal(size=(30, 2))
    data = load(x, label=np.arange(30) % 3)
    torch.manual_seed(0)
    model = assemble(data.schema, ModelOptions("semi_supervised", latent_dim=1)).eval()
    model.start(data)
    for temperature in (1.0, 2.5):
        model.temperature.fill_(temperature)
        expected = torch.softmax(class_logits(model, data) / temperature, 1)
        torch.testing.assert_close(class_probabilities(model, data), expected)
