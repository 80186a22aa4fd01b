r"""Adam, with all parameters in one pass of one kernel.

.. math::
    m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2,
    \quad w \leftarrow w - \eta \left( \frac{\hat m}{\sqrt{\hat v} + \epsilon} + \lambda w \right)

with bias-corrected moments. torch's kernel is called directly, because ``torch.optim`` needs a
tenth of a millisecond per update for bookkeeping. One group of parameters does not need it, and it
takes several percent of an update of a small network. The weights are those of
``torch.optim.AdamW(fused=True)``, bit for bit.

Sources: Kingma & Ba 2015; decoupled weight decay, Loshchilov & Hutter 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

BETA_1, BETA_2 = 0.9, 0.999


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
