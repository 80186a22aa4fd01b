"""Color tiles of 32 x 32 pixels at 72 bytes each: codes beside WebP, JPEG and AVIF.

A VQ-VAE is trained on overlapping tiles of 18 Kodak photographs and their mirror images, and writes
the 2,304 tiles of the six others as one file, which is decoded again. 16 places have four codes of
512 each: at most 576 bits. PSNR is of 8-bit colors, the mean over tiles. Other codecs code the same
tiles: a file each, at the quality whose size is nearest (WebP also at its lowest); and one mosaic
of all, at as many bytes, once with the tiles in a fixed random order, as unrelated pictures would
lie, and once as they lie in the photographs, which are then whole again. ``minutes`` is processor
time over two.

    python benchmarks/vq_tiles.py --cell codes      train, write and read one file
    python benchmarks/vq_tiles.py                   all missing cells, then the result
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _cells import Answer, Cell, done, drive, fit_on, parts, write_cells
from _record import Metric, commit, keep_answer
from torch import Tensor

from lowerbound.applications.compression.container import Container, open_container
from lowerbound.applications.compression.exported_models import ExportedModel, export_model
from lowerbound.applications.compression.picture_files import psnr
from lowerbound.applications.compression.rivals import decode, encode, lossy_rivals
from lowerbound.applications.compression.vector_quantized import (
    bits_of,
    read_codes,
    read_rows,
    write_rows,
)
from lowerbound.data import Dataset, load
from lowerbound.data.pictures.pixels import eight_bit
from lowerbound.fitting import fit
from lowerbound.inference.likelihood import data_sha256
from lowerbound.models import VectorQuantizedVariationalAutoencoder
from lowerbound.models.options import ModelOptions
from lowerbound.posteriors.vector_quantized import CodebookUse

NAME = "vq_tiles"
BYTES = 72  # of a tile's payload
LOWEST = "WebP at quality 0, a file each"
WEBP_FRAME = 20  # bytes before a simple WebP's own: RIFF, size, WEBP, VP8, size
CODES = 512

TRAINED = Cell(
    "four codebooks of 512",
    20,
    model=ModelOptions(
        model="vq_vae",
        network="convolutional",
        network_options={"width": 48},
        latent_dim=96,
        likelihood="discretized_logistic",
        model_options={
            "stride": 8,
            "quantizer": "residual",
            "codes": CODES,
            "quantizers": 4,
            "prior": "marginal",
            "linear": True,
            "quiet": 1.0,
            "decay": 0.997,  # vectors do not move
            "breadth": 16,
        },
    ),
    batch_size=128,
    learning_rate=1e-3,
    source="kodak_tiles",
    training={
        "schedule": "cosine",
        "weight_average": 0.998,
        "adam_eps": 1e-8,
        "precision": "auto",
        "compile": "auto",
    },
)
CELLS: dict[str, Cell] = {
    "start": replace(
        TRAINED,
        title="where its training starts",
        epochs=1,
        model=replace(TRAINED.model, likelihood="gaussian"),  # whose mean is the linear path's
        learning_rate=1e-9,
        training={**TRAINED.training, "updates": 1},
    ),
    "codes": TRAINED,
}


def mirrored(rows: Dataset) -> Dataset:
    """The rows, then each from right to left."""
    pictures = eight_bit(pixels(rows))
    return load(np.concatenate((pictures, pictures[:, :, ::-1])))


def pixels(rows: Dataset) -> Tensor:
    x = rows.all().x
    assert x is not None
    return x.float()


def run(benchmark: str, name: str, cell: Cell, held_out: bool) -> Answer:
    """Train, write, read; the answer is also written beside the results."""
    training, test = parts(cell.source, held_out)
    training = mirrored(training)
    folder = Path("runs") / NAME / (name + ("_held_out" if held_out else ""))
    fitted, clock = fit_on(folder, training, cell.options())
    codec = export_model(fitted, training.thinned(500))
    path = folder / "test.lbz"
    answer = {
        "cell": name,
        "title": cell.title,
        "epochs": cell.epochs,
        "seed": cell.seed,
        "minutes": round(clock["processor"] / 120, 2),
        **measured(path, codec, pixels(test)),
        "rows": len(test),
        "rows_sha256": data_sha256(test),
        "rivals": others(pixels(test), path.stat().st_size) if name == "codes" else {},
        "commit": commit(),
    }
    print(json.dumps(answer), flush=True)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


def measured(path: Path, codec: ExportedModel, x: Tensor) -> Answer:
    """Bytes, decibels and codes of the file of all rows, written and read again."""
    model = codec.model
    assert isinstance(model, VectorQuantizedVariationalAutoencoder)
    began = time.process_time()
    write_rows(path, model, x)
    encoded = time.process_time() - began
    file = open_container(path)
    began = time.process_time()
    back = read_rows(file, model)
    decoded = time.process_time() - began
    decibels = psnr(eight_bit(x), eight_bit(back))
    payload, codes = file.size - file.overhead, read_codes(file, model)
    return {
        "bytes": file.size,
        "header_bytes": file.overhead,
        "payload_per_row": payload / len(x),
        "payload_over_tables": 8 * payload / bits_of(model, codes),
        "psnr": float(decibels.mean()),
        "psnr_of_all": pooled(decibels),
        "standard_error": float(decibels.std() / math.sqrt(len(x))),
        **used(file, model),
        "encoded_per_second": len(x) / encoded,
        "decoded_per_second": len(x) / decoded,
    }


def pooled(decibels: np.ndarray[Any, Any]) -> float:
    """PSNR of the mean squared error of all tiles together."""
    return float(-10 * np.log10(np.mean(10 ** (-decibels / 10))))


def used(file: Container, model: VectorQuantizedVariationalAutoencoder) -> Answer:
    """Which share of each codebook the file has, and its perplexity."""
    by_level = read_codes(file, model).chunk(len(model.quantizers), 1)
    uses = [CodebookUse(torch.bincount(codes.flatten(), minlength=CODES)) for codes in by_level]
    return {
        "codes_used": [use.used for use in uses],
        "perplexity": [use.perplexity for use in uses],
    }


def others(x: Tensor, target: int) -> dict[str, dict[str, float]]:
    """Bytes per tile and decibels of other codecs, asked for ``target`` bytes of all tiles."""
    pictures = eight_bit(x)
    order = np.random.default_rng(0).permutation(len(pictures))
    files = [encode("WebP", picture, 0) for picture in pictures]
    back = np.stack([decode(file, 3) for file in files])
    found = {
        LOWEST: {
            "bytes_per_row": sum(map(len, files)) / len(files),
            "psnr": float(psnr(pictures, back).mean()),
        }
    }
    for shuffled, rows in ((True, pictures[order]), (False, pictures)):
        for name, size, decibels, how in lossy_rivals(rows, target):
            if how == "one mosaic":
                how += ", shuffled" if shuffled else ", as photographed"
            elif not shuffled:
                continue  # the same files again
            found[f"{name}, {how}"] = {"bytes_per_row": size / len(rows), "psnr": decibels}
    return found


def metrics(answer: Mapping[str, Any], start: Mapping[str, Any]) -> list[Metric]:
    rivals = {name: rival["psnr"] for name, rival in answer["rivals"].items()}
    before = {"principal components and clusters, before training": start["psnr"]}
    value, webp = answer["psnr"], "WebP, one mosaic, shuffled"
    lowest, each = rivals[LOWEST], rivals["WebP, a file each"]
    use, perplexity = answer["codes_used"], [p / CODES for p in answer["perplexity"]]
    found = [
        Metric("payload", answer["payload_per_row"], "bytes per tile", "lower", None, BYTES),
        Metric(
            "PSNR, mean over tiles",
            value,
            "dB",
            "higher",
            answer["standard_error"],
            lowest,
            {**before, **rivals},
        ),
        Metric("... over WebP at quality 0, a file each", value - lowest, "dB", "higher", None, 4),
        Metric("... over WebP, a file each of the nearest size", value - each, "dB", "higher"),
        Metric("... over WebP, shuffled mosaic", value - rivals[webp], "dB", "higher", None, 0.0),
        Metric("file over -log2 of the tables", answer["payload_over_tables"], "ratio", "lower",
               None, 1.005),
    ]  # fmt: skip
    for name, shares, target in (("codes used", use, 0.95), ("perplexity / 512", perplexity, 0.6)):
        each_one = {f"codebook {level}": share for level, share in enumerate(shares, 1)}
        mean = float(np.mean(shares))
        found.append(
            Metric(f"{name}, least codebook", min(shares), "share", "higher", None, target)
        )
        found.append(
            Metric(f"{name}, mean of codebooks", mean, "share", "higher", None, None, each_one)
        )
    return found


def summarize() -> None:
    answers = done(NAME)
    answer = answers["codes"]
    data = [{"file": "kodak24.tar", "split": "test", "sha256": answer["rows_sha256"]}]
    sizes = "; ".join(
        f"{name} {rival['bytes_per_row']:.1f}" for name, rival in answer["rivals"].items()
    )
    webp = answer["rivals"][LOWEST]["bytes_per_row"]
    speeds = (answer["encoded_per_second"], answer["decoded_per_second"])
    notes = (
        f"The file has {answer['bytes'] / answer['rows']:.1f} bytes per tile, header included. "
        f"Bytes per tile of the others: {sizes}; of WebP's files {WEBP_FRAME} are the frame, which "
        f"at quality 0 leaves {webp - WEBP_FRAME:.1f}. PSNR of the squared error of all tiles "
        f"together: {answer['psnr_of_all']:.2f} dB. {speeds[0]:,.0f} tiles are encoded and "
        f"{speeds[1]:,.0f} decoded per second of processor."
    )
    write_cells(NAME, metrics(answer, answers["start"]), data, notes)


def quick(seed: int) -> None:
    """A few updates on a few tiles, and a file of others."""
    cell = replace(CELLS["codes"], epochs=1, seed=seed)
    model_options = {**cell.model.model_options, "codes": 64}
    options = replace(cell.model, model_options=model_options, latent_dim=16)
    training, scored = parts(cell.source, held_out=True)
    cell = replace(cell, model=options)
    fitted = fit(training.subset(range(0, len(training), 40)), cell.options())
    model = export_model(fitted, training.thinned(100)).model
    assert isinstance(model, VectorQuantizedVariationalAutoencoder)
    x = pixels(scored.subset(range(0, len(scored), 10)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quick.lbz"
        write_rows(path, model, x)
        back = read_rows(open_container(path), model)
        size = path.stat().st_size / len(x)
    decibels = psnr(eight_bit(x), eight_bit(back)).mean()
    print(f"quick, not quoted: {size:.1f} bytes per tile, PSNR {decibels:.2f} dB")


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick, run)
