"""Samples against real rows: between floor and ceiling, worse as they get worse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from lowerbound.data import Dataset, load
from lowerbound.evaluation.samples.distances import DRAWN, MEAN, Quality
from lowerbound.evaluation.samples.feature_network import load_feature_network, save_feature_network
from lowerbound.evaluation.samples.reference import (
    ReferenceSamples,
    fit_reference,
    real_as,
    shuffled,
)
from lowerbound.inference.estimate import Estimate, Skipped
from lowerbound.inference.prior_draws import Samples, sample_prior
from lowerbound.models import ProbabilisticPrincipalComponents
from tests.evaluation.small_models import linear_autoencoder, vectors


def reference(data: Dataset, samples: int = 400, folder: str = "") -> ReferenceSamples:
    training, held_out = data.split(0.3, 0)
    found = fit_reference(training, held_out, samples=samples, network_rows=800, folder=folder)
    assert isinstance(found, ReferenceSamples), found
    return found


@pytest.fixture(scope="module")
def digits() -> ReferenceSamples:
    return reference(load("digits"))


@pytest.fixture(scope="module")
def kept(digits: ReferenceSamples, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("features")
    assert digits.network is not None
    save_feature_network(digits.network, folder)
    return str(folder)


def drawn(x: Tensor) -> Mapping[str, Samples]:
    return {"prior": Samples(torch.zeros(len(x), 1), x, x)}


@pytest.mark.slow
def test_nothing_is_measured_on_rows_that_the_network_has_seen(digits: ReferenceSamples) -> None:
    training, held_out = load("digits").split(0.3, 0)
    assert digits.network is not None
    assert digits.network.description.rows == 629
    assert len(digits.real) == len(digits.others) == 400

    def places(rows: Dataset, among: Dataset) -> int:
        known = {bytes(x.numpy().tobytes()) for x in among.x}
        return sum(bytes(x.numpy().tobytes()) in known for x in rows.x)

    assert places(digits.real, held_out) == 400
    assert places(digits.others, training) == 400
    assert places(digits.others, training.split(0.5, 0)[0]) < 5


def test_the_ceiling_is_far_above_the_floor(digits: ReferenceSamples) -> None:
    model = ProbabilisticPrincipalComponents((1, 8, 8), 2)
    found = digits.compare(model, drawn(real_as(digits.others, MEAN)))
    floor, ceiling = found.floor[MEAN], found.ceiling[MEAN]
    assert ceiling.frechet.mean > 8 * floor.frechet.mean
    assert ceiling.kernel.mean > 8 * abs(floor.kernel.mean)
    assert ceiling.near.precision < 0.5 < 0.85 < floor.near.precision
    assert ceiling.two_sample.accuracy.mean > 0.8
    assert floor.two_sample.p_value > 0.01
    assert isinstance(floor.sharpness, Estimate)
    assert floor.sharpness.mean == pytest.approx(1.0, abs=0.1)
    assert found.found["prior"][MEAN] == floor
    assert found.space.startswith("lenet-")
    assert found.accuracy is not None
    assert found.accuracy > 0.9


def test_distances_grow_with_blur_and_sharpness_falls(digits: ReferenceSamples) -> None:
    rows = real_as(digits.others, MEAN).numpy()

    def under(deviation: float) -> Quality:
        blurred = gaussian_filter(rows, (0, 0, deviation, deviation), mode="nearest")
        return digits.measure(torch.from_numpy(blurred), MEAN)

    found = [under(deviation) for deviation in (0.0, 0.6, 1.0, 1.6)]
    for values in (
        [one.frechet.mean for one in found],
        [one.kernel.mean for one in found],
        [-one.sharpness.mean for one in found if isinstance(one.sharpness, Estimate)],
    ):
        assert values == sorted(values)
        assert values[-1] > values[0] + 0.3


@pytest.mark.slow
def test_bits_are_compared_with_bits_and_greys_with_greys(kept: str) -> None:
    data = load("digits")
    bits = replace(data, schema=replace(data.schema, binarize="dynamic"))
    measured = reference(bits, folder=kept)
    assert set(real_as(measured.real, DRAWN).unique().tolist()) == {0.0, 1.0}
    assert len(real_as(measured.real, MEAN).unique()) == 17
    greys, drawn_bits = real_as(measured.others, MEAN), real_as(measured.others, DRAWN)
    samples = {"prior": Samples(torch.zeros(400, 1), greys, drawn_bits)}
    found = measured.compare(ProbabilisticPrincipalComponents((1, 8, 8), 2), samples)
    assert found.floor[MEAN] != found.floor[DRAWN]
    assert found.found["prior"] == found.floor


@pytest.mark.slow
def test_a_table_is_compared_column_by_column() -> None:
    x = torch.randn(600, 3, dtype=torch.float64) @ torch.randn(3, 4, dtype=torch.float64)
    measured = reference(vectors(x / x.std(0)), samples=180)
    model = ProbabilisticPrincipalComponents((4,), 3).double()
    found = measured.compare(model, {"prior": sample_prior(model, 180)})
    assert found.space == "columns"
    assert set(found.found["prior"]) == {DRAWN}
    assert found.accuracy is None
    assert isinstance(found.floor[DRAWN].sharpness, Skipped)
    assert found.floor[DRAWN].frechet.mean < 0.5 < found.ceiling[DRAWN].frechet.mean
    mapping = json.loads(json.dumps(found.to_mapping(), allow_nan=False))
    assert "FD[columns]" in mapping["floor"][DRAWN]


def test_counts_and_levels_have_no_unit_in_a_distance() -> None:
    rng = np.random.default_rng(0)
    visits = rng.poisson(40, 400)
    frame = pd.DataFrame(
        {"visits": visits, "kind": rng.choice(list("abcdefgh"), 400), "size": rng.normal(size=400)}
    )
    data = load(frame.assign(visits=frame.visits.astype(int)))
    measured = reference(data, samples=100)
    x = measured.features(real_as(measured.others, DRAWN))
    torch.testing.assert_close(x.mean(0), torch.zeros(3).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(3).double())
    found = measured.measure(real_as(measured.others, DRAWN), DRAWN)
    assert abs(found.kernel.mean) < 5


@pytest.mark.slow
def test_complete_samples_are_compared_in_the_cells_that_real_rows_have() -> None:
    """Samples of the true distribution are as near as other real rows, which have gaps too."""
    rng = np.random.default_rng(0)

    def rows() -> pd.DataFrame:
        x = rng.normal(size=(600, 3))
        return pd.DataFrame({"a": x[:, 0], "b": x[:, 0] + x[:, 1] / 3, "c": x[:, 2]})

    def with_gaps(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.mask(pd.DataFrame(rng.random(frame.shape) < 0.3, columns=frame.columns))

    real = load(with_gaps(rows()))
    others = load(with_gaps(rows()), schema=real.schema)
    reference = ReferenceSamples("columns", None, real, others, 0)
    found = reference.measure(load(rows(), schema=real.schema).x, DRAWN)
    given = real_as(others, DRAWN).masked_fill(~others.mask, torch.nan)
    floor = reference.measure(given, DRAWN)
    assert found.frechet.mean == pytest.approx(floor.frechet.mean, abs=0.03)
    assert found.near.recall == pytest.approx(floor.near.recall, abs=0.05)
    assert found.near.coverage == pytest.approx(floor.near.coverage, abs=0.05)


def test_an_autoencoder_has_means_only(digits: ReferenceSamples) -> None:
    assert digits.forms(linear_autoencoder(5, 2)) == (MEAN,)


def test_shuffles_keep_values_and_lose_order() -> None:
    pictures = torch.rand(20, 3, 4, 5)
    found = shuffled(pictures, True, seed=1)
    assert torch.equal(found.flatten(2).sort(2).values, pictures.flatten(2).sort(2).values)
    # the channels of a pixel stay together
    pairs = {tuple(color) for color in pictures[0].flatten(1).T.tolist()}
    assert {tuple(color) for color in found[0].flatten(1).T.tolist()} == pairs
    assert not torch.equal(found, pictures)
    table = torch.randn(500, 1).expand(500, 2)
    columns = shuffled(table, False)
    assert torch.equal(columns.sort(0).values, table.sort(0).values)
    assert abs(float(torch.corrcoef(columns.T)[0, 1])) < 0.15


@pytest.mark.slow
def test_a_network_is_kept_and_used_again(
    digits: ReferenceSamples, kept: str, tmp_path: Path
) -> None:
    training, held_out = load("digits").split(0.5, 9)
    again = fit_reference(training, held_out, samples=100, network_rows=800, folder=kept, seed=9)
    assert isinstance(again, ReferenceSamples)
    assert again.space == digits.space
    other = load(torch.rand(400, 9, 9).numpy(), label=[0, 1] * 200).split(0.3, 0)
    refused = fit_reference(*other, samples=100, network_rows=800, folder=kept)
    assert isinstance(refused, Skipped)
    assert "is for rows of shape (1, 8, 8)" in refused.reason
    fresh = tmp_path / "new"
    fit_reference(*other, samples=100, network_rows=100, folder=str(fresh))
    assert load_feature_network(fresh).description.rows == 100


def reason(data: Dataset, samples: int = 400, network_rows: int = 800) -> str:
    training, held_out = data.split(0.3, 0)
    found = fit_reference(training, held_out, samples=samples, network_rows=network_rows)
    assert isinstance(found, Skipped)
    return found.reason


def test_too_few_rows_or_samples_say_how_many_are_needed() -> None:
    digits = load("digits")
    few = digits.subset(range(200))
    assert "at least 64 held-out rows, 64 other real rows and 64 samples" in reason(few)
    assert reason(digits, samples=63).endswith("and there are 539, 629 and 63")
    assert "for a distance on 40 features" in reason(vectors(torch.randn(100, 40)))


def test_what_cannot_be_measured_says_why() -> None:
    digits = load("digits")
    assert "the data has none" in reason(replace(digits, label=None))
    assert reason(digits, network_rows=0) == "not requested"
