"""Faces: drawn faces with known attributes, morphed into each other and changed by an attribute.

The data are ten thousand drawn faces (python_avatars 1.4.1, drawings by Pablo Stanley) of 64 by 64
pixels, here 32 by 32, with the ten attributes of each: its accessory, its beard, the color of its
hair and so on. The model does not see the attributes.

1. A path between the codes of two unseen faces decodes to faces that change from one to the other.
   A cross-fade of the pictures shows two faces at once. Where shapes differ much, as a hat and a
   bun do, the middle of the path shows traces of both too.
2. A direction of latent space adds an attribute to an unseen face. It is the difference between the
   mean codes of training faces with the attribute and without it. A classifier of real faces says
   how many of the changed faces have the attribute then.

    python examples/13_faces.py [--quick]

Needs the file avatars64.npz in the folder that LOWERBOUND_DATA names.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from _figures import quick, save, show_colors
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from lowerbound import VAE
from lowerbound.applications.common.drawings import write_animation
from lowerbound.applications.generation.attribute_vectors import attribute
from lowerbound.applications.generation.paths import PATHS, path_context
from lowerbound.errors import DataError
from lowerbound.inference.decoding import decode_codes

FILE = "avatars64.npz"
STEPS, STOPS = 7, 4
STRENGTHS = (0.0, 0.75, 1.5)
ATTRIBUTES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "sunglasses": ("accessory", ("sunglasses", "sunglasses_2", "wayfarers", "kurt")),
    "red hair": ("hair_color", ("red", "auburn")),
    "beard": ("facial_hair", ("beard_light", "beard_magestic", "beard_medium", "wick_beard")),
    "black clothes": ("clothing_color", ("black",)),
}
"""Names of attributes: a factor of the data, and those of its values that count."""


@dataclass(frozen=True)
class Faces:
    """Pictures, (rows, 32, 32, 3), 8 bits, and which of them have each attribute."""

    x: np.ndarray
    has: Mapping[str, np.ndarray]


def faces(part: str, rows: int) -> Faces:
    """The first faces of the part "train" or "test"."""
    path = Path(os.environ.get("LOWERBOUND_DATA", ".")) / FILE
    if not path.exists():
        raise DataError(f"the data set {FILE} is missing: put it into the folder LOWERBOUND_DATA")
    with np.load(path) as data:
        pixels = data[f"x_{part}"][:rows].reshape(-1, 32, 2, 32, 2, 3).mean((2, 4))
        factors, names = data[f"factors_{part}"][:rows], list(data["factor_names"])
        has = {
            attribute: np.isin(data[f"names_{factor}"][factors[:, names.index(factor)]], values)
            for attribute, (factor, values) in ATTRIBUTES.items()
        }
    return Faces(np.rint(pixels).astype(np.uint8), has)


def decoded(model: VAE, z: torch.Tensor) -> np.ndarray:
    """Means of p(x | z), (rows, 32, 32, 3), from 0 to 255."""
    return 255 * np.moveaxis(decode_codes(model.model_, z).mean.numpy(), 1, -1)


def walks(model: VAE, codes: torch.Tensor) -> np.ndarray:
    """Decoded pictures from stop to stop along arcs, one line for each pair of stops."""
    around = path_context(model.model_)
    ways = [PATHS["slerp"](a, b, around).points(STEPS) for a, b in pairwise(codes[:STOPS])]
    return decoded(model, torch.cat(ways))


def fade(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """A cross-fade from one picture to another."""
    return np.stack([(1 - t) * first + t * last for t in np.linspace(0, 1, STEPS)])


def with_attributes(
    model: VAE, codes: torch.Tensor, train: Faces, test: Faces, test_codes: torch.Tensor
) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """(pictures of unseen faces as an attribute grows; the share of faces that have it, by a
    classifier of real faces, beside its accuracy)."""
    pictures, shares = {}, {}
    for name, has in train.has.items():
        direction = attribute(name, codes, torch.from_numpy(has))
        judge = make_pipeline(PCA(100, random_state=0), LogisticRegression(max_iter=1000))
        judge.fit(flat(train.x), has)
        lacking = test_codes[~torch.from_numpy(test.has[name])]
        grown = [decoded(model, direction.added(lacking, s)) for s in STRENGTHS]
        pictures[name] = np.stack([each[:STOPS] for each in grown])
        accuracy = judge.score(flat(test.x), test.has[name])
        shares[name] = [accuracy, *(float(judge.predict(flat(each)).mean()) for each in grown)]
    return pictures, shares


def flat(pictures: np.ndarray) -> np.ndarray:
    """Pictures as rows of numbers from 0 to 1."""
    return pictures.reshape(len(pictures), -1) / 255


def film(model: VAE, codes: torch.Tensor) -> None:
    """Write a film through all stops and back to the first."""
    from PIL import Image

    around = path_context(model.model_)
    stops = codes[[*range(STOPS), 0]]
    z = torch.cat([PATHS["slerp"](a, b, around).points(13)[:-1] for a, b in pairwise(stops)])
    pictures = decoded(model, z).clip(0, 255).astype(np.uint8)
    frames = [Image.fromarray(p).resize((96, 96), Image.Resampling.BICUBIC) for p in pictures]
    colors = [f.quantize(48, dither=Image.Dither.NONE) for f in frames]  # a small file
    frames = [frame.convert("RGB") for frame in colors]
    write_animation(Path("faces.gif"), frames, per_second=12)
    print("picture: faces.gif")


def draw(walked: np.ndarray, faded: np.ndarray, grown: Mapping[str, np.ndarray]) -> None:
    figure = plt.figure(figsize=(7, 6.0), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(4.6, 2.6))[:, 0]
    title = "Codes, from face to face; last line: a cross-fade"
    show_colors(above.subplots(), np.concatenate([walked, faded]), STEPS, title)
    below.suptitle("An attribute added to unseen faces, strength 0 to 1.5 from above", fontsize=10)
    for axes, (name, pictures) in zip(below.subplots(1, len(grown)), grown.items(), strict=True):
        show_colors(axes, pictures.reshape(-1, *pictures.shape[2:]), STOPS, f"+ {name}")
    save(figure, "faces.png", colors=112)


def main() -> None:
    warnings.simplefilter("ignore", UserWarning)
    short = quick(__doc__)
    train, test = (faces(*part) for part in (("train", 500 if short else 8000), ("test", 500)))
    model = VAE(
        likelihood_options={"scale": "global"},
        epochs=1 if short else 25,
        batch_size=32,
        validation=0,  # the unseen faces are the test part
        random_state=0,
    )
    model.fit(train.x)
    codes, unseen = (torch.from_numpy(model.transform(each.x)).double() for each in (train, test))
    grown, shares = with_attributes(model, codes, train, test, unseen)
    draw(walks(model, unseen), fade(test.x[0], test.x[1]), grown)
    film(model, unseen)
    print("Share of unseen faces that have an attribute, by a classifier of real faces")
    strengths = "".join(f"{strength:6.2f}" for strength in STRENGTHS)
    print(f"  strength     {strengths}   accuracy of the classifier")
    for name, (accuracy, *each) in shares.items():
        print(f"  {name:13}" + "".join(f"{share:6.2f}" for share in each) + f"   {accuracy:.2f}")


if __name__ == "__main__":
    main()
