r"""Quantizers, which map vectors to codes and back, and the learned codebook.

Each code's vector is a moving average of the vectors quantized to it:

.. math::
    k(e) = \arg\min_k \|e - c_k\|^2, \qquad c_k = s_k / \tilde f_k, \qquad
    \tilde f_k = F \, \frac{f_k + \epsilon / K}{F + \epsilon}, \quad F = \textstyle\sum_j f_j

with f_k the moving share of vectors that went to code k, and s_k their moving sum divided by the
number of all vectors. The scale of both is thus independent of the batch size. Vectors can have
the weights

.. math:: w(v) \propto \Big(\frac{\|v\|^2}{\overline{\|v\|^2}} + .01\Big)^{-a / 2}

so that codes lie denser among short vectors. Residuals are short in quiet places, such as smooth
areas of a picture, where errors are most visible.

Sources: van den Oord et al. 2017, section 3 and appendix A.1; Razavi et al. 2019 for the averages;
Dhariwal et al. 2020 for the revival of codes that are not used.

The gradient of a quantization is zero, so it goes straight through. The use of a codebook is the
share of its codes that are used, and their perplexity,

.. math:: H = -\sum_k f_k \log f_k, \qquad \text{perplexity} = e^H \le K

with f_k the share of places, over all rows, at which code k was chosen. If the perplexity is far
below K, the codebook has collapsed: a smaller one would hold as much information.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.errors import OptionError
from lowerbound.registry import Registry

LEAST_NORM = 1e-6  # of a vector, for its direction

Gradient = Callable[[Tensor, Tensor], Tensor]
GRADIENTS: Registry[Gradient] = Registry("gradient past quantization")
SMOOTHING = 1e-5  # epsilon, as a share of equal use
MOST_CLUSTERED = 32_768  # most vectors that the codes start from
CLUSTERING_ROUNDS = 25  # of k-means, for the first codebook
LEAST_SQUARE = 0.01  # share of the mean square that is added, which bounds the weights
TINY = 1e-12  # mean square of residuals


class Quantizer(nn.Module, ABC):
    """One codebook of K codes; each code represents a vector.

    Args:
        dim: numbers in a vector.
        codes: K.

    Attributes:
        use: how often each code was chosen in training since ``forget_use``, (K,).
    """

    use: Tensor

    def __init__(self, dim: int, codes: int) -> None:
        super().__init__()
        self.dim = dim
        self.codes = codes
        self.register_buffer("use", torch.zeros(codes, dtype=torch.long))

    @abstractmethod
    def nearest(self, vectors: Tensor) -> Tensor:
        """The code of each vector, (..., dim) to (...), int64."""

    @abstractmethod
    def vectors(self, codes: Tensor) -> Tensor:
        """The vectors of codes, (...) to (..., dim)."""

    def within(self, encoded: Tensor) -> Tensor:
        """The part of the encoder's output that is quantized, (..., dim); by default all of it."""
        return encoded

    def penalty(self, encoded: Tensor, vectors: Tensor) -> Tensor | None:
        """A penalty added to the loss but not to the bound, (...); None: no penalty."""
        return None

    @torch.no_grad()
    def standardize(self, encoded: Tensor) -> None:
        """Set what ``within`` needs from the untrained encoder's output, (rows, dim)."""

    @torch.no_grad()
    def initialize(self, vectors: Tensor) -> None:
        """Start from vectors of training rows, (rows, dim): what ``within`` gives, or the rest that
        the codebooks before leave."""

    @torch.no_grad()
    def learn(self, vectors: Tensor, codes: Tensor) -> None:
        """Learn from an update's quantized vectors, (rows, dim), and their codes, (rows,)."""
        self.use += torch.bincount(codes, minlength=self.codes)

    def forget_use(self) -> None:
        """Start to count use again."""
        self.use.zero_()


QUANTIZERS: Registry[Callable[..., list[Quantizer]]] = Registry(
    "quantizer",
    "lowerbound.posteriors",
    {
        "fsq": "finite_scalar",
        "lfq": "finite_scalar",
        "vq": "vector_quantized",
        "residual": "finite_scalar",
    },
)
"""Each name builds the codebooks of a latent for vectors of ``dim`` numbers, coarse to fine."""


