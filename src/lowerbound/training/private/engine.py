"""An update under differential privacy: clipped gradients, noise, Adam (Abadi et al. 2016)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from lowerbound.errors import OptionError
from lowerbound.models import Model, name_of
from lowerbound.objectives import ELBO, Bound, Objective
from lowerbound.trace import Batch
from lowerbound.training.engine import Engine, Update
from lowerbound.training.private.gradients import ClippedGradients
from lowerbound.training.private.noise import SecretRandomness
from lowerbound.training.settings.options import TrainingOptions

COUPLING = (nn.modules.batchnorm._BatchNorm,)


class PrivateEngine(Engine):
    r"""Makes private updates.

    .. math:: g = \frac{1}{q n} \Bigl( \sum_i \mathrm{clip}_C(g_i) + \sigma C \, N(0, I) \Bigr)

    The gradient g goes to Adam, whose state is computed from noisy gradients alone. An empty batch
    is an update by noise alone. No update is skipped, and none returns a bound, because both would
    reveal facts about rows without noise.

    Args:
        update: model and objective.
        options: learning rate and decay.
        clip: C.
        noise_multiplier: sigma.
        expected_rows: q n.
        randomness: secret.
        say: called with messages for the log.
    """

    def __init__(
        self,
        update: Update,
        options: TrainingOptions,
        clip: float,
        noise_multiplier: float,
        expected_rows: float,
        randomness: SecretRandomness,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        super().__init__(update, options, say=say)
        self.gradients = ClippedGradients(update, clip, say)
        self.deviation = noise_multiplier * clip
        self.expected_rows = expected_rows
        self.randomness = randomness

    @property
    def made(self) -> int:
        """The number of updates made, which a checkpoint restores with Adam."""
        return int(self.adam.counts.max())

    def step(self, batch: Batch, learning_rate: float, progress: float) -> Bound:
        """Make one update; the bound that it returns has no rows."""
        self.update.objective.progress.fill_(progress)
        total = self.gradients.sum(batch)
        for name, noise in self._noise():
            value = self.gradients.parameters[name]
            value.grad = (total[name] + noise.to(value)) / self.expected_rows
        self.adam.step(learning_rate)
        self.adam.clear()
        none = torch.zeros(0)
        return Bound(none, none, torch.zeros(0, 0), torch.tensor(math.nan))

    def _noise(self) -> Iterator[tuple[str, Tensor]]:
        parameters = self.gradients.parameters
        sizes = [value.numel() for value in parameters.values()]
        drawn = self.randomness.normal(self.made, sum(sizes)) * self.deviation
        for (name, value), part in zip(parameters.items(), drawn.split(sizes), strict=True):
            yield name, part.view(value.shape)


def check_private(model: Model, objective: Objective) -> None:
    """Check that rows reach the model by the gradients of single rows only.

    Raises:
        OptionError: a layer or a part of the objective uses rows in another way; the message names
            it.
    """
    for name, layer in [*model.named_modules(), *objective.named_modules()]:
        tracks = getattr(layer, "track_running_stats", False)
        if isinstance(layer, COUPLING) or tracks:
            raise OptionError(
                f"the layer {name} ({type(layer).__name__}) normalizes a row by other rows, so its "
                "gradient is not of one row: choose a network without it for private training"
            )
    if _overrides(model, Model, "after_update"):
        raise OptionError(
            f"{name_of(model)} updates a part of its state from rows without a gradient, to which "
            "private training adds no noise: choose another model"
        )
    prepares = type(objective).prepare not in (Objective.prepare, ELBO.prepare)
    balances = bool(getattr(objective, "balance", False))
    if prepares or balances or _overrides(objective, Objective, "after_update"):
        raise OptionError(
            f"the objective {type(objective).__name__} computes a part of itself from rows without "
            "a gradient, to which private training adds no noise: choose the objective elbo, "
            "without balance"
        )


def _overrides(value: object, base: type, method: str) -> bool:
    return getattr(type(value), method) is not getattr(base, method)
