"""Defects of surfaces: ``VAEDetector`` beside PCA, patterns of pixels and Mahalanobis of windows.

Tiles of 64 x 64 pixels come from pictures of scikit-image, those to fit on from the upper half and
those to score from the lower half, where six kinds of defects are planted. Settings of the rivals,
and those of our score, were chosen on bricks and gravel; grass, the moon, a printed page, stars and
tissue are reported. Circuit boards without their templates have real defects; what they are is
said in ``detection.py``. An early form of our score was tried once on grass and on these boards; no
setting was chosen by them.

    python benchmarks/surfaces.py
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import product
from typing import Any

import _fields
import matplotlib.pyplot as plt
import numpy as np
from _detectors import Rival, grid, pixel_reconstruction
from _pictures import keep
from _record import RESULTS, SECONDS, Metric, arguments, part_of, write
from _rivals import in_words, paired
from _surfaces import DEFECTS, Array, Field, picture_path, surface
from numpy.lib.stride_tricks import sliding_window_view
from skimage.feature import local_binary_pattern
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from lowerbound import VAEDetector
from lowerbound.data.catalog import file_sha256

NAME = "surfaces"
CHOOSING = ("brick", "gravel")
REPORTED = ("grass", "moon", "page", "hubble_deep_field", "ihc")
SEEDS = (0, 1, 2)
OURS, BOARDS = "VAEDetector", "boards"
WINDOWS_OF_FIT = 60_000
FIGURE = "odd_surfaces.png"
SHOWN = {"scratch": "moon", "smooth spot": "moon", "turned spot": "ihc", "coarse spot": "ihc"}


def components(training: Array, test: Array, seed: int, kept: int) -> Array:
    """Squared error of PCA of whole tiles."""
    a, b = (rows.reshape(len(rows), -1).astype(float) for rows in (training, test))
    return pixel_reconstruction(a, b, seed, kept)


def patterns(training: Array, test: Array, seed: int, k: int, radii: tuple[int, ...]) -> Array:
    """Distance to the k-th nearest tile by histograms of local binary patterns (Ojala et al.)."""
    a, b = (np.stack([_histogram(tile, radii) for tile in rows]) for rows in (training, test))
    return np.asarray(NearestNeighbors(n_neighbors=k).fit(a).kneighbors(b)[0][:, -1])


def _histogram(tile: Array, radii: tuple[int, ...]) -> Array:
    grey = np.rint(tile.mean(0)).astype(np.uint8)
    found = [local_binary_pattern(grey, 8, radius, "uniform") for radius in radii]
    return np.concatenate([np.histogram(each, 10, (0, 10))[0] for each in found]) / grey.size


def window_mahalanobis(
    training: Array, test: Array, seed: int, side: int, ridge: float, top: float
) -> Array:
    """Mahalanobis distances of windows; of a tile, the mean of the share ``top`` that is highest"""
    known = _windows(training, side).reshape(-1, training.shape[1] * side * side)
    draws = np.random.default_rng(seed)
    known = known[draws.integers(0, len(known), WINDOWS_OF_FIT)].astype(float)
    covariance = np.cov(known, rowvar=False)
    covariance += ridge * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    whitening = np.linalg.inv(np.linalg.cholesky(covariance)).astype(np.float32)
    mean = known.mean(0).astype(np.float32)
    return np.array([_highest(tile, side, mean, whitening, top) for tile in test])


def _highest(tile: Array, side: int, mean: Array, whitening: Array, top: float) -> float:
    rows = _windows(tile[None], side).reshape(-1, len(mean))
    far = np.square((rows - mean) @ whitening.T).sum(1)
    count = max(1, round(top * len(far)))
    return float(np.partition(far, -count)[-count:].mean())


def _windows(rows: Array, side: int) -> Array:
    """(tiles, places, places, channels, side, side)."""
    return sliding_window_view(rows, (side, side), (2, 3)).transpose(0, 2, 3, 1, 4, 5)


RIVALS: dict[str, Rival] = {
    "PCA": Rival(components, grid(kept=(4, 16, 64))),
    "k-NN of patterns": Rival(patterns, grid(k=(1, 5, 20), radii=((1,), (1, 2), (1, 2, 3)))),
    "Mahalanobis of windows": Rival(
        window_mahalanobis, grid(side=(4, 8), ridge=(1e-4, 1e-3), top=(0.0, 0.01, 0.05))
    ),
}


def ours(training: Array, test: Array, seed: int) -> Array:
    """Of a surface the default score does not depend on the model, which is trained shortly."""
    return np.asarray(fitted(training, seed).anomaly_score(test))


def fitted(training: Array, seed: int) -> VAEDetector:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        detector = VAEDetector(epochs=1, latent_dim=2, n_importance=1, random_state=seed)
        return detector.fit(training)


@cache
def chosen() -> dict[str, tuple[Mapping[str, Any], float]]:
    """Of each rival the settings of the highest mean area on the surfaces for choosing."""
    found = {}
    for name, rival in RIVALS.items():
        means = [_mean(name, place) for place in range(len(rival.settings))]
        best = int(np.argmax(means))
        found[name] = (rival.settings[best], means[best])
    return found


def _mean(name: str, place: int) -> float:
    """Of a setting on the surfaces for choosing."""
    each = [area for label in CHOOSING for area in _tried(label, name, place).values()]
    return float(np.mean(each))


def _tried(label: str, name: str, place: int) -> dict[str, float]:
    rival = RIVALS[name]
    measure = partial(_areas, label, 0, partial(rival.detect, **rival.settings[place]))
    return part_of(NAME, "choose", f"{label}, {name}, {place}", measure)


def _areas(label: str, seed: int, detect: Callable[[Array, Array, int], Array]) -> dict[str, float]:
    """The area under the curve for each kind of defect."""
    return areas(surface(label, seed), seed, detect)


def areas(
    field: Field, seed: int, detect: Callable[[Array, Array, int], Array]
) -> dict[str, float]:
    test = np.concatenate([field.sound, *field.spoiled.values()])
    sound, *spoiled = np.split(detect(field.training, test, seed), 1 + len(field.spoiled))
    return {
        kind: float(roc_auc_score(np.repeat((0, 1), (len(sound), len(odd))), [*sound, *odd]))
        for kind, odd in zip(field.spoiled, spoiled, strict=True)
    }


def detectors() -> dict[str, Callable[[Array, Array, int], Array]]:
    return {
        OURS: ours,
        **{name: partial(RIVALS[name].detect, **how) for name, (how, _) in chosen().items()},
    }


def reported(label: str, seed: int) -> dict[str, dict[str, float]]:
    """By detector the areas on a surface; those that are known are read."""
    return {
        name: part_of(NAME, f"{label}_{seed}", name, partial(_areas, label, seed, detect))
        for name, detect in detectors().items()
    }


def of_boards(seed: int) -> dict[str, float]:
    """By detector the area on tiles of boards without their templates."""
    return {
        name: part_of(NAME, f"{BOARDS}_{seed}", name, partial(_on_boards, seed, detect))["auroc"]
        for name, detect in detectors().items()
    }


def _on_boards(seed: int, detect: Callable[[Array, Array, int], Array]) -> dict[str, float]:
    field = _fields.boards(seed)
    odd = detect(field.training[:, 1:], field.test[:, 1:], seed)
    return {"auroc": float(roc_auc_score(field.y, odd))}


def metric(title: str, each: Mapping[str, Sequence[float]], per: str) -> Metric:
    """Ours beside the rivals, paired over units."""
    rivals = [
        paired(name, settings_of(name), each[OURS], each[name], "higher", per) for name in RIVALS
    ]
    return Metric(
        title,
        float(np.mean(each[OURS])),
        "AUROC",
        "higher",
        float(np.std(each[OURS], ddof=1)),
        rivals=rivals,
        beats=list(RIVALS),
    )


def settings_of(name: str) -> str:
    how, area = chosen()[name]
    count = len(RIVALS[name].settings)
    return in_words(how, f"chosen among {count} on bricks and gravel (mean AUROC {area:.3f})")


def summarize() -> None:
    units = list(product(REPORTED, SEEDS))
    cells = {unit: reported(*unit) for unit in units}
    names = [OURS, *RIVALS]
    means = {name: [float(np.mean(list(cells[u][name].values()))) for u in units] for name in names}
    metrics = [metric("five surfaces, six kinds of defects", means, "surface and seed")]
    for kind in DEFECTS:
        of_kind = {name: [cells[unit][name][kind] for unit in units] for name in names}
        metrics.append(metric(f"five surfaces, {kind}", of_kind, "surface and seed"))
    for label in REPORTED:
        mine = [np.mean(list(cells[label, seed][OURS].values())) for seed in SEEDS]
        beside = {
            name: float(np.mean([list(cells[label, s][name].values()) for s in SEEDS]))
            for name in RIVALS
        }
        metrics.append(Metric(label, float(np.mean(mine)), "AUROC", "higher", beside=beside))
    boards = [of_boards(seed) for seed in SEEDS]
    each = {name: [board[name] for board in boards] for name in names}
    metrics.append(metric("circuit boards without templates", each, "seed"))
    draw()
    write(
        NAME,
        metrics,
        data=[
            {
                "file": f"skimage/data/{picture_path(label).name}",
                "split": "upper half to fit on, lower half to score",
                "sha256": file_sha256(picture_path(label)),
            }
            for label in (*CHOOSING, *REPORTED)
        ],
        seeds=list(SEEDS),
        minutes=_seconds() / 60,
        notes="Spread: standard deviation over units. Minutes are processor time of the cells.",
    )


def _seconds() -> float:
    files = RESULTS.joinpath(NAME).glob("*.json")
    return float(sum(sum(json.loads(path.read_text())[SECONDS].values()) for path in files))


def draw() -> None:
    """Tiles with defects that score above nine in ten of their kind, and where they are odd."""
    canvas, grid_of = plt.subplots(2, len(SHOWN), figsize=(2 * len(SHOWN), 4.2))
    for (kind, label), (above, below) in zip(SHOWN.items(), grid_of.T, strict=True):
        field = surface(label, 0)
        detector = fitted(field.training, 0)
        odd = field.spoiled[kind]
        place = int(np.argsort(detector.anomaly_score(odd))[len(odd) * 9 // 10])
        above.imshow(odd[place].transpose(1, 2, 0).squeeze(), cmap="gray", vmin=0, vmax=255)
        below.imshow(detector.explain(odd[place : place + 1])[0], cmap="inferno", vmin=0, vmax=14)
        above.set_title(f"{label}: {kind}", fontsize=9)
        for axes in (above, below):
            axes.set(xticks=[], yticks=[])
    canvas.tight_layout()
    keep(canvas, FIGURE)


def quick(seed: int) -> None:
    """Few tiles of gravel, the first setting of each rival."""
    field = surface(CHOOSING[1], seed, fitted=60, scored=10)
    for name, rival in RIVALS.items():
        found = areas(field, seed, partial(rival.detect, **rival.settings[0]))
        print(f"quick, not quoted: {name} {np.mean(list(found.values())):.3f}")
    print(f"quick, not quoted: {OURS} {np.mean(list(areas(field, seed, ours).values())):.3f}")


def main() -> None:
    parser = arguments(__doc__ or "")
    cells = [f"{label}_{seed}" for label, seed in product((*REPORTED, BOARDS), SEEDS)]
    parser.add_argument("--cell", choices=cells)
    given = parser.parse_args()
    if given.quick:
        quick(given.seed)
    elif given.cell:
        label, _, seed = given.cell.rpartition("_")
        if label == BOARDS:
            of_boards(int(seed))
        else:
            reported(label, int(seed))
    else:
        summarize()


if __name__ == "__main__":
    main()