@GRADIENTS.register("straight_through")
def straight_through(encoded: Tensor, quantized: Tensor) -> Tensor:
    """``quantized``, (..., dim), with its gradient passed to ``encoded``: dL/de = dL/dq.

    Source: Bengio et al. 2013; van den Oord et al. 2017, section 3.2.
    """
    # e + (q - e) would round; this value is exactly q
    return quantized.detach() + (encoded - encoded.detach())


@GRADIENTS.register("rotation")
def rotation(encoded: Tensor, quantized: Tensor) -> Tensor:
    r"""``encoded``, rotated and scaled onto ``quantized`` by a map without gradient.

    .. math::
        q = \lambda R e, \quad \lambda = \frac{\|q\|}{\|e\|}, \quad
        R = I - 2 r r^T + 2 \hat q \hat e^T, \quad r = \frac{\hat e + \hat q}{\|\hat e + \hat q\|}

    so dL/de = lambda R^T dL/dq: the angle between gradient and vector is equal for e and q.
    Source: Fifty et al. 2025, section 4.2.
    """
    with torch.no_grad():
        norms = torch.linalg.vector_norm(encoded, dim=-1, keepdim=True).clamp_min(LEAST_NORM)
        from_, to = encoded / norms, F.normalize(quantized, dim=-1, eps=LEAST_NORM)
        between = F.normalize(from_ + to, dim=-1, eps=LEAST_NORM)
        stretch = torch.linalg.vector_norm(quantized, dim=-1, keepdim=True) / norms
    reflected = encoded - 2 * between * (between * encoded).sum(-1, keepdim=True)
    rotated: Tensor = stretch * (reflected + 2 * to * (from_ * encoded).sum(-1, keepdim=True))
    return quantized.detach() + (rotated - rotated.detach())


@dataclass(frozen=True)
class CodebookUse:
    """The use of one codebook.

    Attributes:
        counts: how often each code was chosen, (K,).
    """

    counts: Tensor

    @property
    def used(self) -> float:
        """Share of the codes that were chosen at all."""
        return float((self.counts > 0).double().mean())

    @property
    def entropy(self) -> float:
        """H, nats per code: the cost of a code if it is coded with these shares."""
        shares = self.counts.double() / self.counts.sum()
        return float(-torch.special.xlogy(shares, shares).sum())

    @property
    def perplexity(self) -> float:
        """e^H."""
        return math.exp(self.entropy)

    def to_mapping(self) -> dict[str, Any]:
        """JSON-like values."""
        numbers = {name: getattr(self, name) for name in ("used", "perplexity", "entropy")}
        return {"codes": len(self.counts), **numbers}


