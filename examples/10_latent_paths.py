"""Paths through latent space: from one digit to another, and directions that make an eight.

A model that encodes and decodes allows latent arithmetic: encode two rows, take points on a path
between their codes, and decode them. An autoencoder and a VAE with the same network are compared on
three questions, on digits that neither was trained on:

1. Is the middle of a path a digit? A classifier of real digits gives the share of middles that it
   accepts. In an autoencoder, the gaps between the classes decode to arbitrary pictures. In a VAE,
   the rate closes the gaps.
2. Which path is best? The candidates are the straight line (lerp), the arc about the prior's mean
   (slerp), which keeps the distance of its ends from that mean, the line scaled to that distance
   (norm), and the geodesic, along which the decoded picture changes least. Middles of lines lie
   nearer to the center than their ends and look like an average. The arc is longer for the decoder,
   but better here. The geodesic minimizes every change of grey, so it is nearest to a cross-fade.
3. Which direction turns a three into an eight? Either the difference of the classes' mean codes, or
   the normal of the plane that separates them, each as long as the distance between the classes. Or
   the sum of two vectors that each separate one class from the rest. The classifier measures how
   much the probability of the target rises, and how much those of the other digits change.

    python examples/10_latent_paths.py [--quick]
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from _figures import quick, save, show_sheet

from lowerbound import VAE, Autoencoder
from lowerbound.applications.common.drawings import write_animation
from lowerbound.applications.generation.attribute_vectors import (
    Attribute,
    attribute,
    class_attribute,
    combined,
    measure_effects,
)
from lowerbound.applications.generation.paths import PATHS, PathFigures, compare_paths, path_context
from lowerbound.data import Dataset, load
from lowerbound.evaluation.samples.acceptance import (
    Acceptance,
    RealismClassifier,
    fit_realism_classifier,
)
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.decoding import decode_codes
from lowerbound.inference.estimate import Estimate
from lowerbound.models import Model

LATENT = 8
STEPS = 9
STRENGTHS = (0.5, 1.0, 1.5)


def path_quality(
    name: str,
    model: Model,
    train: Dataset,
    test: Dataset,
    judge: RealismClassifier,
    pairs: int,
) -> dict[str, PathFigures]:
    """Print the figures of each kind of path over random pairs of unseen digits."""
    around = path_context(model, encode_rows(model, train).mean)
    codes = encode_rows(model, test).mean
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(0))
    first, last = codes[order[:pairs]], codes[order[pairs : 2 * pairs]]
    found = compare_paths(model, first, last, around, judge=judge)
    print(f"{name}: {pairs} pairs of unseen digits")
    for kind, figures in found.items():
        line, share = figures.straightness, accepted(figures).scaled(100)
        print(
            f"  {kind:8}: line / path {line.mean:.3f} ± {line.standard_error:.3f}, "
            f"{share.mean:.0f} ± {share.standard_error:.0f} % of the middles accepted"
        )
    return found


def accepted(figures: PathFigures) -> Estimate:
    """The share of the middles that the classifier accepts."""
    assert isinstance(figures.middles, Acceptance)
    return figures.middles.rate


def rows_of(digits: Dataset, digit: int) -> torch.Tensor:
    """Numbers of the rows that show a digit."""
    assert digits.label is not None
    return torch.nonzero(digits.label == digit)[:, 0]


def walk(model: Model, train: Dataset, test: Dataset, kind: str) -> np.ndarray:
    """Decoded pictures along the path from the first unseen zero to the first unseen seven."""
    around = path_context(model, encode_rows(model, train).mean)
    ends = [int(rows_of(test, digit)[0]) for digit in (0, 7)]
    a, b = encode_rows(model, test.subset(ends)).mean
    means = decode_codes(model, PATHS[kind](a, b, around).points(STEPS)).mean
    return train.schema.decode(means, rounded=False)


def morph(model: Model, train: Dataset, test: Dataset) -> None:
    """Write a film through the first unseen row of each digit, along arcs, and back to the zero."""
    from PIL import Image

    around = path_context(model)
    stops = [int(rows_of(test, digit)[0]) for digit in (*range(10), 0)]
    codes = encode_rows(model, test.subset(stops)).mean
    z = torch.cat([PATHS["slerp"](a, b, around).points(6)[:-1] for a, b in pairwise(codes)])
    ink = 255 - train.schema.decode(decode_codes(model, z).mean, rounded=False) * (255 / 16)
    frames = [Image.fromarray(picture.clip(0, 255).astype(np.uint8)) for picture in ink]
    large = [frame.resize((96, 96), Image.Resampling.BICUBIC) for frame in frames]
    large = [frame.point(lambda grey: grey // 16 * 17) for frame in large]  # a small file
    write_animation(Path("latent_paths.gif"), large, per_second=10)
    print("picture: latent_paths.gif")


def directions(model: Model, train: Dataset) -> dict[str, Attribute]:
    """Directions that turn a three into an eight."""
    codes, label, names = encode_rows(model, train).mean, train.label, train.schema.class_names
    assert label is not None
    rows = (label == 3) | (label == 8)
    parts = {name: class_attribute(name, codes, label, names) for name in ("8", "3")}
    return {
        "mean of 8 - mean of 3": attribute("8", codes[rows], label[rows] == 8),
        "normal between 8 and 3": attribute("8", codes[rows], label[rows] == 8, "logistic"),
        "+8 -3, each against the rest": combined({"8": 1.0, "3": -1.0}, parts),
    }


def effects(
    model: Model,
    found: dict[str, Attribute],
    threes: torch.Tensor,
    judge: RealismClassifier,
) -> None:
    """Print the effect of each direction on unseen threes."""
    print(f"Turning {len(threes)} unseen threes into eights; strength 1 is the class distance")
    for name, direction in found.items():
        print(f"  {name}")
        for effect in measure_effects(model, threes, direction, STRENGTHS, judge, {8: 1, 3: -1}):
            assert effect.target is not None
            assert effect.off_target is not None
            print(
                f"    strength {effect.strength}: target {effect.target.mean:+.2f}, "
                f"other digits change by {effect.off_target.mean:.3f}"
            )


def strip(model: Model, direction: Attribute, threes: torch.Tensor, train: Dataset) -> np.ndarray:
    """Threes and their edited versions, one three per line."""
    steps = np.linspace(0, 1.5, STEPS)
    z = torch.cat([direction.added(threes[i : i + 1], s) for i in range(4) for s in steps])
    return train.schema.decode(decode_codes(model, z).mean, rounded=False)


def draw(
    models: dict[str, Model],
    found: dict[str, dict[str, PathFigures]],
    edited: np.ndarray,
    train: Dataset,
    test: Dataset,
) -> None:
    figure = plt.figure(figsize=(9, 3.9))
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.45, 1))[0]
    lines = [("autoencoder", "lerp"), *(("VAE", kind) for kind in PATHS)]
    pictures = np.concatenate([walk(models[name], train, test, kind) for name, kind in lines])
    axes = left.subplots()
    show_sheet(axes, pictures, STEPS, "From an unseen zero to an unseen seven")
    for line, (name, kind) in enumerate(lines):
        axes.text(-2, 9 * line + 3.5, f"{name}\n{kind}", ha="right", va="center")
    above, below = right.subplots(2, 1, height_ratios=(1, 1))
    place = np.arange(len(PATHS))
    for offset, (name, figures) in zip((-0.2, 0.2), found.items(), strict=True):
        shares = [accepted(one).scaled(100) for one in figures.values()]
        heights = [share.mean for share in shares]
        errors = [share.standard_error for share in shares]
        above.bar(place + offset, heights, 0.38, yerr=errors, label=name)
    above.set(xticks=place, xticklabels=list(PATHS), ylim=(0, 109), ylabel="% accepted")
    above.set_title("What lies in the middle")
    above.legend(loc="upper center", ncols=2)
    show_sheet(below, edited, STEPS, "VAE: threes, strength 0 to 1.5 toward eight")
    save(figure, "latent_paths.png")


def main() -> None:
    warnings.simplefilter("ignore", UserWarning)
    short = quick(__doc__)
    train, test = load("digits").split(0.2, seed=0)
    x = train.schema.decode(train.all().filled)
    judge = fit_realism_classifier(train, test)
    assert isinstance(judge, RealismClassifier)
    options: dict[str, Any] = {
        "data_options": {"levels": 17},
        "random_state": 0,
        "latent_dim": LATENT,
    }
    options |= {"epochs": 20 if short else 200}
    models = {
        "autoencoder": Autoencoder(**options).fit(x).model_,
        "VAE": VAE(**options).fit(x).model_,
    }
    pairs = 15 if short else 150
    found = {
        name: path_quality(name, one, train, test, judge, pairs) for name, one in models.items()
    }
    directed = directions(models["VAE"], train)
    threes = encode_rows(models["VAE"], test.subset(rows_of(test, 3))).mean
    effects(models["VAE"], directed, threes, judge)
    edited = strip(models["VAE"], directed["mean of 8 - mean of 3"], threes, train)
    draw(models, found, edited, train, test)
    morph(models["VAE"], train, test)


if __name__ == "__main__":
    main()
