"""Digits with a part hidden or with noise: PCA with a mixture beside others, a VAE among them.

scikit-learn's digits in [0, 1], 70 % of the rows to learn from, clean and whole, three
splits. Of the test rows the lower half, the right half or the 4x4 center is hidden, or noise of a
known standard deviation is added; the error is the root mean square over the hidden pixels, or over
all. Answers of mixtures are exact posterior means: those of scikit-learn's mixture of 20 Gaussians,
and of PCA whose latent is a mixture. Everybody's answers are brought to [0, 1]. Our options were
chosen on other splits, from 100 on.

    python benchmarks/restoration.py
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from _record import ROOT, Metric, arguments, write
from _rivals import paired
from sklearn.datasets import load_digits
from sklearn.impute import KNNImputer
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split

from lowerbound import VAE, ProbabilisticPCA
from lowerbound.applications.common.drawings import grid
from lowerbound.applications.restoration.filling import impute
from lowerbound.data import load

Array = np.ndarray[Any, Any]

OURS, MIXTURE, NEIGHBORS = "PCA of 40 Gaussians", "20 Gaussians", "5 neighbors"
DEEP = "VAE"
BARS = {
    "lower half": 0.1855,
    "right half": 0.1938,
    "4x4 center": 0.2158,
    "noise 0.2": 0.0996,
    "noise 0.4": 0.1432,
}
SEEDS, WHITE = 3, 16.0
CHAINS, SAMPLES = 16, 500  # of each row, for noise and for hidden pixels
RIDGE = 1e-2  # added to each Gaussian's covariance
RIVALS = {
    MIXTURE: "full covariances, ridge .01, exact posterior means, the noise known",
    NEIGHBORS: "KNNImputer on what is seen; noisy rows are left as they are",
    DEEP: "this package's, 8 latent numbers, full covariances, mean of 2 fits by other seeds",
}
MODELS, DEEP_MODELS = 8, 2  # fits by other seeds, whose answers are averaged
PICTURE = ROOT / "docs" / "images" / "restoration.png"


def spoiled(clean: Array, seed: int) -> dict[str, tuple[Array, float, Array]]:
    """By task: the rows with NaN where hidden, the noise, and the pixels that are scored."""
    tasks = {}
    places: dict[str, Any] = {
        "lower half": np.s_[4:],
        "right half": np.s_[:, 4:],
        "4x4 center": np.s_[2:6, 2:6],
    }
    for name, place in places.items():
        hidden = np.zeros((8, 8), dtype=bool)
        hidden[place] = True
        tasks[name] = (np.where(hidden, np.nan, clean), 0.0, hidden)
    rng = np.random.default_rng(seed)
    for level in (0.2, 0.4):
        noisy = clean + level * rng.normal(size=clean.shape)
        tasks[f"noise {level:g}"] = (noisy, level, np.ones((8, 8), dtype=bool))
    return tasks


class Mixture:
    """Exact posterior means under a mixture of Gaussians."""

    def __init__(self, clean: Array, seed: int) -> None:
        rows = clean.reshape(len(clean), -1)
        self.fitted = GaussianMixture(20, reg_covar=RIDGE, random_state=seed).fit(rows)

    def __call__(self, given: Array, level: float) -> Array:
        y, seen = given.reshape(len(given), -1), ~np.isnan(given[0]).ravel()
        log_weights, means = [], []
        for log_share, center, covariance in zip(
            np.log(self.fitted.weights_), self.fitted.means_, self.fitted.covariances_, strict=True
        ):
            total = covariance[np.ix_(seen, seen)] + level**2 * np.eye(int(seen.sum()))
            factor = np.linalg.cholesky(total)
            white = np.linalg.solve(factor, (y[:, seen] - center[seen]).T)
            log_weights.append(
                log_share - 0.5 * np.square(white).sum(0) - np.log(np.diag(factor)).sum()
            )
            means.append(center + (covariance[:, seen] @ np.linalg.solve(factor.T, white)).T)
        weights = np.exp(log_weights - np.max(log_weights, 0))
        found = np.einsum("kn,knd->nd", weights / weights.sum(0), means)
        return np.asarray(found.clip(0, 1).reshape(given.shape))


class Neighbors:
    """The mean of the five training rows nearest in what is seen; noisy rows as they are."""

    def __init__(self, clean: Array) -> None:
        self.fitted = KNNImputer(n_neighbors=5).fit(clean.reshape(len(clean), -1))

    def __call__(self, given: Array, level: float) -> Array:
        return np.asarray(self.fitted.transform(given.reshape(len(given), -1)).reshape(given.shape))


class Ours:
    """PCA whose latent is a mixture, fits that differ by their seed; the mean of their answers."""

    def __init__(self, clean: Array, seed: int, models: int) -> None:
        self.fitted = [
            ProbabilisticPCA(
                latent_dim=63,
                components=40,
                model_options={"prior_rows": 3.0, "noise_floor": 0.15},
                data_options={"missing": "model"},
                random_state=100 * seed + number,
            ).fit(clean)
            for number in range(models)
        ]

    def __call__(self, given: Array, level: float) -> Array:
        return np.asarray(np.mean([pca.denoise(given, level) for pca in self.fitted], 0))


class Deep:
    """VAEs of the 17 grey levels that differ by their seed; the mean of their answers."""

    def __init__(self, clean: Array, seed: int, models: int, epochs: int) -> None:
        self.fitted = [
            VAE(
                latent_dim=8,
                network_options={"hidden": (256, 256)},
                posterior="full",
                epochs=epochs,
                batch_size=64,
                learning_rate=2e-3,
                validation=0.0,
                training_options={
                    "weight_decay": 0.1,
                    "weight_average": 0.99,
                    "gradient_clip": 5.0,
                },
                data_options={"missing": "model", "levels": 17},
                random_state=100 * seed + number,
            ).fit(np.rint(clean * WHITE).astype(np.uint8))
            for number in range(models)
        ]

    def __call__(self, given: Array, level: float) -> Array:
        rows = (given * WHITE).astype(np.float32)
        answers = [
            vae.denoise(rows, level * WHITE, chains=CHAINS) if level else painted(vae, rows)
            for vae in self.fitted
        ]
        return np.asarray(np.mean(answers, 0) / WHITE)


def painted(vae: VAE, rows: Array) -> Array:
    """The pictures with NaN filled by means, as ``lowerbound impute`` does it."""
    dataset = load(rows, schema=vae.fitted_.schema)
    return np.asarray(impute(vae.model_, dataset, samples=SAMPLES, seed=0).mean)


def errors(
    clean: Array, learn: Array, seed: int, quick: bool
) -> tuple[dict[str, Any], list[Array]]:
    """RMSE by task and method, and pictures of what was given and what became of it."""
    models: dict[str, Callable[[Array, float], Array]] = {
        MIXTURE: Mixture(learn, seed),
        NEIGHBORS: Neighbors(learn),
        OURS: Ours(learn, seed, 1 if quick else MODELS),
        DEEP: Deep(learn, seed, 1 if quick else DEEP_MODELS, 2 if quick else 150),
    }
    found: dict[str, Any] = {}
    pictures = []
    for task, (given, level, scored) in spoiled(clean, seed).items():
        answers = {name: model(given, level) for name, model in models.items()}
        found[task] = {
            name: float(np.sqrt(np.square(answer - clean)[:, scored].mean()))
            for name, answer in answers.items()
        }
        pictures.append(np.stack([given, answers[OURS], clean]))
        print(seed, task, {name: f"{value:.4f}" for name, value in found[task].items()}, flush=True)
    return found, pictures


def metrics(task: str, runs: list[Mapping[str, float]]) -> list[Metric]:
    """The error beside those of the others on the same splits."""
    mine = [run[OURS] for run in runs]
    several = len(runs) > 1
    rivals = [
        paired(name, RIVALS[name], mine, [run[name] for run in runs], "lower", "split")
        for name in (RIVALS if several else ())
    ]
    spread = float(np.std(mine, ddof=1)) if several else None
    beats = list(RIVALS) if several else []
    error, bar = float(np.mean(mine)), BARS[task]
    return [Metric(task, error, "RMSE", "lower", spread, bar, rivals=rivals, beats=beats)]


def values() -> dict[str, str]:
    """What the record says of the digits; the hash is that of their values."""
    pictures = load_digits().images.astype(np.uint8)
    digest = hashlib.sha256(pictures.tobytes()).hexdigest()
    return {"file": "scikit-learn: digits", "sha256": digest, "split": "all"}


def draw(pictures: list[Array], path: Path, each: int = 4) -> None:
    """Some rows of each task: as given (hidden in grey), restored, and as they were."""
    columns = [
        np.rint(255 * np.nan_to_num(part[:each], nan=0.5).clip(0, 1)).astype(np.uint8)[..., None]
        for task in pictures
        for part in task
    ]
    words = [f"{name}" for task in BARS for name in (task, "restored", "clean")]
    sheet = grid([list(row) for row in zip(*columns, strict=True)], above=words)
    sheet.convert("L").quantize(16).save(path, optimize=True)


def main() -> None:
    chosen = arguments(__doc__ or "").parse_args()
    start = time.perf_counter()
    digits = load_digits().images / WHITE
    seeds = [chosen.seed + i for i in range(1 if chosen.quick else SEEDS)]
    runs = []
    for seed in seeds:
        learn, test = train_test_split(digits, test_size=0.3, random_state=seed)
        found, pictures = errors(test[:20] if chosen.quick else test, learn, seed, chosen.quick)
        runs.append(found)
        if seed == 0 and not chosen.quick:
            draw(pictures, PICTURE)
    write(
        "restoration",
        [metric for task in BARS for metric in metrics(task, [run[task] for run in runs])],
        data=[values()],
        seeds=seeds,
        minutes=(time.perf_counter() - start) / 60,
        notes=f"Ours is the mean of {MODELS} fits by other seeds, their options chosen on other "
        "splits. Spreads: standard deviation over splits. Noise: known to "
        "all but the neighbors, who leave noisy rows as they are.",
        quick=chosen.quick,
    )


if __name__ == "__main__":
    main()
