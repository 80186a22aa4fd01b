"""What is unknown of a row's attributes is read from its latent."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lowerbound.data.labels import UNKNOWN
from lowerbound.priors.attributes import AttributeReader
from lowerbound.priors.diffusion.prior import DiffusionPrior

MEANS = torch.tensor([[-2.0, 0.0], [2.0, 0.0], [0.0, 3.0]])


def rows_of(codes: Tensor) -> Tensor:
    return MEANS[codes] + 0.3 * torch.randn(len(codes), 2)


@pytest.mark.slow
def test_a_trained_reader_finds_the_attributes_of_rows_and_keeps_the_known_ones() -> None:
    torch.manual_seed(0)
    prior = DiffusionPrior(
        2, fields={"place": ["left", "right", "top"], "other": ["a", "b"]}, reads=True
    )
    codes = torch.randint(3, (600,))
    prompt = torch.stack([codes, (codes == 2).long()], 1)
    z = rows_of(codes)
    prior.start_from_latents(z)
    optimizer = torch.optim.Adam(prior.parameters(), 1e-2)
    for _ in range(60):
        loss = prior.train().terms(z, prompt).loss.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    new = torch.randint(3, (300,))
    truth = torch.stack([new, (new == 2).long()], 1)
    known = truth.clone()
    known[:, 0] = UNKNOWN
    known[:5, 1] = 1 - known[:5, 1]  # what is known stays, right or wrong
    found = prior.eval().described(rows_of(new), known)
    assert ((found[:, 0] == new).double().mean()) > 0.99
    assert torch.equal(found[:, 1], known[:, 1])


def test_unknown_fields_of_training_rows_add_nothing_to_the_loss() -> None:
    torch.manual_seed(0)
    reader = AttributeReader((3, 2), (4,)).eval()
    x = torch.randn(6, 4)
    prompt = torch.tensor([[1, 1]]).expand(6, -1).clone()
    prompt[:, 1] = UNKNOWN
    expected = cross_entropy(reader(x)[0], prompt[:, 0], reduction="none")
    assert torch.allclose(reader.loss(x, prompt), expected)
    assert bool((reader.loss(x, torch.full_like(prompt, UNKNOWN)) == 0).all())


@pytest.mark.parametrize("side", [4, 20])
def test_maps_are_averaged_to_at_most_eight_a_side(side: int) -> None:
    reader = AttributeReader((3,), (2, side, side)).eval()
    (logits,) = reader(torch.randn(5, 2 * side * side))
    assert logits.shape == (5, 3)
    assert reader.layers[0].in_features == 2 * min(side, 8) ** 2


def test_a_prior_that_does_not_read_leaves_prompts_as_they_are() -> None:
    prior = DiffusionPrior(2, fields={"place": ["left", "right"]})
    prompt = torch.tensor([[UNKNOWN]])
    assert torch.equal(prior.described(torch.zeros(1, 2), prompt), prompt)
