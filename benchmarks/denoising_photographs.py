"""White noise on photographs of Kodak: the denoiser in the package beside other methods.

The middles, 256 x 256 pixels, of six of Kodak's photographs, 1, 5, 9, 13, 17 and 21, which the
denoiser has not seen (``ship_denoiser.py``). Gaussian noise of a known standard deviation of 255 is
added to each color; it is neither clipped nor rounded, except in "25, 8 bits", where it is both, as
in a file. PSNR is over all pixels and colors, and results are clipped to black and white.
``estimated`` is ours without the level. What eight passes gain over one is of the same photographs,
and the error of the estimated level of 20 photographs of BSDS500.
BM3D is measured where its library can be imported; its licence allows no commercial use.

    pip install PyWavelets              for wavelets; bm3d for BM3D
    python benchmarks/denoising_photographs.py
    python benchmarks/denoising_photographs.py --whole           whole photographs, hours; printed
    python benchmarks/denoising_photographs.py --choose BM3D     on 20 photographs of BSDS500
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from _cells import spent_minutes
from _kodak_tiles import KODAK_TILES
from _record import Metric, arguments, part_of, write
from _rivals import in_words, paired
from photographs import FOLDS, split
from ship_denoiser import choosing_pictures

from lowerbound.applications.restoration.picture_tiles import (
    DENOISER,
    clean_picture,
    noise_level,
    shipped_denoiser,
)
from lowerbound.data.catalog import file_sha256

NAME = "denoising_photographs"
Array = np.ndarray[Any, Any]
OURS, ESTIMATED, BM3D = "lowerbound", "estimated", "BM3D"
MEANS, WAVELETS = "non-local means", "wavelets"
WHITE, SIDE = 255, 256
ESTIMATED_AT = (5, 15, 25, 50)  # levels


@dataclass(frozen=True)
class Task:
    """Noise of a level of 255; ``stored`` as a file of 8 bits."""

    level: float
    stored: bool = False

    @property
    def name(self) -> str:
        return f"noise {self.level:g}" + (", 8 bits" if self.stored else "")

    def noisy(self, clean: Array, seed: int) -> Array:
        """The picture with noise; both in [0, 1], (height, width, 3)."""
        noise = np.random.default_rng(seed).normal(size=clean.shape)
        made: Array = clean + self.level / WHITE * noise
        return np.rint(WHITE * made).clip(0, WHITE) / WHITE if self.stored else made


TASKS = (Task(15), Task(25), Task(50), Task(25, stored=True))


def by_ours(noisy: Array, level: float) -> Array:
    return clean_picture(shipped_denoiser(), noisy, level).mean


def without_level(noisy: Array, level: float) -> Array:
    return by_ours(noisy, noise_level(noisy))


def by_bm3d(noisy: Array, level: float) -> Array:
    import bm3d

    found: Array = bm3d.bm3d_rgb(noisy, level)
    return found


def by_means(noisy: Array, level: float) -> Array:
    from skimage.restoration import denoise_nl_means

    found: Array = denoise_nl_means(
        noisy, patch_size=5, patch_distance=6, h=0.6 * level, sigma=level, channel_axis=-1
    )
    return found


def by_wavelets(noisy: Array, level: float) -> Array:
    from skimage.restoration import denoise_wavelet

    found: Array = denoise_wavelet(
        noisy,
        sigma=level,
        wavelet="db1",
        method="BayesShrink",
        convert2ycbcr=True,
        channel_axis=-1,
    )
    return found


METHODS: dict[str, Callable[[Array, float], Array]] = {
    OURS: by_ours,
    ESTIMATED: without_level,
    BM3D: by_bm3d,
    MEANS: by_means,
    WAVELETS: by_wavelets,
}
NEEDS = {BM3D: "bm3d", WAVELETS: "pywt"}
SETTINGS = {
    ESTIMATED: "ours, with the level that noise_level estimates",
    BM3D: in_words({"profile": "np", "colorspace": "opp"}, "its defaults; the level is known"),
    MEANS: in_words(
        {"patches": "5x5", "distance": 6, "h": "0.6 sigma"},
        "scikit-image's; h chosen on 5 photographs of BSDS500; the level is known",
    ),
    WAVELETS: in_words(
        {"wavelet": "db1", "thresholds": "BayesShrink", "colors": "YCbCr"},
        "scikit-image's; wavelet and colors chosen on 5 photographs of BSDS500; the level is known",
    ),
}


def present() -> list[str]:
    """Names of the methods whose libraries are installed."""
    return [name for name in METHODS if importlib.util.find_spec(NEEDS.get(name, "numpy"))]


def decibels(found: Array, clean: Array) -> float:
    return float(-10 * np.log10(np.square(found.clip(0, 1) - clean).mean()))


def middle(picture: Array) -> Array:
    """The middle of a photograph (height, width, 3)."""
    top, left = ((length - SIDE) // 2 for length in picture.shape[:2])
    return picture[top : top + SIDE, left : left + SIDE]


def measured(picture: Array, seed: int) -> dict[str, dict[str, list[float]]]:
    """Of one photograph, by task and method: PSNR in dB, and processor seconds."""
    clean = picture / WHITE
    answer: dict[str, dict[str, list[float]]] = {}
    for task in TASKS:
        noisy = task.noisy(clean, seed)
        answer[task.name] = {}
        for name in present():
            began = time.process_time()
            found = METHODS[name](noisy, task.level / WHITE)
            seconds = round(time.process_time() - began, 2)
            answer[task.name][name] = [decibels(found, clean), seconds]
    return answer


def metrics(pictures: Sequence[Mapping[str, Mapping[str, Sequence[float]]]]) -> list[Metric]:
    """PSNR by task beside that of the other methods, and seconds of a photograph."""
    others = [name for name in pictures[0][TASKS[0].name] if name != OURS]
    found = []
    for task in TASKS:
        values = {
            name: [picture[task.name][name][0] for picture in pictures] for name in (OURS, *others)
        }
        rivals = [
            paired(name, SETTINGS[name], values[OURS], values[name], "higher", "photograph")
            for name in others
        ]
        mean = float(np.mean(values[OURS]))
        beats = tuple(name for name in others if name != ESTIMATED)
        found.append(Metric(f"PSNR, {task.name}", mean, "dB", "higher", rivals=rivals, beats=beats))
    spent = {
        name: float(
            np.mean([picture[task.name][name][1] for task in TASKS for picture in pictures])
        )
        for name in (OURS, *others)
    }
    ours = spent.pop(OURS)
    return [*found, Metric("processor time of a photograph", ours, "s", "lower", beside=spent)]


def by_one_pass(picture: Array, seed: int) -> dict[str, float]:
    """PSNR of one pass instead of eight, by task."""
    clean = picture / WHITE
    found = {}
    for task in TASKS:
        noisy, level = task.noisy(clean, seed), task.level / WHITE
        found[task.name] = decibels(
            clean_picture(shipped_denoiser(), noisy, level, passes=1).mean, clean
        )
    return found


def gain_of_passes(
    pictures: Sequence[Mapping[str, Mapping[str, Sequence[float]]]],
    once: Sequence[Mapping[str, float]],
) -> Metric:
    """PSNR of eight passes less that of one, mean over photographs and tasks."""
    gains = {
        task.name: [
            picture[task.name][OURS][0] - one[task.name]
            for picture, one in zip(pictures, once, strict=True)
        ]
        for task in TASKS
    }
    mean = float(np.mean(list(gains.values())))
    by_task = {name: float(np.mean(values)) for name, values in gains.items()}
    return Metric("eight passes above one", mean, "dB", "higher", beside=by_task)


def estimates() -> dict[str, list[float]]:
    """Estimated over true level of each photograph for choosing, by task."""
    found: dict[str, list[float]] = {}
    for task in (*map(Task, ESTIMATED_AT), Task(25, stored=True), Task(50, stored=True)):
        ratios = []
        for index, picture in enumerate(choosing_pictures()):
            noisy = task.noisy(picture / WHITE, index)
            ratios.append(noise_level(noisy) * WHITE / task.level)
        found[task.name] = ratios
    return found


def errors_of_level(ratios: Mapping[str, Sequence[float]]) -> list[Metric]:
    """The largest errors of the estimated level, of noise as it is and of files of 8 bits."""
    largest = {name: float(np.abs(np.subtract(each, 1)).max()) for name, each in ratios.items()}
    stored = {name: value for name, value in largest.items() if "8 bits" in name}
    plain = {name: value for name, value in largest.items() if name not in stored}
    return [
        Metric(
            f"error of the estimated level, largest{what}",
            max(each.values()),
            "of the level",
            "lower",
            beside=each,
        )
        for what, each in (("", plain), (" of 8 bits", stored))
    ]


def choose(name: str) -> None:
    """Mean PSNR of a method in the middles of the photographs for choosing."""
    for task in TASKS:
        found = []
        for index, picture in enumerate(choosing_pictures()):
            top, left = (picture.shape[0] - 192) // 2, (picture.shape[1] - 192) // 2
            clean = picture[top : top + 192, left : left + 192] / WHITE
            noisy = task.noisy(clean, index)
            found.append(decibels(METHODS[name](noisy, task.level / WHITE), clean))
        print(f"{name}, {task.name}: {np.mean(found):.2f} dB", flush=True)


def quick() -> None:
    """A piece of a photograph at one level, printed only."""
    clean = split(0, held_out=False)[1][0][:96, :128] / WHITE
    noisy = TASKS[1].noisy(clean, 0)
    print(f"quick, not quoted: {decibels(by_ours(noisy, 25 / WHITE), clean):.2f} dB")


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--choose", choices=METHODS, help="a method to try on other photographs")
    parser.add_argument("--whole", action="store_true", help="whole photographs, printed only")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.quick:
        quick()
        return
    if chosen.choose:
        choose(chosen.choose)
        return
    version = next(DENOISER.glob("*.safetensors")).stem
    test = split(0, held_out=False)[1]
    if not chosen.whole:
        test = [middle(picture) for picture in test]
    cell = f"{version}_whole" if chosen.whole else version
    pictures = [
        part_of(NAME, cell, f"kodak {n}", partial(measured, one, n))
        for n, one in zip(range(1, 25, FOLDS), test, strict=True)
    ]
    listed = metrics(pictures)
    if not chosen.whole:
        once = [
            part_of(NAME, f"{version}_once", f"kodak {n}", partial(by_one_pass, one, n))
            for n, one in zip(range(1, 25, FOLDS), test, strict=True)
        ]
        ratios = part_of(NAME, "noise_level", "bsds500", estimates)
        listed += [gain_of_passes(pictures, once), *errors_of_level(ratios)]
    for metric in listed:
        beside = {rival.name: round(rival.value, 2) for rival in metric.rivals}
        print(f"{metric.name}: {metric.value:.2f} {metric.unit} {beside or dict(metric.beside)}")
    if chosen.whole:
        return
    place = KODAK_TILES.locate()
    write(
        NAME,
        listed,
        data=[{"file": place.name, "split": "fold 0", "sha256": file_sha256(place)}],
        seeds=list(range(1, 25, FOLDS)),
        minutes=spent_minutes(NAME),
        notes=f"The middle {SIDE} x {SIDE} pixels of Kodak 1, 5, 9, 13, 17 and 21; the seed of the "
        "noise is the photograph's number. Minutes are processor time.",
        extra={"pictures": pictures},
    )


if __name__ == "__main__":
    main()
