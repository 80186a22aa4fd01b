"""Mixtures of levels against their ends, their context, and the rows that ``mix`` takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lowerbound.applications.common.application import Silent
from lowerbound.applications.generation.mixing import (
    MixReport,
    coarse_levels,
    mix,
    mix_rows,
)
from lowerbound.applications.generation.requests import FIRST, MixRequest
from lowerbound.data import Dataset, load
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.fitting import FitOptions, Fitted
from lowerbound.fitting.assembly import assemble, resolve
from lowerbound.models import LadderVariationalAutoencoder
from lowerbound.models.options import ModelOptions
from lowerbound.trace import Given, Mean
from lowerbound.training.reporter import History

GENERATOR = torch.Generator().manual_seed(0)
BITS = torch.randint(0, 2, (7, 12, 10), generator=GENERATOR, dtype=torch.uint8)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load(BITS.numpy())


@pytest.fixture(scope="module")
def model(data: Dataset) -> LadderVariationalAutoencoder:
    options = ModelOptions(
        model="ladder",
        network="convolutional",
        model_options={"levels": 4, "width": 8},
        latent_dim=4,
    )
    with seeded(0):
        model = assemble(data.schema, options)
        model.start(data)
        with torch.no_grad():  # posteriors that say something
            for name, value in model.named_parameters():
                if "propose" in name or "write" in name:
                    value.mul_(5)
    assert isinstance(model, LadderVariationalAutoencoder)
    return model.eval()


def test_a_row_mixed_with_itself_is_its_reconstruction(
    model: LadderVariationalAutoencoder, data: Dataset
) -> None:
    mixed = mix_rows(model, data, data, cut=2)
    with torch.no_grad():
        expected = model(data.all().to(torch.float32), Mean()).likelihood.mean[0]
    for row in range(len(data)):
        torch.testing.assert_close(mixed[row, row], expected[row])


def test_fine_levels_are_asked_in_the_coarse_context(
    model: LadderVariationalAutoencoder, data: Dataset
) -> None:
    a, b = data.subset([0]), data.subset([1])
    mixed = mix_rows(model, a, b, cut=2)[0, 0]
    with torch.no_grad():
        of_a = model(a.all().to(torch.float32), Mean()).steps
        of_b = model(b.all().to(torch.float32), Mean()).steps
        pasted = [*(s.z for s in of_a[:2]), *(s.z for s in of_b[2:])]
        naive = model(b.all().to(torch.float32), Given(pasted)).likelihood.mean[0, 0]
    assert float((mixed - naive).abs().max()) > 1e-4


def test_every_fine_level_is_asked_given_all_levels_above_it(
    model: LadderVariationalAutoencoder, data: Dataset
) -> None:
    """Level by level: the answer to one question is part of the next."""
    a, b = (data.subset([row]).all().to(torch.float32) for row in (0, 1))
    with torch.no_grad():
        latents = [step.z for step in model(a, Mean()).steps]
        for level in (2, 3):
            posterior = model(b, Given(latents)).steps[level].posterior
            assert posterior is not None
            assert float((posterior.mean - latents[level]).abs().max()) > 1e-3
            latents[level] = posterior.mean
        expected = model(b, Given(latents)).likelihood.mean[0, 0]
    mixed = mix_rows(model, data.subset([0]), data.subset([1]), cut=2)[0, 0]
    torch.testing.assert_close(mixed, expected)


def test_both_rows_matter(model: LadderVariationalAutoencoder, data: Dataset) -> None:
    mixed = mix_rows(model, data, data)
    assert mixed.shape == (7, 7, 1, 12, 10)
    assert float((mixed[0, 1] - mixed[2, 1]).abs().max()) > 1e-4
    assert float((mixed[0, 1] - mixed[0, 2]).abs().max()) > 1e-4


def test_default_cut_is_the_coarsest_resolution(model: LadderVariationalAutoencoder) -> None:
    assert [shape[1:] for shape in model.latent_shapes] == [(1, 1), (1, 1), (6, 5), (6, 5)]
    assert coarse_levels(model) == 2


def test_default_cut_leaves_the_style_to_the_fine_rows(data: Dataset) -> None:
    options = {"levels": 4, "width": 8, "style": 2}
    model = assemble(
        data.schema, ModelOptions(model="ladder", network="convolutional", model_options=options)
    )
    assert isinstance(model, LadderVariationalAutoencoder)
    assert coarse_levels(model) == 3


def test_refusals(model: LadderVariationalAutoencoder, data: Dataset) -> None:
    for cut in (0, 4):
        with pytest.raises(OptionError, match="between 1 and 3"):
            mix_rows(model, data, data, cut=cut)
    for kind in ("vae", "hierarchical"):
        with pytest.raises(UnsupportedError, match="ladder"):
            mix_rows(assemble(data.schema, ModelOptions(model=kind)), data, data)


def test_fine_rows_follow_the_coarse_ones(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (2 * FIRST + 3, 8, 8), np.uint8)
    np.savez(tmp_path / "x.npz", x=bits)
    schema = load(tmp_path / "x.npz").schema
    ladder = {"levels": 3, "width": 4}
    options = ModelOptions("ladder", network="convolutional", model_options=ladder, latent_dim=2)
    options = resolve(schema, options)
    model = assemble(schema, options).eval()
    fitted = Fitted(model, schema, FitOptions(options), History())

    def mixed(coarse: str = "", fine: str = "") -> MixReport:
        request = MixRequest(
            "m.lb", str(tmp_path / "x.npz"), str(tmp_path / "y.npz"), coarse=coarse, fine=fine
        )
        report = mix(request, Silent(), fitted)
        assert isinstance(report, MixReport)
        return report

    def names(*rows: int) -> tuple[str, ...]:
        return tuple(f"row {row}" for row in rows)

    assert (mixed().coarse, mixed().fine) == (names(*range(6)), names(*range(6, 12)))
    two = mixed(coarse="9,1")
    assert (two.coarse, two.fine) == (names(9, 1), names(*range(2, 8)))
    assert (mixed(fine="14").coarse, mixed(fine="14").fine) == (names(*range(6)), names(14))
    with pytest.raises(OptionError, match="choose some with --fine"):
        mixed(coarse=",".join(map(str, range(15))))
