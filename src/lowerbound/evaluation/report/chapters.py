"""The chapters of a report on samples, reconstructions and the latent space: captioned figures.

Styles show rows by column, as curves over their features, or as pictures. A kind of data names its
style. A kind with its own figures registers another style here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.evaluation.aggregate import Units
from lowerbound.evaluation.disentanglement import Disentanglement
from lowerbound.evaluation.latent_features import LatentGrid, latent_grid
from lowerbound.evaluation.report import figures, training_chapter
from lowerbound.evaluation.report.subjects import Findings, Material, Plate
from lowerbound.evaluation.report.suites import FROM_MIXTURE, FROM_PRIOR, FROM_WHITE_CODES
from lowerbound.evaluation.samples.acceptance import real_rows
from lowerbound.evaluation.samples.distances import MEAN
from lowerbound.inference.decoding import decode_codes
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.reconstruction import reconstruct
from lowerbound.models.powers import HasPrior
from lowerbound.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAMPLES = "Samples"
SHEET = 64  # samples, and real rows beside them
SHORT = {FROM_PRIOR: "prior", FROM_WHITE_CODES: "white codes", FROM_MIXTURE: "mixture"}
RECONSTRUCTIONS = "Reconstructions"
SCATTERED_ROWS = 500  # held-out ones, against their reconstructions
FEW, MANY, SMALL = 9, 15, 32  # cells a side of a plane; MANY for pictures up to SMALL
STYLES = Registry[type["ReportStyle"]]("style of reports")
LATENT_SPACE = "Latent space"


def sampled_pictures(material: Material) -> Iterator[Plate]:
    """Sheets: real rows beside the main model's two kinds of samples, then every model's."""
    if material.main.samples.samples:
        yield _own_sheets(material)
    sheets = [
        figures.Sheet(drawn_by(found.name, way), first_pictures(drawn.mean), verdict(found, way))
        for found in material.findings
        for way, drawn in found.samples.samples.items()
    ]
    if len(sheets) > 1:
        yield Plate(
            "samples_compared",
            SAMPLES,
            "The same number of draws from every model. An autoencoder has no prior, so its codes "
            "are whitened and N(0, I) is drawn there: a draw in a hole does not decode to a "
            "plausible row. A mixture fitted to the codes afterwards gives better draws."
            f"{_distances(material)}",
            figures.sample_sheets(sheets, "Samples side by side: means of p(x | z)"),
        )


def sampled_profiles(material: Material) -> Iterator[Plate]:
    """Rows and samples as curves."""
    yield Plate(
        "sampled_profiles",
        SAMPLES,
        "Rows and samples as curves over their features, on one scale. Samples are drawn from "
        "p(x | z), so they include the noise of the likelihood.",
        figures.sampled_profiles(material.observed(material.held_out), _drawn(material)),
    )


def sampled_columns(material: Material) -> Iterator[Plate]:
    """Columns of samples against those of the data: one by one, and together."""
    real, drawn = material.observed(material.held_out), _drawn(material)
    yield Plate(
        "marginals",
        SAMPLES,
        "Each column of the held-out rows (grey) and of samples (lines). If a line leaves the "
        "grey area, the model makes values that do not occur, or lacks values that do.",
        figures.marginals(real, drawn, material.names, material.levels, material.dates),
    )
    if len(material.names) > 1:
        yield Plate(
            "correlations",
            SAMPLES,
            "Correlations of the columns. The samples' pattern should repeat the data's; each "
            "title gives the mean absolute difference.",
            figures.correlations(real, drawn, material.names),
        )


def _drawn(material: Material) -> dict[str, Array]:
    """Each model's samples as columns."""
    return {
        drawn_by(found.name, way): material.columns(made.x)
        for found in material.findings
        for way, made in list(found.samples.samples.items())[:1]
    }


