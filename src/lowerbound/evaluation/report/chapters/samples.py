"""The chapter on samples."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.evaluation.report import figures
from lowerbound.evaluation.report.chapters.material import Material, Plate
from lowerbound.evaluation.report.subjects import Findings
from lowerbound.evaluation.report.suites import FROM_MIXTURE, FROM_PRIOR, FROM_WHITE_CODES
from lowerbound.evaluation.samples.acceptance import real_rows
from lowerbound.evaluation.samples.quality import MEAN
from lowerbound.inference.estimate import Skipped

CHAPTER = "Samples"
SHEET = 64
SHORT = {FROM_PRIOR: "prior", FROM_WHITE_CODES: "white codes", FROM_MIXTURE: "mixture"}


def of_pictures(material: Material) -> Iterator[Plate]:
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
            CHAPTER,
            "The same number of draws from every model. An autoencoder has no prior, so its codes "
            "are whitened and N(0, I) is drawn there: a draw in a hole does not decode to a "
            "plausible row. A mixture fitted to the codes afterwards gives better draws."
            f"{_distances(material)}",
            figures.sample_sheets(sheets, "Samples side by side: means of p(x | z)"),
        )


def of_profiles(material: Material) -> Iterator[Plate]:
    """Rows and samples as curves."""
    yield Plate(
        "sampled_profiles",
        CHAPTER,
        "Rows and samples as curves over their features, on one scale. Samples are drawn from "
        "p(x | z), so they include the noise of the likelihood.",
        figures.sampled_profiles(material.observed(material.held_out), _drawn(material)),
    )


def of_columns(material: Material) -> Iterator[Plate]:
    """Columns of samples against those of the data: one by one, and together."""
    real, drawn = material.observed(material.held_out), _drawn(material)
    yield Plate(
        "marginals",
        CHAPTER,
        "Each column of the held-out rows (grey) and of samples (lines). If a line leaves the "
        "grey area, the model makes values that do not occur, or lacks values that do.",
        figures.marginals(real, drawn, material.names, material.levels, material.dates),
    )
    if len(material.names) > 1:
        yield Plate(
            "correlations",
            CHAPTER,
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
            CHAPTER,
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
        CHAPTER,
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
