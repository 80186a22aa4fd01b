"""Photographs at x50 by a decoder with grain: distances of texture at equal bytes.

Each fold's transform coder (``photographs.py``) is trained on, its decoder now with grain: noise as
large as it expects what is missing to be, times a share that was chosen on training photographs.
Six photographs that neither has seen are written by both, by JPEG, WebP and AVIF, each at the
finest setting whose file takes at most 0.48 bits per pixel.

Fréchet's and the kernel distance are between features of patches: of the originals where a
checkerboard of patches is black, of what came back where it is white, so that no patch is compared
with itself. The values are of all photographs together, rivals are paired by the distances of
single photographs, and "floor" is the originals in place of what came back. The features are of a
classifier that tells from which photograph a patch of 16 x 16 pixels is, less its mean color (its
hash is in the notes); one such classifier judges all folds, from the pictures that each of them
keeps. ``minutes`` is processor time over two, beside those of ``photographs.py``.

    python benchmarks/texture.py --cell fold_0      train, write and judge six photographs
    python benchmarks/texture.py                    all missing cells, then the result
"""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from _cells import Answer, Cell, done, drive, fit_on, write_cells
from _kodak_tiles import KODAK_TILES
from _pictures import keep
from _record import COMMITS, Metric, commit, keep_answer
from _rivals import Better, in_words, paired
from photographs import CELLS as PLAIN, kodak, split, tiles
from torch import Tensor

from lowerbound.applications.compression.exported_models import export_model
from lowerbound.applications.compression.picture_files import mean_psnr
from lowerbound.applications.compression.rated_pictures import write_one
from lowerbound.applications.compression.requests import CompressRequest
from lowerbound.applications.compression.rivals import FORMS, QUALITIES, available, decode, encode
from lowerbound.data import load
from lowerbound.data.catalog import file_sha256
from lowerbound.evaluation.samples.distances import frechet_distance, kernel_distance
from lowerbound.evaluation.samples.feature_network import FeatureNetwork, fit_feature_network
from lowerbound.fitting import Fitted, fit
from lowerbound.fitting.assembly import start_from_model
from lowerbound.inference.estimate import Estimate

NAME = "texture"
FIGURE = "texture.png"
RATE = 0.48
SIDE, LEARNED = 16, 1500
GRAIN, PLAINLY = "lowerbound with grain", "lowerbound"
SETTINGS = {"grain": 0.75}
CORNER, SHOWN = (330, 330), 120

CELLS: dict[str, Cell] = {
    name: replace(
        cell,
        epochs=1,
        learning_rate=1e-3,
        model=replace(cell.model, model_options=SETTINGS),
        # of so few updates a longer average would still hold the start
        training={**cell.training, "weight_average": 0.95},
    )
    for name, cell in PLAIN.items()
}
Array = np.ndarray[Any, Any]


def plain(fold: str, held_out: bool, rows: Any) -> Fitted:
    """The fold's coder of least squares, trained by ``photographs.py`` where it is not yet."""
    folder = Path("runs") / "photographs" / (fold + ("_held_out" if held_out else ""))
    return fit_on(folder, rows, PLAIN[fold].options())[0]


