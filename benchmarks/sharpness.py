"""Blur and its remedies, in order of price, on Fashion-MNIST: sharpness, distance and likelihood.

Every arm has the same convolutional encoder and decoder and trains for as many epochs; the ladder
has networks of its own. All but the GAN put probability mass on 8-bit greys, so that their bits per
dimension compare: what a remedy costs in likelihood, or gains, stands beside what it does for the
eye. The GAN is the same decoder against the critic of the VAE-GAN: sharp, and without a likelihood.

Sharpness is the mean variance of the Laplacian, samples over data: 1 is ideal, less is blurred. The
distance is Frechet's, on the features of a classifier trained here (its hash is in the notes), not
comparable with any FID.

    python benchmarks/sharpness.py --cell features        one arm, resumable
    python benchmarks/sharpness.py                        all missing arms, then the result
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from _cells import Answer, done, drive, fit_on, spent, write_cells
from _pictures import keep
from _record import Metric, commit, keep_answer
from torch import Tensor
from torch.nn import functional as F

from lowerbound.data import Dataset, load
from lowerbound.distributions.reparameterization import seeded
from lowerbound.evaluation.samples.distances import MEAN, Quality
from lowerbound.evaluation.samples.reference import ReferenceSamples, fit_reference
from lowerbound.fitting import FitOptions
from lowerbound.fitting.assembly import assemble, resolve
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.likelihood import data_sha256, score
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.models import VariationalAutoencoder
from lowerbound.models.options import ModelOptions
from lowerbound.objectives.adversarial import Critic
from lowerbound.training import TrainingOptions

NAME = "sharpness"
RUNS = Path("runs") / NAME
FIGURE = "blur_and_its_remedies.png"
LATENT = 32
EPOCHS = 12
SEED = 0
BATCH = 128
SAMPLES = 5_000
SHOWN = 12


@dataclass(frozen=True)
class Arm:
    """One remedy.

    Attributes:
        title: in the table.
        model: what is fitted.
        objective: what is maximized.
        scored: test rows whose bound is estimated.
    """

    title: str
    model: ModelOptions
    objective: str = "elbo"
    objective_options: dict[str, Any] = field(default_factory=dict)
    scored: int = 2_000

    def options(self) -> FitOptions:
        training = TrainingOptions(
            epochs=EPOCHS, batch_size=BATCH, validation=0.0, patience=0, threads=1, seed=SEED
        )
        return FitOptions(self.model, self.objective, self.objective_options, training)


def logistic(scale: str, **more: Any) -> ModelOptions:
    return ModelOptions(
        latent_dim=LATENT,
        network="convolutional",
        likelihood="discretized_logistic",
        likelihood_options={"scale": scale},
        **more,
    )


LEARNED = logistic("global")
GAN = "gan"
CELLS: dict[str, Arm] = {
    "fixed": Arm("scale fixed at 0.1", logistic("fixed")),
    "learned": Arm("learned scale", LEARNED),
    "prior": Arm("and a learned prior (flow)", replace(LEARNED, prior="flow")),
    "ladder": Arm(
        "hierarchy: ladder of 7 levels",
        replace(LEARNED, model="ladder", latent_dim=None),
        scored=500,
    ),
    "features": Arm("feature-space loss", LEARNED, "features"),
    "vae_gan": Arm("VAE-GAN", LEARNED, "adversarial"),
    GAN: Arm("plain GAN, the same decoder", LEARNED),
}


def fashion(held_out: bool = False) -> tuple[Dataset, Dataset]:
    training = load("fashion_mnist", split="train")
    if held_out:
        return training.split(5_000 / 60_000, seed=99)
    return training, load("fashion_mnist", split="test", schema=training.schema)


def run(benchmark: str, name: str, arm: Arm, held_out: bool) -> Answer:
    """Train one arm and draw from it; samples are kept beside the weights, the rest beside the
    results."""
    training, test = fashion(held_out)
    folder = RUNS / (name + ("_held_out" if held_out else ""))
    bits = None
    if name == GAN:
        with spent(folder) as clock:
            samples = gan_samples(training, EPOCHS, SEED)
    else:
        fitted, clock = fit_on(folder, training, arm.options())
        samples = sample_prior(fitted.model, SAMPLES, seed=SEED).mean
        scored = test.subset(range(0, len(test), len(test) // arm.scored))
        bits = score(fitted.model, scored, samples=100, seed=SEED).bits_per_dimension()
    answer = {
        "cell": name,
        "title": arm.title,
        "epochs": EPOCHS,
        "seed": SEED,
        "minutes": round(clock["processor"] / 120, 2),
        "bits": None if bits is None else bits.mean,
        "bits_error": None if bits is None else bits.standard_error,
        "scored": 0 if bits is None else arm.scored,
        "rows_sha256": data_sha256(test),
        "commit": commit(),
    }
    print(json.dumps(answer), flush=True)
    np.save(folder / "samples.npy", samples.numpy().astype(np.float16))
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


def gan_samples(training: Dataset, epochs: int, seed: int) -> Tensor:
    """Means of the decoder after training it against a critic (Goodfellow et al. 2014)."""
    with seeded(seed):
        model = assemble(training.schema, resolve(training.schema, LEARNED))
        assert isinstance(model, VariationalAutoencoder)
        model.start(training)
        critic = Critic(training.schema.event_shape)
        generator = [*model.decoder.parameters()]
        players = [
            torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999), fused=True)
            for parameters in (generator, [*critic.parameters()])
        ]
        for real in batches(training, epochs):
            made = model.decode(torch.randn(1, len(real), LATENT)).mean[0]
            told = F.softplus(-critic(real)[2]).mean() + F.softplus(critic(made.detach())[2]).mean()
            move(players[1], told)
            move(players[0], F.softplus(-critic(made)[2]).mean())
        with torch.no_grad():
            return torch.cat(
                [model.decode(torch.randn(1, 500, LATENT)).mean[0] for _ in range(SAMPLES // 500)]
            )


def batches(training: Dataset, epochs: int) -> Iterator[Tensor]:
    for _ in range(epochs):
        for rows in torch.randperm(len(training)).split(BATCH):
            yield training.batch(rows).filled


def move(player: torch.optim.Optimizer, loss: Tensor) -> None:
    player.zero_grad()
    loss.backward()
    player.step()


def judged(name: str, reference: ReferenceSamples) -> tuple[Quality, Tensor]:
    """What samples that were drawn earlier are worth, and the samples."""
    samples = torch.from_numpy(np.load(RUNS / name / "samples.npy").astype(np.float32))
    return reference.measure(samples, MEAN), samples


def figure(rows: dict[str, Tensor]) -> None:
    """A line of samples per arm, real pictures on top."""
    canvas, axes = plt.subplots(len(rows), 1, figsize=(8, 0.75 * len(rows)), layout="constrained")
    for axis, (title, pictures) in zip(axes, rows.items(), strict=True):
        line = torch.cat(list(pictures[:SHOWN, 0]), 1)
        axis.imshow(line.clamp(0, 1), cmap="gray_r", vmin=0, vmax=1)
        axis.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    keep(canvas, FIGURE, dpi=85)


def summarize() -> None:
    """Judge the samples of the arms that are done, all by the same features."""
    found = done(NAME)
    answers = {name: found[name] for name in CELLS if name in found}
    training, test = fashion()
    reference = fit_reference(training, test, samples=SAMPLES, network_rows=20_000, seed=SEED)
    assert not isinstance(reference, Skipped)
    metrics, shown = [], {"real": reference.real.all().filled}
    for name, answer in answers.items():
        quality, shown[answer["title"]] = judged(name, reference)
        metrics.append(metric(answer, quality))
        print(f"{metrics[-1].name}: {metrics[-1].value:.3f} {dict(metrics[-1].beside)}", flush=True)
    if len(answers) == len(CELLS):
        figure(shown)
    write_cells(
        NAME,
        metrics,
        [{"file": "fashion_mnist.npz", "split": "test", "sha256": data_sha256(test)}],
        f"Features {reference.space}; decoder means of {SAMPLES:,} prior draws. Spreads are "
        "standard errors over pictures.",
    )


def metric(answer: Answer, quality: Quality) -> Metric:
    """Sharpness of an arm, and beside it all else that was measured."""
    assert not isinstance(quality.sharpness, Skipped)
    bits = {} if answer["bits"] is None else {"bits/dim, L_100": answer["bits"]}
    return Metric(
        f"{answer['title']}: sharpness",
        quality.sharpness.mean,
        "of the data's",
        "higher",
        quality.sharpness.standard_error,
        beside={
            "Frechet distance": quality.frechet.mean,
            "precision": quality.near.precision,
            "recall": quality.near.recall,
            **bits,
        },
    )


def quick(seed: int) -> None:
    """A few seconds of the GAN, printed only."""
    training, _ = fashion()
    samples = gan_samples(training.subset(range(4 * BATCH)), 1, seed)
    print(f"quick, not quoted: {len(samples):,} pictures of a GAN after 4 updates")


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick, run)
