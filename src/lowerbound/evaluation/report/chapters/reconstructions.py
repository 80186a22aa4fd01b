"""The chapter on reconstructions."""

from __future__ import annotations

from collections.abc import Iterator

from lowerbound.evaluation.report import figures
from lowerbound.evaluation.report.chapters.material import Material, Plate
from lowerbound.inference.reconstruction import reconstruct

CHAPTER = "Reconstructions"
SCATTERED_ROWS = 500


def of_pictures(material: Material) -> Iterator[Plate]:
    """Pictures beside their reconstructions: with uncertainty, and by every model."""
    rows, name = material.examples, material.main.name
    x = rows.all().filled.float().numpy()
    made = {found.name: reconstruct(found.subject.model, rows) for found in material.findings}
    own = made[name]
    yield Plate(
        "reconstructions",
        CHAPTER,
        f"Held-out rows, their reconstructions by {name}, and the uncertainty of each pixel. It is "
        "bright if the code does not determine the pixel or the likelihood has noise. Edges are "
        "hardest.",
        figures.picture_reconstructions(x, own.mean.numpy(), own.deviation.numpy(), name),
    )
    if len(made) > 1:
        yield Plate(
            "reconstructions_compared",
            CHAPTER,
            "The same rows by every model. The sharpest reconstruction need not come from the best "
            "model of the data, because the code of an autoencoder costs nothing.",
            figures.compared_reconstructions(x, {k: v.mean.numpy() for k, v in made.items()}),
        )


def of_columns(material: Material) -> Iterator[Plate]:
    """Columns against their reconstructions."""
    if bool(material.training.schema.metric.any()):
        yield _scatter(material)


def of_profiles(material: Material) -> Iterator[Plate]:
    """Whole rows and their reconstructions as curves."""
    rows, main = material.examples, material.main
    made = reconstruct(main.subject.model, rows)
    x, center = material.columns(rows.all().filled), material.columns(made.mean)
    deviation = material.columns(made.mean + made.deviation) - center
    yield Plate(
        "reconstructions",
        CHAPTER,
        "Held-out rows as points, their reconstruction as a line, and two standard deviations "
        "around it: about 19 of 20 points should lie within the band.",
        figures.profile_reconstructions(x, center, deviation, main.name),
    )


def _scatter(material: Material) -> Plate:
    rows, main = material.held_out.thinned(SCATTERED_ROWS), material.main
    made = reconstruct(main.subject.model, rows)
    metric = material.training.schema.metric.numpy()
    x, center = material.observed(rows)[:, metric], material.columns(made.mean)[:, metric]
    names = [name for name, kept in zip(material.names, metric, strict=True) if kept]
    return Plate(
        "reconstructions",
        CHAPTER,
        "Each held-out value against its reconstruction. If the points lie close to the line, the "
        "code keeps the column. In a flat cloud, the model treats the column as noise.",
        figures.scatter_reconstructions(x, center, names, main.name, material.dates),
    )
