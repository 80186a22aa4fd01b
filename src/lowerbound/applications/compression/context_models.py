r"""Codes as bytes, each under its probability given the codes before and above it.

Rows are coded in groups: in a group codebook by codebook, place by place, and then row by row. The
coder is the range coder of ``code_ranges``; zero bytes at its end are left off, because the decoder
reads zeros there. Priors whose codes depend on each other give the probabilities in whole numbers,
by one division, so that both ends agree to the last bit:

.. math:: \hat p(k) = \frac{w_k}{\sum_l w_l}, \qquad
    w_k = e_k + \Big\lfloor \sum_l e_l / (256 K) \Big\rfloor + 1

with e the exponentials of the logits, looked up in a table of whole numbers. A transformer is
computed in fixed-point numbers (``exact_layers``), so the weights w are the same on every machine,
for any batch, and whether one place or all of them are computed. The second term is a uniform share
of 1/256: no code is impossible, and none is free.
"""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lowerbound.applications.compression.code_ranges import SPARE, WORD_BYTES
from lowerbound.applications.compression.exact_layers import (
    EXP_ONE,
    FixedAttention,
    FixedLinear,
    FixedNorm,
    fine,
    whole_softmax,
)
from lowerbound.applications.compression.stack import constriction
from lowerbound.data.arrays import Array
from lowerbound.errors import BitstreamError
from lowerbound.networks.causal_transformer import CausalSoftmax
from lowerbound.networks.matrix_products import AffineMap
from lowerbound.priors.autoregressive_codes import (
    NUMBERS,
    SLOW,
    AutoregressiveCodes,
    CodeEmbedding,
    CodeHead,
    CodeLookup,
    NetworkConditionals,
)
from lowerbound.priors.codes import CodePrior
from lowerbound.priors.sequential_codes import (
    Conditionals,
    MarkovCodes,
    SequentialCodes,
    Step,
    TableConditionals,
)

UNIFORM = 256  # one part of so many is spread evenly
GROUP_NUMBERS = 1 << 23  # rows of a group times places times K, at most


class WholeCodes(SequentialCodes):
    """p(z | codes above) in whole numbers. Its logits are logarithms of weights."""

    @abstractmethod
    def weights(self, above: Sequence[Tensor]) -> WholeWeights:
        """The weights of rows with these codes above, (rows, places) each."""

    def conditionals(self, above: Sequence[Tensor], prompt: Tensor | None = None) -> Conditionals:
        return self.weights(above)


class WholeWeights(Conditionals):
    """Weights w of codes, and their logarithms.

    Args:
        inner: in fixed-point numbers.
        whole: from its logits to weights.
    """

    def __init__(self, inner: Conditionals, whole: Callable[[Tensor], Tensor]) -> None:
        self.inner, self.whole = inner, whole

    def all(self, z: Tensor) -> Tensor:
        """Weights of all places, (rows, places, K) float64, of codes (rows, places)."""
        return self.whole(self.inner.logits(z))

    def one_by_one(self) -> Step:
        """A function of (z, place) that returns the weights of that place, (rows, K)."""
        step = self.inner.steps()
        return lambda z, place: self.whole(step(z, place))

    def logits(self, z: Tensor) -> Tensor:
        return self.all(z).log()

    def steps(self) -> Step:
        step = self.one_by_one()
        return lambda z, place: step(z, place).log()


class TransformerWeights(WholeCodes):
    """An autoregressive prior in fixed-point numbers; what it says of unknown prompts.

    Args:
        prior: that one.
    """

    def __init__(self, prior: AutoregressiveCodes) -> None:
        super().__init__(prior.shape, prior.codes)
        self.network = copy.deepcopy(prior.network).cpu().double().eval()
        _fix(self.network)
        for parameter in self.network.parameters():  # positions and prompts
            parameter.data = fine(parameter.data) + 0.0
        self.requires_grad_(False)

    def weights(self, above: Sequence[Tensor]) -> WholeWeights:
        inner = NetworkConditionals(self.network, self.network.context(above))
        return WholeWeights(inner, lambda logits: with_uniform(whole_softmax(logits)))


class TableWeights(WholeCodes):
    """A table of whole numbers, chosen by the left neighbor.

    Args:
        prior: whose table it is.
    """

    table: Tensor

    def __init__(self, prior: MarkovCodes) -> None:
        super().__init__(prior.shape, prior.codes)
        shares = prior.shares.detach().cpu().double()
        whole = torch.round(shares / shares.amax(1, keepdim=True) * EXP_ONE)
        self.register_buffer("table", whole.float())

    def weights(self, above: Sequence[Tensor]) -> WholeWeights:
        inner = TableConditionals(self.table.double(), self.shape[-1])
        return WholeWeights(inner, with_uniform)


class FixedCodes(CodeLookup):
    """Embeddings of codes in fixed-point numbers.

    Args:
        codes: those embeddings.
    """

    values: Tensor

    def __init__(self, codes: CodeEmbedding) -> None:
        super().__init__()
        self.register_buffer("values", fixed_table(codes))

    @property
    def table(self) -> Tensor:
        return self.values


