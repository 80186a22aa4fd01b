"""The figures of a report, each with a caption."""

from __future__ import annotations

from collections.abc import Iterator

from lowerbound.evaluation.report.chapters import latent, samples, training
from lowerbound.evaluation.report.chapters.material import Material, Plate
from lowerbound.evaluation.report.chapters.styles import style_of

__all__ = ["Material", "Plate", "plates"]


def plates(material: Material, planar: Material | None = None) -> Iterator[Plate]:
    """Yield all figures that the data and the models allow, those of rows first.

    Args:
        material: the models of the report.
        planar: the same models with two latent units, whose maps need no projection.
    """
    flat, style = planar or material, style_of(material)
    yield from style.data(material)
    yield from style.samples(material)
    yield from samples.class_shares(material)
    yield from style.reconstructions(material)
    yield from latent.maps(flat)
    yield from latent.manifold(flat)
    yield from latent.active_units(material)
    yield from latent.factors(material)
    yield from training.training(material)
    yield from training.levels(material)
    yield from training.information(material)
    yield from training.critics(material)
