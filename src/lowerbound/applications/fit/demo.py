"""``lowerbound demo``: compare a VAE, an autoencoder and PCA on scikit-learn's digits."""

from __future__ import annotations

import math
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lowerbound.applications.common import fit_folder
from lowerbound.applications.common.application import Report, Reporter
from lowerbound.applications.common.form import DeviceRequest
from lowerbound.applications.fit.fit import FitReport, FitRequest, fit
from lowerbound.applications.fit.measuring import RIVALS
from lowerbound.config import option
from lowerbound.errors import ModelFolderError
from lowerbound.evaluation.report.suites import SuiteOptions
from lowerbound.evaluation.report.verdict import BOUND, MARK, SENTENCES
from lowerbound.fitting.fitted import FitOptions
from lowerbound.models.base import title_of
from lowerbound.models.options import ModelOptions
from lowerbound.training.options import TrainingOptions

DATA = "digits"
MODEL = ModelOptions(latent_dim=16, prior="vamp")
SETTINGS = ("prior.components=200",)
"""A learned prior: a classifier accepts nine in ten of its samples, but two in three of N(0, I)."""
MEASURING = SuiteOptions()
WIDTH = 92  # columns of the summary
TITLE = "Handwritten digits: a VAE, an autoencoder and PCA"


@dataclass(frozen=True)
class DemoRequest(DeviceRequest):
    """Options of ``lowerbound demo``."""

    output: str = option("digits.lb", "model folder to write", short="-o", metavar="MODEL")
    minutes: float | None = option(
        None, "minutes of training for each model (default: until training is done)"
    )
    seed: int = option(0, "seed of everything that is drawn")


SUMMARY = """
Three models have learned {training_rows:,} handwritten digits, {units} numbers for each.
On {test_rows} digits that none of them has seen:

  {made} of the samples of the VAE pass for real digits
  {guessed} of the samples of an autoencoder with the same decoder do

  A sample passes if a classifier is as confident of it as of 95 % of real digits. The VAE
  draws codes from its prior; the autoencoder has no prior and gets codes of the same mean
  and covariance. Codes from a mixture fitted afterwards bring it to {modeled:.0%}.

  {bound:.1f} ± {error:.1f} nats{mark} is the VAE's lower bound on log p(x): the higher, the better.
  A pixel takes {bits:.2f} bits at that bound; 17 levels of grey take {level_bits:.2f} uncompressed.

  {active} of the {units} numbers of a code are in use. A linear classifier reads the digit
  off the VAE's codes in {probe:.0%} of the cases, off PCA's in {pca_probe:.0%}; no model saw the
  labels.

{verdict}

Look at it:
  {page}

Go on:
  lowerbound sample {model} -n 100 -o new_digits.png
  lowerbound reconstruct {model} digits -o reconstructed.png --uncertainty
  lowerbound encode {model} digits -o codes.csv
  lowerbound info {model}
  lowerbound fit YOUR_DATA -o MODEL     (a folder of pictures, or a table)"""


@dataclass(frozen=True)
class DemoReport(Report):
    """The result of the demo.

    Attributes:
        fit: the result of the fit.
    """

    fit: FitReport

    def text(self) -> str:
        """The main numbers with explanations, and commands to try next."""
        found = {one["name"]: one for one in self.fit.findings}
        vae, autoencoder, pca = (found[title_of(kind)] for kind in RIVALS)
        (made,) = _accepted(vae)
        guessed, modeled = _accepted(autoencoder)
        scores, verdict = vae["likelihood"], self.fit.verdict
        flagged = any(flag["figure"] == BOUND for flag in verdict["flags"])
        return SUMMARY.format(
            training_rows=self.fit.training_rows,
            test_rows=self.fit.test_rows,
            made=_bar(made),
            guessed=_bar(guessed),
            modeled=modeled,
            bound=scores["bound"]["mean"],
            error=scores["bound"]["standard_error"],
            mark=f" {MARK}" if flagged else "",
            bits=scores["bits_per_dimension"]["mean"],
            level_bits=math.log2(17),
            active=vae["units"]["active"],
            units=vae["units"]["of"],
            probe=vae["features"]["probe"]["mean"],
            pca_probe=pca["features"]["probe"]["mean"],
            verdict="\n".join(map(_paragraph, self.fit.lines[: len(SENTENCES)])),
            page=Path(self.fit.page).resolve().as_uri(),
            model=shlex.quote(self.fit.model),
        )


def _accepted(found: Mapping[str, Any]) -> list[float]:
    """The acceptance rates of a model's samples for each way of sampling, the default first."""
    return [float(accepted["rate"]["mean"]) for accepted in found["accepted"].values()]


def _paragraph(sentence: str) -> str:
    """A sentence as lines of the width of the summary."""
    return textwrap.fill(
        sentence, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )


def _bar(share: float) -> str:
    """A share as a bar of twenty characters and a percentage."""
    full = round(20 * share)
    return f"{'█' * full}{'░' * (20 - full)} {share:4.0%}"


def demo(request: DemoRequest, reporter: Reporter) -> DemoReport:
    """Fit a VAE, an autoencoder and PCA to digits, measure them, and write folder and report.

    Raises:
        ModelFolderError: the folder holds something else than an earlier demo.
    """
    refuse_other_folder(Path(request.output))
    training = TrainingOptions(
        minutes=request.minutes, seed=request.seed, threads=1, device=request.device
    )
    fit_request = FitRequest(
        DATA,
        request.output,
        fitting=FitOptions(MODEL, training=training),
        set=SETTINGS,
        test=0.2,
        title=TITLE,
        measuring=replace(MEASURING, seed=request.seed),
        compare=True,
        overwrite=True,
    )
    with one_thread():
        return DemoReport(fit(fit_request, reporter))


@contextmanager
def one_thread() -> Iterator[None]:
    """Context in which arithmetic uses one thread.

    A second thread saves almost no time on data this small, and on a busy machine threads that wait
    for each other can take minutes instead of seconds.
    """
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def refuse_other_folder(folder: Path) -> None:
    """Check that ``folder`` is absent or holds an earlier demo, which may be replaced.

    Raises:
        ModelFolderError: the folder holds another model, or other files.
    """
    if fit_folder.state_of(folder) == "absent":
        return
    before = fit_folder.remembered(folder)
    if before is None or before.get("data") != DATA or not before.get("compare"):
        raise ModelFolderError(
            f"{folder} holds a model that is not from this tour: choose another name with -o"
        )
