r"""An update under differential privacy: clipped gradients, noise, Adam (Abadi et al. 2016).

The sum is of clipped gradients of single rows:

.. math:: \sum_i g_i \min(1, C / \|g_i\|), \quad g_i = \nabla_\theta \, \mathrm{loss}(\theta, x_i)

The norm is over all parameters together. ``torch.func`` computes the gradients, so that every
parameter takes part, whether or not it belongs to a layer. The loss of a row is the objective's on
a batch of this row alone.

The secret randomness of private training: which rows take part in an update, and the noise.

The guarantee holds only if nobody knows these draws. They therefore do not depend on the seed of
the fit, which the model folder contains, but on the system's entropy.
"""

from __future__ import annotations

import math
import os
import secrets
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from lowerbound.data.arrays import Array
from lowerbound.errors import LowerboundError, OptionError, TrainingError
from lowerbound.models.base import Model
from lowerbound.models.powers import name_of
from lowerbound.objectives.base import Bound, Objective
from lowerbound.objectives.elbo import ELBO
from lowerbound.trace import Batch
from lowerbound.training.engine import Engine, Update
from lowerbound.training.options import TrainingOptions
from lowerbound.training.randomness import stream_seed

SUMMED = 4
"""Normal draws in one draw of secure noise, divided by sqrt(4), so that the rounding of a draw does
not reveal what it was added to (Holohan & Braghin 2021; as in Opacus' secure mode)."""


class SecretRandomness(ABC):
    """Draws of each update, which are independent of each other."""

    @abstractmethod
    def normal(self, update: int, count: int) -> Tensor:
        """Standard normal noise of an update, (count,) float32."""

    @abstractmethod
    def uniform(self, update: int, count: int) -> Tensor:
        """Uniform draws from [0, 1), (count,) float64."""

    def chosen(self, update: int, rows: int, rate: float) -> Tensor:
        """The rows of an update, increasing: each with probability ``rate``; maybe none."""
        return torch.nonzero(self.uniform(update, rows) < rate).flatten()

    def to_mapping(self) -> dict[str, Any]:
        """The secret state, for a checkpoint."""
        return {}

    def restore(self, mapping: Mapping[str, Any]) -> None:
        """Restore the state of ``to_mapping``."""
        del mapping  # there is none


class SeededRandomness(SecretRandomness):
    """Mersenne Twister with a secret 63-bit seed; a resumed run makes the same draws again.

    Args:
        secret: the seed; None: from the system's entropy.
    """

    def __init__(self, secret: int | None = None) -> None:
        self.secret = secrets.randbits(63) if secret is None else secret

    def normal(self, update: int, count: int) -> Tensor:
        return torch.randn(count, generator=self._generator("noise", update))

    def uniform(self, update: int, count: int) -> Tensor:
        generator = self._generator("rows", update)
        return torch.rand(count, generator=generator, dtype=torch.float64)

    def to_mapping(self) -> dict[str, Any]:
        return {"secret": self.secret}

    def restore(self, mapping: Mapping[str, Any]) -> None:
        self.secret = mapping["secret"]

    def _generator(self, name: str, update: int) -> torch.Generator:
        return torch.Generator().manual_seed(stream_seed(self.secret, f"{name} {update}"))


class SystemRandomness(SecretRandomness):
    """The system's cryptographic generator, which no seed repeats."""

    def normal(self, update: int, count: int) -> Tensor:
        pairs = SUMMED // 2 * count  # Box & Muller 1958: two uniform draws become two normal draws
        radius = np.sqrt(-2 * np.log1p(-_uniform(pairs)))
        angle = 2 * math.pi * _uniform(pairs)
        both = np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))
        summed = both.reshape(SUMMED, count).sum(0) / math.sqrt(SUMMED)
        return torch.from_numpy(summed).float()

    def uniform(self, update: int, count: int) -> Tensor:
        return torch.from_numpy(_uniform(count))


def _uniform(count: int) -> Array:
    """Multiples of 2^-53 in [0, 1)."""
    bits = np.frombuffer(os.urandom(8 * count), dtype=np.uint64)
    return np.asarray((bits >> np.uint64(11)) * 2.0**-53)