def run(benchmark: str, name: str, cell: Cell, held_out: bool) -> Answer:
    """Train, write and read; pictures are kept beside the weights, the rest beside the results."""
    train, test = split(cell.seed, held_out)
    folder = Path("runs") / NAME / (name + ("_held_out" if held_out else ""))
    rows = tiles(train)
    before = plain(name, held_out, rows)
    fitted, clock = fit_on(
        folder, rows, cell.options(), start=partial(start_from_model, other=before.model)
    )
    codecs = {GRAIN: export_model(fitted, rows), PLAINLY: export_model(before, rows)}
    written: dict[str, list[tuple[int, Array]]] = {form: [] for form in (*codecs, *available())}
    for picture in test:
        budget = int(RATE * picture.shape[0] * picture.shape[1] / 8)
        with tempfile.TemporaryDirectory() as place:
            for title, codec in codecs.items():
                one = write_one(
                    codec.model,
                    picture,
                    Path(place) / "x.lbz",
                    CompressRequest("", bytes=budget, tune="psnr"),
                )
                written[title].append((one.bytes, one.back))
        for form in available():
            written[form].append(by(form, picture, budget))
    backs = {title: [back for _, back in pairs] for title, pairs in written.items()}
    folder.mkdir(parents=True, exist_ok=True)
    arrays: Answer = {f"{t}/{i}": b for t, bs in backs.items() for i, b in enumerate(bs)}
    np.savez(folder / "backs.npz", **arrays)
    answer: Answer = {
        "cell": name,
        "title": cell.title,
        "epochs": cell.epochs,
        "seed": cell.seed,
        "minutes": round(clock["processor"] / 120, 2),
        "bytes": {title: [size for size, _ in pairs] for title, pairs in written.items()},
        "psnr": {
            title: [mean_psnr(p[None], b[None]) for p, b in zip(test, bs, strict=True)]
            for title, bs in backs.items()
        },
        COMMITS: {"pictures": commit()},
    }
    print(f"{name}: trained in {clock['processor'] / 60:.1f} processor minutes", flush=True)
    for title, decibels in answer["psnr"].items():
        print(title, np.mean(decibels), flush=True)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


def by(form: str, picture: Array, budget: int) -> tuple[int, Array]:
    """The finest file of a codec that takes at most ``budget`` bytes, and what comes back."""
    files = cache(lambda quality: encode(form, picture, quality))
    place = bisect_right(QUALITIES, budget, key=lambda quality: len(files(quality)))
    file = files(QUALITIES[max(0, place - 1)])
    return len(file), decode(file, picture.shape[-1])


