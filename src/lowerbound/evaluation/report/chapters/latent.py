"""The chapter on the latent space."""

from __future__ import annotations

from collections.abc import Iterator

from lowerbound.evaluation.latents.disentanglement import Disentanglement
from lowerbound.evaluation.latents.manifold import latent_grid
from lowerbound.evaluation.latents.units import Units
from lowerbound.evaluation.report import figures
from lowerbound.evaluation.report.chapters.material import Material, Plate
from lowerbound.evaluation.report.chapters.styles import style_of
from lowerbound.inference.draws.decoding import decode_codes
from lowerbound.inference.estimate import Skipped
from lowerbound.models import HasPrior

CHAPTER = "Latent space"


def maps(material: Material) -> Iterator[Plate]:
    """Codes of the held-out rows, models side by side."""
    rows = material.scored
    shown = [
        figures.LatentMap(
            found.name, found.latents.codes.mean.numpy(), found.latents.codes.deviation.numpy()
        )
        for found in material.findings
        if not isinstance(found.latents.codes, Skipped)
    ]
    if not shown:
        return
    label = None if rows.label is None else rows.label.numpy()
    ellipses = ""
    if any(each.deviation.any() for each in shown):
        ellipses = (
            " Ellipses show one standard deviation of the posterior of a few rows; they are hidden "
            "by the dots where it is small."
        )
    yield Plate(
        "latent_maps",
        CHAPTER,
        f"Each dot is the code of a held-out row.{_colors(material)}{ellipses} A model with a "
        "posterior distribution has learned to decode the space between the dots; a model whose "
        "codes are points may leave holes there.",
        figures.latent_maps(shown, label, rows.schema.class_names),
    )


def active_units(material: Material) -> Iterator[Plate]:
    """The rate of each latent unit."""
    found = material.main.latents.units
    if isinstance(found, Units) and len(found.rate) > 1:
        yield Plate(
            "active_units",
            CHAPTER,
            "The rate of each latent unit. A unit with a grey bar has the same mean for every row: "
            "it says nothing about a row, and its rate is only a cost. A latent that is no map "
            "could be smaller by the number of such units.",
            figures.unit_bars(found.rate.numpy(), found.active.numpy(), material.main.name),
        )


def factors(material: Material) -> Iterator[Plate]:
    """Information of each latent unit on each known factor."""
    main = material.main
    known = main.latents.disentanglement
    if isinstance(known, Disentanglement):
        yield Plate(
            "factors",
            CHAPTER,
            "The information of each latent unit on each known factor, as a share of the factor's "
            "entropy. Disentangled codes have one bright cell in each line and column; a "
            f"line with several bright cells means that units share a factor. MIG {known.mig:.2f}.",
            figures.factor_matrix(known.information, known.names, main.name),
        )


def manifold(material: Material) -> Iterator[Plate]:
    """A plane through the latent space, decoded."""
    model, units = material.main.subject.model, material.main.latents.units
    if not (isinstance(model, HasPrior) and isinstance(units, Units) and len(units.rate) > 1):
        return
    if material.training.schema.condition is not None:
        return
    style = style_of(material)
    grid = latent_grid(model, units, style.cells(material))
    mean = decode_codes(material.main.subject.model, grid.z.flatten(0, 1)).mean
    decoded = mean.float().unflatten(0, grid.z.shape[:2])
    rest = ", the others fixed" if len(units.rate) > 2 else ""
    yield Plate(
        "manifold",
        CHAPTER,
        f"Decoded rows of {material.main.name} for two latent units at quantiles of the prior"
        f"{rest}. If one kind of row changes smoothly into another, the codes between them also "
        "decode to plausible rows.",
        style.plane(material, decoded, grid),
    )


def _colors(material: Material) -> str:
    if material.held_out.label is None:
        return ""
    if material.training.schema.condition is not None:
        return (
            " Colors are the classes; the models are conditioned on them, so codes need not "
            "separate them."
        )
    return " Colors are the classes, which were not used for fitting."
