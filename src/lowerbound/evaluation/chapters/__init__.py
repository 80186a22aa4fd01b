"""The figures of a report, in the textbook's order, each with what to look for."""

from __future__ import annotations

from collections.abc import Iterator

from lowerbound.evaluation.chapters import latent, reconstructions, samples, training
from lowerbound.evaluation.chapters.material import Material, Plate

__all__ = ["Material", "Plate", "plates"]


def plates(material: Material) -> Iterator[Plate]:
    """All figures that the data and the models allow, made one at a time."""
    pictures = material.pictures
    yield from training.data_sheet(material) if pictures else ()
    yield from training.training(material)
    yield from latent.maps(material)
    yield from latent.active_units(material)
    yield from latent.manifold(material)
    if pictures:
        yield from reconstructions.of_pictures(material)
        yield from samples.of_pictures(material)
    else:
        yield from reconstructions.of_columns(material)
        yield from samples.of_columns(material)
    yield from samples.class_shares(material)
