"""Transformers: patches cut and joined, attention against its formula, sizes from the data."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from lowerbound.networks import Transformer
from lowerbound.networks.base import Picture, attention_heads, patch_side, token_width
from lowerbound.networks.transformer import (
    SPELLED_OUT,
    Attention,
    Patches,
    TransformerBlock,
    attend,
)

PICTURES = [Picture(1, 8, 8), Picture(3, 7, 5), Picture(2, 1, 9), Picture(1, 33, 17)]


@pytest.mark.parametrize("picture", PICTURES, ids=str)
def test_joining_undoes_cutting(picture: Picture) -> None:
    pictures = torch.randn(3, *picture)
    for side in (1, 2, 3):
        patches = Patches.of(tuple(picture), side)
        tokens = patches.cut(pictures)
        assert tokens.shape == (3, patches.tokens, patches.numbers)
        assert torch.equal(patches.join(tokens), pictures)


def test_a_token_is_a_patch() -> None:
    pictures = torch.arange(2 * 4 * 5).reshape(1, 2, 4, 5).float()
    patches = Patches(Picture(2, 4, 5), (2, 3))
    tokens = patches.cut(pictures)
    assert patches.grid == (2, 2)
    assert torch.equal(tokens[0, 2], pictures[0, :, 2:4, :3].flatten())
    # the last patch of a line is padded with zeros
    assert torch.equal(tokens[0, 1].reshape(2, 2, 3)[:, :, :2], pictures[0, :, :2, 3:])
    assert (tokens[0, 1].reshape(2, 2, 3)[:, :, 2] == 0).all()


def test_a_vector_is_cut_into_groups_of_features() -> None:
    patches = Patches.of((64,))
    assert (patches.tokens, patches.numbers) == (16, 4)
    x = torch.randn(2, 64)
    tokens = patches.cut(x.reshape(2, *patches.picture))
    assert torch.equal(tokens, x.reshape(2, 16, 4))


def test_sizes_from_the_data() -> None:
    assert [patch_side(side) for side in (1, 8, 28, 32, 64, 96)] == [1, 2, 7, 8, 8, 12]
    assert [token_width(features) for features in (3, 784, 12288)] == [64, 96, 128]
    assert token_width(784, multiple=5) == 100
    assert [attention_heads(width) for width in (8, 64, 96, 100)] == [1, 2, 3, 2]


@pytest.mark.parametrize("tokens", [5, 2 * SPELLED_OUT])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_attention_is_its_formula(dtype: torch.dtype, tokens: int) -> None:
    query, key, value = torch.randn(3, 2, 3, tokens, 4).to(dtype).double()
    weights = torch.softmax(query @ key.mT / math.sqrt(4), -1)
    answer = attend(query.to(dtype), key.to(dtype), value.to(dtype))
    assert answer.dtype == dtype
    tolerance = 1e-12 if dtype == torch.float64 else 0.03
    torch.testing.assert_close(answer.double(), weights @ value, rtol=0, atol=tolerance)


def test_attention_agrees_with_torch_s_module() -> None:
    ours = Attention(12, heads=3, scale=1.0)
    theirs = nn.MultiheadAttention(12, 3, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.project.weight,
            "in_proj_bias": ours.project.bias,
            "out_proj.weight": ours.merge.weight,
            "out_proj.bias": ours.merge.bias,
        }
    )
    tokens = torch.randn(2, 5, 12)
    torch.testing.assert_close(ours(tokens), theirs(tokens, tokens, tokens)[0])


def test_a_block_treats_its_tokens_alike() -> None:
    """Without positions, permuting tokens permutes the answer."""
    block = TransformerBlock(8, 2, 16, "silu").double()
    tokens, order = torch.randn(3, 6, 8, dtype=torch.float64), torch.randperm(6)
    torch.testing.assert_close(block(tokens)[:, order], block(tokens[:, order]))


def test_positions_tell_patches_apart() -> None:
    encoder = Transformer().encoder((1, 8, 8), 4)
    x = torch.randn(2, 1, 8, 8)
    assert not torch.allclose(encoder(x), encoder(x.roll(2, 3)), atol=1e-3)


def test_every_pixel_reaches_every_token() -> None:
    encoder = Transformer().encoder((1, 33, 17), 4)
    x = torch.randn(1, 1, 33, 17, requires_grad=True)
    tokens = encoder.blocks(encoder.embed(encoder.patches.cut(x)) + encoder.positions)
    (gradient,) = torch.autograd.grad(tokens[0, 0].square().sum(), x)
    assert (gradient != 0).all()
