"""Speech in few bits: a residual vector-quantized autoencoder beside the codecs of telephones.

Spoken digits at 8,000 samples per second; the 300 test clips (129 s) are joined, and every codec
gets the same signal. Bytes are payload: packets of the codecs of telephones, the chunk of codes of
our file. One fit serves both rates: fewer bits are fewer codebooks. Measures are defined in
``lowerbound.applications.compression.sound_comparison``; choices were made on takes 5 to 9, which
are learned from for the figures. A fit that ends by the clock makes fewer updates on a busy
machine.

    python benchmarks/speech_codec.py --cell all_speakers   fit, write a file, read it, measure
    python benchmarks/speech_codec.py --list                what there is, and what is done
    python benchmarks/speech_codec.py                       all missing cells, then the result
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from _cells import Answer, Cell, done, drive, fit_on, write_cells
from _record import Metric, commit, keep_answer
from _speech import (
    CHOICE_TAKES,
    RATE,
    TELEPHONES,
    TEST_TAKES,
    Judge,
    Recognizer,
    archive_path,
    spoken,
)

from lowerbound.applications.compression.container import open_container
from lowerbound.applications.compression.sound_codec import read_clips, write_clips
from lowerbound.data import Dataset
from lowerbound.data.audio.clips import Clips, usual_windows
from lowerbound.data.audio.kind import learned, rows_of
from lowerbound.data.catalog import file_sha256
from lowerbound.fitting import Fitted, fit
from lowerbound.models.options import ModelOptions

NAME = "speech_codec"
CODEBOOKS = {"x30": 8, "x50": 5}  # of 1,024 codes each, 50 times per second
TARGETS = {
    "x30": {"kbps": 4.27, "mel": 0.183},
    "x50": {"kbps": 2.56, "mel": 0.239},
}
STRETCH = 0.153  # log-mel L1 at x30

MODEL = ModelOptions(
    model="vq_vae",
    latent_dim=32,
    network="frames",
    model_options={
        "quantizer": "residual",
        "quantizers": 8,
        "codes": 1024,
        "prior": "marginal",
        "dropout": 0.5,
        "free": 400,
    },
)
CELLS: dict[str, Cell] = {
    "all_speakers": Cell(
        "other takes of the speakers that were learned from",
        10,
        objective="spectral",
        objective_options={"weight": 6.0},
        model=MODEL,
        batch_size=16,
        learning_rate=1e-3,
        source="",
        training={"schedule": "cosine", "adam_eps": 1e-8, "warm_up": 100, "gradient_clip": 3e4},
    ),
}
CELLS["new_speaker"] = replace(
    CELLS["all_speakers"], title="a speaker that was not learned from", epochs=4, source="theo"
)
CELLS["new_speaker_1_epoch"] = replace(
    CELLS["new_speaker"], title="the same speaker, after one epoch", epochs=1
)
CELLS["new_speaker_20_minutes"] = replace(
    CELLS["new_speaker"],
    title="the same speaker, after 20 minutes of one core",
    epochs=1_000,
    training={**CELLS["new_speaker"].training, "minutes": 20.0},
)


def parts(cell: Cell, held_out: bool) -> tuple[Clips, Clips]:
    """Clips to learn from and clips to measure on; a cell's source is the speaker it leaves out."""
    tested = CHOICE_TAKES if held_out else TEST_TAKES
    kept_away = {*TEST_TAKES, *tested}
    training = spoken(lambda said: said.take not in kept_away and said.speaker != cell.source)
    test = spoken(lambda said: said.take in tested and cell.source in ("", said.speaker))
    return training, test


def dataset_of(clips: Clips) -> Dataset:
    windows = usual_windows(RATE)
    return rows_of(clips, learned(RATE, windows), windows)


def run(benchmark: str, name: str, cell: Cell, held_out: bool) -> Answer:
    """Fit, write files, read them, measure; the answer is also written beside the results."""
    training, test = parts(cell, held_out)
    folder = Path("runs") / NAME / (name + ("_held_out" if held_out else ""))
    options = cell.options()
    settings = replace(options.training, compile="off", precision="float32", checkpoint_seconds=120)
    fitted, clock = fit_on(folder, dataset_of(training), replace(options, training=settings))
    judge = Judge(test, Recognizer(spoken(lambda said: said.take not in TEST_TAKES)))
    answer: Answer = {
        "cell": name,
        "title": cell.title,
        "epochs": cell.epochs,
        "seed": cell.seed,
        "minutes": round(clock["processor"] / 120, 2),
        "wall_minutes": round(clock["wall"] / 60, 2),
        "updates": fitted.history.last.updates if fitted.history.last else 0,
        "clips": len(test.samples),
        "seconds": len(judge.original) / RATE,
        "original_accuracy": judge.recognizer.accuracy(test, test.samples),
        "ours": {rate: coded(fitted, judge, folder, count) for rate, count in CODEBOOKS.items()},
        "telephones": {},
        "commit": commit(),
    }
    for telephone in TELEPHONES:
        call = telephone.encoded(judge.original, RATE)
        answer["telephones"][telephone.title] = judge.answer(len(call), call.heard())
    print(json.dumps(answer, indent=1), flush=True)
    if not held_out:
        keep_answer(NAME, name, answer)
    return answer


