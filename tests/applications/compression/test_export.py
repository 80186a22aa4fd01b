"""A model in whole numbers: as good as the one it came from, and refused where it cannot be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from lowerbound.applications.compression.export import (
    bare,
    check_exact,
    export_integer,
    used_latents,
)
from lowerbound.errors import UnsupportedError
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.likelihood import score
from lowerbound.models.options import ModelOptions
from lowerbound.trace import Batch
from tests.applications.compression.small_codecs import KINDS, RECTIFIED, digits, small_model

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")


@pytest.mark.parametrize("grey", [False, True], ids=["bits", "levels"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_is_nearly_the_same(kind: str, grey: bool) -> None:
    rows = digits(grey)
    model = small_model(kind, rows)
    exported = export_integer(model, rows.thinned(300))
    before, after = (
        float(score(some, rows.thinned(300), samples=4, seed=0).elbo.double().mean())
        for some in (model, exported)
    )
    assert after == pytest.approx(before, rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_its_tensors_are_all_of_it(kind: str) -> None:
    rows = digits()
    model = small_model(kind, rows)
    exported = export_integer(model, rows.thinned(100))
    loaded = bare(model)
    loaded.load_state_dict(exported.state_dict())
    batch = Batch(rows.all().x[:5])

    def nothing_but_means(level: int, posterior: Any, prior: Any) -> torch.Tensor:
        mean: torch.Tensor = (posterior or prior).mean
        return mean

    found = [some(batch, nothing_but_means).likelihood.ones for some in (exported, loaded)]
    assert torch.equal(*found)


def test_the_model_stays_as_it_is() -> None:
    rows = digits()
    model = small_model("mlp", rows)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export_integer(model, rows.thinned(50))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_latents_that_say_nothing_are_not_coded() -> None:
    rows = digits()
    model = small_model("mlp", rows)
    found = used_latents(model, [torch.tensor([5.0, 1e-5, 3.0, 2e-2, 1e-3, 4.0])])[0]
    assert found is not None
    assert found.tolist() == [True, False, True, True, False, True]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"network": "mlp"}, "is a SiLU, which has no exact form"),
        ({"network": "transformer"}, "has no exact form"),
        ({"prior": "mixture", "network_options": RECTIFIED}, "MixturePrior"),
        ({"posterior": "flow", "network_options": RECTIFIED}, "has no exact form"),
        (
            {"network": "convolutional", "model_options": {"stride": 2}},
            "the latent of this model is a map, .* fit without model.stride",
        ),
        ({"model": "autoencoder"}, "takes a vae, hierarchical or ladder model"),
        ({"network_options": RECTIFIED, "likelihood": "gaussian"}, "Gaussian"),
        (
            {"network_options": RECTIFIED, "conditional": True},
            "a conditional model cannot compress",
        ),
    ],
)
def test_parts_without_an_exact_form_are_named(options: dict[str, Any], sentence: str) -> None:
    rows = digits(grey=True)
    rows = rows.conditioned_on_label() if options.get("conditional") else rows
    settings = {"latent_dim": 4, "network": "mlp", "likelihood": "discretized_logistic", **options}
    with pytest.raises(UnsupportedError, match=sentence):
        check_exact(assemble(rows.schema, ModelOptions(**settings)))


def test_a_style_is_refused() -> None:
    rows = digits()
    options = replace(
        ModelOptions(latent_dim=4, likelihood="bernoulli", **KINDS["ladder"]),
        model_options={**RECTIFIED, "levels": 3, "width": 6, "style": 2},
    )
    with pytest.raises(UnsupportedError, match="a style averages over pixels"):
        check_exact(assemble(rows.schema, options))
