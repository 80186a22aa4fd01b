"""Published likelihoods with their protocol, each read in the source that it names.

Nats per picture or bits per dimension of the negative bound: lower is better. A protocol that the
source leaves open stays open here, and such a figure is never placed beside a measured one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

Unit = Literal["nats", "bits per dimension"]
Binarization = Literal["dynamic", "static", "none", ""]

BURDA = "Burda et al. 2016, quoted by github.com/nbip/IWAE"
NBIP = "github.com/nbip/IWAE"
PYTHAE = "github.com/clementchadebec/benchmark_VAE, reproducibility"
PYTHAE_QUOTES = "the paper, quoted by github.com/clementchadebec/benchmark_VAE"
ADDTT = "github.com/addtt/ladder-vae-pytorch"
VDVAE = "github.com/openai/vdvae"
EFFICIENT = "github.com/Rayhane-mamah/Efficient-VDVAE"


@dataclass(frozen=True)
class Figure:
    """One published figure.

    Attributes:
        model: and how it was trained.
        dataset: "mnist", "cifar10", ...
        value: in ``unit``, lower is better.
        unit: nats per picture or bits per dimension.
        samples: K of L_K; 1 is the negative ELBO; 0 where the source does not say.
        binarization: how grey values became bits; empty where the source does not say.
        levels: of the data's values: 2 for bits, 256 for 8 bits; 0 where the source does not say.
        part: of the data set.
        source: where the figure was read.
        doubt: what else stands against comparing it; empty where nothing does.
    """

    model: str
    dataset: str
    value: float
    unit: Unit
    samples: int
    binarization: Binarization
    levels: int
    source: str
    part: str = "test"
    doubt: str = ""

    @property
    def estimator(self) -> str:
        """What was estimated."""
        if not self.samples:
            return "an estimator that is not named"
        return "ELBO" if self.samples == 1 else f"L_{self.samples}"


def published() -> tuple[Figure, ...]:
    """All of them."""
    return (*_dynamic_mnist(), *_static_mnist(), *_pictures())


def _dynamic_mnist() -> Iterator[Figure]:
    def figure(model: str, value: float, source: str, samples: int = 5_000) -> Figure:
        return Figure(model, "mnist", value, "nats", samples, "dynamic", 2, source)

    one, two = "784-200-200-50", "two stochastic layers"
    for k, paper, again, dreg in ((1, 86.76, 86.35, 86.08), (5, 85.54, 85.18, 84.90)):
        yield from _three(figure, f"IWAE k={k}, {one}", paper, again, dreg)
    yield from _three(figure, f"IWAE k=50, {one}", 84.78, 84.59, 84.32)
    for k, paper, again in ((5, 86.47, 86.10), (50, 86.35, 86.06)):
        yield figure(f"VAE with {k} draws, {one}", paper, BURDA)
        yield figure(f"VAE with {k} draws, {one}, again", again, NBIP)
    for k, paper, again in ((1, 85.33, 84.83), (5, 83.89, 83.48), (50, 82.90, 82.82)):
        yield figure(f"IWAE k={k}, {two}", paper, BURDA)
        yield figure(f"IWAE k={k}, {two}, again", again, NBIP)
    for name, paper, again in (
        ("MIWAE 8x8", 84.97, 85.09),
        ("PIWAE 8x8", 84.46, 84.58),
        ("CIWAE beta=0.05", 84.57, 84.74),
    ):
        yield figure(name, paper, PYTHAE_QUOTES)
        yield figure(f"{name}, again", again, PYTHAE)


def _three(
    figure: Callable[[str, float, str], Figure], name: str, paper: float, again: float, dreg: float
) -> Iterator[Figure]:
    yield figure(name, paper, BURDA)
    yield figure(f"{name}, again", again, NBIP)
    yield figure(f"{name}, DReG gradient", dreg, NBIP)


def _static_mnist() -> Iterator[Figure]:
    def figure(model: str, value: float, source: str, samples: int = 5_000) -> Figure:
        return Figure(model, "mnist", value, "nats", samples, "static", 2, source)

    for k, paper, again in ((1, 88.71, 89.93), (5, 87.63, 87.65), (50, 87.10, 86.71)):
        yield figure(f"IWAE k={k}, 784-200-200-50", paper, BURDA)
        yield figure(f"IWAE k={k}, 784-200-200-50, again", again, NBIP)
    yield figure("IWAE k=50, again elsewhere", 86.82, PYTHAE)
    yield figure("VAE, 400 units, 40 latents", 89.9, PYTHAE_QUOTES, 200)
    yield figure("VAE, 400 units, 40 latents, again", 89.78, PYTHAE, 200)
    yield figure("VampPrior K=500, one level", 85.57, PYTHAE_QUOTES)
    yield figure("VampPrior K=500, one level, again", 85.79, PYTHAE)
    for layers, *bounds in (
        (3, 82.14, 79.47, 79.24),
        (6, 80.74, 78.65, 78.52),
        (12, 80.50, 78.50, 78.30),
    ):
        for samples, value in zip((1, 100, 1_000), bounds, strict=True):
            yield figure(f"convolutional ladder, {layers} layers", value, ADDTT, samples)


def _pictures() -> Iterator[Figure]:
    def figure(
        model: str, dataset: str, value: float, source: str, samples: int = 1, levels: int = 256
    ) -> Figure:
        unit: Unit = "bits per dimension"
        return Figure(model, dataset, value, unit, samples, "none", levels, source)

    for layers, value in ((3, 3.56), (6, 3.41), (15, 3.32)):
        yield figure(f"convolutional ladder, {layers} layers", "cifar10", value, ADDTT, 100)
    yield figure("VDVAE, mean of four seeds", "cifar10", 2.87, VDVAE)
    downsampling = "ImageNet at 32x32 has two downsamplings, and the source does not say which"
    yield replace(figure("VDVAE", "imagenet32", 3.80, VDVAE), doubt=downsampling)
    yield figure("VDVAE", "imagenet64", 3.52, VDVAE)
    yield figure("VDVAE", "ffhq256", 0.61, VDVAE, levels=0)
    yield figure("VDVAE", "ffhq1024", 2.42, VDVAE)
    mnist = Figure("Efficient-VDVAE", "mnist", 79.09, "nats", 1, "", 2, EFFICIENT)
    yield mnist
    yield figure("Efficient-VDVAE", "cifar10", 2.87, EFFICIENT)
    yield replace(figure("Efficient-VDVAE", "imagenet32", 3.58, EFFICIENT), doubt=downsampling)
    yield figure("Efficient-VDVAE", "imagenet64", 3.30, EFFICIENT)
    for name, five, eight in (("ffhq256", 0.53, 2.17), ("celebahq256", 0.51, 1.35)):
        yield figure("Efficient-VDVAE", name, five, EFFICIENT, levels=32)
        yield figure("Efficient-VDVAE", name, eight, EFFICIENT)
    yield figure("NVAE", "cifar10", 2.91, "Vahdat & Kautz 2020, abstract", 0)
    yield figure("NVAE", "celebahq256", 0.70, "Vahdat & Kautz 2020, abstract", 0, 0)
    yield figure("ResNet VAE with IAF", "cifar10", 3.1, "a leaderboard", 0)
    yield figure("VDM", "cifar10", 2.64, "github.com/google-research/vdm", 0)
    yield replace(
        figure("VDM, augmented", "cifar10", 2.49, "github.com/google-research/vdm", 0),
        doubt="it was trained on augmented pictures, and its open code reaches 2.52",
    )
    yield figure("autoregressive dequantization", "cifar10", 3.06, "Hoogeboom et al. 2020", 0)
