"""Styles in which a report shows rows: by column, as curves over their features, or as pictures.

A kind of data names its style. A kind with its own figures registers another style here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import Tensor

from lowerbound.evaluation.latents.manifold import LatentGrid
from lowerbound.evaluation.report import figures
from lowerbound.evaluation.report.chapters import reconstructions, samples, training
from lowerbound.evaluation.report.chapters.material import Material, Plate
from lowerbound.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEW, MANY, SMALL = 9, 15, 32  # cells a side of a plane; MANY for pictures up to SMALL
STYLES = Registry[type["ReportStyle"]]("style of reports")


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
        return reconstructions.of_columns(material)

    def samples(self, material: Material) -> Iterator[Plate]:
        """Samples beside rows."""
        return samples.of_columns(material)


@STYLES.register("profiles")
class ProfileStyle(ReportStyle):
    """Rows of many features as curves."""

    def plane(self, material: Material, decoded: Tensor, grid: LatentGrid) -> Figure:
        return figures.decoded_profiles(material.columns(decoded), grid.ticks, grid.names)

    def reconstructions(self, material: Material) -> Iterator[Plate]:
        return reconstructions.of_profiles(material)

    def samples(self, material: Material) -> Iterator[Plate]:
        yield from samples.of_profiles(material)
        yield from samples.of_columns(material)


@STYLES.register("pictures")
class PictureStyle(ReportStyle):
    """Rows as pictures."""

    def cells(self, material: Material) -> int:
        return MANY if max(material.training.schema.event_shape) <= SMALL else FEW

    def data(self, material: Material) -> Iterator[Plate]:
        return training.data_sheet(material)

    def plane(self, material: Material, decoded: Tensor, grid: LatentGrid) -> Figure:
        return figures.decoded_pictures(decoded.numpy(), grid.ticks, grid.names)

    def reconstructions(self, material: Material) -> Iterator[Plate]:
        return reconstructions.of_pictures(material)

    def samples(self, material: Material) -> Iterator[Plate]:
        return samples.of_pictures(material)


def style_of(material: Material) -> ReportStyle:
    """The style for the rows of a report."""
    schema = material.training.schema
    return STYLES[schema.data_kind.report_style(schema)]()