def class_shares(material: Material) -> Iterator[Plate]:
    """Predicted classes of the accepted samples."""
    shares = {
        drawn_by(found.name, way): accepted.shares
        for found in material.findings
        if not isinstance(found.samples.acceptance, Skipped)
        for way, accepted in found.samples.acceptance.items()
    }
    if shares:
        yield Plate(
            "class_shares",
            SAMPLES,
            "Predicted classes of the accepted samples. The model does not make a class without a "
            "bar; the dashed line is an equal share.",
            figures.class_shares(shares, material.training.schema.class_names),
        )


def _own_sheets(material: Material) -> Plate:
    main = material.main
    way, own = next(iter(main.samples.samples.items()))
    real = real_rows(material.held_out.thinned(SHEET))
    sheets = [
        figures.Sheet("Your data", first_pictures(real), "held-out rows"),
        figures.Sheet(f"{main.name}, {SHORT[way]}", first_pictures(own.mean), "mean of p(x | z)"),
        figures.Sheet(f"{main.name}, {SHORT[way]}", first_pictures(own.x), "drawn from p(x | z)"),
    ]
    return Plate(
        "samples",
        SAMPLES,
        "New rows beside real ones. The mean of p(x | z) is the smooth guess; a "
        "draw from p(x | z) is a row by the model's distribution, including pixel noise.",
        figures.sample_sheets(sheets, f"Samples of {main.name}"),
    )


def drawn_by(name: str, way: str) -> str:
    """The name of draws: of the model, and of what they come from if that is not in it."""
    short = SHORT[way]
    return name if name.endswith(f" {short}") else f"{name}, {short}"


def first_pictures(x: Tensor) -> Array:
    """The pictures of a sheet."""
    pictures: Array = x[:SHEET].float().numpy()
    return pictures


def verdict(found: Findings, way: str) -> str:
    """Acceptance and distance of samples, for the line below the title of a sheet."""
    acceptance, quality = found.samples.acceptance, found.samples.quality
    said = []
    if not isinstance(acceptance, Skipped):
        said.append(f"{acceptance[way].rate.mean:.0%} accepted")
    if not isinstance(quality, Skipped) and MEAN in quality.found[way]:
        said.append(f"FD {quality.found[way][MEAN].frechet.mean:.1f}")
    return ", ".join(said)


def _distances(material: Material) -> str:
    """The meaning of FD on the sheets, if it was measured."""
    quality = material.main.samples.quality
    if isinstance(quality, Skipped) or MEAN not in quality.floor:
        return ""
    floor, ceiling = quality.floor[MEAN].frechet.mean, quality.ceiling[MEAN].frechet.mean
    return (
        f" FD is FD[{quality.space}], the Fréchet distance on features of a small classifier of "
        f"this data: {floor:.1f} for other real rows, {ceiling:.1f} for shuffled pixels."
    )


def reconstructed_pictures(material: Material) -> Iterator[Plate]:
    """Pictures beside their reconstructions: with uncertainty, and by every model."""
    rows, name = material.examples, material.main.name
    x = rows.all().filled.float().numpy()
    made = {found.name: reconstruct(found.subject.model, rows) for found in material.findings}
    own = made[name]
    yield Plate(
        "reconstructions",
        RECONSTRUCTIONS,
        f"Held-out rows, their reconstructions by {name}, and the uncertainty of each pixel. It is "
        "bright if the code does not determine the pixel or the likelihood has noise. Edges are "
        "hardest.",
        figures.picture_reconstructions(x, own.mean.numpy(), own.deviation.numpy(), name),
    )
    if len(made) > 1:
        yield Plate(
            "reconstructions_compared",
            RECONSTRUCTIONS,
            "The same rows by every model. The sharpest reconstruction need not come from the best "
            "model of the data, because the code of an autoencoder costs nothing.",
            figures.compared_reconstructions(x, {k: v.mean.numpy() for k, v in made.items()}),
        )


def reconstructed_columns(material: Material) -> Iterator[Plate]:
    """Columns against their reconstructions."""
    if bool(material.training.schema.metric.any()):
        yield _scatter(material)


