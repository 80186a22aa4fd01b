"""p(z): the distribution of a latent before any data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound import parts
from lowerbound.config import construct
from lowerbound.data.vocabulary import PromptVocabulary
from lowerbound.distributions.point import Density
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.registry import Registry

Encode = Callable[[Tensor], Distribution]


class PriorTerms(NamedTuple):
    """What training a prior on latents needs.

    Attributes:
        log_prob: log p(z) in nats, (rows,); where the density is a bound, an unbiased estimate of
            the bound.
        loss: what is minimized, (rows,); -log p(z) unless the prior has a better one.
    """

    log_prob: Tensor
    loss: Tensor


@runtime_checkable
class Edits(Protocol):
    """A conditional prior that can move latents from one prompt to another."""

    def described(self, z: Tensor, prompt: Tensor) -> Tensor:
        """Prompts (rows, codes) of latents (rows, latent_dim), unknown fields read from these."""

    def edited(self, z: Tensor, before: Tensor, after: Tensor, strength: float) -> Tensor:
        """Latents (rows, latent_dim) under the prompts ``after`` instead of ``before``."""


@runtime_checkable
class Redraws(Protocol):
    """A prior that can draw latents again that are close to given ones."""

    latent_shape: tuple[int, ...]

    def redrawn(
        self, z: Tensor, prompt: Tensor | None, strength: float, kept: Tensor | None, rounds: int
    ) -> Tensor:
        """Latents (rows, latent_dim) near z, with the numbers of z where ``kept``."""


class Prior(nn.Module, ABC):
    """A module that returns p(z), batch shape (1, 1), event (latent_dim,).

    Attributes:
        density: the kind of density of p(z). The returned distribution carries it too, and
            ``density_of`` reads it from there.
        learns_from_latents: whether ``terms`` trains it on latents alone, after the model.
        learns_from_clips: whether it is trained on the latents of frames in the order of time.
        library: the optional library that it needs; "" if it needs none.
        takes_prompts: whether ``given`` takes a prompt. Such a prior has the options ``fields``
            and ``words``, the vocabulary of its prompts.
    """

    density: ClassVar[Density] = "exact"
    learns_from_latents: ClassVar[bool] = True
    learns_from_clips: ClassVar[bool] = False
    library: ClassVar[str] = ""
    takes_prompts: ClassVar[bool] = False

    def __init__(self, latent_dim: int, event_shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.event_shape = event_shape
        if self.density != "exact":
            self.register_forward_hook(_declare_density)

    @classmethod
    def build(
        cls,
        latent_dim: int,
        event_shape: tuple[int, ...],
        latent_shape: tuple[int, ...],
        options: Mapping[str, Any],
    ) -> Prior:
        """The prior with these options.

        Args:
            latent_dim: numbers in z.
            event_shape: shape of a row of data.
            latent_shape: how z is laid out: (latent_dim,), or (channels, height, width).
            options: of this prior.

        Raises:
            OptionError: an option is unknown or has a wrong type.
        """
        refuse_vocabulary(cls, options)
        prior: Prior = construct(cls, latent_dim, event_shape, options=options)
        return prior

    @abstractmethod
    def forward(self, encode: Encode | None = None) -> Distribution:
        """Return p(z). ``encode`` maps rows to their posterior, batch (1, rows), for VampPrior."""

    def given(self, prompt: Tensor | None, encode: Encode | None = None) -> Distribution:
        """p(z | prompt), batch shape (1, rows); p(z) without a prompt.

        Args:
            prompt: (rows, fields) long, -1 where a field is unknown.
            encode: as of ``forward``.

        Raises:
            UnsupportedError: the prior takes no prompt.
        """
        refuse_prompt(self, prompt)
        distribution: Distribution = self(encode)
        return distribution

    def terms(self, z: Tensor, prompt: Tensor | None = None) -> PriorTerms:
        """What training on latents needs of z, (rows, latent_dim)."""
        log_prob: Tensor = self.given(prompt).log_prob(z.unsqueeze(0))[0]
        return PriorTerms(log_prob, -log_prob)

    def initialize(self, x: Tensor) -> None:
        """Set starting values from training data in model units, (rows, *event), if needed."""

    def start_from_latents(self, z: Tensor, noise: Tensor | None = None) -> None:
        """Start from latents of training rows, before training on latents.

        Args:
            z: (rows, latent_dim).
            noise: the standard deviation of q(z | x), root mean square over the rows,
                (latent_dim,); None: unknown.
        """


def refuse_prompt(prior: nn.Module, prompt: Tensor | None) -> None:
    """Refuse a prompt to a prior that takes none.

    Raises:
        UnsupportedError: there is one.
    """
    if prompt is not None:
        raise UnsupportedError(
            f"{type(prior).__name__} takes no prompt: train a conditional prior with "
            "lowerbound prior --label or --attributes"
        )


def refuse_vocabulary(kind: type[nn.Module], options: Mapping[str, Any]) -> None:
    """Refuse a vocabulary of prompts among the options of a prior that takes none.

    Raises:
        OptionError: there is one.
    """
    if PromptVocabulary.of(options) and not getattr(kind, "takes_prompts", False):
        raise OptionError(
            f"{kind.__name__} takes no prompts: choose --kind diffusion for latents that are "
            "numbers, or --kind autoregressive for codes"
        )


def _declare_density(prior: Prior, _: tuple[Any, ...], distribution: Any) -> None:
    distribution.density = prior.density


PRIORS: Registry[type[Prior]] = parts.PRIORS
