"""Middles of latent paths, judged by a classifier: VAE against autoencoder.

scikit-learn's 1,797 digits, a fifth held out; latent dimension 16. Random pairs of held-out digits,
no digit in two of them, are joined by each kind of path between their codes (posterior means). The
decoder's answer half way is accepted where the classifier is at least as sure of it as of all but
the least sure 5 % of held-out real digits. Straightness is the length of the straight line over
that of the path, both as the decoder sees them; above 1 the path is a shortcut. Each kind of path
is compared with the straight line of the same model, seed by seed.
"""

from __future__ import annotations

import statistics
import time

import torch
from _record import Metric, arguments, write
from _rivals import paired

from lowerbound.applications.generation.paths import PathFigures, compare_paths, path_context
from lowerbound.data import load
from lowerbound.evaluation.samples.acceptance import fit_realism_classifier
from lowerbound.fitting import FitOptions, fit
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.likelihood import data_sha256
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

LATENT = 16
PATHS = ("lerp", "slerp", "norm", "geodesic")
MODELS = {
    "VAE, N(0, I)": ModelOptions(latent_dim=LATENT),
    "VAE, VampPrior": ModelOptions(
        latent_dim=LATENT, prior="vamp", prior_options={"components": 200}
    ),
    "autoencoder": ModelOptions(model="autoencoder", latent_dim=LATENT),
}


def run(seed: int, pairs: int, epochs: int | None) -> dict[str, dict[str, PathFigures]]:
    """Figures by model and kind of path, of one seed."""
    training, held_out = load("digits").split(0.2, seed)
    judge = fit_realism_classifier(training, held_out, seed=seed)
    order = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(seed))
    found = {}
    for name, options in MODELS.items():
        model = fit(
            training, FitOptions(options, training=TrainingOptions(epochs=epochs, seed=seed))
        ).model
        codes = encode_rows(model, held_out).mean
        around = path_context(model, encode_rows(model, training).mean)
        ends = codes[order[:pairs]], codes[order[pairs : 2 * pairs]]
        found[name] = compare_paths(model, *ends, around, kinds=PATHS, judge=judge)
    return found


def accepted(figures: PathFigures) -> float:
    assert not isinstance(figures.middles, Skipped)
    return 100 * figures.middles.rate.mean


def main() -> None:
    chosen = arguments(__doc__ or "").parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    seeds = [chosen.seed] if chosen.quick else [chosen.seed + i for i in range(3)]
    pairs, epochs = (4, 20) if chosen.quick else (175, None)
    runs = [run(seed, pairs, epochs) for seed in seeds]
    metrics = []
    for name in MODELS:
        for kind in PATHS:
            shares = [accepted(found[name][kind]) for found in runs]
            lines = [accepted(found[name]["lerp"]) for found in runs]
            rivals = []
            if kind != "lerp" and len(runs) > 1:
                rivals = [paired("lerp", "the same pairs", shares, lines, "higher", "seed")]
            straight = statistics.mean(found[name][kind].straightness.mean for found in runs)
            metrics.append(
                Metric(
                    f"{name}: {kind}, middles accepted",
                    statistics.mean(shares),
                    "%",
                    "higher",
                    statistics.stdev(shares) if len(shares) > 1 else None,
                    beside={"straightness": straight},
                    rivals=rivals,
                )
            )
    for metric in metrics:
        print(f"{metric.name}: {metric.value:.1f} {metric.unit}", flush=True)
    write(
        "interpolation",
        metrics,
        data=[
            {
                "file": "sklearn.datasets.load_digits",
                "split": "4/5 training",
                "sha256": data_sha256(load("digits")),
            }
        ],
        seeds=seeds,
        minutes=(time.perf_counter() - start) / 60,
        notes=f"{pairs} pairs a seed; spread is the standard deviation over seeds.",
        quick=chosen.quick,
    )


if __name__ == "__main__":
    main()
