"""What a model folder records of a fit, for release records: its data, and how alike draws are.

Of a refiner it records the training.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lowerbound import durable
from lowerbound.training.options import TrainingOptions

CHANCE = 0.5


@dataclass(frozen=True)
class Likeness:
    """AUROC with which boosting distinguishes drawn rows of a table from real ones.

    Attributes:
        rows: number of rows of each.
        area: AUROC; 0.5: it cannot distinguish them, 1: it always does.
        low, high: the 95 % interval.
        unseen: whether the real rows were held out of the fit.
    """

    rows: int
    area: float
    low: float
    high: float
    unseen: bool = False

    @property
    def sentence(self) -> str:
        """The finding in words."""
        meaning = "0.5: it cannot, 1: always"
        real = "held-out" if self.unseen else "fitted"
        if self.high < CHANCE and not self.unseen:
            meaning += ", below 0.5: drawn rows resemble single fitted ones"
        return (
            f"boosting distinguishes {self.rows:,} drawn rows from {self.rows:,} {real} ones with "
            f"an AUROC of {self.area:.3f} (95 % interval {self.low:.3f} to {self.high:.3f}; "
            f"{meaning})"
        )


@dataclass(frozen=True)
class RefinerFit:
    """How a refiner was trained after the model, and what it changes on held-out pictures.

    The figures are of reconstructions: of one refined draw for each picture, and of the decoder's
    mean (``former``), which has less error and less detail.

    Attributes:
        rows: how many pictures the refiner was trained on, held-out ones included.
        training: the options of this training.
        bound: mean lower bound on the density p(x | z) of held-out pictures, nats per row; None
            where none were held out.
        held_out: how many held-out pictures were measured.
        psnr, former_psnr: mean peak signal-to-noise ratio, dB.
        sharpness, former_sharpness: variance of the Laplacian over that of the pictures.
        frechet, former_frechet: Fréchet distance from other real pictures.
        frechet_error: standard error of ``frechet``.
        frechet_of_real: the same distance of the held-out pictures themselves.
        features: name of the features of that distance.
        skipped: why there is no distance.
    """

    rows: int = 0
    training: TrainingOptions = field(default_factory=TrainingOptions)
    bound: float | None = None
    held_out: int = 0
    psnr: float | None = None
    former_psnr: float | None = None
    sharpness: float | None = None
    former_sharpness: float | None = None
    frechet: float | None = None
    former_frechet: float | None = None
    frechet_error: float | None = None
    frechet_of_real: float | None = None
    features: str = ""
    skipped: str = ""


@dataclass(frozen=True)
class DataSource:
    """A file or folder that something was made from.

    Attributes:
        name: its name, without the folders above it.
        rows: number of rows; None: unknown.
        sha256: of the file, or of the manifest of a model folder; "": none is given.
    """

    name: str
    rows: int | None = None
    sha256: str = ""

    @classmethod
    def of(cls, source: Any, rows: int | None = None) -> DataSource | None:
        """The file of a table; None: the rows are from no file."""
        path = Path(source).expanduser() if isinstance(source, str | Path) else None
        if path is None or not path.is_file():
            return None
        return cls(path.name, rows, durable.sha256(path))