def reconstructed_profiles(material: Material) -> Iterator[Plate]:
    """Whole rows and their reconstructions as curves."""
    rows, main = material.examples, material.main
    made = reconstruct(main.subject.model, rows)
    x, center = material.columns(rows.all().filled), material.columns(made.mean)
    deviation = material.columns(made.mean + made.deviation) - center
    yield Plate(
        "reconstructions",
        RECONSTRUCTIONS,
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
        RECONSTRUCTIONS,
        "Each held-out value against its reconstruction. If the points lie close to the line, the "
        "code keeps the column. In a flat cloud, the model treats the column as noise.",
        figures.scatter_reconstructions(x, center, names, main.name, material.dates),
    )


@STYLES.register("columns")
class ReportStyle:
    """Column by column."""

    def cells(self, material: Material) -> int:
        """Number of cells a side of the plane through the latent space."""
        return FEW

    def data(self, material: Material) -> Iterator[Plate]:
        """Some of the rows that the models were fitted to."""
        yield from ()

    def plane(self, material: Material, decoded: Tensor, grid: LatentGrid) -> Figure:
        """Rows decoded on a plane, (cells, cells, *event) in model units."""
        values = material.columns(decoded)
        return figures.decoded_features(
            values, grid.ticks, grid.names, material.names, material.levels
        )

    def reconstructions(self, material: Material) -> Iterator[Plate]:
        """Rows beside their reconstructions by the models."""
        return reconstructed_columns(material)

    def samples(self, material: Material) -> Iterator[Plate]:
        """Samples beside rows."""
        return sampled_columns(material)


@STYLES.register("profiles")
class ProfileStyle(ReportStyle):
    """Rows of many features as curves."""

    def plane(self, material: Material, decoded: Tensor, grid: LatentGrid) -> Figure:
        return figures.decoded_profiles(material.columns(decoded), grid.ticks, grid.names)

    def reconstructions(self, material: Material) -> Iterator[Plate]:
        return reconstructed_profiles(material)

    def samples(self, material: Material) -> Iterator[Plate]:
        yield from sampled_profiles(material)
        yield from sampled_columns(material)


@STYLES.register("pictures")
class PictureStyle(ReportStyle):
    """Rows as pictures."""

    def cells(self, material: Material) -> int:
        return MANY if max(material.training.schema.event_shape) <= SMALL else FEW

    def data(self, material: Material) -> Iterator[Plate]:
        return training_chapter.data_sheet(material)

    def plane(self, material: Material, decoded: Tensor, grid: LatentGrid) -> Figure:
        return figures.decoded_pictures(decoded.numpy(), grid.ticks, grid.names)

    def reconstructions(self, material: Material) -> Iterator[Plate]:
        return reconstructed_pictures(material)

    def samples(self, material: Material) -> Iterator[Plate]:
        return sampled_pictures(material)


def style_of(material: Material) -> ReportStyle:
    """The style for the rows of a report."""
    schema = material.training.schema
    return STYLES[schema.data_kind.report_style(schema)]()


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
        LATENT_SPACE,
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
            LATENT_SPACE,
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
            LATENT_SPACE,
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
        LATENT_SPACE,
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


def plates(material: Material, planar: Material | None = None) -> Iterator[Plate]:
    """Yield all figures that the data and the models allow, those of rows first.

    Args:
        material: the models of the report.
        planar: the same models with two latent units, whose maps need no projection.
    """
    flat, style = planar or material, style_of(material)
    yield from style.data(material)
    yield from style.samples(material)
    yield from class_shares(material)
    yield from style.reconstructions(material)
    yield from maps(flat)
    yield from manifold(flat)
    yield from active_units(material)
    yield from factors(material)
    yield from training_chapter.training(material)
    yield from training_chapter.levels(material)
    yield from training_chapter.information(material)
    yield from training_chapter.critics(material)
