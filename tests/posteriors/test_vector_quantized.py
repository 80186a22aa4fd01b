"""The codebook: nearest codes, moving averages, clusters at the start, revival."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lowerbound.config import construct
from lowerbound.distributions.reparameterization import draw, seeded
from lowerbound.errors import OptionError
from lowerbound.posteriors import GRADIENTS, QUANTIZERS, Codebook, Quantized
from lowerbound.posteriors.vector_quantized import SMOOTHING, clusters
from lowerbound.trace import Step


def two_codes(**options: object) -> Codebook:
    """Codes at (0, 0) and (4, 0), used alike."""
    book = Codebook(2, **{"codes": 2, "decay": 0.75, "revival": 0.0, **options}).double()  # type: ignore[arg-type]
    book.sums.copy_(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
    return book


def blobs(count: int, rows: int = 2000, dim: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    centers = 5 * torch.randn(count, dim, generator=generator)
    which = torch.randint(count, (rows,), generator=generator)
    return centers[which] + torch.randn(rows, dim, generator=generator)


def inertia(vectors: Tensor, centers: Tensor) -> float:
    return float(torch.cdist(vectors, centers).amin(1).square().sum())


def test_each_vector_goes_to_the_nearest_code() -> None:
    with seeded(0):
        book, vectors = Codebook(5, codes=17), torch.randn(3, 4, 5)
    expected = torch.cdist(vectors, book.book.expand(3, 17, 5)).argmin(-1)
    assert torch.equal(book.nearest(vectors), expected)
    assert torch.equal(book.nearest(book.book), torch.arange(17))
    with torch.autocast("cpu", torch.bfloat16):  # codes nearer than bf16 can tell
        near = torch.tensor([[1.0, 0.0], [1.001, 0.0]])
        fine = Codebook(2, codes=2)
        fine.sums.copy_(near / 2)
        assert fine.nearest(near).tolist() == [0, 1]


def test_an_update_by_hand() -> None:
    """Three of four vectors go to the first code: its share and its sum move by a quarter."""
    book = two_codes()
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [4.0, 2.0]], dtype=torch.float64)
    codes = book.nearest(vectors)
    assert codes.tolist() == [0, 0, 0, 1]
    book.learn(vectors, codes)
    shares = torch.tensor([0.75 * 0.5 + 0.25 * 0.75, 0.75 * 0.5 + 0.25 * 0.25])
    sums = torch.tensor([[0.25 * 2 / 4, 0.25 * 2 / 4], [0.75 * 2 + 0.25 * 4 / 4, 0.25 * 2 / 4]])
    torch.testing.assert_close(book.shares, shares.double())
    torch.testing.assert_close(book.sums, sums.double())
    smoothed = (shares.double() + SMOOTHING / 2) / (1 + SMOOTHING)
    torch.testing.assert_close(book.book, sums.double() / smoothed[:, None], rtol=1e-7, atol=0)
    assert book.use.tolist() == [3, 1]


def test_smoothing_keeps_the_total_share() -> None:
    book = two_codes()
    book.shares.copy_(torch.tensor([3.0, 0.0]))
    book.sums.copy_(torch.tensor([[3.0, 0.0], [0.0, 0.0]]))
    implied = book.sums[0, 0] / book.book[0, 0]
    assert float(implied) == pytest.approx(3 * (3 + SMOOTHING / 2) / (3 + SMOOTHING), rel=1e-12)
    assert book.book.isfinite().all()


def test_averages_settle_at_the_means_of_what_is_quantized() -> None:
    book = two_codes(decay=0.9)
    vectors = blobs(2, dim=2).double()
    codes = (vectors[:, 0] > vectors[:, 0].median()).long()
    for _ in range(300):
        book.learn(vectors, codes)
    means = torch.stack([vectors[codes == code].mean(0) for code in (0, 1)])
    torch.testing.assert_close(book.book, means, rtol=1e-4, atol=1e-4)


def test_the_same_as_vector_quantize_pytorch() -> None:
    library = pytest.importorskip("vector_quantize_pytorch")
    with seeded(0):
        theirs = library.VectorQuantize(
            dim=4, codebook_size=8, decay=0.9, threshold_ema_dead_code=0, rotation_trick=False
        )
        batches = torch.randn(20, 1, 64, 4)
    ours = Codebook(4, codes=8, decay=0.9, revival=0.0)
    inside = theirs._codebook
    ours.sums.copy_(inside.embed[0] / 8)
    inside.cluster_size.fill_(64 / 8)
    inside.embed_avg.copy_(inside.embed * 64 / 8)
    theirs.train()
    for vectors in batches:
        quantized, codes, _ = theirs(vectors)
        own = ours.nearest(vectors)
        assert torch.equal(own, codes)
        torch.testing.assert_close(ours.vectors(own), quantized, rtol=1e-3, atol=1e-3)
        ours.learn(vectors.flatten(0, 1), own.flatten())
    torch.testing.assert_close(ours.book, inside.embed[0], rtol=1e-3, atol=1e-3)


def test_the_commitment_moves_the_encoder_alone() -> None:
    """d/de beta ||e - c||^2 = 2 beta (e - c), and the codebook has no parameter to move."""
    book = two_codes(commitment=0.25)
    encoded = torch.tensor([[1.0, -2.0], [3.0, 5.0]], dtype=torch.float64, requires_grad=True)
    vectors = book.vectors(book.nearest(encoded)).requires_grad_()
    penalty = book.penalty(encoded, vectors)
    torch.testing.assert_close(
        penalty, torch.tensor([1.25, 6.5], dtype=torch.float64), rtol=1e-4, atol=0
    )
    penalty.sum().backward()
    torch.testing.assert_close(encoded.grad, 0.5 * (encoded - vectors).detach())
    assert vectors.grad is None
    assert not list(book.parameters())


def test_straight_through_hands_the_gradient_on() -> None:
    encoded = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    quantized = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    passed = GRADIENTS["straight_through"](encoded, quantized)
    assert torch.equal(passed, quantized)
    passed.retain_grad()
    (torch.sin(passed) * torch.arange(3)).sum().backward()
    assert torch.equal(encoded.grad, passed.grad)  # type: ignore[arg-type]
    assert quantized.grad is None


def test_the_start_is_as_good_as_the_best_of_ten_by_scikit_learn() -> None:
    from sklearn.cluster import KMeans

    vectors = blobs(12)
    book = Codebook(4, codes=16)
    book.initialize(vectors)
    best = KMeans(16, n_init=10, random_state=1).fit(vectors.numpy()).inertia_
    found = inertia(vectors, book.book)
    assert found < 1.05 * best
    assert found < 0.5 * inertia(vectors, Codebook(4, codes=16).book)
    shares = torch.bincount(book.nearest(vectors), minlength=16) / len(vectors)
    torch.testing.assert_close(book.shares, shares, rtol=0, atol=2e-3)


@pytest.mark.filterwarnings("error")
def test_a_start_from_fewer_vectors_than_codes_takes_them_all() -> None:
    vectors = blobs(3, rows=5).repeat(4, 1)
    centers, shares = clusters(vectors, 8)
    assert inertia(vectors, centers) == pytest.approx(0.0, abs=1e-6)
    assert len(torch.unique(centers, dim=0)) == 8
    assert float(shares.sum()) == pytest.approx(1.0)


def test_a_start_without_clusters_stays_where_it_is() -> None:
    book = Codebook(4, codes=8, kmeans=False)
    before = book.book
    book.initialize(blobs(3))
    assert torch.equal(book.book, before)


def test_a_dead_code_is_revived_at_a_vector_of_the_batch() -> None:
    """All vectors go to one code: the other's share halves, and the third time it is below 1/10."""
    vectors = torch.tensor([[0.1, 0.0], [0.0, 0.2], [0.3, 0.3]], dtype=torch.float64)
    first = torch.zeros(3, dtype=torch.long)
    kept, revived = two_codes(decay=0.5), two_codes(decay=0.5, revival=0.2)
    for book in (kept, revived):
        for _ in range(2):
            book.learn(vectors, first)
    assert torch.equal(kept.book, revived.book)
    with seeded(0):
        kept.learn(vectors, first)
        revived.learn(vectors, first)
    assert float(kept.shares[1]) == 1 / 16
    assert float(revived.shares[1]) == 1 / 2
    assert torch.equal(kept.sums[0], revived.sums[0])
    distance = (vectors - revived.sums[1] / revived.shares[1]).norm(dim=1)
    assert float(distance.min()) < 1e-12
    assert float((kept.book[1] - revived.book[1]).norm()) > 1


def test_options_out_of_range_are_refused() -> None:
    for wrong in ({"codes": 1}, {"decay": 1.0}, {"commitment": -1.0}, {"revival": 1.0}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            construct(QUANTIZERS["vq"], 4, options=wrong)
    with pytest.raises(OptionError, match="did you mean 'decay'"):
        construct(QUANTIZERS["vq"], 4, options={"dcay": 0.9})


def test_the_posterior_is_certain_of_its_codes() -> None:
    codes = torch.tensor([[[3, 1], [0, 2]]])
    posterior = Quantized(codes)
    assert posterior.batch_shape == (1, 2)
    assert posterior.event_shape == (2,)
    assert torch.equal(draw(posterior, 4), codes.expand(4, 2, 2))
    other = codes.clone()
    other[0, 1, 0] = 1
    log_prob = posterior.log_prob(torch.cat([codes, other]))
    assert log_prob.tolist() == [[0.0, 0.0], [0.0, -math.inf]]
    assert Step(posterior.codes, posterior, posterior).quantized
    assert not posterior.has_rsample