def patches(picture: Array, color: int | None = None) -> Tensor:
    """Patches less their mean color, around a half; of a checkerboard those of a color."""
    down, across = (side // SIDE for side in picture.shape[:2])
    cut = picture[: down * SIDE, : across * SIDE].reshape(down, SIDE, across, SIDE, 3)
    cut = cut.swapaxes(1, 2)
    if color is not None:
        cut = cut[np.add.outer(np.arange(down), np.arange(across)) % 2 == color]
    x = torch.from_numpy(cut.reshape(-1, SIDE, SIDE, 3).copy()).permute(0, 3, 1, 2).float() / 255
    return (x - x.mean((2, 3), keepdim=True) + 0.5).clamp(0, 1)


def features() -> FeatureNetwork:
    """Learned from the originals alone."""
    parts = [patches(picture) for picture in kodak()]
    label = torch.cat([torch.full((len(part),), i) for i, part in enumerate(parts)])
    dataset = replace(load(torch.cat(parts).numpy()), label=label)
    return fit_feature_network(dataset, dataset.thinned(4_000), updates=LEARNED)


def apart(
    network: FeatureNetwork, real: list[Array], back: list[Array]
) -> tuple[Estimate, Estimate]:
    """Fréchet's and the kernel distance between the originals and what came back."""
    black = network.features(torch.cat([patches(picture, 0) for picture in real]))
    white = network.features(torch.cat([patches(picture, 1) for picture in back]))
    return frechet_distance(black, white), kernel_distance(black, white)


def summarize() -> None:
    network = features()
    answers: dict[str, Answer] = {}
    real: list[Array] = []
    backs: dict[str, list[Array]] = {}
    for name, answer in done(NAME).items():
        originals, kept = kept_pictures(name, answer)
        answers[name] = judged(name, answer, network, originals, kept)
        real += originals
        for title, pictures in kept.items():
            backs.setdefault(title, []).extend(pictures)
    found = {title: apart(network, real, bs) for title, bs in backs.items()}
    floor = apart(network, real, real)
    listed = metrics(answers, found, floor)
    for metric in listed:
        print(f"{metric.name}: {metric.value:.4f} {metric.unit} {dict(metric.beside)}")
    if len(answers) == len(CELLS):
        figure(real[0], {title: bs[0] for title, bs in backs.items()})
    place = KODAK_TILES.locate()
    write_cells(
        NAME,
        listed,
        [{"file": place.name, "split": "four folds", "sha256": file_sha256(place)}],
        f"{len(answers)} of {len(CELLS)} folds; features {network.name}, which tell "
        f"{network.description.accuracy:.0%} of the patches they learned from apart.",
    )


def judged(
    name: str,
    answer: Answer,
    network: FeatureNetwork,
    real: list[Array],
    backs: Mapping[str, list[Array]],
) -> Answer:
    """The cell with the distances of each photograph, written beside its other figures."""
    answer = {
        **answer,
        "features": network.name,
        "distances": {
            title: [
                [distance.mean for distance in apart(network, [one], [back])]
                for one, back in zip(real, bs, strict=True)
            ]
            for title, bs in backs.items()
        },
        COMMITS: {**answer[COMMITS], "distances": commit()},
    }
    keep_answer(NAME, name, answer)
    return answer


def kept_pictures(name: str, answer: Answer) -> tuple[list[Array], dict[str, list[Array]]]:
    """The originals of a fold and what came back, by codec, in the same order."""
    _, test = split(answer["seed"], False)
    kept = np.load(Path("runs") / NAME / name / "backs.npz")
    return test, {
        title: [kept[f"{title}/{i}"] for i in range(len(test))] for title in answer["bytes"]
    }


def metrics(
    answers: Mapping[str, Answer],
    found: Mapping[str, tuple[Estimate, Estimate]],
    floor: tuple[Estimate, Estimate],
) -> list[Metric]:
    """Distances over all photographs, their rivals paired by photograph; decibels and sizes."""

    def each(title: str, index: int) -> list[float]:
        return [pair[index] for answer in answers.values() for pair in answer["distances"][title]]

    listed = []
    for index, name in enumerate(("Frechet distance", "kernel distance")):
        listed.append(
            Metric(
                f"{name} of 16 x 16 patches at 0.48 bits per pixel",
                found[GRAIN][index].mean,
                "",
                "lower",
                found[GRAIN][index].standard_error,
                beside={
                    **{f"{title}, all": pair[index].mean for title, pair in found.items()},
                    "floor": floor[index].mean,
                },
                rivals=[
                    paired(
                        title,
                        in_words(FORMS.get(title, {}), "its finest file of at most 0.48 bits"),
                        each(GRAIN, index),
                        each(title, index),
                        "lower",
                        "photograph",
                    )
                    for title in found
                    if title != GRAIN
                ],
                beats=[PLAINLY, "JPEG", "WebP", "AVIF"],
            )
        )
    for name, values, unit in (("PSNR", "psnr", "dB"), ("size", "bytes", "bytes")):
        means = {
            title: float(np.mean([v for a in answers.values() for v in a[values][title]]))
            for title in found
        }
        ours = means.pop(GRAIN)
        better: Better = "higher" if values == "psnr" else "lower"
        listed.append(Metric(f"{name}, mean over photographs", ours, unit, better, beside=means))
    return listed


def figure(real: Array, backs: Mapping[str, Array]) -> None:
    """A corner of a photograph by every codec."""
    top, left = CORNER
    shown = {"original": real, **backs}
    canvas, axes = plt.subplots(2, 3, figsize=(6.6, 4.8), layout="constrained")
    for axis, (title, picture) in zip(axes.flat, shown.items(), strict=False):
        axis.imshow(picture[top : top + SHOWN, left : left + SHOWN])
        axis.set_title(title, fontsize=8)
        axis.set(xticks=[], yticks=[])
    keep(canvas, FIGURE, dpi=72)


def quick(seed: int) -> None:
    """A few updates, printed only."""
    train, test = split(0, held_out=True)
    rows = tiles(train[-1:]).thinned(32)
    before = fit(rows, replace(PLAIN["fold_0"], epochs=1, batch_size=8, seed=seed).options())
    options = replace(CELLS["fold_0"], epochs=1, batch_size=8, seed=seed).options()
    codec = export_model(
        fit(rows, options, start=partial(start_from_model, other=before.model)), rows
    )
    with tempfile.TemporaryDirectory() as folder:
        one = write_one(
            codec.model,
            test[0][:128, :128],
            Path(folder) / "x.lbz",
            CompressRequest("", bytes=1_500, tune="psnr"),
        )
    print(f"quick, not quoted: {one.bytes} bytes, {one.psnr:.2f} dB")


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick, run)
