"""One pass through a model: its input, its latents and its output.

All shapes are ``samples, batch, *event``. A distribution of latents or data has the batch shape
``(samples | 1, batch | 1)``, followed by its event dimensions.

The model provides the posterior and the prior of each latent; ``choose`` sets its value::

    Batch ──> Model.forward(batch, choose) ──> Trace(steps, likelihood)

Drawing, replaying, sampling from the prior, mixing and optimizing differ only in ``choose``.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution, OneHotCategorical

from lowerbound.distributions.divergence import closed_form_kl, monte_carlo_kl
from lowerbound.distributions.point import Quantized, drawn
from lowerbound.distributions.reparameterization import (
    NoiseSource,
    PushedCodes,
    ScaledNoise,
    Size,
    draw,
    frozen,
)
from lowerbound.errors import OptionError, UnsupportedError


@dataclass(frozen=True)
class Batch:
    """A minibatch in model units; every field is optional.

    Attributes:
        x: data, (batch, *event); None: sample from the prior.
        observed: like x, False where a value is hidden; hidden values never reach a gradient.
        withheld: like x, True where training hides a known value at random, so that its absence
            carries no information.
        condition: (batch, *condition): a class as one-hot, an embedding, or (batch, time, numbers):
            the action that led to each frame.
        label: class indices, (batch,), -1 where unknown.
        target: standardized regression targets, (batch,), NaN where unknown.
        quantities: (batch, quantities), standardized numbers that codes predict, NaN where unknown.
        outcomes: (batch, time, 2), the reward of arriving at each frame, and 1 if the episode goes
            on there, else 0; NaN where unknown.
        resets: (batch, time), True where a sequence starts anew; if x is None, its length is the
            horizon.
        state: an earlier Trace's state, to continue from, (batch, ...).
        prompt: what a conditional prior is given of each row, (batch, fields) long, -1 where it is
            unknown.
        ids: row numbers in the data set, (batch,).
        count: number of rows to sample if x is None; None: as many as the other fields have, or
            one if there are none.

    Raises:
        OptionError: ``count`` differs from the rows of another field.
    """

    x: Tensor | None = None
    observed: Tensor | None = None
    withheld: Tensor | None = None
    condition: Tensor | None = None
    label: Tensor | None = None
    target: Tensor | None = None
    quantities: Tensor | None = None
    outcomes: Tensor | None = None
    resets: Tensor | None = None
    state: Tensor | None = None
    prompt: Tensor | None = None
    ids: Tensor | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        if self.count is not None:
            self._check_count(self.count)

    @classmethod
    def drawn(cls, x: Tensor, condition: Tensor | None = None) -> Batch:
        """Rows that a model has drawn, whose missing cells are NaN."""
        gone = x.isnan()
        return cls(x=x.nan_to_num(), observed=~gone if gone.any() else None, condition=condition)

    @property
    def filled(self) -> Tensor:
        """x with zeros in hidden cells, so that NaN there reaches neither value nor gradient."""
        if self.x is None:
            raise UnsupportedError("this batch has no data: nothing can be encoded")
        if self.observed is None:
            return self.x
        return torch.where(self.observed, self.x, torch.zeros_like(self.x))

    @property
    def missing(self) -> Tensor | None:
        """Mask of missing values, like x; None: no value is missing."""
        if self.observed is None:
            return None
        return ~self.observed if self.withheld is None else ~(self.observed | self.withheld)

    def __len__(self) -> int:
        return self.size

    @property
    def size(self) -> int:
        """Number of rows; unlike ``len``, it may stay a symbol while torch exports a graph."""
        if self.count is not None:
            return self.count
        for value in (self.x, self.condition, self.label, self.resets, self.state, self.prompt):
            if value is not None:
                return value.shape[0]
        return 1

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The fields that are tensors, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def rows(self, index: Tensor | slice) -> Batch:
        """The batch restricted to some rows."""
        count = None if self.count is None else len(torch.arange(self.count)[index])
        chosen = {name: value[index] for name, value in self.tensors.items()}
        return replace(self, **chosen, count=count)

    def on(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        moved = {name: value.to(device) for name, value in self.tensors.items()}
        return replace(self, **moved)  # type: ignore[arg-type]

    def to(self, dtype: torch.dtype) -> Batch:
        """The same batch with its real-valued fields in ``dtype``."""
        real = {name: v.to(dtype) for name, v in self.tensors.items() if v.is_floating_point()}
        return replace(self, **real)  # type: ignore[arg-type]

    def _check_count(self, count: int) -> None:
        others = {name: len(value) for name, value in self.tensors.items()}
        wrong = [f"{name} has {rows}" for name, rows in others.items() if rows != count]
        if count < 0 or wrong:
            raise OptionError(
                f"a batch of count={count} rows is to be imagined"
                + (f", and {', '.join(wrong)}: leave count out" if wrong else "")
            )


class Emission(Distribution):
    r"""p(x | z), an explicit distribution of the data, of batch shape (samples, batch).

    ``log_prob(x, observed) = sum of terms(x, observed)`` over the event, in nats. Hidden values
    may hold anything, NaN included: they are filled before the formula and zeroed after it.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own convention

    def __init_subclass__(cls, *, abstract: bool = False) -> None:
        """Check that a class defines every method, which torch's distributions do not do.

        Args:
            abstract: whether subclasses define the missing methods.

        Raises:
            TypeError: a method is missing; the message names it.
        """
        super().__init_subclass__()
        lacking = [
            name for name in dir(cls) if getattr(getattr(cls, name), "__isabstractmethod__", False)
        ]
        if cls.terms is Emission.terms and cls._terms is Emission._terms:
            lacking.append("_terms")
        if lacking and not abstract:
            raise TypeError(
                f"{cls.__name__} is an Emission without {', '.join(lacking)}: write each, or say "
                "class ...(Emission, abstract=True) where classes below it do"
            )

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """log p of each feature in nats, (samples, batch, *terms); zero where hidden.

        A likelihood that also models which cells are missing adds log p of the mask.
        """
        return masked_terms(self._terms, x, observed)

    def _terms(self, x: Tensor) -> Tensor:
        """log p of each feature of observed x; a class defines either this or ``terms``."""
        raise NotImplementedError

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """E[x | z] in model units, differentiable, (samples, batch, *event)."""

    @property
    @abstractmethod
    def variance(self) -> Tensor:
        """Var[x | z], squared model units, (samples, batch, *event)."""

    @property
    def best(self) -> Tensor:
        """The row that is shown for z, (samples, batch, *event): the mean, unless it is no row."""
        return self.mean

    def knowing(self, missing: Tensor | None) -> Emission:
        """p(x | z, missing), given a mask of missing values, (batch, *event).

        It differs from p(x | z) only if the likelihood models which cells are missing.
        """
        return self

    def given(self, x: Tensor, observed: Tensor) -> Emission:
        """p(x_j | z, observed cells) of each hidden cell j alone.

        By default cells are independent given z, so that this is p(x | z).

        Raises:
            UnsupportedError: cells depend on each other given z, and this has no formula.
        """
        return self

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor, sample_shape: Size = ()) -> Tensor:
        """Rows with hidden cells drawn from p(hidden cells | z, observed cells).

        Args:
            x, observed: (batch, *event).
            sample_shape: of the draws.

        Returns:
            (*sample_shape, samples, batch, *event), model units.

        Raises:
            UnsupportedError: as in ``given``.
        """
        drawn: Tensor = self.given(x, observed).sample(sample_shape)
        return torch.where(observed, x.to(drawn.dtype), drawn)

    @torch.no_grad()
    def sample(self, sample_shape: Size = ()) -> Tensor:
        """Draws of x, not only its mean, (*sample_shape, samples, batch, *event), model units.

        Raises:
            DataError: the parameters are not finite, because latents or weights are too large.
        """
        with drawn():
            return self._sample(torch.Size(sample_shape))

    @abstractmethod
    def _sample(self, sample_shape: torch.Size) -> Tensor:
        """The draws of ``sample``, which records no gradient."""

    def log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """log p(x | z) in nats, (samples, batch)."""
        return self.terms(x, observed).flatten(2).sum(-1)


