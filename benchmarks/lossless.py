"""MNIST in a file that gives every bit back, beside the bound and beside other codecs.

Binarized: one fixed draw of the 10,000 test digits' bits, whose hash is in the result. Each model
is trained on the 60,000 training digits, exported to whole numbers, and writes all test digits as
one file, which is decoded again and compared. Sizes are of the file on disk, header included.
``minutes`` is processor time over two.

    python benchmarks/lossless.py --cell one_level      train, write and read one file
    python benchmarks/lossless.py --list                what there is, and what is done
    python benchmarks/lossless.py                       all missing cells, then the result
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

import torch
from _cells import (
    LADDER_TRAINING,
    Answer,
    Cell,
    done,
    drive,
    fit_on,
    mnist_data,
    parts,
    write_cells,
)
from _record import Metric, commit, keep_answer

from lowerbound.applications.compression.bits_back import levels_of
from lowerbound.applications.compression.container import open_container
from lowerbound.applications.compression.exported_models import bits_of, export_model
from lowerbound.applications.compression.lossless import read_rows, write_rows
from lowerbound.applications.compression.rivals import rivals
from lowerbound.data import Dataset, load
from lowerbound.fitting import fit
from lowerbound.inference.likelihood import data_sha256, score
from lowerbound.models.options import ModelOptions

NAME = "lossless"
RECTIFIED = {"activation": "relu"}


def dense(likelihood: str, hidden: list[int], latent_dim: int, **options: Any) -> ModelOptions:
    return ModelOptions(
        latent_dim=latent_dim,
        network="mlp",
        network_options={**RECTIFIED, "hidden": hidden},
        likelihood=likelihood,
        likelihood_options=options,
    )


CELLS: dict[str, Cell] = {
    "one_level": Cell(
        "bits, one level of latents", 60, model=dense("bernoulli", [400], 40), batch_size=128
    ),
    "levels": Cell(
        "256 levels, one level of latents",
        40,
        model=dense("discretized_logistic_mixture", [400, 400], 40, components=5),
        batch_size=128,
        source="grey_mnist",
    ),
    "ladder": Cell(
        "bits, convolutional ladder of 7 levels",
        80,
        model=ModelOptions(
            model="ladder",
            network="convolutional",
            model_options=RECTIFIED,
            likelihood="bernoulli",
        ),
        # else the coarse levels of a rectified ladder fall silent
        objective_options={"free_bits": 1.0},
        batch_size=128,
        learning_rate=1e-3,
        training=LADDER_TRAINING,
    ),
}
TARGETS = {"one_level": 0.190, "levels": 1.39, "ladder": 0.155}
EARLIER = {
    "one_level": {"BB-ANS, as its repository reports": 0.1941},
    "levels": {"xz, all in one": 1.395},
    "ladder": {},
}


def rows_of(cell: Cell, held_out: bool) -> tuple[Dataset, Dataset]:
    if cell.source == "mnist":
        return parts("mnist", held_out)
    training = load("mnist", split="train")
    if held_out:
        return training.split(5_000 / 60_000, seed=99)
    return training, load("mnist", split="test", schema=training.schema)


def run(benchmark: str, name: str, cell: Cell, held_out: bool) -> Answer:
    """Train, export, write, read; the answer is also written beside the results."""
    training, test = rows_of(cell, held_out)
    folder = Path("runs") / NAME / (name + ("_held_out" if held_out else ""))
    fitted, clock = fit_on(folder, training, cell.options())
    codec = export_model(fitted, bits_of(training).thinned(5_000))
    x = test.all().x
    assert x is not None
    bound, exported = (
        -float(score(model, test, samples=1, seed=0).elbo.double().mean())
        for model in (fitted.model, codec.model)
    )
    path = folder / "test.lbz"
    began = time.process_time()
    write_rows(path, codec.model, x)
    encoded = time.process_time() - began
    file = open_container(path)
    began = time.process_time()
    back = read_rows(file, codec.model)
    decoded = time.process_time() - began
    bits = 8 * file.size / x.numel()
    answer = {
        "cell": name,
        "title": cell.title,
        "epochs": cell.epochs,
        "seed": cell.seed,
        "minutes": round(clock["processor"] / 120, 2),
        "bits_per_dimension": bits,
        "bytes": file.size,
        "header_bytes": file.overhead,
        "exact": torch.equal(back, x),
        "negative_elbo": bound,
        "exported_negative_elbo": exported,
        "file_over_bound": bits * x[0].numel() * math.log(2) / exported,
        "encoded_per_second": len(x) / encoded,
        "decoded_per_second": len(x) / decoded,
        "rows": len(x),
        "rows_sha256": data_sha256(test),
        "rivals": {
            kind: 8 * size / x.numel() for kind, size, _ in rivals(x, levels_of(codec.model))
        },
        "commit": commit(),
    }
    print(json.dumps(answer), flush=True)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


def metrics(answers: Mapping[str, Answer]) -> list[Metric]:
    found: list[Metric] = []
    for name, answer in answers.items():
        title = answer["title"]
        others: dict[str, Any] = {**EARLIER[name], **answer["rivals"]}
        found += [
            Metric(
                f"{title}: file on disk",
                answer["bits_per_dimension"],
                "bits per dimension",
                "lower",
                None,
                TARGETS[name],
                others,
            ),
            Metric(
                f"{title}: file over the exported model's bound",
                answer["file_over_bound"],
                "ratio",
                "lower",
                None,
                1.01,
            ),
            Metric(
                f"{title}: bound lost to whole numbers",
                answer["exported_negative_elbo"] / answer["negative_elbo"] - 1,
                "share",
                "lower",
                None,
                0.01,
            ),
        ]
    return found


def summarize() -> None:
    answers = done(NAME)
    for answer in answers.values():
        print(
            f"{answer['title']}: {answer['bits_per_dimension']:.4f} bits per dimension, "
            f"{answer['file_over_bound']:.4f} of the bound, exact: {answer['exact']}"
        )
    speeds = "; ".join(
        f"{name}: {answer['encoded_per_second']:,.0f} digits encoded and "
        f"{answer['decoded_per_second']:,.0f} decoded per second of processor, networks included"
        for name, answer in answers.items()
    )
    write_cells(NAME, metrics(answers), mnist_data(answers), speeds + ".")


def quick(seed: int) -> None:
    """One epoch of few digits, and a file of some of the others."""
    cell = replace(CELLS["one_level"], epochs=1, seed=seed)
    training, held_out = parts("mnist", held_out=True)
    options = cell.options()
    options = replace(
        options, training=replace(options.training, compile="off", precision="float32")
    )
    fitted = fit(training.subset(range(5_000)), options)
    codec = export_model(fitted, bits_of(training).thinned(500))
    x = held_out.subset(range(500)).all().x
    assert x is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quick.lbz"
        write_rows(path, codec.model, x)
        assert torch.equal(read_rows(open_container(path), codec.model), x)
        print(f"quick, not quoted: {8 * path.stat().st_size / x.numel():.3f} bits per dimension")


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick, run)
