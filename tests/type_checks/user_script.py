"""What a user writes, with the types that a strict checker sees; checked, and run, by a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lowerbound import (
    ELBO,
    VAE,
    VQVAE,
    Autoencoder,
    ConditionalVAE,
    Dataset,
    FitOptions,
    Fitted,
    HierarchicalVAE,
    LadderVAE,
    Model,
    ModelOptions,
    ProbabilisticPCA,
    Schema,
    TrainingOptions,
    VAEDetector,
    VAEImputer,
    assemble,
    fit,
    initialize,
    load,
    read,
    resolve,
    write,
)
from lowerbound.likelihoods import Gaussian
from lowerbound.training import History, Progress, SilentReporter


class Hidden(nn.Module):
    """A layer of one's own."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.layer(x))


class Curve(SilentReporter):
    """A callback of one's own."""

    def __init__(self) -> None:
        self.bounds: list[float] = []

    def update(self, progress: Progress) -> None:
        self.bounds.append(progress.bound)


def estimators(X: np.ndarray, folder: Path) -> float:
    """Fit, use, save and load."""
    curve = Curve()
    network = (Hidden(X.shape[1]), Hidden(2))
    vae: VAE = VAE(
        latent_dim=2,
        network=network,
        likelihood=Gaussian,
        epochs=2,
        random_state=0,
        callbacks=[curve],
    ).fit(X)
    vae.save(folder / "vae.lb")
    back: VAE = VAE.load(folder / "vae.lb", network=network)
    scores: np.ndarray = back.score_samples(X)
    codes: np.ndarray = back.transform(X)
    back.inverse_transform(codes)
    back.sample(3, mean=True)
    history: History = vae.history_
    assert history.last is not None
    assert len(scores) == len(X)
    assert curve.bounds
    for kind in (HierarchicalVAE, LadderVAE, VQVAE, Autoencoder):
        kind(latent_dim=2, epochs=1, random_state=0).fit(X).reconstruct(X)
    ConditionalVAE(latent_dim=2, epochs=1).fit(X, np.arange(len(X)) % 2).sample(2, 1)
    detector: VAEDetector = VAEDetector(epochs=1).fit(X)
    detector.decision_function(X)
    VAEImputer(epochs=1).fit(X).transform(X)
    return ProbabilisticPCA(latent_dim=1).fit(X).score(X)


def functions(X: np.ndarray, folder: Path) -> float:
    """Load, fit, write and read without an estimator."""
    rows: Dataset = load(X)
    schema: Schema = rows.schema
    options = FitOptions(ModelOptions(latent_dim=2), training=TrainingOptions(epochs=1))
    fitted: Fitted = fit(rows, options, callbacks=[Curve()])
    write(folder / "fitted.lb", fitted)
    model: Model = read(folder / "fitted.lb").model
    assert schema.dimension == X.shape[1]
    return float(sum(parameter.numel() for parameter in model.parameters()))


def own_loop(X: np.ndarray) -> float:
    """A training loop of one's own."""
    rows = load(X.astype(np.float32))
    options = resolve(rows.schema, ModelOptions(latent_dim=2))
    model = assemble(rows.schema, options)
    initialize(model, rows)
    objective, optimizer = ELBO(beta=0.5), torch.optim.Adam(model.parameters(), 1e-3)
    for start in range(0, len(rows), 32):
        bound = objective(model, rows.batch(torch.arange(start, min(start + 32, len(rows)))))
        optimizer.zero_grad()
        bound.loss.backward()
        optimizer.step()
    return float(bound.value.mean())
