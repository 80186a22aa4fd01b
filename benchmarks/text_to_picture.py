"""Drawn faces from attributes and from captions, and edits of given faces: latent diffusion.

The first stage is a linear VAE with a vector of 256 for each face, and the second a diffusion prior
that is given the ten attributes of each face; of a caption, it draws the attributes first. Prompts
name some of five attributes. A classifier of these five, trained on real training faces, says what
a drawn face shows; its accuracy on real test faces is the most that a drawn face can reach. Beside
the edits stand those by attribute vectors in the latent space of the first stage.

    python benchmarks/text_to_picture.py --list
    python benchmarks/text_to_picture.py --cell attributes     one cell, resumable
    python benchmarks/text_to_picture.py                       all missing cells, then the result

Settings are chosen with --held-out, which scores 2,000 training faces that no part has seen. The
guidance is chosen in the cell, with prompts of training faces.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _cells import done, drive, fit_on, spent
from _faces import (
    FILE,
    JUDGED,
    SEED,
    Judge,
    accuracy,
    codes,
    distance,
    edit_measures,
    judge_of,
    obeyed,
    parts,
    plain,
    values,
    wanted,
)
from _pictures import IMAGES
from _record import Metric, commit, keep_answer, write
from PIL import Image
from torch import Tensor

from lowerbound.applications.common.drawings import sheet
from lowerbound.applications.generation.attribute_vectors import Attribute, attribute
from lowerbound.applications.generation.edit import edit_rows
from lowerbound.data import Dataset
from lowerbound.data.pictures.pixels import eight_bit
from lowerbound.data.prompts import Prompts
from lowerbound.data.vocabulary import PhraseBook, PromptVocabulary
from lowerbound.fitting import FitOptions, Fitted
from lowerbound.fitting.prior import fit_prior
from lowerbound.inference.codes import draw_latents, encode_rows
from lowerbound.inference.decoding import decode_codes
from lowerbound.inference.likelihood import data_sha256
from lowerbound.inference.prior_draws import prior_settings, sample_prior
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

NAME = "text_to_picture"
RUNS = Path("runs") / NAME
PHRASES = Path(__file__).with_name("text_to_picture_phrases.json")
KNOWN = "attributes known"
FACES, EDITED, SHOWN = 2_000, 300, 64
CAPTION = "a smiling face with round glasses and red hair"
MINUTES = 30.0  # of training in a cell
FIRST = "first_stage"
CELLS = (FIRST, "attributes", "captions")

STAGE = ModelOptions(latent_dim=256, network="linear", likelihood="gaussian")
# the linear stage starts at its optimum, so few and small updates suffice
STAGE_TRAINING = {"updates": 100, "learning_rate": 1e-5}
PRIOR_TRAINING: dict[str, Any] = {"batch_size": 128, "weight_average": 0.999}
GUIDANCE = (1.0, 1.25, 1.5, 2.0, 3.0)  # one is chosen with prompts of training faces
STRAYS = 0.1  # most total variation of unnamed attributes
HIDDEN = 0.1  # share of rows with some attributes hidden
STRENGTH = 0.5  # of edits, chosen on training faces


@dataclass(frozen=True)
class Effort:
    """How much is trained and measured.

    Attributes:
        limit: of each training.
        rows: training rows; 0: all.
        faces: drawn to be judged.
        edited: rows of each edit.
        passes: of the classifier over its rows.
        suffix: of the folders of its runs.
        prior: options of the prior.
    """

    limit: Mapping[str, Any]
    rows: int = 0
    faces: int = FACES
    edited: int = EDITED
    passes: int = 15
    suffix: str = ""
    prior: Mapping[str, Any] = field(default_factory=dict)


FULL = Effort({"minutes": MINUTES, "threads": 1}, prior={"width": 512})
QUICK = Effort(
    {"updates": 2, "threads": 1}, 64, 8, 2, 1, "_quick", {"width": 32, "depth": 1, "steps": 2}
)


# stages -------------------------------------------------------------------------------------------


def settings(**chosen: Any) -> TrainingOptions:
    usual = {"batch_size": 64, "validation": 0.0, "patience": 0, "seed": SEED}
    return TrainingOptions(**{**usual, **chosen})


def first_stage(training: Dataset, effort: Effort) -> tuple[Fitted, dict[str, float]]:
    """The model of faces, trained once."""
    options = FitOptions(STAGE, training=settings(**{**STAGE_TRAINING, **effort.limit}))
    return fit_on(RUNS / f"{FIRST}{effort.suffix}", plain(training), options)


def second_stage(
    name: str, fitted: Fitted, training: Dataset, effort: Effort
) -> tuple[Fitted, dict[str, float]]:
    """The prior on attributes or captions."""
    folder = RUNS / f"{name}{effort.suffix}"
    with spent(folder) as clock:
        latents = draw_latents(fitted.model, training, cache=folder / "latents.safetensors")
        options = {"hide_fields": HIDDEN, **effort.prior}
        made, _ = fit_prior(
            fitted,
            latents.dataset(),
            "diffusion",
            {**options, **training.vocabulary.options},
            settings(**{**PRIOR_TRAINING, **effort.limit}),
            draws=latents.z.shape[1],
            folder=folder,
            resume=(folder / "checkpoint").exists(),
        )
    return made, clock


def with_captions(training: Dataset) -> Dataset:
    """The same faces, for a prior that also learns to read captions of their attributes."""
    assert training.prompt is not None
    attributes = Prompts(training.vocabulary, training.prompt)
    return attributes.said_by(PhraseBook.read(PHRASES)).on(training)


# measures -----------------------------------------------------------------------------------------


def psnr(x: Tensor, y: Tensor) -> float:
    return float(-10 * (x - y).double().square().flatten(1).mean(1).log10().mean())


def rebuilt(fitted: Fitted, rows: Dataset) -> Tensor:
    """E[x | z] at the mean code of each row."""
    return decode_codes(fitted.model, encode_rows(fitted.model, plain(rows)).mean).mean


def prompts_for(vocabulary: PromptVocabulary, asked: Tensor, real: Dataset) -> Tensor:
    """Prompts of these attributes in the words of a prior."""
    named = [dict(zip(JUDGED, row, strict=True)) for row in asked.tolist()]
    known = [{n: values(real, n)[code] for n, code in row.items() if code >= 0} for row in named]
    if vocabulary.words:
        book, random = PhraseBook.read(PHRASES), np.random.default_rng(SEED)
        return vocabulary.captions([book.caption(one, random) for one in known])
    return torch.cat([vocabulary.given(one) for one in known])


def edited_by_prior(
    made: Fitted, known: bool, guidance: float
) -> Callable[[Dataset, dict[str, str]], tuple[Tensor, Tensor]]:
    """Edits by inversion; ``known``: whether the other attributes of the rows are given, or read
    from the codes."""

    def change(rows: Dataset, target: dict[str, str]) -> tuple[Tensor, Tensor]:
        prompt = made.options.model.prompts.given(target)
        assert rows.prompt is not None
        before = rows.prompt if known else torch.full_like(rows.prompt, -1)
        with prior_settings(made.model, guidance=guidance):
            done = edit_rows(made.model, replace(rows, prompt=before), prompt, strength=STRENGTH)
        return done.reconstruction, done.edited

    return change


def edited_by_vectors(
    fitted: Fitted, training: Dataset, strength: float
) -> Callable[[Dataset, dict[str, str]], tuple[Tensor, Tensor]]:
    """Edits by attribute vectors: the difference of mean codes, added to the code."""
    z, truth = encode_rows(fitted.model, plain(training)).mean, codes(training)

    def vector(name: str, value: str) -> Attribute:
        code = values(training, name).index(value)
        return attribute(value, z, truth[:, JUDGED.index(name)] == code)

    def change(rows: Dataset, target: dict[str, str]) -> tuple[Tensor, Tensor]:
        own = encode_rows(fitted.model, plain(rows)).mean
        moved = own
        for name, value in target.items():
            moved = vector(name, value).added(moved, strength)
        return decode_codes(fitted.model, own).mean, decode_codes(fitted.model, moved).mean

    return change


# cells --------------------------------------------------------------------------------------------


def run_cell(name: str, held_out: bool, effort: Effort = FULL) -> dict[str, Any]:
    """Train one stage and measure it."""
    suffix = effort.suffix + ("_held_out" if held_out else "")
    effort = replace(effort, suffix=suffix)
    training, real = parts(held_out)
    if effort.rows:
        training, real = training.subset(range(effort.rows)), real.subset(range(effort.rows))
    judge = judge_of(training, effort.passes, RUNS / f"judge{suffix}")
    fitted, clock = first_stage(training, effort)
    if name == FIRST:
        measured = first_measures(fitted, training, real, judge, effort)
    else:
        rows = with_captions(training) if name == "captions" else training
        made, clock = second_stage(name, fitted, rows, effort)
        measured = second_measures(name, made, training, real, judge, effort)
    answer = {
        "cell": name,
        "minutes": round(clock["processor"] / 120, 2),
        "wall_minutes": round(clock["wall"] / 60, 2),
        "judge": accuracy(judge, real),
        **measured,
        "rows": len(real),
        "rows_sha256": data_sha256(real),
        "commit": commit(),
    }
    print(json.dumps(answer), flush=True)
    if not held_out and effort is not QUICK and not effort.rows:
        keep_answer(NAME, name, answer)
    return answer


def first_measures(
    fitted: Fitted, training: Dataset, real: Dataset, judge: Judge, effort: Effort
) -> dict[str, Any]:
    x, again = real.all().filled, rebuilt(fitted, real)
    kept = (judge.answers(again) == judge.answers(x)).double().mean(0).tolist()
    half = len(real) // 2
    edits = {
        str(strength): edit_measures(
            judge, real, effort.edited, edited_by_vectors(fitted, training, strength)
        )
        for strength in (1.0, 2.0)
    }
    return {
        "psnr": psnr(x, again),
        **distance(judge, real, again),
        "kept": dict(zip(JUDGED, kept, strict=True)),
        "real": distance(judge, real.subset(range(half)), x[half : 2 * half]),
        "edits": edits,
    }


def second_measures(
    name: str, made: Fitted, training: Dataset, real: Dataset, judge: Judge, effort: Effort
) -> dict[str, Any]:
    vocabulary = made.options.model.prompts
    tried = {one: drawn_for(made, training, judge, effort, one)[1] for one in GUIDANCE}
    guidance = max(GUIDANCE, key=lambda one: rank(tried[one]))
    drawn, answer = drawn_for(made, real, judge, effort, guidance)
    free = sample_prior(made.model, effort.faces, seed=SEED).mean
    found = {
        **answer,
        "guidance": guidance,
        "tried": {str(one): tried[one] for one in GUIDANCE},
        "unconditional": distance(judge, real, free),
        **distance(judge, real, drawn),
    }
    if name == "attributes":
        found["edits"] = {
            title: edit_measures(
                judge, real, effort.edited, edited_by_prior(made, title == KNOWN, guidance)
            )
            for title in (KNOWN, "attributes unknown")
        }
    if not effort.suffix:
        picture(f"{NAME}_{name}.png", drawn[:SHOWN])
    if name == "captions" and not effort.suffix:
        words = vocabulary.caption(CAPTION).expand(SHOWN, -1)
        with prior_settings(made.model, guidance=guidance):
            picture(f"{NAME}_prompt.png", sample_prior(made.model, SHOWN, prompt=words).mean)
    return found


def drawn_for(
    made: Fitted, rows: Dataset, judge: Judge, effort: Effort, guidance: float
) -> tuple[Tensor, dict[str, Any]]:
    """Faces for prompts of these rows, and how they obey."""
    asked = wanted(rows, effort.faces)
    prompt = prompts_for(made.options.model.prompts, asked, rows)
    with prior_settings(made.model, guidance=guidance):
        drawn = sample_prior(made.model, effort.faces, prompt=prompt, seed=SEED).mean
    return drawn, obeyed(judge, drawn, asked, rows)


def rank(answer: Mapping[str, Any]) -> tuple[bool, float]:
    """Whether unnamed attributes keep their frequencies, then the least obeyed attribute."""
    return max(answer["total_variation"].values()) <= STRAYS, min(answer["named"].values())


def picture(name: str, rows: Tensor) -> None:
    """A sheet of 8 by 8 faces in docs/images."""
    image = Image.fromarray(sheet(list(eight_bit(rows[:SHOWN])), across=8))
    image.quantize(48, dither=Image.Dither.NONE).save(IMAGES / name, optimize=True)


# the result ---------------------------------------------------------------------------------------


def summarize() -> None:
    """The result of the cells that are done."""
    cells = done(NAME)
    assert cells, "no cell is done"
    metrics: list[Metric] = []
    for name, cell in cells.items():
        metrics += _first_metrics(cell) if name == FIRST else _second_metrics(name, cell)
    one = next(iter(cells.values()))
    write(
        NAME,
        metrics,
        data=[{"file": FILE, "split": "test", "sha256": one["rows_sha256"]}],
        seeds=[SEED],
        minutes=sum(cell["minutes"] for cell in cells.values()),
        notes=f"Decoder means; a classifier of five attributes, trained on real training faces, "
        f"judges. {FACES:,} faces of prompts that name about half of the five attributes of a real "
        f"test face; {EDITED} test faces for each edit, none of which has the target before. "
        "An attribute that a hat or a bald head hides cannot be found, so the classifier's "
        "accuracy on real faces stands beside each share. "
        + "; ".join(f"{name}: {cell['minutes']} minutes" for name, cell in cells.items()),
        extra={"cells": list(cells.values())},
    )


def _first_metrics(cell: Mapping[str, Any]) -> list[Metric]:
    found = [
        Metric("vector of 256: PSNR of test faces", cell["psnr"], "dB", "higher"),
        Metric(
            "vector of 256: Frechet distance of reconstructions",
            cell["frechet"],
            "",
            "lower",
            cell["frechet_error"],
            None,
            {"real against real": cell["real"]["frechet"]},
        ),
    ]
    for strength, edits in cell.get("edits", {}).items():
        found += _edit_metrics(f"attribute vectors, strength {strength}", edits, None)
    return found


def _second_metrics(name: str, cell: Mapping[str, Any]) -> list[Metric]:
    found = [
        Metric(
            f"given {name}: faces with the named {attribute}",
            share,
            "",
            "higher",
            None,
            0.9,
            {"real faces": cell["judge"][attribute]},
        )
        for attribute, share in cell["named"].items()
    ]
    found += [
        Metric(f"given {name}: total variation of unnamed {one}", value, "", "lower", None, 0.1)
        for one, value in cell["total_variation"].items()
    ]
    found.append(
        Metric(
            f"given {name}: Frechet distance",
            cell["frechet"],
            "",
            "lower",
            cell["frechet_error"],
            None,
            {"without a prompt": cell["unconditional"]["frechet"]},
        )
    )
    for title, edits in cell.get("edits", {}).items():
        found += _edit_metrics(f"edits, {title}", edits, 0.9 if "unknown" not in title else None)
    return found


def _edit_metrics(title: str, edits: Mapping[str, Any], target: float | None) -> list[Metric]:
    found = []
    for edit, measured in edits.items():
        found.append(
            Metric(f"{title}: {edit}, reached", measured["target"], "", "higher", None, target)
        )
        worst = max(measured["others"].values())
        bound = None if target is None else 0.05
        shown = measured.get("others_seen")  # older cells have none
        seen = {"of faces that show it": max(shown.values())} if shown else {}
        found.append(
            Metric(f"{title}: {edit}, most changed other", worst, "", "lower", None, bound, seen)
        )
    return found


def quick() -> None:
    """Every cell on a few rows, from the beginning, printed only."""
    for folder in RUNS.glob(f"*{QUICK.suffix}*"):
        shutil.rmtree(folder)
    for name in CELLS:
        run_cell(name, True, QUICK)


def main() -> None:
    cells = dict.fromkeys(CELLS)
    drive(
        NAME,
        __doc__ or "",
        cells,
        summarize,
        lambda seed: quick(),
        lambda benchmark, name, cell, held_out: run_cell(name, held_out),
        threads=2,
    )


if __name__ == "__main__":
    main()