def coded(fitted: Fitted, judge: Judge, folder: Path, codebooks: int) -> dict[str, float]:
    """What is left of the test clips after a file of so many codebooks."""
    path = folder / f"test_{codebooks}.lbz"
    began = time.process_time()
    write_clips(path, fitted.model, judge.clips.samples, RATE, codebooks=codebooks)
    encoding = time.process_time() - began
    file = open_container(path)
    began = time.process_time()
    heard = read_clips(file, fitted.model).joined
    decoding = time.process_time() - began
    codes = sum(entry.length for entry in file.header.chunks[1:])
    seconds = len(judge.original) / RATE
    return {
        **judge.answer(codes, heard),
        "codebooks": codebooks,
        "file_bytes": file.size,
        "file_kbps": file.size * 8 / seconds / 1000,
        "times_faster_than_sound_encoding": seconds / encoding,
        "times_faster_than_sound_decoding": seconds / decoding,
    }


def metrics(answers: Mapping[str, Answer]) -> list[Metric]:
    return [
        metric
        for answer in answers.values()
        for rate in CODEBOOKS
        for metric in _of_rate(answer, rate)
    ]


def _of_rate(answer: Answer, rate: str) -> list[Metric]:
    ours, targets = answer["ours"][rate], TARGETS[rate]
    original = answer["original_accuracy"]
    rows: tuple[tuple[str, str, str, Literal["lower", "higher"], float | None], ...] = (
        ("payload", "kbps", "kbit/s", "lower", targets["kbps"]),
        ("log-mel L1", "mel", "log10", "lower", targets["mel"]),
        ("log-mel L1 of windows of 128 ms", "long", "log10", "lower", None),
        ("digits recognized", "accuracy", "share", "higher", original - 0.02),
        ("SI-SDR", "si_sdr", "dB", "higher", None),
    )
    found = []
    for what, key, unit, better, target in rows:
        beside = {title: measured[key] for title, measured in answer["telephones"].items()}
        if key == "accuracy":
            beside = {"originals": original, **beside}
        name = f"{answer['title']}, {rate}: {what}"
        found.append(Metric(name, ours[key], unit, better, None, target, beside))
    return found


def summarize() -> None:
    answers = done(NAME)
    for answer in answers.values():
        print(answer["title"], "originals", answer["original_accuracy"])
        for title, found in {**answer["ours"], **answer["telephones"]}.items():
            told = ", ".join(f"{key} {value:.4g}" for key, value in found.items())
            print(f"  {title}: {told}")
    speeds = "; ".join(_speed(answer) for answer in answers.values())
    data = [{"file": "fsdd.tar.xz", "sha256": file_sha256(archive_path()), "split": "takes 0 to 4"}]
    write_cells(NAME, metrics(answers), data, f"Stretch of log-mel L1 at x30: {STRETCH}. {speeds}.")


def _speed(answer: Answer) -> str:
    ours = answer["ours"]["x30"]
    return (
        f"{answer['cell']}: {ours['times_faster_than_sound_encoding']:.0f} s of sound encoded and "
        f"{ours['times_faster_than_sound_decoding']:.0f} s decoded per second of processor"
    )


def quick(seed: int) -> None:
    """Forty updates on some clips of one speaker, and a file of a few others."""
    training = spoken(lambda said: said.take in range(10, 20) and said.speaker == "theo")
    test = spoken(lambda said: said.take == 5 and said.speaker == "theo")
    cell = replace(CELLS["all_speakers"], epochs=1, seed=seed)
    small = replace(
        MODEL,
        network_options={"width": 64, "depth": 2},
        model_options={**MODEL.model_options, "codes": 64},
    )
    options = replace(cell.options(), model=small)
    settings = replace(
        options.training, compile="off", precision="float32", updates=40, epochs=None
    )
    fitted = fit(dataset_of(training), replace(options, training=settings))
    judge = Judge(test, Recognizer(training))
    folder = Path("runs") / NAME / "quick"
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = coded(fitted, judge, folder, 8)
    print("quick, not quoted:", ", ".join(f"{key} {value:.3g}" for key, value in found.items()))


if __name__ == "__main__":
    torch.set_num_threads(1)
    drive(NAME, __doc__ or "", CELLS, summarize, quick, run)
