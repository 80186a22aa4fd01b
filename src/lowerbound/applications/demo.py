"""The whole tour on scikit-learn's handwritten digits: nothing to download, nothing to choose."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lowerbound.applications import home
from lowerbound.applications.base import Report, Reporter
from lowerbound.applications.comparison import NAMES
from lowerbound.applications.fit import FitReport, FitRequest, fit
from lowerbound.assembly import ModelOptions
from lowerbound.config import option
from lowerbound.errors import ModelFolderError
from lowerbound.fitting import FitOptions
from lowerbound.training import TrainingOptions

DATA = "digits"
MODEL = ModelOptions(latent_dim=16, prior="vamp")
SETTINGS = ("prior.components=200",)
"""A learned prior: of its samples a classifier accepts nine in ten, of N(0, I)'s two in three."""
LEVEL_BITS = math.log2(17)
TITLE = "Handwritten digits: a VAE, an autoencoder and PCA"


@dataclass(frozen=True)
class DemoRequest:
    """Show me."""

    output: str = option("digits.lb", "model folder to write", short="-o", metavar="MODEL")
    minutes: float | None = option(None, "training time of each model (default: until it is done)")
    seed: int = option(0, "of everything that is drawn")


@dataclass(frozen=True)
class DemoReport(Report):
    """The tour is over.

    Attributes:
        fit: what was fitted and how good it is.
    """

    fit: FitReport

    def text(self) -> str:
        """What happened, what the numbers mean, and what to try next."""
        model = self.fit.model
        return "\n".join(
            [
                "",
                *self._told(),
                "",
                "Look at it:",
                f"  {Path(self.fit.page).resolve().as_uri()}",
                "",
                "Go on:",
                f"  lowerbound sample {model} -n 100 -o new_digits.png",
                f"  lowerbound reconstruct {model} digits -o reconstructed.png --uncertainty",
                f"  lowerbound encode {model} digits -o codes.csv",
                f"  lowerbound info {model}",
                "  lowerbound fit YOUR_DATA -o MODEL     a folder of pictures, or a table",
            ]
        )

    def _told(self) -> list[str]:
        found = {one["name"]: one for one in self.fit.findings}
        vae, autoencoder, pca = (found[name] for name in NAMES.values())
        (made,) = _accepted(vae)
        guessed, modeled = _accepted(autoencoder)
        bound, bits = vae["likelihood"]["bound"], vae["likelihood"]["bits_per_dimension"]
        units = vae["units"]
        return [
            f"Three models have learned {self.fit.training_rows:,} handwritten digits, "
            f"16 numbers for each. On the",
            f"{self.fit.test_rows} that none of them has seen:",
            "",
            f"  {_bar(made)} of the digits that the VAE makes up pass for real",
            f"  {_bar(guessed)} of those of an autoencoder with the same decoder do",
            "",
            "  A classifier judges; it must be as sure as it is of 95 % of real digits. The VAE",
            "  knows where its codes make sense. The autoencoder was never told; a mixture fitted",
            f"  to its codes afterwards brings it to {modeled:.0%}.",
            "",
            f"  {bound['mean']:.1f} ± {bound['standard_error']:.1f} nats is the VAE's lower bound on "
            "log p(x), the higher the better:",
            f"  {bits['mean']:.2f} bits a pixel would store a digit, where 17 grey levels take "
            f"{LEVEL_BITS:.2f} as they are.",
            "",
            f"  {units['active']} of {units['of']} numbers of the code are in use. They tell which "
            f"digit it is: a linear classifier",
            f"  reads it off the VAE's codes in {_probe(vae):.0%} of the cases, off PCA's in "
            f"{_probe(pca):.0%}, and no model was told.",
        ]


def _accepted(found: Mapping[str, Any]) -> list[float]:
    """The rates of all ways in which a model was sampled, its own way first."""
    return [float(verdict["rate"]["mean"]) for verdict in found["accepted"].values()]


def _probe(found: Mapping[str, Any]) -> float:
    return float(found["features"]["probe"]["mean"])


def _bar(share: float) -> str:
    """A share as a bar of twenty and per cent."""
    full = round(20 * share)
    return f"{'█' * full}{'░' * (20 - full)} {share:4.0%}"


def demo(request: DemoRequest, reporter: Reporter) -> DemoReport:
    """Fit digits by a VAE, an autoencoder and PCA; measure them; write model folder and page.

    Raises:
        ModelFolderError: the folder holds something that is not from this tour.
    """
    refuse_other_folder(Path(request.output))
    training = TrainingOptions(minutes=request.minutes, seed=request.seed)
    asked = FitRequest(
        DATA,
        request.output,
        fitting=FitOptions(MODEL, training=training),
        set=SETTINGS,
        test=0.2,
        title=TITLE,
        compare=True,
        overwrite=True,
    )
    asked = replace(asked, measuring=replace(asked.measuring, seed=request.seed))
    return DemoReport(fit(asked, reporter))


def refuse_other_folder(folder: Path) -> None:
    """The tour may replace what an earlier one left, and nothing else.

    Raises:
        ModelFolderError: another model is there, or other files.
    """
    if home.state_of(folder) == "absent":
        return
    before = home.remembered(folder)
    if before is None or before.get("data") != DATA or not before.get("compare"):
        raise ModelFolderError(
            f"{folder} holds a model that is not from this tour: choose another name with -o"
        )
