"""A bound plus feature matching: rows and reconstructions agree in the features of a network."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.models import Model
from lowerbound.objectives.base import OBJECTIVES, Bound
from lowerbound.objectives.critic import Critic, hidden_alike, seen_apart
from lowerbound.objectives.elbo import ELBO
from lowerbound.trace import Batch

if TYPE_CHECKING:
    from lowerbound.data.dataset import Dataset

BATCH, UPDATES, RATE = 64, 300, 2e-3
TURNS = 4


@OBJECTIVES.register("features")
class FeatureMatching(ELBO):
    r"""-ELBO + w D s(x, E[x | z]): a feature-space ("perceptual") loss beside the bound.

    s is the relative squared distance between the features of a row and of its reconstruction in a
    convolutional network, averaged over layers. ``prepare`` trains this network on the rows. It
    learns to predict their classes or, without labels, by how many quarter turns a picture was
    rotated (Gidaris et al. 2018). For other rows without labels, the features are random.

    The reported value is the ELBO, which this loss makes lower. Source: Hou et al. 2017.

    Args:
        samples: draws of z per row.
        weight: w, in nats per feature of the data (D of them) and unit of relative error.
        width: channels of the network's first layer.
    """

    critic: Critic | None

    def __init__(self, *, samples: int = 1, weight: float = 0.1, width: int = 32) -> None:
        super().__init__(samples=samples)
        if weight < 0 or width < 1:
            raise OptionError(f"weight and width must be positive, not {weight} and {width}")
        self.share = weight
        self.width = width
        self.register_module("critic", None)

    def prepare(self, model: Model, dataset: Dataset) -> None:
        """Train the feature network; a resumed run takes its weights from the checkpoint."""
        named = dataset.label is not None and len(dataset.schema.class_names) > 1
        outputs = len(dataset.schema.class_names) if named else TURNS
        with seeded(0):
            critic = Critic(dataset.schema.event_shape, outputs, self.width)
            if named or len(dataset.schema.event_shape) == 3:  # else features stay random
                _train(critic, dataset, named)
        self.critic = critic.to(next(model.parameters()).device).requires_grad_(False)

    def forward(self, model: Model, batch: Batch) -> Bound:
        trace = model(batch, self.choose)
        bound = self.bound(trace, batch)
        real = batch.filled
        critic = self._critic(real)
        mean = trace.likelihood.mean
        made = hidden_alike(mean.flatten(0, 1).to(real.dtype), batch.observed)
        with torch.no_grad():
            target = critic(real)[:2]
        several = tuple(f.repeat(len(mean), *(1,) * (f.dim() - 1)) for f in target)
        apart = seen_apart(critic(made)[:2], several).mean()
        return replace(bound, loss=bound.loss + self.share * real[0].numel() * apart)

    def _critic(self, real: Tensor) -> Critic:
        """The feature network; without ``prepare`` its features are random."""
        if self.critic is None:
            with seeded(0):
                critic = Critic(tuple(real.shape[1:]), TURNS, self.width)
            self.critic = critic.to(real.device, real.dtype).requires_grad_(False)
        return self.critic


def _train(critic: Critic, dataset: Dataset, named: bool) -> None:
    """Train the critic as a classifier for a few hundred updates."""
    adam = torch.optim.Adam(critic.parameters(), RATE)
    shape = dataset.schema.event_shape
    square = len(shape) == 3 and shape[1] == shape[2]
    for _ in range(UPDATES):
        index = torch.randint(len(dataset), (min(BATCH, len(dataset)),))
        batch = dataset.batch(index).to(torch.float32)
        x, target = batch.filled, batch.label
        if not named or target is None:
            x, target = _turned(x, square)
        known = target >= 0
        loss = F.cross_entropy(critic(x[known])[2], target[known])
        adam.zero_grad()
        loss.backward()
        adam.step()


def _turned(x: Tensor, square: bool) -> tuple[Tensor, Tensor]:
    """Pictures rotated by 0 to 3 quarter turns, and how many; oblong ones by half turns only."""
    quarters = torch.arange(len(x)) % TURNS
    if not square:
        quarters = quarters // 2 * 2
    turned = [torch.rot90(one, int(k), (-2, -1)) for one, k in zip(x, quarters, strict=True)]
    return torch.stack(turned), quarters