def masked_terms(
    term: Callable[[Tensor], Tensor], x: Tensor, observed: Tensor | None, fill: float = 0.0
) -> Tensor:
    """Apply ``term`` to x with hidden cells filled by ``fill`` (in the support) and zeroed after.

    Both steps are needed to keep NaN out of the gradient, because 0 * NaN is NaN.
    """
    if observed is None:
        return term(x)
    values = term(torch.where(observed, x, fill))
    return torch.where(observed, values, 0.0)


@dataclass(frozen=True)
class Step:
    """One latent of a pass.

    Attributes:
        z: its value, (samples, batch, ...); codes if discrete.
        posterior: q(z | x); None if z is sampled from the prior; the prior if nothing is observed.
        prior: p(z | latents above).
        closed: False if the prior depends on a latent drawn later (the textbook's bottom-up
            chain). The rate is then the log-ratio at z, because a closed-form KL would be wrong.
    """

    z: Tensor
    posterior: Distribution | None
    prior: Distribution
    closed: bool = True

    @property
    def quantized(self) -> bool:
        """Whether the posterior has a single code per row, with a straight-through gradient."""
        return isinstance(self.posterior, Quantized)

    def log_ratio(self) -> Tensor:
        """log q(z) - log p(z) at z, (samples, batch); zero if z was sampled from the prior."""
        if self.posterior is None:
            return torch.zeros(self.z.shape[:2], dtype=self.z.dtype, device=self.z.device)
        return monte_carlo_kl(self.posterior, self.prior, self.z)

    def rate(self, analytic: bool = True, balance: float | None = None) -> Tensor:
        """KL(q || p) of this latent in nats, (samples | 1, batch), in closed form if possible.

        Args:
            analytic: use the closed form.
            balance: the prior's gradient is multiplied by this share, and the posterior's by the
                rest, which does not change the value (Hafner et al. 2021); None: by one.
        """
        if balance is not None:
            shares = [share * part.rate(analytic) for share, part in self.balanced(balance)]
            return torch.stack(shares).sum(0)
        if analytic and self.closed and self.posterior is not None:
            exact = closed_form_kl(self.posterior, self.prior)
            if exact is not None:
                return exact
        return self.log_ratio()

    def balanced(self, balance: float | None) -> tuple[tuple[float, Step], ...]:
        """Shares of the rate, which add up to one, each with the step whose rate it is of.

        The first has no gradient for the posterior, nor for its draw, and the other none for the
        prior; see ``rate``.
        """
        if balance is None or self.posterior is None:
            return ((1.0, self),)
        fixed = replace(self, z=self.z.detach(), posterior=frozen(self.posterior))
        free = replace(self, prior=frozen(self.prior))
        return (balance, fixed), (1 - balance, free)


