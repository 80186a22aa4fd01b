"""Samples of a VAE and of an autoencoder with the same decoder, judged by a classifier.

scikit-learn's 1,797 digits, a fifth held out; latent dimension 16 in all models. A sample (the
decoder's mean) is accepted where the classifier is at least as sure of it as of all but the least
sure 5 % of held-out real digits. The VAE is sampled from its prior, a VampPrior, with the same VAE
under the textbook's N(0, I) beside it; the autoencoder, which has no prior, from N(0, I) in
whitened code space, and from a Gaussian mixture fitted to its codes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from _record import Metric, arguments, write
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from lowerbound.data import load
from lowerbound.evaluation.samples.acceptance import (
    Acceptance,
    RealismClassifier,
    fit_realism_classifier,
)
from lowerbound.fitting import FitOptions, fit
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.decoding import sample_mixture, sample_white_codes
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.likelihood import data_sha256
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

SAMPLES = 10_000
LATENT = 16
PRIOR_OPTIONS = {"components": 200}


@dataclass(frozen=True)
class Verdicts:
    """One seed's verdicts; ``second``: a support vector machine's, of VAE and autoencoder."""

    vae: Acceptance
    standard_normal: Acceptance
    autoencoder: Acceptance
    mixture: Acceptance
    judge: RealismClassifier
    second: tuple[float, float]


def run(seed: int, epochs: int | None, count: int) -> Verdicts:
    training, held_out = load("digits").split(0.2, seed)
    judge = fit_realism_classifier(training, held_out, seed=seed)
    assert not isinstance(judge, Skipped)
    options = FitOptions(
        ModelOptions(latent_dim=LATENT), training=TrainingOptions(epochs=epochs, seed=seed)
    )
    standard_normal = fit(training, options).model
    learned = replace(options.model, prior="vamp", prior_options=PRIOR_OPTIONS)
    vae = fit(training, replace(options, model=learned)).model
    autoencoder = fit(
        training, replace(options, model=replace(options.model, model="autoencoder"))
    ).model
    codes = encode_rows(autoencoder, training).mean
    made = sample_prior(vae, count, seed=seed).mean
    guessed = sample_white_codes(autoencoder, codes, count, seed=seed).mean
    machine = CalibratedClassifierCV(make_pipeline(StandardScaler(), SVC()), ensemble=False)
    second = fit_realism_classifier(training, held_out, seed=seed, classifier=machine)
    assert not isinstance(second, Skipped)
    return Verdicts(
        judge.accept(made),
        judge.accept(sample_prior(standard_normal, count, seed=seed).mean),
        judge.accept(guessed),
        judge.accept(sample_mixture(autoencoder, codes, count, seed=seed).mean),
        judge,
        (second.accept(made).rate.mean, second.accept(guessed).rate.mean),
    )


def demo_minutes() -> float:
    """Wall time of ``lowerbound demo`` as a whole process, in an empty folder."""
    program = str(Path(sys.executable).with_name("lowerbound"))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([program, "demo"], cwd=folder, check=True, capture_output=True)
        return (time.perf_counter() - start) / 60


def percent(name: str, values: list[float], target: float | None = None) -> Metric:
    spread = statistics.stdev(values) if len(values) > 1 else None
    return Metric(
        name,
        100 * statistics.mean(values),
        "%",
        "higher",
        None if spread is None else 100 * spread,
        target,
    )


def main() -> None:
    chosen = arguments(__doc__ or "").parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    seeds = [chosen.seed] if chosen.quick else [chosen.seed + i for i in range(3)]
    epochs, count = (20, 500) if chosen.quick else (None, SAMPLES)
    verdicts = [run(seed, epochs, count) for seed in seeds]
    vae = [v.vae.rate.mean for v in verdicts]
    autoencoder = [v.autoencoder.rate.mean for v in verdicts]
    fewer = [a - b for a, b in zip(vae, autoencoder, strict=True)]
    worst = min(fewer)
    metrics = [
        percent("VAE prior samples accepted", vae, 80),
        percent("VAE under N(0, I) accepted", [v.standard_normal.rate.mean for v in verdicts]),
        percent("rarest class among them", [v.vae.least_share for v in verdicts], 3),
        percent("autoencoder, whitened codes from N(0, I), accepted", autoencoder),
        percent("points fewer than the VAE, paired over seeds", fewer, 20),
        Metric("points fewer, the least of the seeds", 100 * worst, "%", "higher"),
        percent(
            "autoencoder, fitted Gaussian mixture, accepted",
            [v.mixture.rate.mean for v in verdicts],
        ),
        percent(
            "the classifier's accuracy on held-out digits", [v.judge.accuracy for v in verdicts]
        ),
    ]
    metrics += [
        percent(f"{name} accepted by a support vector machine", [v.second[i] for v in verdicts])
        for i, name in enumerate(("VAE prior samples", "autoencoder, whitened codes,"))
    ]
    if not chosen.quick:
        demo = demo_minutes()
        metrics.append(Metric("lowerbound demo, whole process", demo, "min", "lower", None, 3))
    for metric in metrics:
        print(f"{metric.name}: {metric.value:.2f} {metric.unit}", flush=True)
    data = load("digits")
    write(
        "digits_samples",
        metrics,
        data=[
            {
                "file": "sklearn.datasets.load_digits",
                "split": "4/5 training",
                "sha256": data_sha256(data),
            }
        ],
        seeds=seeds,
        minutes=(time.perf_counter() - start) / 60,
        notes=f"{count} samples a seed; latent dimension {LATENT}; everything else by default. "
        "The judge is a network of 100 hidden units, the default; a support vector machine "
        "with calibrated probabilities, less strict on blurs, stands beside it.",
        quick=chosen.quick,
    )


if __name__ == "__main__":
    main()
