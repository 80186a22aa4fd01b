"""The vector-quantized variational autoencoder: the latent is a map of codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import Parameter

from lowerbound.data.dataset import spread_rows
from lowerbound.likelihoods import Likelihood
from lowerbound.models.base import DRAW, MODELS, Model
from lowerbound.networks.inputs import Input
from lowerbound.posteriors.codebook_use import CodebookUse
from lowerbound.posteriors.point import Point
from lowerbound.posteriors.quantized import Quantized
from lowerbound.posteriors.quantizer import Quantizer
from lowerbound.posteriors.residual import search
from lowerbound.posteriors.straight_through import Gradient, straight_through
from lowerbound.posteriors.vector_quantized import MOST_CLUSTERED
from lowerbound.priors.codes import CodePrior
from lowerbound.trace import Batch, Choose, Emission, Mean, Step, Trace, fold

ROWS_AT_ONCE = 256


@MODELS.register("vq_vae")
class VectorQuantizedVariationalAutoencoder(Model):
    r"""z ~ p(z) over codes, x ~ p(x | c_z), with q(z | x) = 1 at the codes nearest to e(x).

    .. math:: \log p(x) \ge \log p(x \mid c_{k(x)}) - \sum_i (-\log p(k_i(x)))

    The posterior has no entropy, so the bound's rate is what the codes cost under the prior: with a
    uniform one log K nats each. Of the gradient, the decoder's is handed on to the encoder past the
    quantization; the codebook is a moving average, and learns in ``after_update``.

    A Step's z are codes, (samples, batch, *code_shape), int64; with several codebooks there is a
    Step for each, and each quantizes what those before it left over. The code that ``encode``
    answers and ``decode`` takes are the vectors that the codes stand for, added up and side by
    side: vectors between codes are decoded as they are.

    Args:
        encoder: (rows, *inputs.shape), condition -> (rows, places * dim).
        quantizers: the codebooks, coarse to fine.
        priors: p(z) of each.
        decoder: (rows, places * dim), condition -> (rows, *likelihood.parameter_shape).
        likelihood: those numbers -> p(x | z).
        code_shape: places of the latent: (slots,), or (height, width).
        gradient: past the quantization.
        dropout: share of training rows that say only their first codebooks, as many as is drawn;
            see ``depth``.
        inputs: what the encoder is fed; None: the row as it is.
        breadth: outside training, of the search for codes whose sum is near; 1: each codebook takes
            its nearest, as in training. See ``posteriors.residual.search``.
        free: updates at first in which vectors pass as they are; the codebooks then start from
            what the encoder has come to say, rather than from what it says untrained.

    Attributes:
        depth: how many codebooks are used outside training; all unless set. Fewer cost less rate,
            and a model that was trained with ``dropout`` is made for that.

    Sources: van den Oord et al. 2017; Zeghidour et al. 2021 for several codebooks and dropout.
    """

    freed: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        quantizers: Sequence[Quantizer],
        priors: Sequence[CodePrior],
        decoder: nn.Module,
        likelihood: Likelihood,
        code_shape: tuple[int, ...],
        gradient: Gradient = straight_through,
        inputs: Input | None = None,
        dropout: float = 0.0,
        breadth: int = 1,
        free: int = 0,
    ) -> None:
        super().__init__(inputs)
        self.encoder = encoder
        self.quantizers = nn.ModuleList(quantizers)
        self.priors = nn.ModuleList(priors)
        self.decoder = decoder
        self.likelihood = likelihood
        self.code_shape = code_shape
        self.gradient = gradient
        self.dim = quantizers[0].dim
        self.latent_dim = math.prod(code_shape) * self.dim
        self.dropout = dropout
        self.breadth = breadth
        self.depth = len(quantizers)
        self.free = free
        self.register_buffer("freed", torch.zeros((), dtype=torch.long), persistent=free > 0)
        self._quantized: list[tuple[Tensor, Tensor, Tensor | None]] = []
        self._passed: list[Tensor] = []

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """K of each codebook that is used."""
        return tuple(quantizer.codes for quantizer, _ in self._levels())

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        if batch.x is None:
            return self.imagine(batch, choose)
        encoded = self._encoded(batch).unsqueeze(0)
        rest, total = encoded, torch.zeros_like(encoded)
        said = self._said(encoded)
        steps: list[Step] = []
        penalties: dict[str, Tensor] = {}
        quantized: list[tuple[Tensor, Tensor, Tensor | None]] = []
        levels = self._levels()
        for level, (quantizer, prior) in enumerate(levels):
            expected, silent = prior(), None if said is None else said <= level
            nearest = self._nearest(rest, [quantizer for quantizer, _ in levels[level:]])
            posterior = Quantized(nearest, silent, expected)
            z = choose(level, posterior, expected)
            steps.append(Step(z, posterior, expected))
            vectors = quantizer.vectors(z)
            penalty = quantizer.penalty(rest, vectors)
            if penalty is not None:
                penalties[f"quantizer {level}"] = _where_said(penalty, silent).flatten(2).sum(-1)
            vectors = _where_said(vectors, silent)
            quantized.append((rest.detach(), z, silent))
            total, rest = total + vectors, rest - vectors.detach()
        if self.training:
            self._quantized = quantized
        if self.training and self._is_free:
            total, penalties = encoded, {}
        else:
            total = self.gradient(encoded, total)
        emission = self.decode(total.flatten(2), batch.condition)
        return Trace(tuple(steps), emission.knowing(batch.missing), penalties)

    def imagine(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        """A pass that sees no data."""
        steps: list[Step] = []
        for level, (_, prior) in enumerate(self._levels()):
            expected = prior().expand(torch.Size((1, len(batch))))
            steps.append(Step(choose(level, None, expected), None, expected))
        emission = self.decode(self.vectors([step.z for step in steps]), batch.condition)
        return Trace(tuple(steps), emission)

    def encode(self, batch: Batch) -> Distribution:
        """The vectors of a row's codes as one point, batch shape (1, batch)."""
        return Point(self.code(self(batch, Mean())))

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Emission:
        """p(x | z) for the vectors of all places side by side, (samples, batch, latent_dim)."""
        emission: Emission = self.likelihood(fold(self.decoder, z, condition))
        return emission

    def code(self, trace: Trace) -> Tensor:
        """The vectors of a pass's codes, side by side, (samples, batch, latent_dim)."""
        return self.vectors([step.z for step in trace.steps])

    def quantize(self, batch: Batch) -> tuple[Tensor, ...]:
        """The codes of rows from each codebook that is used, (batch, *code_shape), int64."""
        return tuple(step.z[0] for step in self(batch, Mean()).steps)

    def vectors(self, codes: Sequence[Tensor]) -> Tensor:
        """What codes (samples, batch, *code_shape) stand for together, side by side."""
        pairs = zip(self._all(), codes, strict=False)
        summands = [quantizer.vectors(z) for (quantizer, _), z in pairs]
        return torch.stack(summands).sum(0).flatten(2)

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        generative = (self.priors, self.decoder, self.likelihood)
        return {
            "inference": [
                *self.input_parameters(),
                *self.encoder.parameters(),
                *self.quantizers.parameters(),
            ],
            "generative": [value for part in generative for value in part.parameters()],
        }

    @torch.no_grad()
    def after_update(self, batch: Batch) -> None:
        """Codebooks and priors learn from what the newest training pass quantized, and how."""
        quantized, self._quantized = self._quantized, []
        if self._is_free:
            self._pass(quantized[0][0] if quantized else None)
            return
        for level, (vectors, z, silent) in enumerate(quantized):
            quantizer, prior = self._all()[level]
            vectors = vectors.expand(*z.shape, -1)
            if silent is not None:
                vectors, z = vectors[:, ~silent], z[:, ~silent]
            prior.learn(z.flatten(0, 1))
            quantizer.learn(vectors.flatten(0, -2), z.flatten())

    def readings(self) -> Mapping[str, tuple[float, ...]]:
        """Which share of each codebook was used, and as how many codes used alike."""
        uses = [CodebookUse(quantizer.use) for quantizer, _ in self._all()]
        if not all(bool(use.counts.any()) for use in uses):
            return {}
        return {
            "codes used": tuple(use.used for use in uses),
            "perplexity": tuple(use.perplexity for use in uses),
        }

    def forget_readings(self) -> None:
        """Count use anew."""
        for quantizer, _ in self._all():
            quantizer.forget_use()

    @torch.no_grad()
    def start_codes(self, batch: Batch) -> None:
        """Start the codebooks from what the untrained encoder says, unless they start later."""
        if self.free:
            return
        batch = batch.to(next(self.encoder.parameters()).dtype)
        most = max(1, MOST_CLUSTERED // math.prod(self.code_shape))
        rows = spread_rows(len(batch), most)
        parts = [self._numbers(batch.rows(part)) for part in rows.split(ROWS_AT_ONCE)]
        self._start_from(torch.cat(parts).flatten(0, -2))

    @property
    def _is_free(self) -> bool:
        """Whether vectors still pass as they are."""
        return bool(self.free) and int(self.freed) < self.free

    def _pass(self, vectors: Tensor | None) -> None:
        """Count an update in which vectors passed, and start the codebooks after the last."""
        if vectors is not None:
            each = vectors.flatten(0, -2)
            kept = -(-MOST_CLUSTERED // len(each))
            self._passed = [*self._passed, each][-kept:]
        self.freed += 1
        if not self._is_free and self._passed:
            self._start_from(torch.cat(self._passed))
            self._passed = []

    def _start_from(self, rest: Tensor) -> None:
        """Start the codebooks from vectors, (count, dim): each from what those before left over."""
        for level, (quantizer, _) in enumerate(self._all()):
            quantizer.initialize(rest)
            rest = rest if level else quantizer.within(rest)
            rest = rest - quantizer.vectors(quantizer.nearest(rest))

    def _all(self) -> list[tuple[Quantizer, CodePrior]]:
        return list(zip(self.quantizers, self.priors, strict=True))  # type: ignore[arg-type]

    def _levels(self) -> list[tuple[Quantizer, CodePrior]]:
        """Those that are used."""
        return self._all()[: len(self.quantizers) if self.training else self.depth]

    def _nearest(self, rest: Tensor, quantizers: Sequence[Quantizer]) -> Tensor:
        """The codes from the first of ``quantizers``, the others still to come."""
        if self.training or self.breadth == 1 or len(quantizers) == 1:
            return quantizers[0].nearest(rest)
        codes, *_ = search(quantizers, rest.detach().flatten(0, -2), self.breadth)
        return codes.reshape(rest.shape[:-1])

    def _said(self, encoded: Tensor) -> Tensor | None:
        """How many codebooks each training row uses, (rows,); None: all do all."""
        levels, rows = len(self.quantizers), encoded.shape[1]
        if not (self.training and self.dropout) or levels == 1:
            return None
        count = torch.randint(1, levels + 1, (rows,), device=encoded.device)
        return count.masked_fill(torch.rand(rows, device=encoded.device) >= self.dropout, levels)

    def _encoded(self, batch: Batch) -> Tensor:
        """What is quantized, (batch, *code_shape, dim)."""
        first, _ = self._all()[0]
        return first.within(self._numbers(batch))

    def _numbers(self, batch: Batch) -> Tensor:
        """What the encoder says, (batch, *code_shape, dim)."""
        numbers: Tensor = self.encoder(self.seen(batch), batch.condition)
        if numbers.dtype == torch.bfloat16:
            numbers = numbers.float()
        vectors: Tensor = numbers.unflatten(1, (*self.code_shape, self.dim))
        return vectors


def _where_said(values: Tensor, silent: Tensor | None) -> Tensor:
    """Values (samples, rows, ...), zero in silent rows, (rows,)."""
    if silent is None:
        return values
    return values.masked_fill(silent.reshape(1, -1, *(1,) * (values.dim() - 2)), 0.0)
