"""The 24 Kodak photographs as files: a transform coder beside JPEG, WebP and AVIF.

Four folds: trained on tiles of 18 photographs, of four of scikit-image's and of scikit-learn's two,
and their mirror images, a model writes the six others as files at eight levels, which are decoded
again. Rates are of files, headers included, over the pixels; PSNR and MS-SSIM (Wang et al. 2003,
the mean over colors, as -10 log10(1 - MS-SSIM)) are of 8-bit colors. Curves are means over all 24
photographs; BD-rate is over 0.3 to 0.9 bits per pixel of JPEG's, and each photograph's own stands
in the result. "linear" is the same files decoded without the networks of the decoder. ``minutes``
is processor time over two.

    python benchmarks/photographs.py --cell fold_0      train and write six photographs
    python benchmarks/photographs.py                    all missing cells, then the result
"""

from __future__ import annotations

import io
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from _archives import member_names, read_members
from _cells import Answer, Cell, done, drive, fit_on, write_cells
from _kodak_tiles import KODAK_TILES
from _photograph_codecs import (
    ANCHOR,
    HAS_MOZJPEG,
    QUALITIES,
    RATES,
    curve,
    point_of,
    quality_at,
    rivals,
    saved,
    settings,
)
from _record import Metric, commit, keep_answer
from _rivals import Better, Rival, in_words, paired
from PIL import Image

from lowerbound.applications.compression import transform_codec
from lowerbound.applications.compression.container import open_container
from lowerbound.applications.compression.exported_models import ExportedModel, export_model
from lowerbound.applications.compression.picture_comparison import bd_rate
from lowerbound.applications.compression.rated_pictures import as_row
from lowerbound.applications.compression.transform_codec import put, take
from lowerbound.data import Dataset, load
from lowerbound.data.catalog import file_sha256
from lowerbound.data.pictures.pixels import eight_bit, tiles_of
from lowerbound.fitting import fit
from lowerbound.models import TransformCoder
from lowerbound.models.options import ModelOptions

NAME = "photographs"
FOLDS = 4
SIDE = 128
LEVELS = (38, 48, 57, 66, 75, 84, 93, 103)
POINTS = {"x30": 0.80, "x50": 0.48}
OURS, LINEAR = "lowerbound", "linear"

CELLS: dict[str, Cell] = {
    f"fold_{fold}": Cell(
        f"photographs {fold + 1}, {fold + 5}, ... held out",
        8,
        model=ModelOptions(model="transform"),
        batch_size=12,
        learning_rate=1.5e-3,
        seed=fold,
        source="photographs",
        training={
            "schedule": "cosine",
            "weight_average": 0.995,
            "adam_eps": 1e-8,
            "precision": "float32",
            "compile": "off",
        },
    )
    for fold in range(FOLDS)
}
Array = np.ndarray[Any, Any]


def kodak() -> list[Array]:
    """The photographs by name, (height, width, 3) uint8."""
    place = KODAK_TILES.locate()
    names = [name for name in member_names(place) if name.lower().endswith(".png")]
    return [
        np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        for _, content in read_members(place, names)
    ]


