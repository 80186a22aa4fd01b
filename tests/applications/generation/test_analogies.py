"""Analogies against the networks asked by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lowerbound.applications.generation.mixing import in_every_class
from lowerbound.data import Dataset, load
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import UnsupportedError
from lowerbound.fitting.assembly import assemble
from lowerbound.models import Model
from lowerbound.models.options import ModelOptions
from lowerbound.trace import Mean

CLASSES, ROWS = 3, 9
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(ROWS, 5, generator=GENERATOR, dtype=torch.float64)
LABEL = torch.arange(ROWS) % CLASSES


def data() -> Dataset:
    """Every third row without its label."""
    known = load(X.numpy()).with_labels(LABEL.numpy())
    return Dataset(known.schema, known.x, label=torch.where(LABEL == 2, -1, LABEL))


def built(dataset: Dataset, **options: Any) -> Model:
    chosen = ModelOptions(latent_dim=2, network="mlp", network_options={"hidden": [8]}, **options)
    with seeded(0):
        model = assemble(dataset.schema, chosen)
        model.start(dataset)
        with torch.no_grad():  # a decoder that listens to what it is told
            for value in model.parameters():
                value.add_(0.3 * torch.randn_like(value))
    return model.double().eval()


@pytest.mark.parametrize("stacked", [False, True])
def test_a_style_is_asked_for_under_the_rows_own_class(stacked: bool) -> None:
    rows = data()
    model: Any = built(rows, model="semi_supervised", model_options={"stacked": stacked})
    made = in_every_class(model, rows, CLASSES)
    assert made.shape == (ROWS, CLASSES, 5)
    x = rows.all().x
    assert rows.label is not None
    assert x is not None
    each = torch.eye(CLASSES, dtype=torch.float64)
    with torch.no_grad():
        likeliest = model.classifier(x, None).argmax(1)
        own = each[torch.where(rows.label >= 0, rows.label, likeliest)]
        if stacked:
            features = model.encoder(x, None).chunk(2, 1)[0]
            style = model.between.encoder(features, own).chunk(2, 1)[0]
        else:
            style = model.encoder(x, own).chunk(2, 1)[0]
        for index in range(CLASSES):
            y = each[index].expand(ROWS, -1)
            if stacked:
                numbers = model.decoder(model.between.decoder(style, y).chunk(2, 1)[0], None)
            else:
                numbers = model.decoder(style, y)
            expected = model.likelihood(numbers.unsqueeze(0)).mean[0]
            torch.testing.assert_close(made[:, index], expected)


@pytest.mark.parametrize("kind", ["vae", "hierarchical", "ladder", "vq_vae"])
def test_in_its_own_class_a_row_is_its_reconstruction(kind: str) -> None:
    known = load(X.numpy()).with_labels(LABEL.numpy()).conditioned_on_label()
    model = built(known, model=kind, conditional=True)
    made = in_every_class(model, known, CLASSES)
    with torch.no_grad():
        expected = model(known.all(), Mean()).likelihood.mean[0]
    torch.testing.assert_close(made[torch.arange(ROWS), LABEL], expected)
    assert float((made[:, 0] - made[:, 1]).abs().max()) > 1e-3


def test_a_model_without_a_prior_makes_no_rows() -> None:
    known = load(X.numpy()).with_labels(LABEL.numpy()).conditioned_on_label()
    model = built(known, model="autoencoder", conditional=True)
    with pytest.raises(UnsupportedError, match="no prior"):
        in_every_class(model, known, CLASSES)