class FixedHead(nn.Module):
    """Logits of codes in fixed-point numbers.

    Args:
        head: whose logits they are.
    """

    def __init__(self, head: CodeHead) -> None:
        super().__init__()
        self.narrow = FixedLinear(head.narrow.weight, head.narrow.bias)
        self.last = FixedLinear(fixed_table(head.codes), head.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.last(self.narrow(tokens) / math.sqrt(NUMBERS))
        return logits


@torch.no_grad()
def fixed_table(codes: CodeEmbedding) -> Tensor:
    """The embeddings of codes by a sum that is the same on every machine, (codes, numbers)."""
    projected: Tensor = FixedLinear(codes.project.weight, None)(codes.features.double().cpu())
    return fine(SLOW * codes.free.detach().double().cpu()) + projected + 0.0


FIXED: dict[type, Callable[..., nn.Module]] = {
    AffineMap: lambda layer: FixedLinear(layer.weight, layer.bias),
    nn.LayerNorm: FixedNorm,
    CausalSoftmax: lambda layer: FixedAttention(),
    CodeEmbedding: FixedCodes,
    CodeHead: FixedHead,
}


def _fix(module: nn.Module) -> None:
    """Put parts in fixed-point numbers in place of the others."""
    for name, part in list(module.named_children()):
        make = FIXED.get(type(part))
        if make is None:
            _fix(part)
        else:
            setattr(module, name, make(part))


def with_uniform(weights: Tensor) -> Tensor:
    """Weights (..., K) and a uniform share of them."""
    total = weights.sum(-1, keepdim=True)
    return weights + torch.floor(total / (UNIFORM * weights.shape[-1])) + 1


def in_whole_numbers(prior: CodePrior) -> WholeCodes | None:
    """The prior in whole numbers; None where its codes do not depend on each other."""
    if isinstance(prior, WholeCodes):
        return prior
    if isinstance(prior, AutoregressiveCodes):
        return TransformerWeights(prior)
    return TableWeights(prior) if isinstance(prior, MarkovCodes) else None


def least_bits(codes: int) -> float:
    """What the likeliest of K codes takes at least."""
    return math.log2(1 + (codes - 1) / (UNIFORM * codes + 1))


def encode(
    levels: Sequence[Tensor], priors: Sequence[WholeCodes], last: int | None = None
) -> bytes:
    """The bytes of codes.

    Args:
        levels: codes of each codebook, (rows, places).
        priors: of each codebook.
        last: places of the last row that count, of every codebook; None: all.
    """
    coder, model = constriction().stream.queue.RangeEncoder(), _family()
    for group, short in _groups(priors, len(levels[0]), last):
        for level, (codes, prior) in enumerate(zip(levels, priors, strict=True)):
            above = [each[group] for each in levels[:level]]
            weights = prior.weights(above).all(codes[group])
            for place in range(codes.shape[1]):
                end = len(weights) - (place >= short)
                if end:
                    column = codes[group][:end, place].numpy().astype(np.int32)
                    coder.encode(column, model, _shares(weights[:end, place]))
    whole: bytes = coder.get_compressed().astype(">u4").tobytes()
    # zeros that the decoder adds are left off, but not those that many likely codes consist of:
    # a reader refuses more codes than the bytes can hold
    return whole.rstrip(b"\0").ljust(len(whole) - SPARE, b"\0")


@torch.no_grad()
def decode(
    payload: bytes, rows: int, priors: Sequence[WholeCodes], last: int | None = None
) -> list[Tensor]:
    """The codes of each codebook, (rows, places); places that do not count are 0.

    Raises:
        BitstreamError: no codes are named by these bytes.
    """
    words = np.frombuffer(payload + bytes(-len(payload) % WORD_BYTES + SPARE), ">u4")
    coder, model = constriction().stream.queue.RangeDecoder(words.astype(np.uint32)), _family()
    levels = [torch.zeros(rows, math.prod(prior.shape), dtype=torch.long) for prior in priors]
    try:
        for group, short in _groups(priors, rows, last):
            for level, prior in enumerate(priors):
                codes = levels[level][group]
                step = prior.weights([each[group] for each in levels[:level]]).one_by_one()
                for place in range(codes.shape[1]):
                    weights = step(codes, place)
                    end = len(codes) - (place >= short)
                    if end:
                        found = coder.decode(model, _shares(weights[:end]))
                        codes[:end, place] = torch.from_numpy(found.astype(np.int64))
    except AssertionError as error:  # how constriction says so
        raise BitstreamError("the stream names no codes of this model") from error
    return levels


@torch.no_grad()
def bits(levels: Sequence[Tensor], priors: Sequence[WholeCodes], last: int | None = None) -> float:
    """-log2 of the probabilities of codes, as of ``encode``, summed up."""
    total = 0.0
    for group, short in _groups(priors, len(levels[0]), last):
        for level, (codes, prior) in enumerate(zip(levels, priors, strict=True)):
            weights = prior.weights([each[group] for each in levels[:level]]).all(codes[group])
            own = weights.gather(2, codes[group].unsqueeze(2)).squeeze(2)
            each = weights.sum(2).log2() - own.log2()
            total += float(each[:-1].sum() + each[-1, :short].sum())
    return total


def _groups(
    priors: Sequence[WholeCodes], rows: int, last: int | None
) -> Iterator[tuple[slice, int]]:
    """Rows of each group, and how many places of its last row count."""
    numbers = max(math.prod(prior.shape) * prior.codes for prior in priors)
    size = max(1, GROUP_NUMBERS // numbers)
    places = max(math.prod(prior.shape) for prior in priors)
    for start in range(0, rows, size):
        end = min(start + size, rows)
        yield slice(start, end), places if last is None or end < rows else last


def _family() -> object:
    """Distributions over 0 .. K - 1, one for each symbol."""
    return constriction().stream.model.Categorical(perfect=False)


def _shares(weights: Tensor) -> Array:
    """Probabilities, (rows, K) float64."""
    shares: Array = (weights / weights.sum(-1, keepdim=True)).numpy()
    return np.ascontiguousarray(shares)