def others() -> list[Array]:
    """Photographs of scikit-image and scikit-learn."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    found = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    return [np.asarray(picture) for picture in (*found, *load_sample_images().images)]


def split(fold: int, held_out: bool) -> tuple[list[Array], list[Array]]:
    """Photographs to train on, and to score; with ``held_out`` three of the training ones."""
    pictures = kodak()
    test = [picture for i, picture in enumerate(pictures) if i % FOLDS == fold]
    train = [picture for i, picture in enumerate(pictures) if i % FOLDS != fold]
    if held_out:
        train, test = train[3:], train[:3]
    return [*train, *others()], test


def tiles(pictures: list[Array]) -> Dataset:
    """Tiles of photographs and of their mirror images."""
    both = [side for picture in pictures for side in (picture, picture[:, ::-1])]
    return load(np.concatenate([tiles_of(picture, (SIDE, SIDE)).x for picture in both]))


def run(benchmark: str, name: str, cell: Cell, held_out: bool) -> Answer:
    """Train, export, write, read; the answer is also written beside the results."""
    train, test = split(cell.seed, held_out)
    folder = Path("runs") / NAME / (name + ("_held_out" if held_out else ""))
    rows = tiles(train)
    fitted, clock = fit_on(folder, rows, cell.options())
    codec = export_model(fitted, rows)
    answer: Answer = {
        "cell": name,
        "title": cell.title,
        "epochs": cell.epochs,
        "seed": cell.seed,
        "minutes": round(clock["processor"] / 120, 2),
        "gap": codec.gap,
        "rivals": settings(),
        "pictures": [measured(codec, picture) for picture in test],
        "commit": commit(),
    }
    print(f"{name}: trained in {clock['processor'] / 60:.1f} processor minutes", flush=True)
    pictures = of_pictures({name: answer})
    for title in pictures[0]:
        found = curve([points[title] for points in pictures], "PSNR")
        print(title, [(round(rate, 3), round(psnr, 2)) for rate, psnr in found], flush=True)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


def measured(codec: ExportedModel, picture: Array) -> Answer:
    """Points of one photograph by codec, its BD-rates, and the seconds."""
    model = codec.model
    assert isinstance(model, TransformCoder)
    x = as_row(picture)
    points: dict[str, list[list[float]]] = {OURS: [], LINEAR: []}
    seconds: dict[str, list[float]] = {"encode": [], "coder": [], "decode": []}
    overs = []
    with tempfile.TemporaryDirectory() as folder:
        for level in LEVELS:
            path = Path(folder) / "picture.lbz"
            with timed() as spent:
                transform_codec.write_pictures(path, model, x, level)
            seconds["encode"].append(spent["all"])
            seconds["coder"].append(spent["coder"] / spent["all"])
            file = open_container(path)
            with timed() as spent:
                back = transform_codec.read_pictures(file, model)
            seconds["decode"].append(spent["all"])
            overs.append((file.size - file.overhead) * 8 / cross_entropy(model, x, level))
            points[OURS].append(point_of(file.size, picture, eight_bit(back)[0]))
            points[LINEAR].append(point_of(file.size, picture, linear(model, x, level)))
    points |= {name: rival.points(picture) for name, rival in rivals().items()}
    return {
        "points": points,
        "saved": {measure: saved(points, measure) for measure in QUALITIES},
        "payload_over_entropy": overs,
        **{name: float(np.median(values)) for name, values in seconds.items()},
    }


class timed:
    """Processor seconds inside, and those of the entropy coder among them."""

    def __enter__(self) -> dict[str, float]:
        self.watch = patch.multiple(
            transform_codec, put=self._watched(put), take=self._watched(take)
        )
        self.watch.start()
        self.spent = {"all": time.process_time(), "coder": 0.0}
        return self.spent

    def __exit__(self, *_: object) -> None:
        self.spent["all"] = time.process_time() - self.spent["all"]
        self.watch.stop()

    def _watched(self, function: Any) -> Any:
        def watched(*given: Any) -> Any:
            began = time.process_time()
            try:
                return function(*given)
            finally:
                self.spent["coder"] += time.process_time() - began

        return watched


@torch.no_grad()
def cross_entropy(model: TransformCoder, x: torch.Tensor, level: int) -> float:
    """Bits of a picture's numbers by the model in whole numbers."""
    known = model.begin(torch.tensor([level]), x.shape[2:])
    wanted, nats = model.wanted(x, known), 0.0
    for index in range(model.turns):
        expected = model.expected(known, index)
        z = model.rounded(wanted, expected, index)
        nats -= float(expected.terms(z).double().sum())
        known = model.settle(known, index, z, expected)
    return nats / math.log(2)


@torch.no_grad()
def linear(model: TransformCoder, x: torch.Tensor, level: int) -> Array:
    """The picture from the same numbers by the transform alone."""
    known = model.begin(torch.tensor([level]), x.shape[2:])
    wanted = model.wanted(x, known)
    for index in range(model.turns):
        expected = model.expected(known, index)
        known = model.settle(known, index, model.rounded(wanted, expected, index), expected)
    rough = model.transform.inverse(torch.cat(known.values, 1) * known.step)
    return eight_bit((rough[:, :, : x.shape[2], : x.shape[3]] + 128) / 255)[0]


Points = Mapping[str, list[list[float]]]  # of a photograph, by codec


