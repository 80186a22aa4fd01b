"""The vector-quantized variational autoencoder: the latent is one or several maps of codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import Parameter

from lowerbound.config import construct, options_of
from lowerbound.data.audio.clips import USUAL_RATE
from lowerbound.data.dataset import Dataset, spread_rows
from lowerbound.distributions.point import Point
from lowerbound.errors import OptionError, counted
from lowerbound.likelihoods.base import Likelihood
from lowerbound.models.base import DRAW, MODELS, Model, starting_rows
from lowerbound.models.code_networks import (
    CodebookPass,
    CodeMap,
    VectorQuantizedOptions,
    code_dim,
    code_networks,
    start_linear_path,
)
from lowerbound.networks.inputs import Input
from lowerbound.parts import AUTO, trainable
from lowerbound.posteriors.vector_quantized import (
    GRADIENTS,
    MOST_CLUSTERED,
    QUANTIZERS,
    CodebookUse,
    Gradient,
    Quantizer,
    straight_through,
)
from lowerbound.priors.base import PriorTerms
from lowerbound.priors.codes import CODE_PRIORS, CodePrior
from lowerbound.priors.trainable import check_trainable
from lowerbound.processes import gathered
from lowerbound.trace import Batch, Choose, Emission, Mean, Step, Trace, fold

if TYPE_CHECKING:  # names for annotations
    from lowerbound.data.schema import Schema
    from lowerbound.models.options import ModelOptions
    from lowerbound.models.parts import ModelParts

ROWS_AT_ONCE = 256

MOST_FREE = 0.4  # of a run, so that a short one also learns its codes


@MODELS.register("vq_vae")
class VectorQuantizedVariationalAutoencoder(Model):
    r"""z ~ p(z) over codes, x ~ p(x | c_z), with q(z | x) = 1 at the codes nearest to e(x).

    .. math:: \log p(x) \ge \log p(x \mid c_{k(x)}) - \sum_i (-\log p(k_i(x)))

    The posterior has no entropy, so the rate is the cost of the codes under the prior: log K nats
    each if the prior is uniform. The decoder's gradient passes through the quantization to the
    encoder. The codebook is a moving average that ``after_update`` updates.

    A Step's z are codes, (samples, batch, *shape of its map), int64. Each codebook has one Step and
    quantizes the residual of the codebooks before it. ``encode`` returns and ``decode`` takes the
    vectors of the codes: summed over the codebooks of a map, and the places side by side.
    ``decode`` also accepts vectors that are not in a codebook.

    There may be several maps, coarse to fine, with the same number of codebooks each. A finer map
    is quantized after the one above, given its codes, and the decoder sees all maps:

    .. math:: k^1 = k(e^1(x)), \quad k^2 = k(e^2(x) + h(c_{k^1})), \quad p(x \mid c_{k^1}, c_{k^2})

    Args:
        encoder: (rows, *inputs.shape), condition -> (rows, places * dim), map after map.
        quantizers: the codebooks, coarse to fine, those of the coarsest map first.
        priors: p(z) of each codebook.
        decoder: (rows, places * dim), condition -> (rows, *likelihood.parameter_shape).
        likelihood: the decoder's output -> p(x | z).
        gradient: the gradient through the quantization.
        dropout: share of training rows that use only a random number of their first codebooks; see
            ``depth``.
        inputs: makes the encoder's input from a row; None: the row unchanged.
        breadth: width of the beam search for codes outside training; 1: each codebook takes its
            nearest code, as in training. See ``posteriors.residual.search``.
        free: number of first updates without quantization, at most 40 % of the run. The codebooks
            then start from the vectors of the trained encoder instead of the untrained one.
        between: h, one network for each map except the finest, (rows, places * dim) to (rows,
            places * dim). Its output is added to the encoder's vectors of the next map.

    Attributes:
        depth: number of codebooks used outside training; all by default. Fewer codebooks have a
            lower rate; train with ``dropout`` for that.

    Sources: van den Oord et al. 2017; Razavi et al. 2019 for two maps; Zeghidour et al. 2021 for
    several codebooks and dropout.
    """

    title: ClassVar[str] = "VQ-VAE"
    Options: ClassVar[type[Any]] = VectorQuantizedOptions
    uses: ClassVar[tuple[str, ...]] = ("network", "likelihood")
    freed: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        quantizers: Sequence[Quantizer],
        priors: Sequence[CodePrior],
        decoder: nn.Module,
        likelihood: Likelihood,
        gradient: Gradient = straight_through,
        inputs: Input | None = None,
        dropout: float = 0.0,
        breadth: int = 1,
        free: int = 0,
        between: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__(inputs)
        self.encoder = encoder
        self.between = nn.ModuleList(between)
        self.quantizers = nn.ModuleList(quantizers)
        self.priors = nn.ModuleList(priors)
        self.decoder = decoder
        self.likelihood = likelihood
        self.gradient = gradient
        self.dim = quantizers[0].dim
        self.dropout = dropout
        self.breadth = breadth
        self.depth = len(quantizers)
        self.free = free
        self.latent_dim = self.dim * sum(math.prod(each.shape) for each in self._maps())
        self.register_buffer("freed", torch.zeros((), dtype=torch.long), persistent=free > 0)
        self._quantized: list[CodebookPass] = []
        self._passed: list[list[Tensor]] = [[] for _ in self._maps()]

    @classmethod
    def own_options(cls, given: Mapping[str, Any]) -> VectorQuantizedOptions:
        """The model's options without those of the codebooks, which the quantizer takes."""
        return VectorQuantizedOptions.split(given)[0]

    @classmethod
    def option_names(cls) -> list[str]:
        """The names of the model's own options, and of those of every quantizer."""
        of_codebooks = [
            name for quantizer in QUANTIZERS for name in options_of(QUANTIZERS[quantizer])
        ]
        return list(dict.fromkeys([*options_of(VectorQuantizedOptions), *of_codebooks]))

    @classmethod
    def check(cls, schema: Schema, options: ModelOptions) -> None:
        if options.network == "tabular":
            raise OptionError("a vq_vae takes any network but 'tabular', which returns a Gaussian")
        if options.prior != "standard_normal" or options.posterior not in (AUTO, "gaussian"):
            raise OptionError(
                "the latents of a vq_vae are codes: leave prior and posterior out, and choose the "
                f"model's own prior over codes: {' or '.join(CODE_PRIORS)}"
            )

    @classmethod
    def default_posterior(cls, options: ModelOptions) -> str:
        """A name for the model folder; the posterior is the quantizer's."""
        return "gaussian"

    @classmethod
    def latent_dim_of(cls, schema: Schema, options: ModelOptions) -> int:
        """Length of a code's vector."""
        return options.latent_dim or code_dim(options.model_options)

    @classmethod
    def latents_text(cls, parts: ModelParts) -> str:
        return f"codes whose vectors have {counted(parts.latent_dim, 'number')}"

    @classmethod
    def build(cls, parts: ModelParts) -> VectorQuantizedVariationalAutoencoder:
        codes, rest = VectorQuantizedOptions.split(parts.options.model_options)
        likelihood, quantizer = parts.likelihood(), QUANTIZERS[codes.quantizer]
        books = [construct(quantizer, parts.latent_dim, options=rest) for _ in range(codes.maps)]
        networks = code_networks(parts, codes, likelihood)
        shapes = [
            shape
            for shape, quantizers in zip(networks.shapes, books, strict=True)
            for _ in quantizers
        ]
        kind = CODE_PRIORS[codes.prior]
        sizes = [quantizer.codes for quantizers in books for quantizer in quantizers]
        priors = [
            kind.build(shape, size, shapes[:level], codes.prior_options)
            for level, (shape, size) in enumerate(zip(shapes, sizes, strict=True))
        ]
        return cls(
            networks.encoder,
            [quantizer for quantizers in books for quantizer in quantizers],
            priors,
            networks.decoder,
            likelihood,
            GRADIENTS[codes.gradient],
            parts.inputs,
            codes.dropout,
            breadth=codes.breadth,
            free=codes.free,
            between=networks.between,
        )

    def start(self, dataset: Dataset) -> None:
        """Start from marginals, linear paths from principal components, and codebooks from the
        untrained encoder's vectors."""
        batch, rate = starting_rows(dataset), dataset.schema.sample_rate or USUAL_RATE
        start_linear_path(self.encoder, self.decoder, self.start_at_marginals(batch), rate)
        self._start_codes(batch)

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """K of each codebook in use."""
        return tuple(quantizer.codes for quantizer, _ in self._used())

    @property
    def code_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Places of each codebook in use."""
        return tuple(prior.shape for _, prior in self._used())

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        if batch.x is None:
            return self.imagine(batch, choose)
        own = self._numbers(batch)
        said = self._said(own[0])
        free, breadth = self.training and self._is_free, 1 if self.training else self.breadth
        levels: list[CodebookPass] = []
        totals: list[Tensor] = []
        for index, each in enumerate(self._maps(len(self._used()))):
            encoded = self._all()[each.first][0].within(self._in_context(index, own, totals))
            above = [level.step.z for level in levels]
            total, found = each.quantize(encoded, choose, said, breadth, above, batch.prompt)
            levels += found
            totals.append(encoded if free else self.gradient(encoded, total))
        if self.training:
            self._quantized = levels
        penalties = {
            f"quantizer {level}": found.penalty
            for level, found in enumerate(levels)
            if found.penalty is not None and not free
        }
        emission = self.decode(_side_by_side(totals), batch.condition)
        steps = tuple(level.step for level in levels)
        return Trace(steps, emission.knowing(batch.missing), penalties)

    def imagine(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        """A pass without data."""
        steps: list[Step] = []
        for level, (_, prior) in enumerate(self._used()):
            expected = prior.given([step.z for step in steps], batch.prompt)
            if expected.batch_shape == (1, 1):
                expected = expected.expand(torch.Size((1, len(batch))))
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
        """The codes of rows from each codebook in use, (batch, *shape of its map), int64."""
        return tuple(step.z[0] for step in self(batch, Mean()).steps)

    def vectors(self, codes: Sequence[Tensor]) -> Tensor:
        """The summed vectors of codes (samples, batch, *shape of the map), places side by side.

        The codes of the first codebooks suffice: a map without codes is zero.
        """
        totals: list[Tensor] = []
        for each in self._maps(len(codes)):
            if each.quantizers:
                totals.append(each.vectors(codes[each.first :]))
            else:
                totals.append(totals[0].new_zeros(*totals[0].shape[:2], *each.shape, self.dim))
        return _side_by_side(totals)

    @classmethod
    def prior_name(cls, options: ModelOptions) -> str:
        """The name of the prior over codes, one of the model's own options."""
        return cls.own_options(options.model_options).prior

    @classmethod
    def prior_kinds(cls) -> Sequence[str]:
        """Names of the priors over codes, the default first."""
        return trainable(CODE_PRIORS)

    @classmethod
    def with_prior(
        cls, options: ModelOptions, prior: str, prior_options: Mapping[str, Any]
    ) -> ModelOptions:
        """The same options with another prior over codes."""
        check_trainable(prior, CODE_PRIORS)
        own = {**options.model_options, "prior": prior, "prior_options": prior_options}
        return replace(options, model_options=own)

    @property
    def learned_prior(self) -> nn.ModuleList:
        """The priors of all codebooks, which training on codes changes."""
        return self.priors

    def prior_latents(self, batch: Batch, samples: int) -> Tensor:
        """The codes of rows, all codebooks side by side, (1, batch, codes)."""
        return torch.cat([codes.flatten(1) for codes in self.quantize(batch)], 1).unsqueeze(0)

    def start_prior(self, latents: Tensor, noise: Tensor | None = None) -> None:
        """Start the priors from codes of training rows, (rows, codes), which have no noise."""
        vectors: list[Tensor] = []
        for (quantizer, prior), z in zip(self._all(), self._codebooks(latents), strict=True):
            vectors.append(quantizer.vectors(torch.arange(quantizer.codes)))
            prior.know_vectors(vectors)
            prior.start_from_codes(z)

    def prior_terms(self, latents: Tensor, prompt: Tensor | None = None) -> PriorTerms:
        """What training on codes, (rows, codes), needs: the sum over the codebooks."""
        z = self._codebooks(latents)
        terms = [prior.terms(z[i], z[:i], prompt) for i, (_, prior) in enumerate(self._all())]
        log_prob, loss = (torch.stack(each).sum(0) for each in zip(*terms, strict=True))
        return PriorTerms(log_prob, loss)

    def _codebooks(self, latents: Tensor) -> list[Tensor]:
        """Codes side by side, (rows, codes), as those of each codebook, (rows, *places)."""
        sizes = [math.prod(prior.shape) for _, prior in self._all()]
        parts = zip(latents.long().split(sizes, 1), self._all(), strict=True)
        return [codes.unflatten(1, prior.shape) for codes, (_, prior) in parts]

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        generative = (self.priors, self.decoder, self.likelihood)
        return {
            "inference": [
                *self.input_parameters(),
                *self.encoder.parameters(),
                *self.between.parameters(),
                *self.quantizers.parameters(),
            ],
            "generative": [value for part in generative for value in part.parameters()],
        }

    @torch.no_grad()
    def after_update(self, batch: Batch, progress: float = 0.0) -> None:
        """Update codebooks and priors from the vectors and codes of the newest training pass."""
        levels, self._quantized = self._quantized, []
        if self._is_free:
            self._pass(levels, progress)
            return
        for (quantizer, prior), level in zip(self._all(), levels, strict=False):
            z, silent = level.step.z, level.silent
            vectors = level.vectors.expand(*z.shape, -1)
            if silent is not None:
                vectors, z = vectors[:, ~silent], z[:, ~silent]
            prior.learn(gathered(z.flatten(0, 1)))
            quantizer.learn(gathered(vectors.flatten(0, -2)), gathered(z.flatten()))

    def readings(self) -> Mapping[str, tuple[float, ...]]:
        """The share of codes used and the perplexity of each codebook."""
        uses = [CodebookUse(quantizer.use) for quantizer, _ in self._all()]
        if not all(bool(use.counts.any()) for use in uses):
            return {}
        return {
            "codes used": tuple(use.used for use in uses),
            "perplexity": tuple(use.perplexity for use in uses),
        }

    def forget_readings(self) -> None:
        """Start to count use again."""
        for quantizer, _ in self._all():
            quantizer.forget_use()

    @torch.no_grad()
    def _start_codes(self, batch: Batch) -> None:
        """Start the codebooks from the untrained encoder's vectors; if ``free`` updates come first,
        only what these need of them."""
        batch = batch.to(next(self.encoder.parameters()).dtype)
        maps = self._maps()
        most = max(1, MOST_CLUSTERED // math.prod(maps[-1].shape))
        rows = spread_rows(len(batch), most)
        parts = [self._numbers(batch.rows(part)) for part in rows.split(ROWS_AT_ONCE)]
        own = [torch.cat(found, 1) for found in zip(*parts, strict=True)]
        totals: list[Tensor] = []
        for index, each in enumerate(maps):
            vectors = each.standardized(self._in_context(index, own, totals))
            totals.append(vectors if self.free else each.start(vectors))

    @property
    def _is_free(self) -> bool:
        """Whether vectors are not quantized yet."""
        return bool(self.free) and int(self.freed) < self.free

    def _pass(self, levels: Sequence[CodebookPass], progress: float) -> None:
        """Count an update without quantization, and start the codebooks after the last."""
        last = self.freed + 1 >= self.free or progress >= MOST_FREE
        for index, each in enumerate(self._maps()):
            passed = self._passed[index]
            if levels:
                vectors = gathered(levels[each.first].vectors.flatten(0, -2))
                kept = math.ceil(MOST_CLUSTERED / len(vectors))
                passed = [*passed, vectors][-kept:]
            if last and passed:
                each.start(torch.cat(passed))
            self._passed[index] = [] if last else passed
        self.freed.fill_(self.free if last else int(self.freed) + 1)

    def _all(self) -> list[tuple[Quantizer, CodePrior]]:
        return list(zip(self.quantizers, self.priors, strict=True))  # type: ignore[arg-type]

    def _used(self) -> list[tuple[Quantizer, CodePrior]]:
        """The codebooks in use, and their priors."""
        return self._all()[: len(self.quantizers) if self.training else self.depth]

    def _maps(self, used: int | None = None) -> list[CodeMap]:
        """Maps, coarse to fine, with the codebooks among the first ``used``; None: all."""
        end, each = len(self.quantizers), len(self.quantizers) // (len(self.between) + 1)
        found = []
        for first in range(0, end, each):
            pairs = self._all()[first : min(first + each, end if used is None else used)]
            quantizers, priors = [book for book, _ in pairs], [prior for _, prior in pairs]
            found.append(CodeMap(self._all()[first][1].shape, first, quantizers, priors))
        return found

    def _in_context(self, index: int, own: Sequence[Tensor], above: Sequence[Tensor]) -> Tensor:
        """The encoder's vectors of a map, (1 | samples, rows, *shape, dim), shifted by the codes of
        the map above."""
        if not index:
            return own[0]
        moved = fold(self.between[index - 1], above[-1].flatten(2))
        return own[index] + moved.reshape(*moved.shape[:2], *own[index].shape[2:])

    def _said(self, encoded: Tensor) -> Tensor | None:
        """How many codebooks each training row uses, (rows,); None: every row uses all."""
        levels, rows = len(self.quantizers), encoded.shape[1]
        if not (self.training and self.dropout) or levels == 1:
            return None
        count = torch.randint(1, levels + 1, (rows,), device=encoded.device)
        return count.masked_fill(torch.rand(rows, device=encoded.device) >= self.dropout, levels)

    def _numbers(self, batch: Batch) -> list[Tensor]:
        """The encoder's vectors of each map, (1, batch, *shape, dim)."""
        numbers: Tensor = self.encoder(self.seen(batch), batch.condition)
        if numbers.dtype == torch.bfloat16:
            numbers = numbers.float()
        shapes = [(*each.shape, self.dim) for each in self._maps()]
        parts = numbers.unsqueeze(0).split([math.prod(shape) for shape in shapes], 2)
        return [part.unflatten(2, shape) for part, shape in zip(parts, shapes, strict=True)]


def _side_by_side(totals: Sequence[Tensor]) -> Tensor:
    """Vectors of all maps, (samples, rows, *shape, dim) each, as (samples, rows, latent_dim)."""
    return torch.cat([total.flatten(2) for total in totals], 2)
