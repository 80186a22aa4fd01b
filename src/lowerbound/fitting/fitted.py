"""The fitted model that every application uses, and the rows that a fit holds out."""

from __future__ import annotations

from dataclasses import dataclass

from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.fitting.options import FitOptions
from lowerbound.models.base import MODELS, Model
from lowerbound.models.parts import ModelParts
from lowerbound.training.options import TrainingOptions
from lowerbound.training.reporter import History


@dataclass(frozen=True)
class Fitted:
    """A fitted model.

    Attributes:
        model: the module, in evaluation mode.
        schema: the schema of the data, which converts to and from model units.
        options: the options of the fit, every default resolved.
        history: the history of training; empty for a model solved in closed form.
        calibration: how its confidence was calibrated, in words; "" if it was not, or if the model
            was read from a folder.
    """

    model: Model
    schema: Schema
    options: FitOptions
    history: History
    calibration: str = ""

    @property
    def latents(self) -> str:
        """The latents of a row in words, such as "8 latent numbers"."""
        options = self.options.model
        return MODELS[options.model].latents_text(ModelParts(self.schema, options))


def held_out(dataset: Dataset, options: TrainingOptions) -> tuple[Dataset, Dataset | None]:
    """Training and validation rows; a very small data set uses all rows for training."""
    if options.validation <= 0 or round(options.validation * len(dataset)) < 2:
        return dataset, None
    return dataset.split(options.validation, options.seed)
