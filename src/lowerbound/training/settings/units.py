"""Bounds in the data's own units."""

from __future__ import annotations

from lowerbound.data.dataset import Dataset
from lowerbound.models import Model


def own_units(model: Model, dataset: Dataset) -> float:
    """Nats per row to add to a mean bound in model units to have it in the data's own units."""
    return float(dataset.log_jacobian(mass=model.mass).mean())
