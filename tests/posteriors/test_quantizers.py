"""What holds for every registered quantizer; residuals, grids and signs in particular; rotation."""

from __future__ import annotations

import math
from itertools import pairwise, product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.config import construct
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.posteriors import (
    GRADIENTS,
    QUANTIZERS,
    Codebook,
    FiniteScalar,
    LookupFree,
    Quantizer,
    finite_scalar,
)
from lowerbound.posteriors.finite_scalar import residual_quantizer, search

FORMS: dict[str, tuple[int, dict[str, Any]]] = {
    "vq": (3, {"codes": 16}),
    "residual": (3, {"codes": 16, "quantizers": 3}),
    "fsq": (3, {"levels": (4, 3, 2)}),
    "lfq": (4, {"codes": 16}),
}


def built(name: str) -> list[Quantizer]:
    dim, options = FORMS[name]
    with seeded(0):
        made: list[Quantizer] = construct(QUANTIZERS[name], dim, options=options)
    return made


def said(dim: int, rows: int = 200, size: float = 1.0) -> Tensor:
    return size * torch.randn(rows, 5, dim, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", QUANTIZERS)
def test_codes_and_vectors_answer_each_other(name: str) -> None:
    for quantizer in built(name):
        every = torch.arange(quantizer.codes)
        vectors = quantizer.vectors(every)
        assert vectors.shape == (quantizer.codes, quantizer.dim)
        assert len(torch.unique(vectors, dim=0)) == quantizer.codes
        assert torch.equal(quantizer.nearest(vectors), every)


@pytest.mark.parametrize("name", QUANTIZERS)
@pytest.mark.parametrize("size", [0.0, 1.0, 1e4])
def test_codes_are_the_nearest_and_within_range(name: str, size: float) -> None:
    for quantizer in built(name):
        encoded = quantizer.within(said(quantizer.dim, size=size))
        codes = quantizer.nearest(encoded)
        assert codes.dtype == torch.long
        assert codes.shape == (200, 5)
        assert 0 <= int(codes.min()) <= int(codes.max()) < quantizer.codes
        every = quantizer.vectors(torch.arange(quantizer.codes))
        least = torch.cdist(encoded.double().flatten(0, 1), every.double()).amin(1)
        chosen = (encoded - quantizer.vectors(codes)).double().flatten(0, 1).norm(dim=1)
        torch.testing.assert_close(chosen, least, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", QUANTIZERS)
def test_use_is_counted_and_forgotten(name: str) -> None:
    for quantizer in built(name):
        vectors = quantizer.within(said(quantizer.dim)).flatten(0, 1)
        codes = quantizer.nearest(vectors)
        quantizer.learn(vectors, codes)
        quantizer.learn(vectors[:7], codes[:7])
        expected = torch.bincount(torch.cat([codes, codes[:7]]), minlength=quantizer.codes)
        assert torch.equal(quantizer.use, expected)
        quantizer.forget_use()
        assert not quantizer.use.any()


@pytest.mark.parametrize("name", QUANTIZERS)
def test_penalties_move_the_encoder_and_stay_finite(name: str) -> None:
    for quantizer, size in product(built(name), (0.0, 1.0, 1e3)):
        encoded = said(quantizer.dim, size=size).requires_grad_()
        within = quantizer.within(encoded)
        penalty = quantizer.penalty(within, quantizer.vectors(quantizer.nearest(within)))
        if penalty is None:
            assert name == "fsq"
            continue
        assert penalty.shape == (200, 5)
        penalty.sum().backward()
        assert encoded.grad is not None
        assert encoded.grad.isfinite().all()
        assert bool((encoded.grad != 0).any()) or size == 0.0


def test_residuals_are_quantized_by_hand_and_errors_never_grow() -> None:
    """Each codebook quantizes what is left over; started by clusters, each halves it at least."""
    quantizers = built("residual")
    rest = said(3, rows=2000).flatten(0, 1)
    errors = [rest.square().sum(1).mean()]
    total = torch.zeros_like(rest)
    for quantizer in quantizers:
        quantizer.initialize(rest)
        book = quantizer.vectors(torch.arange(16))
        total = total + book[torch.cdist(rest, book).argmin(1)]
        rest = rest - quantizer.vectors(quantizer.nearest(rest))
        errors.append(rest.square().sum(1).mean())
    torch.testing.assert_close(said(3, rows=2000).flatten(0, 1) - total, rest)
    assert all(after < 0.5 * before for before, after in pairwise(errors))


@pytest.mark.parametrize("levels", [*range(2, 10), (8, 5, 5, 5), (2, 9, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_levels_stay_in_range(levels: int | tuple[int, ...], dtype: torch.dtype) -> None:
    """Also in bf16, and where the encoder is wild; the ends are reached, and no level but them."""
    each = (levels, levels) if isinstance(levels, int) else levels
    grid = FiniteScalar(each)
    for size in (0.1, 1.0, 1e4):
        encoded = said(len(each), rows=400, size=size).to(dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            codes = grid.nearest(grid.within(encoded))
            vectors = grid.vectors(codes)
        assert 0 <= int(codes.min()) <= int(codes.max()) < math.prod(each)
        assert float(vectors.abs().max()) <= 1
        digits = (vectors + 1) / 2 * (torch.tensor(each) - 1)
        torch.testing.assert_close(digits, digits.round(), rtol=0, atol=1e-5)
    assert float(vectors.min()) == -1
    assert float(vectors.max()) == 1


def test_the_first_number_counts_least() -> None:
    grid = FiniteScalar((4, 3))
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    assert grid.nearest(corners).tolist() == [0, 3, 8, 11]
    assert grid.vectors(torch.tensor([5])).tolist() == [[pytest.approx(-1 / 3), 0.0]]


def test_a_grid_starts_with_all_its_levels_in_use() -> None:
    grid, vectors = FiniteScalar((5, 5)), 7 + 0.01 * said(2, rows=800).flatten(0, 1)
    assert len(grid.nearest(grid.within(vectors)).unique()) == 1
    grid.standardize(vectors)
    assert len(grid.nearest(grid.within(vectors)).unique()) == 25


def test_signs_are_the_bits_of_a_code() -> None:
    cube = LookupFree(3)
    encoded = torch.tensor([[-0.1, 2.0, -3.0], [0.5, -1.0, 1e-3], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    assert cube.nearest(encoded).tolist() == [0b010, 0b101, 0b111, 0]
    assert torch.equal(cube.vectors(torch.tensor([0b101])), torch.tensor([[1.0, -1.0, 1.0]]))


def test_each_bit_has_its_own_entropy_over_all_rows() -> None:
    """A cube of several bits is as many cubes of one."""
    encoded = torch.randn(40, 5, 3, generator=torch.Generator().manual_seed(0)) + torch.eye(3)[0]
    parts = [encoded, *encoded.split(1, -1)]
    whole, *each = (
        cube.penalty(part, cube.vectors(cube.nearest(part)))
        for part in parts
        for cube in [LookupFree(part.shape[-1], commitment=0.3, entropy=0.7)]
    )
    torch.testing.assert_close(whole, torch.stack(each).sum(0))


def test_entropies_of_signs_by_hand() -> None:
    """Two rows of one bit each: sigma(4 e) = .75 and .5, on average .625."""
    cube = LookupFree(1, commitment=0.0, entropy=1.0)
    encoded = torch.tensor([[[math.log(3) / 4]], [[0.0]]])

    def entropy(p: float) -> float:
        return -p * math.log(p) - (1 - p) * math.log(1 - p)

    penalty = cube.penalty(encoded, cube.vectors(cube.nearest(encoded)))
    expected = torch.tensor([[entropy(0.75)], [entropy(0.5)]]) - entropy(0.625)
    torch.testing.assert_close(penalty, expected)
    committed = LookupFree(1, commitment=0.5, entropy=0.0)
    penalty = committed.penalty(encoded, committed.vectors(committed.nearest(encoded)))
    torch.testing.assert_close(penalty[:, 0], torch.tensor([0.5 * (math.log(3) / 4 - 1) ** 2, 0.5]))


def test_the_same_as_vector_quantize_pytorch() -> None:
    library = pytest.importorskip("vector_quantize_pytorch")
    theirs = library.FSQ(levels=[8, 5, 4, 2], preserve_symmetry=True)
    encoded = said(4, rows=300)
    expected, codes = theirs(encoded)
    ours = FiniteScalar((8, 5, 4, 2))
    assert torch.equal(ours.nearest(ours.within(encoded)), codes.long())
    torch.testing.assert_close(ours.vectors(codes.long()), expected, rtol=1e-6, atol=1e-6)
    theirs = library.LFQ(dim=4, codebook_size=16)
    expected, codes, _ = theirs(encoded)
    bits = LookupFree(4)
    torch.testing.assert_close(bits.vectors(bits.nearest(encoded)), expected)
    assert len(codes.unique()) == len(bits.nearest(encoded).unique()) == 16


def test_rotation_keeps_the_angle_between_gradient_and_vector() -> None:
    with seeded(0):
        encoded = torch.randn(50, 6, dtype=torch.float64, requires_grad=True)
        quantized, gradient = torch.randn(2, 50, 6, dtype=torch.float64)
    passed = GRADIENTS["rotation"](encoded, quantized)
    assert torch.equal(passed, quantized)
    passed.backward(gradient)
    assert encoded.grad is not None
    before = F.cosine_similarity(quantized, gradient, -1)
    torch.testing.assert_close(F.cosine_similarity(encoded.detach(), encoded.grad, -1), before)
    stretch = quantized.norm(dim=-1) / encoded.detach().norm(dim=-1)
    torch.testing.assert_close(encoded.grad.norm(dim=-1), stretch * gradient.norm(dim=-1))


def test_rotation_is_the_closed_form() -> None:
    """In the plane R turns by the angle from e to q: here a quarter turn, with a stretch of 3."""
    encoded = torch.tensor([[2.0, 0.0]], dtype=torch.float64, requires_grad=True)
    quantized = torch.tensor([[0.0, 6.0]], dtype=torch.float64)
    passed = GRADIENTS["rotation"](encoded, quantized)
    for gradient, expected in (([0.0, 1.0], [3.0, 0.0]), ([1.0, 0.0], [0.0, -3.0])):
        (found,) = torch.autograd.grad(
            passed, encoded, torch.tensor([gradient]).double(), retain_graph=True
        )
        torch.testing.assert_close(found, torch.tensor([expected]).double())


def test_rotation_of_nothing_is_finite() -> None:
    encoded = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    quantized = torch.tensor([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    GRADIENTS["rotation"](encoded, quantized).sum().backward()
    assert encoded.grad is not None
    assert encoded.grad.isfinite().all()


def test_rotation_is_that_of_vector_quantize_pytorch() -> None:
    library = pytest.importorskip("vector_quantize_pytorch.vector_quantize_pytorch")
    with seeded(0):
        encoded, quantized, gradient = torch.randn(3, 20, 4)
    grads = []
    for function in (GRADIENTS["rotation"], library.rotate_to):
        leaf = encoded.clone().requires_grad_()
        function(leaf, quantized).backward(gradient)
        grads.append(leaf.grad)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-5)


def test_sizes_that_do_not_fit_are_refused() -> None:
    for name, dim, options, message in (
        ("fsq", 3, {"levels": (8, 5)}, "2 numbers"),
        ("fsq", 2, {"levels": (8, 1)}, "at least 2"),
        ("lfq", 3, {"codes": 9}, "8 for 3"),
        ("residual", 3, {"quantizers": 0}, "quantizers"),
    ):
        with pytest.raises(OptionError, match=message):
            construct(QUANTIZERS[name], dim, options=options)


def residual_books() -> tuple[list[Quantizer], Tensor]:
    """Three codebooks of five vectors in three dimensions, and vectors to quantize."""
    torch.manual_seed(0)
    vectors = torch.randn(40, 3, dtype=torch.float64)
    quantizers = residual_quantizer(3, quantizers=3, codes=5)
    rest = vectors
    for quantizer in quantizers:
        quantizer.double().initialize(rest)
        rest = rest - quantizer.vectors(quantizer.nearest(rest))
    return quantizers, torch.randn(300, 3, dtype=torch.float64)


def test_a_broad_search_finds_the_nearest_of_all_sums() -> None:
    quantizers, vectors = residual_books()
    books = [quantizer.vectors(torch.arange(5)) for quantizer in quantizers]
    a, b, c = books
    sums = (a[:, None, None] + b[:, None] + c).flatten(0, 2)
    best = torch.cdist(vectors, sums).argmin(1)
    expected = [best // 25, best // 5 % 5, best % 5]
    for found, wanted in zip(search(quantizers, vectors, 25), expected, strict=True):
        assert torch.equal(found, wanted)


def test_a_search_in_parts_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    quantizers, vectors = residual_books()
    expected = search(quantizers, vectors, 4)
    monkeypatch.setattr(finite_scalar, "SEARCHED", 4 * 5 * 7)
    for found, whole in zip(search(quantizers, vectors, 4), expected, strict=True):
        assert torch.equal(found, whole)


def test_a_search_of_breadth_one_takes_turns() -> None:
    quantizers, vectors = residual_books()
    rest = vectors
    for quantizer, found in zip(quantizers, search(quantizers, vectors, 1), strict=True):
        codes = quantizer.nearest(rest)
        assert torch.equal(found, codes)
        rest = rest - quantizer.vectors(codes)


def test_broader_is_nearer() -> None:
    quantizers, vectors = residual_books()
    errors = []
    for breadth in (1, 2, 25):
        codes = search(quantizers, vectors, breadth)
        pairs = zip(quantizers, codes, strict=True)
        total = sum(quantizer.vectors(found) for quantizer, found in pairs)
        errors.append(float((vectors - total).square().sum()))
    assert errors[2] < errors[1] < errors[0]


def test_short_vectors_count_more() -> None:
    """One code is the mean of all, by weights (|v|^2 / mean + .01)^(-a / 2)."""
    vectors = torch.tensor([[1.0, 0.0], [0.0, 10.0], [-3.0, 4.0]], dtype=torch.float64)
    book = Codebook(2, 2, decay=0.0, revival=0.0, quiet=1.0).double()
    book.learn(vectors, torch.zeros(3, dtype=torch.long))
    weights = (torch.tensor([1.0, 100.0, 25.0]).double() / 42 + 0.01) ** -0.5
    expected = (weights[:, None] * vectors).sum(0) / weights.sum()
    torch.testing.assert_close(book.vectors(torch.tensor(0)), expected, atol=1e-4, rtol=1e-4)
    book.initialize(vectors.repeat(50, 1) + 1e-9 * torch.randn(150, 2).double())
    torch.testing.assert_close(book.shares.sum(), torch.tensor(1.0).double())
    with pytest.raises(OptionError, match="quiet"):
        Codebook(2, 2, quiet=-1.0)
    kinds = [book.quiet for book in residual_quantizer(2, codes=2, quiet=1.0)]  # type: ignore[attr-defined]
    assert kinds == [0.0, 1.0, 1.0, 1.0]
