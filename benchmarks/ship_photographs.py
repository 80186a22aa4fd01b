"""The codec of photographs that comes with the package, and what it is worth on six others.

Takes fold 0 of ``photographs.py``, rounds what codes nothing (the transform and the networks of
the decoder) to 16-bit floating-point numbers, and writes the codec into the package. The result is
of the codec as it is shipped, on the six photographs that it has not seen, by both tunes of its
encoder.

    python benchmarks/ship_photographs.py
    python benchmarks/ship_photographs.py --score       the codec that is in the package, as it is
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _cells import fit_on
from _kodak_tiles import KODAK_TILES
from _photograph_codecs import QUALITIES, point_of, rivals, saved, settings
from _record import Metric, arguments, part_of, write
from photographs import CELLS, FOLDS, OURS, SIDE, rate_metrics, split, tiles

from lowerbound.applications.compression import transform_codec
from lowerbound.applications.compression.container import open_container
from lowerbound.applications.compression.exported_models import (
    export_model,
    shipped,
    write_exported,
)
from lowerbound.applications.compression.rated_pictures import as_row, write_one
from lowerbound.applications.compression.requests import PHOTOGRAPHS, CompressRequest
from lowerbound.applications.compression.step_map import TUNES
from lowerbound.applications.compression.transform_codec import level_of
from lowerbound.data.catalog import file_sha256
from lowerbound.data.pictures.pixels import eight_bit
from lowerbound.models import Model, TransformCoder

NAME = "ship_photographs"
FOLD = "fold_0"
LEVELS = (124, 112, 102, 93, 84, 75, 66, 56)
TUNED = {tune: f"{OURS}, {tune}" for tune in TUNES}
MOST_BYTES = 6_000_000
SECONDS = "seconds"
README = """# photographs

A transform coder (`lowerbound.models.TransformCoder`) in whole numbers, for `lowerbound compress
photo.png`. Made by `benchmarks/ship_photographs.py`.

