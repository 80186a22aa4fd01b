r"""Adam, with all parameters in one pass of one kernel, and the average of the weights.

.. math::
    m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2,
    \quad w \leftarrow w - \eta \left( \frac{\hat m}{\sqrt{\hat v} + \epsilon} + \lambda w \right)

with bias-corrected moments. torch's kernel is called directly, because ``torch.optim`` needs a
tenth of a millisecond per update for bookkeeping. One group of parameters does not need it, and it
takes several percent of an update of a small network. The weights are those of
``torch.optim.AdamW(fused=True)``, bit for bit.

Sources: Kingma & Ba 2015; decoupled weight decay, Loshchilov & Hutter 2019.

The exponential moving average of the weights scores better than the weights:

.. math::
    \bar w_k = (1 - s_k)\, \bar w_{k-1} + s_k\, w_{kn}, \qquad
    s_k = \max\Big(1 - d^{\,n},\; \frac{5}{k + 4}\Big)

with the decay d per update. It is computed every n updates, with the same memory of about
1 / (1 - d) updates, and takes an n-th of the time. The second share limits the memory to about a
sixth of the run so far, because the weights of a short run move far; it also makes the first
average the weights. Source: Polyak & Juditsky 1992, with exponential weights; the second share is
that of Shamir & Zhang 2013 (polynomial-decay averaging, eta = 4).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

MOST_UPDATES_BETWEEN = 10
LEAST_KEPT_BETWEEN = 0.9
ETA = 4  # the memory is at most about 1 / (2 + ETA) of the run so far
BETA_1, BETA_2 = 0.9, 0.999


class WeightAverage:
    """Averages every floating-point tensor of a module's state.

    Tensors with infinite entries, such as the unused boundaries of histograms, are constants and
    stay as they are: the average of infinities would be NaN.

    Args:
        model: the module with the weights.
        decay: d, per update.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        state = {
            name: tensor
            for name, tensor in model.state_dict().items()
            if tensor.is_floating_point() and not bool(tensor.isinf().any())
        }
        self._names = list(state)
        self._live = list(state.values())
        self._average = [tensor.clone() for tensor in self._live]
        self.every = updates_between(decay)
        self.decay = decay**self.every
        self.count = 0

    @torch.no_grad()
    def after(self, updates: int) -> None:
        """Add the weights to the average, if it is due after this number of updates."""
        if updates % self.every == 0:
            self.count += 1
            share = max(1 - self.decay, (1 + ETA) / (self.count + ETA))
            torch._foreach_lerp_(self._average, self._live, share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Context in which the module has the averaged weights; its own are restored afterwards."""
        if self.count == 0:  # there is no average yet, so the weights are unchanged
            yield
            return
        own = [tensor.clone() for tensor in self._live]
        try:
            self.apply()
            yield
        finally:
            _copy(own, self._live)

    def apply(self) -> None:
        """Replace the module's weights by the average."""
        if self.count:
            _copy(self._average, self._live)

    def tensors(self) -> dict[str, Tensor]:
        """The average by name of weight, for a checkpoint."""
        return dict(zip(self._names, self._average, strict=True))

    def restore(self, tensors: Mapping[str, Tensor], count: int) -> None:
        """Restore the average from a checkpoint."""
        _copy([tensors[name] for name in self._names], self._average)
        self.count = count


def updates_between(decay: float) -> int:
    """n: at most 10, and small enough that each step keeps nine tenths of the average."""
    if decay <= 0:
        return 1
    return max(1, min(MOST_UPDATES_BETWEEN, int(math.log(LEAST_KEPT_BETWEEN) / math.log(decay))))


@torch.no_grad()
def _copy(source: list[Tensor], target: list[Tensor]) -> None:
    for from_, to in zip(source, target, strict=True):
        to.copy_(from_)


class Adam:
    """The Adam optimizer of one group of parameters.

    Args:
        parameters: on one device, of one floating-point type.
        eps: epsilon.
        weight_decay: lambda, decoupled from the gradient; 0 is plain Adam.

    Attributes:
        counts: updates of each parameter, (parameters,); one without a gradient is not updated.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], eps: float = 1e-8, weight_decay: float = 0.0
    ) -> None:
        self.parameters = list(parameters)
        self.eps = eps
        self.weight_decay = weight_decay
        self.means = [torch.zeros_like(value) for value in self.parameters]
        self.squares = [torch.zeros_like(value) for value in self.parameters]
        self.counts = torch.zeros(len(self.parameters), device=self.parameters[0].device)
        self._counts = list(self.counts.unbind())  # views, one per parameter

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """One update of every parameter that has a gradient."""
        values: list[Tensor] = [value for value in self.parameters if value.grad is not None]
        gradients = [value.grad for value in values if value.grad is not None]
        means, squares, counts = self.means, self.squares, self._counts
        if len(values) == len(self.parameters):
            self.counts.add_(1)
        else:
            means, squares, counts = self._with_gradient()
        if values:
            torch._fused_adamw_(
                values,
                gradients,
                means,
                squares,
                [],
                counts,
                lr=learning_rate,
                beta1=BETA_1,
                beta2=BETA_2,
                weight_decay=self.weight_decay,
                eps=self.eps,
                amsgrad=False,
                maximize=False,
            )

    def clear(self) -> None:
        """Set the gradients to None, so that the next backward pass does not add to them."""
        for value in self.parameters:
            value.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """The state by name, for a checkpoint."""
        means = {f"means.{i}": value for i, value in enumerate(self.means)}
        squares = {f"squares.{i}": value for i, value in enumerate(self.squares)}
        return {"counts": self.counts, **means, **squares}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state of ``tensors``."""
        for name, value in self.tensors().items():
            value.copy_(tensors[name])

    def _with_gradient(self) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Moments and increased counts of the parameters that have a gradient."""
        rows = [i for i, value in enumerate(self.parameters) if value.grad is not None]
        for i in rows:
            self._counts[i].add_(1)
        means = [self.means[i] for i in rows]
        squares = [self.squares[i] for i in rows]
        return means, squares, [self._counts[i] for i in rows]
