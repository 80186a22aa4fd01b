"""Priors over codes: bits per code, and files of tiles and of speech under each.

A vector-quantized model is fitted, then a prior on the codes of its training rows: uniform, order-0
(a table of each place), order-1 (a table of the left neighbor) and the causal transformer. Early
stopping uses training rows that are held out. Each prior then codes the same test rows: the 2,304
tiles of six Kodak photographs that were not seen, and 300 clips of spoken digits. Files are decoded
again with 1, 2 and 4 threads and with float32 products of medium precision. The first stage is
shorter than in ``vq_tiles`` and ``speech_codec``, so sizes are not those of the docs of these.

    python benchmarks/code_prior.py --cell tiles    fit, train priors, write and read files
    python benchmarks/code_prior.py                 all missing cells, then the result
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import speech_codec
import torch
import vq_tiles
from _cells import Answer, Cell, done, drive, fit_on, parts, spent, write_cells
from _record import Metric, commit, keep_answer
from _speech import RATE, archive_path, spoken
from torch import Tensor

from lowerbound.applications.compression import sound_codec, vector_quantized
from lowerbound.applications.compression.container import open_container
from lowerbound.applications.compression.exported_models import export_model
from lowerbound.data import Dataset
from lowerbound.data.audio.clips import Clips
from lowerbound.data.catalog import file_sha256
from lowerbound.fitting import Fitted, fit
from lowerbound.fitting.prior import fit_prior
from lowerbound.inference.codes import draw_latents
from lowerbound.inference.likelihood import data_sha256
from lowerbound.inference.sound_codes import SoundCoder
from lowerbound.models import VectorQuantizedVariationalAutoencoder
from lowerbound.training import TrainingOptions

NAME = "code_prior"
ORDERS = {"uniform": "uniform", "marginal": "order 0", "markov": "order 1"}
BEST = "autoregressive"
MINUTES = 6.0  # of training a prior, one thread
BAR = 0.9  # of the bytes under order 0
SCORED = 64  # rows at once

TILES = replace(
    vq_tiles.TRAINED,
    title="tiles of photographs",
    epochs=2,
    model=replace(
        vq_tiles.TRAINED.model,
        model_options={**vq_tiles.TRAINED.model.model_options, "breadth": 4},
    ),
    training={**vq_tiles.TRAINED.training, "precision": "float32", "compile": "off"},
)
SPEECH = replace(
    speech_codec.CELLS["all_speakers"],
    title="spoken digits",
    epochs=4,
    training={
        **speech_codec.CELLS["all_speakers"].training,
        "precision": "float32",
        "compile": "off",
    },
)
CELLS: dict[str, Cell] = {"tiles": TILES, "speech": SPEECH}


@dataclass(frozen=True)
class TestRows:
    """What a cell codes.

    Attributes:
        training: rows that the model and the priors learn from.
        codes: of a fitted model, the codes of test rows, all codebooks side by side.
        written: writes a file and returns (bytes of codes, whether it decodes everywhere).
        facts: about the test rows, for the record.
    """

    training: Dataset
    codes: Callable[[Fitted], Tensor]
    written: Callable[[Fitted, Path], tuple[int, bool]]
    facts: Mapping[str, Any]


def tiles(cell: Cell, held_out: bool) -> TestRows:
    training, test = parts(cell.source, held_out)
    x = vq_tiles.pixels(test)

    def codes(fitted: Fitted) -> Tensor:
        return vector_quantized.quantized(coded(fitted), x, len(coded(fitted).quantizers))

    def written(fitted: Fitted, path: Path) -> tuple[int, bool]:
        model = coded(export_model(fitted, training.thinned(100)))
        vector_quantized.write_rows(path, model, x)
        file, expected = open_container(path), codes(fitted)
        same = [torch.equal(vector_quantized.read_codes(file, model), expected) for _ in grid()]
        return file.size - file.overhead, all(same)

    facts = {"file": "kodak24.tar", "split": "test", "sha256": data_sha256(test)}
    return TestRows(training, codes, written, facts)


def speech(cell: Cell, held_out: bool) -> TestRows:
    training, test = speech_codec.parts(cell, held_out)
    return of_clips(training, test)


def of_clips(training: Clips, test: Clips) -> TestRows:
    signal = torch.from_numpy(np.concatenate(test.samples))

    def codes(fitted: Fitted) -> Tensor:
        model = coded(fitted)
        (places,) = model.code_shapes[0]
        found = SoundCoder.of(model).codes(signal)
        rows = found[: len(found) // places * places].unflatten(0, (-1, places))
        return rows.transpose(1, 2).flatten(1)

    def written(fitted: Fitted, path: Path) -> tuple[int, bool]:
        sound_codec.write_clips(path, fitted.model, test.samples, RATE)
        file, coder = open_container(path), SoundCoder.of(fitted.model)
        expected = coder.signal(coder.codes(signal), len(signal)).numpy()
        back = [sound_codec.read_clips(file, fitted.model).joined for _ in grid()]
        same = [np.allclose(each, expected, atol=1e-4) for each in back]
        return sum(entry.length for entry in file.header.chunks[1:]), all(same)

    place = archive_path()
    facts = {"file": "fsdd.tar.xz", "sha256": file_sha256(place), "split": "takes 0 to 4"}
    return TestRows(speech_codec.dataset_of(training), codes, written, facts)


ROWS: Mapping[str, Callable[[Cell, bool], TestRows]] = {"tiles": tiles, "speech": speech}


def coded(fitted: Any) -> VectorQuantizedVariationalAutoencoder:
    """The model of codes in a fit or in its export."""
    assert isinstance(fitted.model, VectorQuantizedVariationalAutoencoder)
    return fitted.model


@contextmanager
def threads(count: int) -> Iterator[None]:
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(1)


def grid() -> Iterator[str]:
    """Ways to compute, each in effect until the next is taken."""
    for count in (1, 2, 4):
        with threads(count):
            yield f"{count} threads"
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield "medium precision"
    torch.set_float32_matmul_precision(precision)


@torch.no_grad()
def bits_per_code(fitted: Fitted, codes: Tensor) -> float:
    """-log2 p(codes) of rows (rows, codes), the mean of a code."""
    model = coded(fitted).eval()
    nats = [model.prior_terms(part).log_prob.double() for part in codes.split(SCORED)]
    return -float(torch.cat(nats).sum()) / codes.numel() / math.log(2)


def priors(
    fitted: Fitted, rows: TestRows, training: TrainingOptions, folder: Path
) -> dict[str, dict[str, Any]]:
    """Bits per code and bytes of a file under each prior."""
    latents = draw_latents(fitted.model, rows.training, cache=folder / "latents.safetensors")
    codes, answers = rows.codes(fitted), {}
    for kind in (*ORDERS, BEST):
        made, history = fit_prior(fitted, latents.dataset(), kind, {}, training)
        size, same = rows.written(made, folder / f"{kind}.lbz")
        answers[kind] = {
            "bits_per_code": bits_per_code(made, codes),
            "bytes": size,
            "file_bytes": (folder / f"{kind}.lbz").stat().st_size,
            "decodes": same,
            "updates": history.last.updates if history.last else 0,
            "ended": history.ended,
        }
        print(kind, answers[kind], flush=True)
    return answers


def run(benchmark: str, name: str, cell: Cell, held_out: bool) -> Answer:
    """Fit, train every prior, write files, read them; the answer is kept beside the results."""
    rows = ROWS[name](cell, held_out)
    folder = Path("runs") / NAME / (name + ("_held_out" if held_out else ""))
    fitted, _ = fit_on(folder, rows.training, cell.options())
    settings = TrainingOptions(minutes=MINUTES, batch_size=64, learning_rate=2e-3, threads=1)
    with spent(folder) as clock:
        found = priors(fitted, rows, settings, folder)
    answer: Answer = {
        "cell": name,
        "title": cell.title,
        "epochs": cell.epochs,
        "seed": cell.seed,
        "minutes": round(clock["processor"] / 120, 2),
        "codes": coded(fitted).codebook_sizes[0],
        "priors": found,
        "facts": dict(rows.facts),
        "commit": commit(),
    }
    print(json.dumps(answer), flush=True)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


def metrics(answers: Mapping[str, Answer]) -> list[Metric]:
    return [metric for answer in answers.values() for metric in _of_cell(answer)]


def _of_cell(answer: Answer) -> Iterator[Metric]:
    found, title = answer["priors"], answer["title"]
    for key, what, unit in (
        ("bits_per_code", "-log2 p of a code", "bits"),
        ("bytes", "codes in the file", "bytes"),
    ):
        beside = {words: found[kind][key] for kind, words in ORDERS.items()}
        yield Metric(f"{title}: {what}", found[BEST][key], unit, "lower", None, None, beside)
    share = found[BEST]["bytes"] / found["marginal"]["bytes"]
    yield Metric(f"{title}: bytes over those of order 0", share, "ratio", "lower", None, BAR)
    same = float(all(each["decodes"] for each in found.values()))
    yield Metric(f"{title}: files that decode on the grid", same, "share", "higher", None, 1.0)


def summarize() -> None:
    answers = done(NAME)
    data = [answer["facts"] for answer in answers.values()]
    write_cells(NAME, metrics(answers), data, "Priors train for six minutes at most.")


def quick(seed: int) -> None:
    """Twenty updates of a small model of one speaker, and of each of its priors."""
    rows = of_clips(
        spoken(lambda said: said.take in range(10, 20) and said.speaker == "theo"),
        spoken(lambda said: said.take == 5 and said.speaker == "theo"),
    )
    options = replace(SPEECH, seed=seed).options()
    small = replace(
        options.model,
        network_options={"width": 64, "depth": 2},
        model_options={**options.model.model_options, "codes": 64, "quantizers": 2, "free": 5},
    )
    training = replace(options.training, updates=20, epochs=None)
    fitted = fit(rows.training, replace(options, model=small, training=training))
    with tempfile.TemporaryDirectory() as folder:
        found = priors(fitted, rows, TrainingOptions(updates=20, threads=1), Path(folder))
    print("quick, not quoted:", json.dumps(found))


if __name__ == "__main__":
    drive(NAME, __doc__ or "", CELLS, summarize, quick, run)
