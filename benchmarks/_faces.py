"""Drawn faces with attributes, a classifier of these, and what it finds in faces."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from _cells import data_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lowerbound.data import Dataset, load
from lowerbound.data.prompts import prompts_of_factors
from lowerbound.distributions.reparameterization import seeded
from lowerbound.evaluation.samples.distances import frechet_distance

FILE = "avatars64.npz"
JUDGED = ("mouth", "accessory", "hair_color", "facial_hair", "skin_color")
EDITS = {"add smile": {"mouth": "smile"}, "take off glasses": {"accessory": "none"}}
EDITS["both"] = EDITS["add smile"] | EDITS["take off glasses"]
HELD_OUT = 2_000  # training faces that --held-out scores
SEED = 0


def source() -> Path:
    return data_file(FILE)


@cache
def parts(held_out: bool) -> tuple[Dataset, Dataset]:
    """Training faces, and the faces to score, both with the prompts of their attributes."""
    training = load(source(), split="train")
    training = prompts_of_factors(training).on(training)
    if held_out:
        return training.split(HELD_OUT / len(training), seed=99)
    scored = load(source(), split="test", schema=training.schema)
    return training, prompts_of_factors(scored).on(scored)


def plain(dataset: Dataset) -> Dataset:
    """The rows without prompts, for a model whose prior takes none."""
    return replace(dataset, prompt=None)


def values(dataset: Dataset, name: str) -> tuple[str, ...]:
    return tuple(dataset.vocabulary.fields[name])


def codes(dataset: Dataset) -> Tensor:
    """The five judged attributes of each row, (rows, 5)."""
    assert dataset.prompt is not None
    names = list(dataset.vocabulary.fields)
    return dataset.prompt[:, [names.index(name) for name in JUDGED]]


class Judge(nn.Module):
    """Faces in model units, (rows, 3, 64, 64), to scores of each value of each attribute."""

    def __init__(self, sizes: list[int], width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, channels in enumerate((width, 2 * width, 4 * width, 4 * width)):
            before = 3 if not index else (width, 2 * width, 4 * width)[index - 1]
            layers += [nn.Conv2d(before, channels, 3, 2, 1), nn.BatchNorm2d(channels), nn.ReLU()]
        side = 4
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * width * side**2, 128))
        self.heads = nn.ModuleList(nn.Linear(128, size) for size in sizes)

    def forward(self, x: Tensor) -> list[Tensor]:
        features = self.body(x).relu()
        return [head(features) for head in self.heads]

    @torch.no_grad()
    def answers(self, x: Tensor) -> Tensor:
        """The likeliest value of each attribute, (rows, 5)."""
        parts = [torch.stack([one.argmax(1) for one in self(rows)], 1) for rows in x.split(256)]
        return torch.cat(parts)

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """(rows, 128), float64, for distances."""
        return torch.cat([self.body(rows) for rows in x.split(256)]).double()


def judge_of(training: Dataset, passes: int, folder: Path) -> Judge:
    """The classifier; trained once by so many passes, then read."""
    with seeded(SEED):
        judge = Judge([len(values(training, name)) for name in JUDGED])
        place = folder / "judge.pt"
        if place.exists():
            judge.load_state_dict(torch.load(place, weights_only=True))
            return judge.eval()
        torch.set_flush_denormal(True)  # moments of weights without gradient slow Adam down
        truth = codes(training)
        updates = passes * len(training) // 64
        optimizer = torch.optim.AdamW(judge.parameters(), 2e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, max(updates, 2))
        for _ in range(updates):
            rows = torch.randint(len(training), (64,))
            found = judge(training.batch(rows).filled)
            loss = sum(
                (cross_entropy(one, truth[rows, i]) for i, one in enumerate(found)),
                start=torch.zeros(()),
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(judge.state_dict(), place)
    return judge.eval()


def accuracy(judge: Judge, rows: Dataset) -> dict[str, float]:
    """Of each attribute, on real faces."""
    right = judge.answers(rows.all().filled) == codes(rows)
    return dict(zip(JUDGED, right.double().mean(0).tolist(), strict=True))


def distance(judge: Judge, real: Dataset, rows: Tensor) -> dict[str, float]:
    """Frechet's, on the features of the classifier."""
    theirs = judge.features(real.all().filled[: len(rows)])
    if min(len(theirs), len(rows)) < 2 * theirs.shape[1]:  # too few for a covariance
        return {"frechet": math.nan, "frechet_error": math.nan}
    found = frechet_distance(theirs, judge.features(rows), seed=SEED)
    return {"frechet": found.mean, "frechet_error": found.standard_error or 0.0}


def wanted(real: Dataset, faces: int) -> Tensor:
    """The judged attributes of real faces with about half of them unknown, (faces, 5)."""
    generator = torch.Generator().manual_seed(SEED)
    truth = codes(real)[torch.arange(faces) % len(real)].clone()
    hide = torch.rand(truth.shape, generator=generator) < 0.5
    none = hide.all(1)
    hide[none, torch.randint(5, (int(none.sum()),), generator=generator)] = False
    return truth.masked_fill(hide, -1)


def obeyed(judge: Judge, drawn: Tensor, asked: Tensor, real: Dataset) -> dict[str, Any]:
    """How often each named attribute is found, and how far the unnamed ones stray from the data."""
    found, usual = judge.answers(drawn), judge.answers(real.all().filled)
    named, strays = {}, {}
    for i, name in enumerate(JUDGED):
        known, size = asked[:, i] >= 0, len(values(real, name))
        named[name] = float((found[known, i] == asked[known, i]).double().mean())
        answers = (found[~known, i], usual[:, i])
        shares = [torch.bincount(one, minlength=size) / max(len(one), 1) for one in answers]
        strays[name] = float((shares[0] - shares[1]).abs().sum() / 2)
    return {"named": named, "total_variation": strays}


def edit_measures(
    judge: Judge, real: Dataset, most: int, change: Callable[[Dataset, dict[str, str]], Any]
) -> dict[str, Any]:
    """Of each edit, the share of rows that get the target and the share of others that change.

    A hat or a bald head hides attributes, and the classifier then guesses. ``others_seen`` counts
    only rows of which it reads the attribute rightly.

    Args:
        judge: the classifier.
        real: faces to edit, all of which lack the target.
        most: faces of an edit.
        change: makes reconstructions and edited faces.
    """
    answers = {}
    for title, target in EDITS.items():
        truth = codes(real)
        want = {JUDGED.index(n): values(real, n).index(v) for n, v in target.items()}
        lacking = torch.stack([truth[:, i] != v for i, v in want.items()]).all(0)
        rows = real.subset(torch.nonzero(lacking).flatten()[:most])
        before, after = (judge.answers(x) for x in change(rows, target))
        hit = torch.stack([after[:, i] == v for i, v in want.items()]).double().mean(1)
        others = [i for i in range(len(JUDGED)) if i not in want]
        names, off = [JUDGED[i] for i in others], (before != after)[:, others].double()
        seen = (judge.answers(rows.all().filled) == codes(rows))[:, others].double()
        seen_off = (off * seen).sum(0) / seen.sum(0).clamp(min=1.0)
        answers[title] = {
            "rows": len(rows),
            "target": float(hit.min()),
            "others": dict(zip(names, off.mean(0).tolist(), strict=True)),
            "others_seen": dict(zip(names, seen_off.tolist(), strict=True)),
        }
    return answers
