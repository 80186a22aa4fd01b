"""The figures of a report, in the textbook's order, each with what to look for."""

from __future__ import annotations

from collections.abc import Iterator

from lowerbound.evaluation.report.chapters import latent, reconstructions, samples, training
from lowerbound.evaluation.report.chapters.material import Material, Plate

__all__ = ["Material", "Plate", "plates"]


def plates(material: Material, planar: Material | None = None) -> Iterator[Plate]:
    """All figures that the data and the models allow, made one at a time.

    Args:
        material: of the models that the report is about.
        planar: of the same models with two latent units, whose maps need no projection.
    """
    flat = planar or material
    pictures = material.pictures
    yield from training.data_sheet(material) if pictures else ()
    yield from training.training(material)
    yield from training.levels(material)
    yield from latent.maps(flat)
    yield from latent.active_units(material)
    yield from latent.factors(material)
    yield from latent.manifold(flat)
    if pictures:
        yield from reconstructions.of_pictures(material)
        yield from samples.of_pictures(material)
    else:
        yield from reconstructions.of_columns(material)
        yield from samples.of_columns(material)
    yield from samples.class_shares(material)
