"""Faces: morphing one into another, and moving the light from one side to the other.

The data are a hundred photographs of 25 by 25 grey pixels (Labeled Faces in the Wild, Huang et al.
2007, the subset that scikit-image contains) and their mirror images. These are few rows, so the
network memorizes them, but they show two effects:

1. A path between the codes of two photographs decodes to faces that change from one to the other. A
   cross-fade of the photographs shows two faces at once.
2. A direction of latent space moves the light and keeps the person. It is learned only from which
   faces are lit from the left and which from the right.

    python examples/13_faces.py [--quick]

Needs scikit-image: pip install scikit-image
"""

from __future__ import annotations

import sys
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from _figures import plt, quick, save, show_sheet

from lowerbound import VAE
from lowerbound.applications.io.drawings.animations import write_animation
from lowerbound.evaluation.latents.path_figures import path_context
from lowerbound.inference.latent_space.attributes import Attribute, attribute
from lowerbound.inference.latent_space.paths import PATHS
from lowerbound.inference.samples import decode_codes

try:
    from skimage.data import lfw_subset
except ImportError:
    sys.exit("these photographs come with scikit-image: pip install scikit-image")

FACES, STEPS, STOPS = 100, 9, (46, 52, 23, 91)
STRENGTHS = np.linspace(-1, 1, STEPS)


def photographs() -> np.ndarray:
    """The faces of the subset, (100, 25, 25), 8-bit grey."""
    return np.rint(255 * lfw_subset()[:FACES]).astype(np.uint8)


def light(faces: np.ndarray) -> np.ndarray:
    """How much brighter the left half is than the right half, in grey levels, one per face."""
    half = faces.shape[2] // 2
    return faces[:, :, :half].mean((1, 2)) - faces[:, :, -half:].mean((1, 2))


def decoded(model: VAE, z: torch.Tensor) -> np.ndarray:
    """Means of p(x | z) in grey levels, from model units of 0 to 1."""
    return 255 * decode_codes(model.model_, z).mean[:, 0].numpy()


def walks(model: VAE, codes: torch.Tensor) -> np.ndarray:
    """Decoded pictures from stop to stop along arcs, one line for each pair of stops."""
    around = path_context(model.model_)
    ways = [PATHS["slerp"](a, b, around).points(STEPS) for a, b in pairwise(codes[list(STOPS)])]
    return decoded(model, torch.cat(ways))


def fades(faces: np.ndarray) -> np.ndarray:
    """A cross-fade from the first stop to the second."""
    first, second = faces[STOPS[0]].astype(float), faces[STOPS[1]].astype(float)
    return np.stack([(1 - t) * first + t * second for t in np.linspace(0, 1, STEPS)])


def moved_light(model: VAE, codes: torch.Tensor, direction: Attribute) -> np.ndarray:
    """The stops with the light moved from right to left, one line for each stop."""
    z = torch.cat([direction.added(codes[i : i + 1], s) for i in STOPS for s in STRENGTHS])
    return decoded(model, z)


def film(model: VAE, codes: torch.Tensor) -> None:
    """Write a film through all stops and back to the first."""
    from PIL import Image

    around = path_context(model.model_)
    stops = codes[[*STOPS, STOPS[0]]]
    z = torch.cat([PATHS["slerp"](a, b, around).points(13)[:-1] for a, b in pairwise(stops)])
    pictures = decoded(model, z).clip(0, 255).astype(np.uint8)
    frames = [Image.fromarray(p).resize((100, 100), Image.Resampling.BICUBIC) for p in pictures]
    frames = [frame.point(lambda grey: grey // 8 * 8) for frame in frames]  # a small file
    write_animation(Path("faces.gif"), frames, per_second=12)
    print("picture: faces.gif")


def draw(walked: np.ndarray, faded: np.ndarray, lit: np.ndarray) -> None:
    figure = plt.figure(figsize=(9, 2.7), layout="constrained")
    left, right = figure.subplots(1, 2)
    sheet = np.concatenate([walked, faded])
    show_sheet(
        left, 255 - sheet, STEPS, "Codes, from face to face; last line: a cross-fade", top=255
    )
    show_sheet(right, 255 - lit, STEPS, "Light from the right, and from the left", top=255)
    save(figure, "faces.png")


def main() -> None:
    warnings.simplefilter("ignore", UserWarning)
    short = quick(__doc__)
    faces = photographs()
    model = VAE(
        latent_dim=24,
        network="mlp",
        likelihood="discretized_logistic",
        likelihood_options={"scale": "global"},
        epochs=20 if short else 150,
        batch_size=32,
        validation=0,  # there are too few faces to hold some out
        random_state=0,
    )
    model.fit(np.concatenate([faces, faces[:, :, ::-1]]))  # a mirrored face is a face
    codes = torch.from_numpy(model.transform(faces)).double()
    from_left = torch.from_numpy(light(faces) > 0)
    direction = attribute("light from the left", codes, from_left)
    lit = moved_light(model, codes, direction)
    draw(walks(model, codes), fades(faces), lit)
    film(model, codes)
    by_strength = light(lit).reshape(len(STOPS), STEPS).mean(0)
    print(f"{len(faces)} faces, {int(from_left.sum())} of them brighter on the left")
    print("Light from the left, grey levels left minus right, mean of four faces")
    for strength, grey in list(zip(STRENGTHS, by_strength, strict=True))[::2]:
        print(f"  strength {strength:+.2f}: {grey:+.1f}")


if __name__ == "__main__":
    main()
