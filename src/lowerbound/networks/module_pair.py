"""Two modules of a user as a network: any encoder and any decoder, with the last layers added.

::

    x (rows, *shape) ──> encoder ──> features ──> linear ──> parameters of the posterior
    z (rows, latent_dim) ──> decoder ──> (rows, *parameter_shape) + bias
                                     or  features ──> linear ──> (rows, *parameter_shape)

A conditional model puts the condition beside the encoder's features and beside z.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from lowerbound.errors import OptionError
from lowerbound.networks.base import Decoder, Encoder, Network, beside
from lowerbound.networks.initialization import QUIET, linear

TRIED_ROWS = 2  # of zeros, to learn the shape of a module's output


@dataclass(frozen=True)
class ModulePair(Network):
    """The base class of networks made from two modules; each model gets a copy of both.

    Attributes:
        given: the encoder and the decoder, with the weights that training starts from.
    """

    given: ClassVar[tuple[nn.Module, nn.Module]]

    def encoder(
        self, event_shape: tuple[int, ...], numbers: int, condition_dim: int = 0
    ) -> GivenEncoder:
        body = copy.deepcopy(self.given[0])
        features = math.prod(output_shape(body, event_shape, "encoder"))
        return GivenEncoder(body, linear(features + condition_dim, numbers, QUIET), condition_dim)

    def decoder(
        self, latent_dim: int, parameter_shape: tuple[int, ...], condition_dim: int = 0
    ) -> GivenDecoder:
        body = copy.deepcopy(self.given[1])
        made = output_shape(body, (latent_dim + condition_dim,), "decoder")
        head = None
        if made != tuple(parameter_shape):
            head = linear(math.prod(made), math.prod(parameter_shape), QUIET, bias=False)
        return GivenDecoder(body, head, parameter_shape, condition_dim)


class GivenEncoder(Encoder):
    """A user's module and a linear layer."""

    def __init__(self, body: nn.Module, head: nn.Module, condition_dim: int) -> None:
        super().__init__()
        self.body, self.head, self.condition_dim = body, head, condition_dim

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        features = self.body(x).flatten(1)
        numbers: Tensor = self.head(beside(features, condition, self.condition_dim))
        return numbers


class GivenDecoder(Decoder):
    """A user's module, a linear layer where its output has another shape, and a bias."""

    def __init__(
        self,
        body: nn.Module,
        head: nn.Module | None,
        parameter_shape: tuple[int, ...],
        condition_dim: int,
    ) -> None:
        super().__init__()
        self.body, self.head, self.condition_dim = body, head, condition_dim
        self.parameter_shape = tuple(parameter_shape)
        self.bias = nn.Parameter(torch.zeros(self.parameter_shape))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        numbers = self.body(beside(z, condition, self.condition_dim)).flatten(1)
        if self.head is not None:
            numbers = self.head(numbers)
        shaped: Tensor = numbers.unflatten(1, self.parameter_shape) + self.bias
        return shaped

    @property
    def output_bias(self) -> nn.Parameter:
        return self.bias


@torch.no_grad()
def output_shape(module: nn.Module, shape: tuple[int, ...], half: str) -> tuple[int, ...]:
    """Shape of a module's output for one row.

    Args:
        module: of the user.
        shape: of a row of its input.
        half: "encoder" or "decoder", for messages.

    Raises:
        OptionError: the module cannot take such rows, or its output is not one tensor of as many.
    """
    training = module.training
    try:
        made = module.eval()(torch.zeros(TRIED_ROWS, *shape))
    except Exception as error:  # any, of the user's module
        raise OptionError(
            f"network: the {half} cannot take rows of shape {shape}: {error}"
        ) from error
    finally:
        module.train(training)
    if not isinstance(made, Tensor) or made.dim() < 2 or len(made) != TRIED_ROWS:
        raise OptionError(
            f"network: the {half} must return one tensor of shape (rows, ...) for (rows, "
            f"{', '.join(map(str, shape))}), and returned {_in_words(made)}"
        )
    return tuple(made.shape[1:])


def _in_words(made: object) -> str:
    if isinstance(made, Tensor):
        return f"shape {tuple(made.shape)} for {TRIED_ROWS} rows"
    return f"a {type(made).__name__}"
