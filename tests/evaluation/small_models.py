"""Models with answers known on paper, and data sets made from plain tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowerbound.data import Column, Dataset, Schema
from lowerbound.likelihoods import Bernoulli, Gaussian
from lowerbound.models import DeterministicAutoencoder, VariationalAutoencoder
from lowerbound.posteriors import GaussianPosterior
from lowerbound.priors import StandardNormal
from tests.oracles.linear_gaussian import Affine


def vectors(x: Tensor, label: Tensor | None = None, scale: float = 1.0) -> Dataset:
    """Rows in model units whose columns were divided by ``scale`` on the way in."""
    columns = tuple(Column(f"x{i}", "real", 0.0, scale) for i in range(x.shape[1]))
    names = () if label is None else tuple(str(i) for i in range(int(label.max()) + 1))
    schema = Schema("vectors", (x.shape[1],), columns, class_names=names)
    return Dataset(schema, x, label=label, source="test")


def bits(x: Tensor) -> Dataset:
    """Rows of zeros and ones."""
    columns = tuple(Column(f"x{i}") for i in range(x.shape[1]))
    return Dataset(Schema("vectors", (x.shape[1],), columns, levels=2), x.to(torch.uint8))


def raw_log_variance(deviation: float) -> float:
    """What the Gaussian posterior has to be owed for that standard deviation."""
    log_variance = 2 * torch.tensor(deviation, dtype=torch.float64).log()
    return float(14 * torch.atanh(log_variance / 14))


def coder(dim: int, deviation: float, gain: float = 1.0) -> VariationalAutoencoder:
    """q(z | x) = N(gain * x, deviation^2 I), x | z ~ N(z, I)."""
    encoder, decoder = Affine(dim, 2 * dim).double(), Affine(dim, dim).double()
    identity = torch.eye(dim, dtype=torch.float64)
    encoder.weight.data = torch.cat([gain * identity, 0 * identity])
    raw = torch.full((dim,), raw_log_variance(deviation), dtype=torch.float64)
    encoder.bias.data = torch.cat([torch.zeros_like(raw), raw])
    decoder.weight.data, decoder.bias.data = identity, torch.zeros_like(raw)
    likelihood = Gaussian((dim,), scale="fixed", tau=1.0).double()
    prior = StandardNormal(dim).double()
    return VariationalAutoencoder(encoder, GaussianPosterior(dim), prior, decoder, likelihood)


class Net(nn.Module):
    """Two layers that take, and ignore, a condition."""

    def __init__(self, inputs: int, hidden: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden), nn.Tanh(), nn.Dropout(dropout), nn.Linear(hidden, outputs)
        )

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        answer: Tensor = self.layers(x)
        return answer


def binary_vae(
    features: int = 12, latent: int = 2, seed: int = 0, dropout: float = 0.0
) -> VariationalAutoencoder:
    """A Bernoulli decoder with random weights, and an encoder that is rough."""
    torch.manual_seed(seed)
    encoder, decoder = Net(features, 16, 2 * latent, dropout), Net(latent, 16, features, dropout)
    for parameter in decoder.parameters():
        parameter.data.mul_(3)
    return VariationalAutoencoder(
        encoder,
        GaussianPosterior(latent),
        StandardNormal(latent),
        decoder,
        Bernoulli((features,)),
    )


def linear_autoencoder(features: int, latent: int, seed: int = 0) -> DeterministicAutoencoder:
    """Random linear maps there and back."""
    torch.manual_seed(seed)
    return DeterministicAutoencoder(
        Affine(features, latent),
        Affine(latent, features),
        Gaussian((features,), scale="fixed", tau=0.5),
        latent,
    )