@dataclass(frozen=True)
class Trace:
    """One pass: latents in generative order (top down; the level is the index) and p(x | z).

    Attributes:
        steps: the latents; empty for a model that has none (an autoencoder).
        likelihood: p(x | z).
        penalties: (samples, batch) terms that are differentiated but never reported, with the
            model's weights applied.
        state: the state from which a later pass may continue.
        predicted: log p(v | z) of the quantities of the rows, (samples | 1, batch), with the
            model's weight applied; it is differentiated, and never part of the bound.
    """

    steps: tuple[Step, ...]
    likelihood: Emission
    penalties: Mapping[str, Tensor] = field(default_factory=dict)
    state: Tensor | None = None
    predicted: Tensor | None = None

    def latents(self) -> Tensor:
        """All latents side by side, top down, (samples, batch, numbers)."""
        return torch.cat([step.z.flatten(2) for step in self.steps], -1)

    def log_weights(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """log w = log p(x | z) + sum over latents of log p(z) - log q(z), (samples, batch), nats.

        The average of w over draws from q is p(x) (Burda et al. 2016).
        """
        return self.weighted(self.likelihood.log_prob(x, observed))

    def weighted(self, log_likelihood: Tensor) -> Tensor:
        """log w from log p(x | z), (samples, batch), in its precision."""
        for step in self.steps:
            log_likelihood = log_likelihood - step.log_ratio()
        return log_likelihood


class Choose(Protocol):
    """Sets each latent of a pass, and therefore the number of samples."""

    def __call__(
        self, level: int, posterior: Distribution | None, prior: Distribution | None
    ) -> Tensor:
        """z for ``level``, (samples, batch, ...). In a bottom-up chain there is no prior yet."""

    def log_weights(self, trace: Trace) -> Tensor | float:
        """log of the weight of each sample, broadcastable to (samples, batch): -log K if drawn."""


def proposer(posterior: Distribution | None, prior: Distribution | None) -> Distribution:
    """The posterior, or the prior if there is no posterior."""
    chosen = posterior if posterior is not None else prior
    if chosen is None:
        raise ValueError("a latent needs a posterior or a prior to be drawn from")
    return chosen


@dataclass(frozen=True)
class Draw:
    """Draw each latent from its posterior, or from its prior if there is no posterior.

    Attributes:
        samples: K, the number of draws per row; the first latent sets it for all latents.
        noise: source of standard noise; None: torch's global state (fork it around a call).
    """

    samples: int = 1
    noise: NoiseSource | None = None

    def __call__(
        self, level: int, posterior: Distribution | None, prior: Distribution | None
    ) -> Tensor:
        return draw(proposer(posterior, prior), self.samples, self.noise, level)

    def log_weights(self, trace: Trace) -> float:
        return -math.log(self.samples)


@dataclass(frozen=True)
class Tempered:
    """Draw with the noise of each level scaled; below 1, draws are likelier and less varied.

    Codes have no scale: their logits are divided by the temperature.

    Attributes:
        samples: K, the number of draws per row.
        temperatures: scale of each level, top down; the last applies to all further levels.
    """

    samples: int
    temperatures: tuple[float, ...]

    def __call__(
        self, level: int, posterior: Distribution | None, prior: Distribution | None
    ) -> Tensor:
        chosen = proposer(posterior, prior)
        temperature = self.temperatures[min(level, len(self.temperatures) - 1)]
        if isinstance(chosen, PushedCodes):
            return draw(chosen.tempered(temperature), self.samples, None, level)
        smooth = chosen.has_rsample or getattr(chosen, "smooth", False)
        if temperature != 1.0 and not smooth:
            raise UnsupportedError(
                f"{type(chosen).__name__} has no temperature: its draws choose a component; "
                "use a standard_normal, flow or diffusion prior"
            )
        return draw(chosen, self.samples, ScaledNoise(temperature), level)

    def log_weights(self, trace: Trace) -> float:
        return -math.log(self.samples)


@dataclass(frozen=True)
class Given:
    """Replay known latents, top down, (samples, batch, ...) each."""

    latents: Sequence[Tensor]

    def __call__(
        self, level: int, posterior: Distribution | None, prior: Distribution | None
    ) -> Tensor:
        return self.latents[level]

    def log_weights(self, trace: Trace) -> float:
        return -math.log(len(self.latents[0])) if self.latents else 0.0


@dataclass(frozen=True)
class Continue:
    """Replay the uppermost latents; ``rest`` sets the latents below, given these."""

    above: Sequence[Tensor]
    rest: Choose

    def __call__(
        self, level: int, posterior: Distribution | None, prior: Distribution | None
    ) -> Tensor:
        if level < len(self.above):
            return self.above[level]
        return self.rest(level, posterior, prior)

    def log_weights(self, trace: Trace) -> Tensor | float:
        return self.rest.log_weights(trace)


@dataclass(frozen=True)
class Every:
    """Enumerate the classes of a one-hot latent, one sample each; ``rest`` sets other latents.

    A latent that does not depend on the class is set once for all classes.

    Attributes:
        level: level of the latent whose classes are enumerated.
        rest: sets the other latents.
    """

    level: int = 0
    rest: Choose = field(default_factory=Draw)

    def __call__(
        self, level: int, posterior: Distribution | None, prior: Distribution | None
    ) -> Tensor:
        if level != self.level:
            return self.rest(level, posterior, prior)
        classes = proposer(posterior, prior)
        assert isinstance(classes, OneHotCategorical)
        logits = classes.logits
        each = torch.eye(logits.shape[-1], dtype=logits.dtype, device=logits.device)
        return each.unsqueeze(1).expand(-1, logits.shape[-2], -1)

    def log_weights(self, trace: Trace) -> Tensor:
        """log q(y | x) of every class, (classes, batch); the weights sum to one over classes."""
        step = trace.steps[self.level]
        classes = proposer(step.posterior, step.prior)
        assert isinstance(classes, OneHotCategorical)
        logits: Tensor = classes.logits
        return torch.log_softmax(logits, -1).squeeze(0).movedim(-1, 0)


@dataclass(frozen=True)
class Mean:
    """Set each latent to its mean: one deterministic pass, for encoding and reconstruction."""

    def __call__(
        self, level: int, posterior: Distribution | None, prior: Distribution | None
    ) -> Tensor:
        mean: Tensor = proposer(posterior, prior).mean
        return mean

    def log_weights(self, trace: Trace) -> float:
        return 0.0


def fold(network: Callable[..., Tensor], z: Tensor, condition: Tensor | None = None) -> Tensor:
    """Run ``network`` on (samples, batch, ...) with the sample axis folded into its rows.

    Networks see rows only, (samples * batch, ...): a Linear on three dimensions is slower, and
    convolutions take one batch axis. A ``condition`` (batch, ...) is repeated for each sample.
    """
    samples, batch = z.shape[:2]
    rows = z.flatten(0, 1)
    if condition is not None:
        condition = condition.expand(samples, *condition.shape).flatten(0, 1)
    answer: Tensor = network(rows, condition).unflatten(0, (samples, batch))
    return answer
