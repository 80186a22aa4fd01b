"""Hidden pixels of photographs of Kodak: the denoiser in the package beside other methods.

The middles, 256 x 256 pixels, of the six photographs of ``denoising_photographs.py``. Hidden are,
in all colors at once: a half or four fifths of the pixels at random, lines of handwriting, and
nine squares of 24 pixels. PSNR is over the hidden pixels and their colors; results are clipped to
black and white, and pictures are of 8 bits. OpenCV's methods are measured where it can be imported.

    pip install opencv-python-headless
    python benchmarks/inpainting_photographs.py
    python benchmarks/inpainting_photographs.py --choose Telea   on 20 photographs of BSDS500
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from _kodak_tiles import KODAK_TILES
from _record import Metric, arguments, part_of, write
from _rivals import in_words, paired
from denoising_photographs import middle
from photographs import FOLDS, split
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from scipy.ndimage import binary_dilation
from ship_denoiser import choosing_pictures

from lowerbound.applications.restoration.inpainting import harmonic, inpainted
from lowerbound.applications.restoration.picture_tiles import DENOISER, shipped_denoiser
from lowerbound.data.catalog import file_sha256

NAME = "inpainting_photographs"
Array = np.ndarray[Any, Any]
OURS, BIHARMONIC, HARMONIC, LINEAR = "lowerbound", "biharmonic", "harmonic", "linear"
TELEA, STOKES = "Telea", "Navier-Stokes"
WHITE, SQUARE, STROKES, RADIUS = 255, 24, 30, 3


def at_random(share: float, size: tuple[int, int], rng: np.random.Generator) -> Array:
    return rng.random(size) < share


def handwriting(size: tuple[int, int], rng: np.random.Generator) -> Array:
    """Smooth strokes, three pixels wide."""
    hidden = np.zeros(size, bool)
    for _ in range(STROKES):
        steps = rng.normal(size=(80, 2)).cumsum(0)
        steps = np.cumsum(0.25 * steps, 0)
        places = np.rint(rng.uniform(0, size, 2) + steps).astype(int) % size
        hidden[places[:, 0], places[:, 1]] = True
    return binary_dilation(hidden, np.ones((3, 3), bool))


def squares(size: tuple[int, int], rng: np.random.Generator) -> Array:
    """Three rows of three squares."""
    hidden = np.zeros(size, bool)
    for top in np.linspace(20, size[0] - SQUARE - 20, 3).astype(int):
        for left in np.linspace(20, size[1] - SQUARE - 20, 3).astype(int):
            hidden[top : top + SQUARE, left : left + SQUARE] = True
    return hidden


MASKS: dict[str, Callable[[tuple[int, int], np.random.Generator], Array]] = {
    "half of the pixels": partial(at_random, 0.5),
    "four fifths of the pixels": partial(at_random, 0.8),
    "handwriting": handwriting,
    "squares": squares,
}


def by_ours(picture: Array, hidden: Array) -> Array:
    return inpainted(shipped_denoiser(), picture, hidden)


def by_biharmonic(picture: Array, hidden: Array) -> Array:
    from skimage.restoration import inpaint_biharmonic

    found: Array = inpaint_biharmonic(
        picture, hidden, channel_axis=-1, split_into_regions=hidden.mean() < 0.3
    )
    return found


def by_linear(picture: Array, hidden: Array) -> Array:
    """Linear between the pixels around, and the nearest pixel outside their hull."""
    seen, wanted = np.argwhere(~hidden), np.argwhere(hidden)
    found = LinearNDInterpolator(seen, picture[~hidden])(wanted)
    outside = np.isnan(found[:, 0])
    found[outside] = NearestNDInterpolator(seen, picture[~hidden])(wanted[outside])
    answer = picture.copy()
    answer[hidden] = found
    return answer


def by_opencv(method: str, picture: Array, hidden: Array) -> Array:
    import cv2

    flag = {TELEA: cv2.INPAINT_TELEA, STOKES: cv2.INPAINT_NS}[method]
    eight_bit = np.rint(WHITE * picture).astype(np.uint8)
    found: Array = cv2.inpaint(eight_bit, hidden.astype(np.uint8), RADIUS, flag) / WHITE
    return found


METHODS: dict[str, Callable[[Array, Array], Array]] = {
    OURS: by_ours,
    HARMONIC: harmonic,
    LINEAR: by_linear,
    BIHARMONIC: by_biharmonic,
    TELEA: partial(by_opencv, TELEA),
    STOKES: partial(by_opencv, STOKES),
}
OPENCV = in_words({"radius": RADIUS}, "OpenCV's; of 3, 5 and 9 on 20 photographs of BSDS500")
SETTINGS = {
    HARMONIC: "the mean of the four neighbors; where ours starts",
    LINEAR: "scipy's, on a triangulation of the seen pixels",
    BIHARMONIC: "scikit-image's; it has no settings",
    TELEA: OPENCV,
    STOKES: OPENCV,
}


def present() -> list[str]:
    """Names of the methods whose libraries are installed."""
    opencv = importlib.util.find_spec("cv2")
    return [name for name in METHODS if opencv or name not in (TELEA, STOKES)]


def decibels(found: Array, clean: Array, hidden: Array) -> float:
    errors = np.square(found.clip(0, 1) - clean)[hidden]
    return float(-10 * np.log10(errors.mean()))


def measured(picture: Array, seed: int) -> dict[str, dict[str, list[float]]]:
    """Of one photograph, by mask and method: PSNR in dB, and processor seconds."""
    clean = picture / WHITE
    answer: dict[str, dict[str, list[float]]] = {}
    for place, (mask, hide) in enumerate(MASKS.items()):
        hidden = hide(clean.shape[:2], np.random.default_rng([seed, place]))
        given = np.where(hidden[..., None], 0.0, clean)  # nobody sees what is hidden
        answer[mask] = {}
        for name in present():
            began = time.process_time()
            found = METHODS[name](given, hidden)
            seconds = round(time.process_time() - began, 2)
            answer[mask][name] = [decibels(found, clean, hidden), seconds]
        print(mask, {name: round(pair[0], 2) for name, pair in answer[mask].items()}, flush=True)
    return answer


def metrics(pictures: Sequence[Mapping[str, Mapping[str, Sequence[float]]]]) -> list[Metric]:
    """PSNR by mask beside that of the other methods, and seconds of a photograph."""
    others = [name for name in pictures[0][next(iter(MASKS))] if name != OURS]
    found = []
    for mask in MASKS:
        values = {name: [each[mask][name][0] for each in pictures] for name in (OURS, *others)}
        rivals = [
            paired(name, SETTINGS[name], values[OURS], values[name], "higher", "photograph")
            for name in others
        ]
        mean, beats = float(np.mean(values[OURS])), tuple(others)
        found.append(Metric(f"PSNR, {mask}", mean, "dB", "higher", rivals=rivals, beats=beats))
    spent = {
        name: float(np.mean([each[mask][name][1] for mask in MASKS for each in pictures]))
        for name in (OURS, *others)
    }
    ours = spent.pop(OURS)
    return [*found, Metric("processor time of a photograph", ours, "s", "lower", beside=spent)]


def choose(name: str) -> None:
    """Mean PSNR of a method in the middles of the photographs for choosing."""
    totals: dict[str, list[float]] = {mask: [] for mask in MASKS}
    for index, picture in enumerate(choosing_pictures()):
        clean = middle(np.asarray(picture)) / WHITE
        for mask, hide in MASKS.items():
            hidden = hide(clean.shape[:2], np.random.default_rng(index))
            found = METHODS[name](np.where(hidden[..., None], 0.0, clean), hidden)
            totals[mask].append(decibels(found, clean, hidden))
    print({mask: round(float(np.mean(values)), 2) for mask, values in totals.items()})


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--choose", choices=METHODS, help="a method to try on other photographs")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    test = split(0, held_out=False)[1]
    if chosen.quick:
        clean = test[0][:64, :96] / WHITE
        hidden = at_random(0.5, clean.shape[:2], np.random.default_rng(0))
        print(f"quick, not quoted: {decibels(by_ours(clean, hidden), clean, hidden):.2f} dB")
        return
    if chosen.choose:
        choose(chosen.choose)
        return
    version = next(DENOISER.glob("*.safetensors")).stem
    pictures = [
        part_of(NAME, version, f"kodak {n}", partial(measured, middle(one), n))
        for n, one in zip(range(1, 25, FOLDS), test, strict=True)
    ]
    listed = metrics(pictures)
    for metric in listed:
        beside = {rival.name: round(rival.value, 2) for rival in metric.rivals}
        print(f"{metric.name}: {metric.value:.2f} {metric.unit} {beside or dict(metric.beside)}")
    place = KODAK_TILES.locate()
    write(
        NAME,
        listed,
        data=[{"file": place.name, "split": "fold 0", "sha256": file_sha256(place)}],
        seeds=list(range(1, 25, FOLDS)),
        minutes=(time.perf_counter() - start) / 60,
        notes="The middles of Kodak 1, 5, 9, 13, 17 and 21; the seed of the mask is the "
        "photograph's number.",
        extra={"pictures": pictures},
    )


if __name__ == "__main__":
    main()
