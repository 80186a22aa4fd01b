"""A model of lowerbound in a training loop of Lightning.

Lightning trains: it moves batches, calls the optimizer and logs. lowerbound reads the rows,
assembles and initializes the model, turns a batch into a bound, and uses the trained model.

    pip install lightning
    python examples/lightning_module.py [--quick]
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from _figures import quick
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader

from lowerbound import (
    ELBO,
    VAE,
    FitOptions,
    Fitted,
    Model,
    ModelOptions,
    assemble,
    initialize,
    load,
    resolve,
    write,
)
from lowerbound.errors import MissingLibraryError
from lowerbound.trace import Batch
from lowerbound.training import History

try:
    import lightning
except ImportError as error:
    raise MissingLibraryError("lightning", "lightning") from error


class LitModel(lightning.LightningModule):
    """Any model of lowerbound, trained by its evidence lower bound."""

    def __init__(self, model: Model, objective: ELBO) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        bound = self.objective(self.model, batch)
        self.log("bound", bound.value.mean())  # nats per row; higher is better
        return bound.loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-3)


def main(epochs: int) -> None:
    rows = load(load_digits().images.astype("uint8"))
    options = resolve(rows.schema, ModelOptions(latent_dim=8, network="mlp"))
    model = assemble(rows.schema, options)
    initialize(model, rows)

    numbers: Any = range(len(rows))  # a DataLoader takes any sequence, and declares less
    batches: DataLoader[Any] = DataLoader(
        numbers,
        batch_size=128,
        shuffle=True,
        collate_fn=lambda index: rows.batch(torch.tensor(index)),
    )
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(LitModel(model, ELBO()), batches)
    print(f"bound {trainer.callback_metrics['bound']:.1f} nats per row in the last batch")

    write("digits.lb", Fitted(model.eval(), rows.schema, FitOptions(options), History()))
    print(f"{VAE.load('digits.lb').sample(4).shape} new digits")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    main(3 if quick(__doc__) else 100)
