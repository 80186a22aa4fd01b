"""The arms of the throughput benchmark: this toolkit, a loop written by hand, and pythae 0.1.2."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import itertools
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.data import Dataset, load
from lowerbound.distributions.reparameterization import seeded
from lowerbound.likelihoods import Bernoulli
from lowerbound.models import VariationalAutoencoder
from lowerbound.objectives import ELBO
from lowerbound.posteriors import GaussianPosterior
from lowerbound.priors import StandardNormal
from lowerbound.training import TrainingOptions, train

LATENT = 16
HAS_PYTHAE = importlib.util.find_spec("pythae") is not None
Arm = Callable[[int], float]  # updates -> seconds, the first update left out


class Flat(nn.Module):
    """Layers between rows and numbers, told nothing else."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, rows: Tensor, condition: Tensor | None = None) -> Tensor:
        answer: Tensor = self.layers(rows)
        return answer


def networks(kind: str) -> tuple[nn.Module, nn.Module]:
    """pythae's default MLP or its convolutional MNIST networks, layer by layer, with logits."""
    if kind == "mlp":
        encoder = Flat(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 2 * LATENT))
        pixels = nn.Unflatten(1, (1, 28, 28))
        return encoder, Flat(nn.Linear(LATENT, 512), nn.ReLU(), nn.Linear(512, 784), pixels)
    sizes = [1, 128, 256, 512, 1024]
    down = [
        layer
        for i, o in itertools.pairwise(sizes)
        for layer in (nn.Conv2d(i, o, 4, 2, padding=1), nn.BatchNorm2d(o), nn.ReLU())
    ]
    return Flat(*down, nn.Flatten(), nn.Linear(1024, 2 * LATENT)), Flat(
        nn.Linear(LATENT, 1024 * 16),
        nn.Unflatten(1, (1024, 4, 4)),
        nn.ConvTranspose2d(1024, 512, 3, 2, padding=1),
        nn.BatchNorm2d(512),
        nn.ReLU(),
        nn.ConvTranspose2d(512, 256, 3, 2, padding=1, output_padding=1),
        nn.BatchNorm2d(256),
        nn.ReLU(),
        nn.ConvTranspose2d(256, 1, 3, 2, padding=1, output_padding=1),
    )


def options(
    batch: int, setting: str, seed: int, device: str = "cpu", **more: Any
) -> TrainingOptions:
    return TrainingOptions(
        batch_size=batch,
        learning_rate=1e-3,
        schedule="constant",
        weight_average=0.0,
        precision="bf16" if setting.startswith("bf16") else "float32",
        compile="on" if setting.endswith("compile") else "off",
        validation=0.0,
        patience=0,
        seed=seed,
        device=device,
        **more,
    )


def our_model(kind: str) -> VariationalAutoencoder:
    encoder, decoder = networks(kind)
    likelihood = Bernoulli((1, 28, 28))
    return VariationalAutoencoder(
        encoder, GaussianPosterior(LATENT), StandardNormal(LATENT), decoder, likelihood
    )


def our_arm(data: Dataset, kind: str, batch: int, setting: str, seed: int) -> Arm:
    with seeded(seed):
        model, objective = our_model(kind), ELBO()

    def run(updates: int) -> float:
        clock = Clock()
        train(
            model, objective, data, options(batch, setting, seed, updates=updates), reporter=clock
        )
        return clock.seconds(updates)

    return run


def hand_arm(data: Dataset, kind: str, batch: int, setting: str, seed: int) -> Arm:
    """What an expert writes: tensors in memory, fused Adam, no logging."""
    with seeded(seed):
        encoder, decoder = networks(kind)

    def loss_of(x: Tensor) -> Tensor:
        mean, log_variance = encoder(x).float().chunk(2, -1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        error = F.binary_cross_entropy_with_logits(decoder(z).float(), x, reduction="sum")
        rate = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
        return (error + rate) / len(x)

    forward = torch.compile(loss_of) if setting.endswith("compile") else loss_of
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)
    precision = setting.startswith("bf16")

    def run(updates: int) -> float:
        assert updates * batch <= len(data)
        clock = Clock()
        order = torch.randperm(len(data))
        for first in range(0, updates * batch, batch):
            x = data.x.index_select(0, order[first : first + batch]).float()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision):
                loss = forward(x)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            clock.tick()
        return clock.seconds(updates)

    return run


def pythae_arm(data: Dataset, kind: str, batch: int, updates: int) -> Arm:
    """pythae's own ``BaseTrainer.train_step``, as its documentation sets it up."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.nn.benchmarks.mnist import Decoder_Conv_AE_MNIST, Encoder_Conv_VAE_MNIST
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    parts: dict[str, nn.Module] = {}
    if kind == "convolutional":
        parts = {
            "encoder": Encoder_Conv_VAE_MNIST(config),
            "decoder": Decoder_Conv_AE_MNIST(config),
        }
    rows = data.x[: updates * batch].float()
    folder = tempfile.mkdtemp()
    trainer = BaseTrainer(
        VAE(config, **parts),
        train_dataset=BaseDataset(rows, torch.zeros(len(rows))),
        training_config=BaseTrainerConfig(
            output_dir=folder, per_device_train_batch_size=batch, learning_rate=1e-3, num_epochs=1
        ),
    )
    trainer.prepare_training()

    def run(count: int) -> float:
        clock = Clock()
        watch = trainer.optimizer.register_step_post_hook(lambda *_: clock.tick())
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            trainer.train_step(1)
        watch.remove()
        return clock.seconds(count)

    return run


class Clock:
    """When updates were done, for every arm alike; also a reporter of ``training.train``.

    The time counts from the end of the first update: preparation and the first update, which warms
    caches and memory up, are left out.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[int, float]] = []

    def start(self) -> None:
        """Nothing to show."""

    def message(self, text: str) -> None:
        """Nothing to show."""

    def update(self, progress: Any) -> None:
        self.seen.append((progress.updates, time.perf_counter()))

    def tick(self) -> None:
        """One more update is done."""
        self.seen.append((len(self.seen) + 1, time.perf_counter()))

    def stop(self) -> None:
        """Nothing to show."""

    def seconds(self, updates: int) -> float:
        """Time per update between the first and the last update seen, times ``updates``.

        Raises:
            ValueError: fewer than two updates were seen, or the first was not the run's first.
        """
        if len(self.seen) < 2 or self.seen[0][0] != 1:
            raise ValueError(f"a rate needs the first update and a later one, not {self.seen}")
        (first, start), (last, end) = self.seen[0], self.seen[-1]
        return (end - start) / (last - first) * updates


def pictures(split: str = "train") -> Dataset:
    return load("mnist", split=split, binarize="threshold").binarized()
