"""Range images with dropped returns, speckle and false returns: a VAE beside fills and filters.

Streets are ray-cast (``_scenes``), others for each of three seeds, 32 beams by 256 directions over
90 degrees and 40 m. The VAE learns 8x8 patches of clean streets; of new streets, spoiled, it
denoises overlapping patches, whose answers are averaged. It is told the share of false returns and
learns the level of the speckle from the spoiled patches. Errors are root mean squares over all
pixels, and over those beside an edge: a pixel of the clean image that differs from a neighbor by
more than 2 m.

    python benchmarks/range_images.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from _record import ROOT, Metric, arguments, write
from _rivals import paired
from _scenes import COLUMNS, FALSE, FARTHEST, ROWS, SPECKLE, Array, scene, spoiled
from scipy import ndimage

from lowerbound import VAE
from lowerbound.applications.common.drawings import grid

SIDE, DOWN, ACROSS = 8, 4, 2  # of a patch; from one patch to the next
TRAINING, TEST = 100, 4  # streets, for each seed
SEEDS = 3
OURS = "VAE"
STEP = 2.0 / FARTHEST  # what counts as an edge
CHAINS = 16
PICTURE = ROOT / "docs" / "images" / "range_images.png"


def patches(image: Array, down: int = DOWN, across: int = ACROSS) -> Array:
    """Overlapping patches, (patches, SIDE, SIDE), float32."""
    return np.stack(
        [image[r : r + SIDE, c : c + SIDE] for r, c in _corners(down, across)], dtype=np.float32
    )


def joined(parts: Array) -> Array:
    """The image whose patches these are, the mean where they overlap."""
    total, count = np.zeros((ROWS, COLUMNS)), np.zeros((ROWS, COLUMNS))
    for part, (r, c) in zip(parts, _corners(DOWN, ACROSS), strict=True):
        total[r : r + SIDE, c : c + SIDE] += part
        count[r : r + SIDE, c : c + SIDE] += 1
    return total / count


def _corners(down: int, across: int) -> list[tuple[int, int]]:
    return [
        (row, column)
        for row in range(0, ROWS - SIDE + 1, down)
        for column in range(0, COLUMNS - SIDE + 1, across)
    ]


def nearest(image: Array) -> Array:
    """Each missing pixel gets the nearest return."""
    place = ndimage.distance_transform_edt(
        np.isnan(image), return_distances=False, return_indices=True
    )
    return np.asarray(image[tuple(place)])


def median(image: Array) -> Array:
    """The median of the returns in each 3x3 window; where there are none, the nearest median."""
    around = np.pad(image, 1, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(around, (3, 3)).reshape(*image.shape, 9)
    return nearest(np.asarray(np.ma.median(np.ma.masked_invalid(windows), -1).filled(np.nan)))


def filled_median(image: Array) -> Array:
    """The nearest fill, then a 3x3 median."""
    return np.asarray(ndimage.median_filter(nearest(image), 3))


CLASSICAL: dict[str, Callable[[Array], Array]] = {
    "nearest": nearest,
    "median": median,
    "nearest, then median": filled_median,
}
SETTINGS = {
    "nearest": "a fill",
    "median": "of the returns in windows of 3x3",
    "nearest, then median": "the fill, then windows of 3x3: it uses each return more than once",
}


def edges(clean: Array) -> Array:
    """Pixels beside a step."""
    found = np.zeros(clean.shape, dtype=bool)
    down, across = (np.abs(np.diff(clean, axis=axis)) > STEP for axis in (0, 1))
    found[:-1] |= down
    found[1:] |= down
    found[:, :-1] |= across
    found[:, 1:] |= across
    return found


def errors(answers: Sequence[Array], streets: Sequence[Array]) -> tuple[float, float]:
    """(over all pixels, over those beside an edge), meters."""
    squares = np.square(np.stack(answers) - np.stack(streets))
    beside = np.stack([edges(street) for street in streets])
    over_all, at_edges = (float(np.sqrt(s.mean())) for s in (squares, squares[beside]))
    return FARTHEST * over_all, FARTHEST * at_edges


def draw(images: Mapping[str, Array]) -> None:
    """One below the other, near in black."""
    pictures = [
        [np.rint(255 * np.nan_to_num(image).clip(0, 1)).astype(np.uint8)[..., None]]
        for image in images.values()
    ]
    sheet = grid(pictures, beside=list(images), least_side=2 * COLUMNS)
    sheet.convert("L").quantize(24).save(PICTURE, optimize=True)


def restored(seed: int, quick: bool) -> tuple[dict[str, tuple[float, float]], float]:
    """Errors by method, and the level of the speckle that was learned, meters."""
    rng = np.random.default_rng(seed)
    learn = [scene(rng) for _ in range(10 if quick else TRAINING)]
    streets = [scene(rng) for _ in range(1 if quick else TEST)]
    given = [spoiled(street, rng) for street in streets]
    vae = VAE(
        latent_dim=16,
        network_options={"hidden": (256, 256)},
        epochs=None,
        batch_size=128,
        learning_rate=2e-3,
        validation=0.0,
        data_options={"missing": "model"},
        training_options={"updates": 50 if quick else 9_000, "masking": 0.3},
        random_state=seed,
    ).fit(np.concatenate([patches(street, 4, 3) for street in learn]))
    parts = [patches(image) for image in given]
    level = vae.noise_level(np.concatenate(parts)[:: 50 if quick else 20], outliers=FALSE)
    chains = 2 if quick else CHAINS
    answers = [joined(vae.denoise(p, level, outliers=FALSE, chains=chains)) for p in parts]
    if seed == 0 and not quick:
        shown = {"VAE": answers[0], "nearest": nearest(given[0]), "median": filled_median(given[0])}
        draw({"street": streets[0], "spoiled": given[0], **shown})
    found = {name: errors([fill(x) for x in given], streets) for name, fill in CLASSICAL.items()}
    return {OURS: errors(answers, streets), **found}, FARTHEST * level


def metric(name: str, runs: list[dict[str, float]]) -> Metric:
    """The mean over seeds; its spread is that of the seeds."""
    own = [run[OURS] for run in runs]
    if len(runs) < 2:
        return Metric(name, own[0], "m", "lower")
    rivals = [
        paired(other, SETTINGS[other], own, [run[other] for run in runs], "lower", "seed")
        for other in CLASSICAL
    ]
    spread = float(np.std(own, ddof=1))
    return Metric(
        name, float(np.mean(own)), "m", "lower", spread, rivals=rivals, beats=list(CLASSICAL)
    )


def main() -> None:
    chosen = arguments(__doc__ or "").parse_args()
    start = time.perf_counter()
    seeds = [chosen.seed + i for i in range(1 if chosen.quick else SEEDS)]
    runs, levels = [], []
    for seed in seeds:
        found, level = restored(seed, chosen.quick)
        print(seed, found, f"{level:.3f} m", flush=True)
        runs.append(found)
        levels.append(level)
    metrics = [
        metric(f"error, {where}", [{name: both[i] for name, both in run.items()} for run in runs])
        for i, where in enumerate(("all pixels", "beside an edge"))
    ]
    true = {"true": FARTHEST * SPECKLE}
    metrics.append(
        Metric("speckle, as learned", float(np.mean(levels)), "m", "lower", None, None, true)
    )
    write(
        "range_images",
        metrics,
        data=[
            {"file": "ray-cast by benchmarks/_scenes.py", "split": f"{TRAINING} + {TEST} streets"}
        ],
        seeds=seeds,
        minutes=(time.perf_counter() - start) / 60,
        notes="Spreads: standard deviation over seeds, each with streets and a fit of its own.",
        quick=chosen.quick,
    )


if __name__ == "__main__":
    main()
