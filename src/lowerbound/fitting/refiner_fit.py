"""What a model folder records of the training of a refiner."""

from __future__ import annotations

from dataclasses import dataclass, field

from lowerbound.training import TrainingOptions


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
