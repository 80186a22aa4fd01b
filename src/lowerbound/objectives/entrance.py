"""The entrance of a critic into training: late, gradual, and balanced with the reconstruction."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lowerbound.errors import OptionError, UnsupportedError

RAMP = 0.1  # share of the run over which the critic's weight rises from zero
MOST = 1e4  # largest balanced weight
TINY = 1e-6
NAMES = ("critic loss", "critic weight", "critic right")


class Entrance(nn.Module):
    r"""The weight of a critic's loss in a model's loss.

    .. math:: \lambda = r(t) \min(\lVert \nabla_W L \rVert / \lVert \nabla_W A \rVert, 10^4)

    with L the model's own loss, A the critic's loss of the model, and W the last weights of the
    decoder, so that the critic never pushes harder than the reconstruction. r rises from 0 at the
    share ``start`` of the run to 1 a tenth of the run later; before, the critic neither learns nor
    counts.

    It also collects, for the history of training, the means over updates of the critic's own loss,
    of the weight, and of the share of outputs in which the critic is right.

    Args:
        start: share of the run.

    Source: Esser et al. 2021, equation 7.
    """

    sums: Tensor

    def __init__(self, start: float) -> None:
        super().__init__()
        if not 0.0 <= start < 1.0:
            raise OptionError(f"enter is a share of the run, 0 to below 1, not {start}")
        self.start = start
        self.register_buffer("sums", torch.zeros(len(NAMES) + 1))

    def rise(self, progress: Tensor) -> float:
        """r at this share of the run."""
        return min(max(float(progress) - self.start, 0.0) / RAMP, 1.0)

    def weight(self, decoder: nn.Module, own: Tensor, fooled: Tensor) -> Tensor:
        """The weight without r; no gradient passes through it.

        Args:
            decoder: whose last weights both losses are compared at.
            own: L, a scalar with a graph, which is kept.
            fooled: A, likewise.
        """
        last = last_weights(decoder)
        sizes = [
            torch.autograd.grad(loss, last, retain_graph=True)[0].float().norm()
            for loss in (own, fooled)
        ]
        ratio: Tensor = sizes[0] / (sizes[1] + TINY)
        return ratio.clamp_max(MOST).detach()

    @torch.no_grad()
    def collect(self, loss: Tensor, weight: Tensor, real: Tensor, made: Tensor) -> None:
        """Add an update to the readings, with the critic's outputs for real and made rows."""
        right = 0.5 * ((real > 0).float().mean() + (made < 0).float().mean())
        self.sums += torch.stack([loss, weight, right, torch.ones_like(loss)]).to(self.sums)

    def readings(self) -> Mapping[str, tuple[float, ...]]:
        """Means over the updates since ``forget``; empty if there were none."""
        *sums, count = self.sums.tolist()
        if not count:
            return {}
        return {name: (each / count,) for name, each in zip(NAMES, sums, strict=True)}

    def forget(self) -> None:
        """Start to collect the readings again."""
        self.sums.zero_()


def last_weights(decoder: nn.Module) -> nn.Parameter:
    """The last weights of a decoder that are not its output bias.

    Raises:
        UnsupportedError: it has none.
    """
    bias = getattr(decoder, "output_bias", None)
    found = [value for value in decoder.parameters() if value.dim() > 1 and value is not bias]
    if not found:
        raise UnsupportedError("critic=windows needs a model whose decoder has weights")
    return found[-1]