class Codebook(Quantizer):
    r"""K learned vectors; the nearest one replaces the encoder's vector.

    Args:
        dim: numbers in a vector.
        codes: K.
        decay: d, share that the averages keep per update.
        commitment: beta, weight of ||e - c||^2, which keeps the encoder near its codes.
        kmeans: start at k-means centers of the untrained encoder's vectors.
        revival: a code restarts at a vector of the newest batch if its moving share falls below
            this part of equal use, 1 / K; 0: never.
        quiet: a, extra weight of short vectors; 0: all vectors have equal weight.
    """

    shares: Tensor
    sums: Tensor

    def __init__(
        self,
        dim: int,
        codes: int = 512,
        decay: float = 0.99,
        commitment: float = 0.25,
        kmeans: bool = True,
        revival: float = 0.1,
        quiet: float = 0.0,
    ) -> None:
        super().__init__(dim, codes)
        if codes < 2:
            raise OptionError(f"codes is the size of the codebook, at least 2, not {codes}")
        if not 0.0 <= decay < 1.0:
            raise OptionError(f"decay is a share that is kept, 0 to below 1, not {decay}")
        if commitment < 0:
            raise OptionError(f"commitment must not be negative, and is {commitment}")
        if not 0.0 <= revival < 1.0:
            raise OptionError(f"revival is a part of even use, 0 to below 1, not {revival}")
        if quiet < 0:
            raise OptionError(f"quiet must not be negative, and is {quiet}")
        self.quiet = quiet
        self.decay = decay
        self.commitment = commitment
        self.kmeans = kmeans
        self.revival = revival
        self.register_buffer("shares", torch.full((codes,), 1.0 / codes))
        self.register_buffer("sums", torch.randn(codes, dim) / codes)

    @property
    def book(self) -> Tensor:
        """c, (K, dim)."""
        total = self.shares.sum()
        smoothed = (self.shares + SMOOTHING / self.codes) * (total / (total + SMOOTHING))
        return self.sums / smoothed.unsqueeze(1)

    def nearest(self, vectors: Tensor) -> Tensor:
        book = self.book
        # bf16 does not distinguish near codes
        with torch.autocast(vectors.device.type, enabled=False):
            distances = book.square().sum(1) - 2 * (vectors.detach().to(book.dtype) @ book.T)
        return distances.argmin(-1)

    def vectors(self, codes: Tensor) -> Tensor:
        return self.book[codes]

    def penalty(self, encoded: Tensor, vectors: Tensor) -> Tensor:
        """beta ||e - c||^2, (...), whose gradient reaches the encoder but not the codebook."""
        return self.commitment * (encoded - vectors.detach()).square().sum(-1)

    @torch.no_grad()
    def initialize(self, vectors: Tensor) -> None:
        if not self.kmeans:
            return
        vectors = vectors[:MOST_CLUSTERED]
        centers, shares = clusters(vectors, self.codes, self._weights(vectors))
        self.shares.copy_(shares)
        self.sums.copy_(centers * shares.unsqueeze(1))

    @torch.no_grad()
    def learn(self, vectors: Tensor, codes: Tensor) -> None:
        """Update the averages with this batch, then revive the codes that are not used."""
        super().learn(vectors, codes)
        if not len(codes):
            return
        vectors = vectors.to(self.sums)
        weights = self._weights(vectors) / len(codes)
        shares = torch.zeros_like(self.shares).index_add_(0, codes, weights)
        sums = torch.zeros_like(self.sums).index_add_(0, codes, vectors * weights.unsqueeze(1))
        self.shares.lerp_(shares, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        self._revive(vectors)

    def _weights(self, vectors: Tensor) -> Tensor:
        """w, (rows,), with mean 1."""
        if not self.quiet:
            return vectors.new_ones(len(vectors))
        squares = vectors.square().sum(1)
        weights = (squares / squares.mean().clamp_min(TINY) + LEAST_SQUARE) ** (-self.quiet / 2)
        return weights / weights.mean()

    def _revive(self, vectors: Tensor) -> None:
        """Move dead codes to vectors drawn from the batch, and set their shares to 1 / K."""
        if not self.revival:
            return
        dead = torch.nonzero(self.shares < self.revival / self.codes).flatten()
        if len(dead):
            drawn = torch.randperm(len(vectors), device=vectors.device)[: len(dead)]
            dead = dead[: len(drawn)]  # the others wait, so that no two codes share a vector
            self.shares[dead] = 1.0 / self.codes
            self.sums[dead] = vectors[drawn].to(self.sums) / self.codes


def clusters(vectors: Tensor, count: int, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Centers by k-means, (count, dim), and the share of vectors at each, (count,).

    ``weights`` are those of the vectors, (rows,), with mean 1; None: equal weights. If there are
    fewer distinct vectors than centers, the other centers are noisy copies.
    """
    from sklearn.cluster import KMeans  # takes half a second to import

    distinct = torch.unique(vectors, dim=0)
    if len(distinct) > count:
        found = KMeans(count, n_init=1, max_iter=CLUSTERING_ROUNDS, random_state=0)
        counts = None if weights is None else weights.double().cpu().numpy()
        labels = found.fit_predict(vectors.double().cpu().numpy(), sample_weight=counts)
        centers = torch.from_numpy(found.cluster_centers_)
        counted = None if weights is None else weights.cpu()
        shares = torch.bincount(torch.from_numpy(labels).long(), counted, count) / len(vectors)
        return centers.to(vectors), shares.to(vectors)
    times = -(-count // len(distinct))
    centers = distinct.repeat(times, 1)[:count].clone()
    spread = vectors.std(0, correction=0).clamp_min(1e-3)
    copies = count - len(distinct)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(copies, vectors.shape[1], generator=generator).to(vectors)
    centers[len(distinct) :] += 0.1 * spread * noise
    return centers, torch.full((count,), 1.0 / count).to(vectors)


@QUANTIZERS.register("vq")
def vector_quantizer(
    dim: int,
    *,
    codes: int = 512,
    decay: float = 0.99,
    commitment: float = 0.25,
    kmeans: bool = True,
    revival: float = 0.1,
) -> list[Quantizer]:
    """One learned codebook."""
    return [Codebook(dim, codes, decay, commitment, kmeans, revival)]