def rate_metrics(
    pictures: Sequence[Points], measure: str, ours: str = OURS, how: str = ""
) -> Iterator[Metric]:
    """BD-rate against JPEG, and the quality at two rates: means over photographs.

    Args:
        pictures: points of each.
        measure: PSNR or MS-SSIM.
        ours: name of our curve.
        how: end of the metrics' names.
    """
    found = {name: curve([points[name] for points in pictures], measure) for name in pictures[0]}
    each = [saved(points, measure) for points in pictures]
    against = {name: 100 * bd_rate(own, found[ANCHOR], RATES) for name, own in found.items()}
    by_jpeg = measure == "PSNR"
    yield Metric(
        f"BD-rate against JPEG by {measure}, 0.3 to 0.9 bits per pixel{how}",
        mean_of(each, ours),
        "%",
        "lower",
        target=-15.0 if by_jpeg else None,
        beside={f"{name}, of the mean curve": value for name, value in against.items()},
        rivals=compared(each, "lower", ours),
        beats=[ANCHOR, "WebP"],
    )
    for title, rate in POINTS.items():
        at = [
            {name: quality_at(curve([own], measure), rate) for name, own in points.items()}
            for points in pictures
        ]
        yield Metric(
            f"{measure} at {rate:.2f} bits per pixel ({title}){how}",
            mean_of(at, ours),
            "dB",
            "higher",
            rivals=compared(at, "higher", ours),
            beats=["WebP"],
        )


def mean_of(each: Sequence[Mapping[str, float | None]], ours: str) -> float:
    """Ours, over the photographs that have a figure."""
    return float(np.mean([value for p in each if (value := p[ours]) is not None]))


def compared(
    each: Sequence[Mapping[str, float | None]], better: Better, own_name: str
) -> list[Rival]:
    """Every codec beside ours, over the photographs on which both have a figure."""
    listed, how = [], settings()
    for name in how:
        pairs = np.array([(p[own_name], p[name]) for p in each], float)  # NaN: no common quality
        ours, theirs = pairs[~np.isnan(pairs).any(1)].T.tolist()
        if len(ours) > 1:
            words = in_words(how[name], "fixed; every quality is a point of the curve")
            listed.append(paired(name, words, ours, theirs, better, "photograph"))
    return listed


def of_pictures(answers: Mapping[str, Answer]) -> list[Points]:
    return [picture["points"] for answer in answers.values() for picture in answer["pictures"]]


def metrics(answers: Mapping[str, Answer]) -> list[Metric]:
    listed = [
        metric for measure in QUALITIES for metric in rate_metrics(of_pictures(answers), measure)
    ]
    pictures = [picture for answer in answers.values() for picture in answer["pictures"]]
    worst = max(max(picture["payload_over_entropy"]) for picture in pictures)
    speeds = {name: float(np.median([p[name] for p in pictures])) for name in ("encode", "decode")}
    share = float(np.median([picture["coder"] for picture in pictures]))
    return [
        *listed,
        Metric("payload over the model's entropy, largest", worst, "ratio", "lower", target=1.005),
        Metric("processor seconds to a file", speeds["encode"], "s", "lower", target=1.0),
        Metric("processor seconds from a file", speeds["decode"], "s", "lower", target=1.0),
        Metric("entropy coder's share of encoding", share, "share", "lower", target=0.1),
    ]


def summarize() -> None:
    answers = done(NAME)
    listed = metrics(answers)
    for metric in listed:
        print(f"{metric.name}: {metric.value:.3f} {metric.unit} {metric.beside}")
    place = KODAK_TILES.locate()
    write_cells(
        NAME,
        listed,
        [{"file": place.name, "split": "four folds", "sha256": file_sha256(place)}],
        f"{len(answers)} of {FOLDS} folds. Qualities at a rate are interpolated; speeds are of one "
        "thread, medians over photographs and levels. JPEG is progressive with optimized Huffman "
        "tables, WebP at method 6."
        + ("" if HAS_MOZJPEG else " mozjpeg's scans are not installed: make bench-env."),
    )


def quick(seed: int) -> None:
    """A few updates on few tiles, and one file."""
    train, test = split(0, held_out=True)
    rows = tiles(train[-1:])
    options = replace(CELLS["fold_0"], epochs=1, seed=seed, batch_size=8).options()
    model = export_model(fit(rows.thinned(64), options), rows).model
    assert isinstance(model, TransformCoder)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.lbz"
        x = as_row(test[0][:128, :128])
        transform_codec.write_pictures(path, model, x)
        rate = path.stat().st_size * 8 / 128**2
        back = transform_codec.read_pictures(open_container(path), model)
        psnr = -10 * math.log10(float((back - x).square().mean()))
        print(f"quick, not quoted: {rate:.3f} bits per pixel, {psnr:.2f} dB")


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick, run)
