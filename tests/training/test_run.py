from __future__ import annotations

import json
import math

import torch

from lowerbound.objectives import Bound
from lowerbound.training.run import MOST_PENDING, Meter


def bounds(count: int) -> list[Bound]:
    generator = torch.Generator().manual_seed(0)
    answers = []
    for _ in range(count):
        distortion = torch.randn(5, generator=generator, dtype=torch.float64)
        rates = torch.rand(2, 5, generator=generator, dtype=torch.float64)
        value = -distortion - rates.sum(0)
        answers.append(Bound(value, distortion, rates, -value.mean()))
    return answers


def test_means_are_over_all_rows() -> None:
    seen, meter = bounds(MOST_PENDING + 7), Meter()
    for bound in seen:
        meter.add(bound)
    value, distortion, rates = meter.means()
    assert math.isclose(value, torch.cat([b.value for b in seen]).double().mean(), rel_tol=1e-12)
    assert math.isclose(
        distortion, torch.cat([b.distortion for b in seen]).double().mean(), rel_tol=1e-12
    )
    expected = torch.cat([b.rates for b in seen], 1).double().mean(1)
    assert torch.allclose(torch.tensor(rates, dtype=torch.float64), expected, rtol=1e-12)


def test_sums_do_not_depend_on_when_they_are_settled() -> None:
    often, once = Meter(), Meter()
    for number, bound in enumerate(bounds(50)):
        often.add(bound)
        once.add(bound)
        if number % 7 == 0:
            often.settle()
    assert often.to_mapping() == once.to_mapping()


def test_a_restored_meter_goes_on_bit_for_bit() -> None:
    seen, straight, first = bounds(30), Meter(), Meter()
    for bound in seen:
        straight.add(bound)
    for bound in seen[:11]:
        first.add(bound)
    second = Meter()
    second.restore(json.loads(json.dumps(first.to_mapping())))
    for bound in seen[11:]:
        second.add(bound)
    assert second.to_mapping() == straight.to_mapping()


def test_nothing_seen_is_no_number() -> None:
    value, distortion, rates = Meter().means()
    assert math.isnan(value)
    assert math.isnan(distortion)
    assert rates == ()


def test_a_model_without_latents_has_no_rates() -> None:
    meter = Meter()
    meter.add(Bound(torch.ones(3), -torch.ones(3), torch.zeros(0, 3), torch.tensor(0.0)))
    assert meter.means() == (1.0, -1.0, ())
