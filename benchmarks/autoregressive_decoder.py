"""Likelihood of a VAE whose decoder draws each pixel given z and the pixels before it.

Three cells: dynamically binarized MNIST in nats, and Fashion-MNIST and 32 x 32 tiles of the Kodak
photographs in bits per dimension, by exact probability mass. The figure is -L_100 of the test part,
and for digits -L_5000, whose difference from -L_100 is measured on 200 rows. The cell
``mnist_independent`` is the same model with independent pixels. Rows and parts are those of
``mnist_likelihood.py`` and ``bits_per_dimension.py``; settings are fixed on rows held out of the
training part (``--held-out``).

    python benchmarks/autoregressive_decoder.py --cell kodak_tiles
    python benchmarks/autoregressive_decoder.py --list
    python benchmarks/autoregressive_decoder.py               all missing cells, then the result
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from _cells import Answer, Cell, done, drive, quick_look, write_cells
from _record import Metric

from lowerbound.models.options import ModelOptions

NAME = "autoregressive_decoder"
# bits per dimension: the ladder on the same pictures, and WebP without headers
TARGETS = {"mnist": 79.5, "fashion_mnist": 3.14, "kodak_tiles": 3.30}
BASELINES: dict[str, dict[str, float]] = {
    "fashion_mnist": {"ladder, bits_per_dimension.json": 3.14},
    "kodak_tiles": {"ladder, bits_per_dimension.json": 3.60},
}
TIGHTER = 200  # digits, spread over the test part, that are also scored with 5,000 samples
TRAINING = {"schedule": "cosine", "weight_average": 0.998, "gradient_clip": 200.0}


def cell(
    title: str,
    source: str,
    epochs: int,
    options: Mapping[str, Any],
    likelihood: str = "autoregressive",
    tighter: int = 0,
) -> Cell:
    model = ModelOptions(
        latent_dim=32,
        network="convolutional",
        likelihood=likelihood,
        likelihood_options=dict(options),
        prior="flow",
    )
    return Cell(
        title,
        epochs,
        model=model,
        batch_size=128,
        score_samples=100,
        source=source,
        tighter=tighter,
        training=TRAINING,
    )


CELLS: dict[str, Cell] = {
    "mnist": cell(
        "MNIST, pixel by pixel", "mnist", 20, {"width": 32, "layers": 3}, tighter=TIGHTER
    ),
    "mnist_independent": cell(
        "MNIST, independent pixels", "mnist", 20, {}, "bernoulli", tighter=TIGHTER
    ),
    "fashion_mnist": cell(
        "Fashion-MNIST, pixel by pixel", "fashion_mnist", 8, {"width": 48, "layers": 3}
    ),
    "kodak_tiles": cell(
        "Kodak tiles, 32 x 32, pixel by pixel", "kodak_tiles", 12, {"width": 48, "layers": 4}
    ),
}


def quick(seed: int) -> None:
    small = {"width": 8, "features": 8, "layers": 1, "context": 3}
    chosen = CELLS["mnist"]
    model = replace(chosen.model, likelihood_options=small, prior="standard_normal")
    quick_look(replace(chosen, model=model), seed, rows=256, scored=16, samples=2)


def summarize() -> None:
    """Write the result from the cells that are done."""
    cells = done(NAME)
    metrics = [headline(name, answer) for name, answer in cells.items()]
    data = [{"file": name, "sha256": answer["rows_sha256"]} for name, answer in cells.items()]
    write_cells(NAME, metrics, data, "Spread is the standard error over test rows, in nats.")


def headline(name: str, answer: Answer) -> Metric:
    """Nats of binarized digits; bits per dimension of pictures with more levels."""
    bits, tight = answer.get("bits_per_dimension"), answer.get("tighter")
    samples, nats, error = answer["samples"], answer["nats"], answer["standard_error"]
    beside = {"-ELBO in nats": answer["negative_elbo"], **BASELINES.get(name, {})}
    if tight:
        beside[f"-L_{samples}"] = nats
        samples, bound = tight["samples"], tight["bound"]
        nats, error = -bound["mean"], bound["standard_error"]
    return Metric(
        f"{answer['title']}: -L_{samples} on {answer['rows']:,} test rows",
        nats if bits is None else bits,
        "nats" if bits is None else "bits/dim",
        "lower",
        error if bits is None else None,
        TARGETS.get(name),
        beside,
    )


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick)