Trained on tiles of {side} x {side} pixels of 24 photographs and of their mirror images: of the
Kodak Lossless True Color Image Suite (released by Kodak for unrestricted use) numbers {train}; of
scikit-image's `astronaut`, `coffee`, `chelsea` and `rocket` and of scikit-learn's `china.jpg` and
`flower.jpg` (in the public domain or free to use, as their packages state). It has not seen Kodak's
numbers {test}, on which it is scored: `benchmarks/results/{name}.json`.
"""


@torch.no_grad()
def halved(model: Model) -> None:
    """Round to 16-bit floating-point numbers, which half the file holds."""
    for name, value in model.state_dict().items():
        if name.startswith(("transform.", "decoder.", "recentering.")):
            value.copy_(value.half().float())


def ship(seed: int) -> None:
    """Write the codec and its description into the package."""
    train, _ = split(seed, held_out=False)
    rows = tiles(train)
    fitted, _ = fit_on(Path("runs") / "photographs" / FOLD, rows, CELLS[FOLD].options())
    halved(fitted.model)
    codec = export_model(fitted, rows)
    shutil.rmtree(PHOTOGRAPHS, ignore_errors=True)
    PHOTOGRAPHS.mkdir(parents=True)
    write_exported(PHOTOGRAPHS, codec, fitted.options.model, "shipped")
    numbers = range(1, 25)
    (PHOTOGRAPHS / "README.md").write_text(
        README.format(
            side=SIDE,
            train=", ".join(str(n) for n in numbers if n % 4 != 1),
            test=", ".join(str(n) for n in numbers if n % 4 == 1),
            name=NAME,
        ),
        encoding="utf-8",
    )


def measured(seed: int) -> tuple[list[Metric], list[dict[str, Any]]]:
    """What the codec in the package is worth on the photographs that it has not seen; and the
    points and BD-rates of each of them."""
    pictures = [
        part_of(NAME, version(), f"kodak {number}", partial(points_of, picture))
        for number, picture in zip(range(1, 25, FOLDS), split(seed, held_out=False)[1], strict=True)
    ]
    curves = [only_points(picture) for picture in pictures]
    listed = [
        metric
        for tune, name in TUNED.items()
        for measure in QUALITIES
        for metric in rate_metrics(curves, measure, name, f", tuned for {tune.upper()}")
    ]
    listed += [speed(tune, pictures) for tune in TUNES]
    size = sum(path.stat().st_size for path in PHOTOGRAPHS.rglob("*") if path.is_file())
    listed.append(Metric("size in the package", size, "bytes", "lower", target=MOST_BYTES))
    return listed, [
        {"points": points, "saved": {measure: saved(points, measure) for measure in QUALITIES}}
        for points in curves
    ]


def version() -> str:
    """The codec in the package, by its hash and that of its encoder: another one is scored anew."""
    encoder = sorted(Path(transform_codec.__file__).parent.glob("blocks/*.py"))
    parts = [next(PHOTOGRAPHS.rglob("*.safetensors")), Path(transform_codec.__file__), *encoder]
    return hashlib.sha256("".join(map(file_sha256, parts)).encode()).hexdigest()[:12]


def only_points(picture: Mapping[str, Any]) -> dict[str, list[list[float]]]:
    """The curves of a photograph, without the seconds."""
    return {name: points for name, points in picture.items() if name != SECONDS}


def points_of(picture: np.ndarray) -> dict[str, Any]:
    """Rates and errors of one photograph by codec, and seconds a megapixel to write by tune."""
    points: dict[str, Any] = {name: [] for name in TUNED.values()}
    seconds: dict[str, list[float]] = {tune: [] for tune in TUNES}
    model, x = shipped().model, as_row(picture)
    assert isinstance(model, TransformCoder)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.lbz"
        for tune, name in TUNED.items():
            for level in LEVELS:
                began = time.process_time()
                transform_codec.write_pictures(path, model, x, level, tune=tune)
                spent = time.process_time() - began
                seconds[tune].append(1e6 * spent / (picture.shape[0] * picture.shape[1]))
                file = open_container(path)
                (back,) = eight_bit(transform_codec.read_pictures(file, model))
                points[name].append(point_of(file.size, picture, back))
    points |= {name: rival.points(picture) for name, rival in rivals().items()}
    return {**points, SECONDS: seconds}


def speed(tune: str, pictures: Sequence[Mapping[str, Any]]) -> Metric:
    """Processor seconds a megapixel to write a file, the median."""
    found = [spent for picture in pictures for spent in picture[SECONDS][tune]]
    return Metric(
        f"processor seconds a megapixel to a file, tuned for {tune.upper()}",
        float(np.median(found)),
        "s",
        "lower",
        target=1.2,
    )


def quick(seed: int) -> None:
    """A file of a piece of a photograph by the codec that is there."""
    _, test = split(0, held_out=True)
    with tempfile.TemporaryDirectory() as folder:
        one = write_one(
            shipped().model,
            test[0][:96, :128],
            Path(folder) / "x.lbz",
            CompressRequest("", quality=50),
        )
    print(f"quick, not quoted: {one.bytes} bytes, {one.psnr:.2f} dB, level {level_of(50)}")


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--score", action="store_true", help="do not write the codec again")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    if chosen.quick:
        quick(chosen.seed)
        return
    if not chosen.score:
        ship(0)
    listed, pictures = measured(0)
    for metric in listed:
        print(f"{metric.name}: {metric.value:.3f} {metric.unit} {dict(metric.beside)}")
    place = KODAK_TILES.locate()
    write(
        NAME,
        listed,
        data=[{"file": place.name, "split": "fold 0", "sha256": file_sha256(place)}],
        seeds=[0],
        minutes=(time.perf_counter() - start) / 60,
        notes="Six photographs (Kodak 1, 5, 9, 13, 17, 21); the training is that of photographs.py",
        extra={"rivals": settings(), "pictures": pictures},
    )


if __name__ == "__main__":
    main()