class PoissonOrder:
    """A stream of row numbers, of another length for each update; see ``Mechanism``.

    Args:
        rows: number of rows.
        rate: q.
        randomness: secret.
    """

    def __init__(self, rows: int, rate: float, randomness: SecretRandomness) -> None:
        self.rows = rows
        self.rate = rate
        self.randomness = randomness

    def batch(self, number: int) -> Tensor:
        """Row numbers of update ``number``, counted from 0; maybe none."""
        return self.randomness.chosen(number, self.rows, self.rate)

    def epoch(self, batches: int) -> float:
        """Expected passes over the data after ``batches`` updates."""
        return batches * self.rate


ROWS_AT_ONCE = 64  # rows whose gradients are in memory together

CHANGED = (
    "a pass over the rows changed statistics that the model keeps of them; private training adds "
    "no noise to those: choose a model or an objective without them"
)

Gradients = dict[str, Tensor]
COUPLING = (nn.modules.batchnorm._BatchNorm,)


class ClippedGradients:
    """Clips and sums the gradients of rows.

    The first batch decides whether gradients are computed for many rows at once. Models with
    operations that ``torch.func.vmap`` does not support take one row at a time, which is slower and
    gives the same gradients.

    Args:
        update: model and objective.
        clip: C.
        say: called with messages for the log.
    """

    def __init__(
        self, update: Update, clip: float, say: Callable[[str], None] = lambda text: None
    ) -> None:
        self.update = update
        self.clip = clip
        self.parameters = {n: p for n, p in update.named_parameters() if p.requires_grad}
        self._say = say
        self._vectorized: bool | None = None

    def sum(self, batch: Batch) -> Gradients:
        """The sum over the rows of a batch, by name of parameter; zeros if it has no rows.

        A row whose gradient is not finite counts as zero.

        Raises:
            TrainingError: the pass changed a buffer of the model, which no noise protects.
        """
        total = {name: torch.zeros_like(p) for name, p in self.parameters.items()}
        if not len(batch):  # many layers have no gradient of no rows
            return total
        for part in torch.arange(len(batch)).split(ROWS_AT_ONCE):
            self._add(total, self.of_rows(batch.rows(part.to(batch.filled.device))))
        return total

    def of_rows(self, batch: Batch) -> Gradients:
        """The gradient of each row before clipping, (rows, *parameter)."""
        if self._vectorized is None:
            self._vectorized = self._try(batch)
        return self._at_once(batch) if self._vectorized else self._one_by_one(batch)

    def _add(self, total: Gradients, rows: Gradients) -> None:
        """Add the clipped gradients of some rows to the total."""
        norm = torch.stack([g.flatten(1).square().sum(1) for g in rows.values()]).sum(0).sqrt()
        finite = torch.isfinite(norm)
        share = torch.where(finite, (self.clip / norm.clamp_min(1e-30)).clamp_max(1.0), 0.0)
        clean = bool(finite.all())
        for name, value in rows.items():
            known = value if clean else torch.nan_to_num(value, posinf=0.0, neginf=0.0)
            total[name] += torch.tensordot(share, known, dims=1)

    def _try(self, batch: Batch) -> bool:
        """Whether the gradients of several rows can be computed at once."""
        state = torch.get_rng_state()
        try:
            self._at_once(batch)
        except LowerboundError:
            raise
        except Exception as error:  # errors of vmap have no common base class
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            self._say(f"gradients are computed row by row, which is slow: {first[:100]}")
            return False
        finally:
            torch.set_rng_state(state)
        return True

    def _at_once(self, batch: Batch) -> Gradients:
        weights = {name: value.detach() for name, value in self.parameters.items()}
        with warnings.catch_warnings():  # a slower fallback of vmap is still faster than a loop
            warnings.filterwarnings("ignore", message="There is a performance drop")
            found: Gradients = vmap(grad(self._loss), in_dims=(None, 0), randomness="different")(
                weights, batch.tensors
            )
        return found

    def _one_by_one(self, batch: Batch) -> Gradients:
        weights = {name: value.detach() for name, value in self.parameters.items()}
        try:
            rows = [
                grad(self._loss)(weights, {n: v[i] for n, v in batch.tensors.items()})
                for i in range(len(batch))
            ]
        except RuntimeError as error:
            if "mutate" in str(error):
                raise TrainingError(CHANGED) from error
            raise
        return {name: torch.stack([row[name] for row in rows]) for name in weights}

    def _loss(self, weights: Gradients, row: Gradients) -> Tensor:
        one = Batch(**{name: value.unsqueeze(0) for name, value in row.items()})  # type: ignore[arg-type]
        loss: Tensor = functional_call(self.update, weights, (one,)).loss
        return loss


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
