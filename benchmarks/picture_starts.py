"""Short fits of pictures: from principal components, from the average picture, and linear models.

Three models per set, each with a code of the default size and 8-bit pictures, so that all bounds
are of a probability mass:

- started: the default network beside a linear path that starts at principal components (default)
- plain: the same network without the path (``model.linear_start=false``), as rival
- linear: the linear model alone, started at principal components and trained as long, as rival

Each is trained for 50 and for 300 updates with the defaults, and scored on unseen pictures; digits,
garments and X-rays also for 2,400 updates, whose start leaves out weak components. What counts as
weak was first chosen in trials that were scored on the same rows of MNIST and Fashion-MNIST; on
held-out training rows the same limit is best (``picture_start_limit.py``). X-rays chose nothing,
and are trained for 2,400 updates alone.

    python benchmarks/picture_starts.py --list
    python benchmarks/picture_starts.py --set digits    one set
    python benchmarks/picture_starts.py                 all missing cells, then the result
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from _cells import Answer, data_file, spent_minutes
from _pictures import keep
from _record import Metric, arguments, part_of, write
from _rivals import paired
from matplotlib import pyplot as plt

from lowerbound.data import Dataset, load
from lowerbound.data.catalog import file_sha256
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.inference.likelihood import score
from lowerbound.models import Decodes, require
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

NAME = "picture_starts"
ARMS: dict[str, ModelOptions] = {
    "started": ModelOptions(),
    "plain": ModelOptions(model_options={"linear_start": False}),
    "linear": ModelOptions(network="linear"),
}
SETTINGS = {
    "plain": "the same network and training without the linear path",
    "linear": "an affine encoder and decoder, started at principal components and trained as long",
}
SHORT, LONG = (50, 300), (2_400,)  # updates
TEST_ROWS = 1_000
DRAWN = 10  # pictures of the figure, of each arm
FACES, XRAYS = "avatars64.npz", "pneumoniamnist_rebuilt.npz"
FIGURE = "picture_starts.png"
SETS: dict[str, str] = {
    "digits": "digits, 8x8",
    "mnist": "MNIST, 28x28",
    "fashion_mnist": "Fashion-MNIST, 28x28",
    "kodak_tiles": "tiles of photographs, 3x32x32",
    FACES: "drawn faces, 3x64x64",
    XRAYS: "chest X-rays, 28x28",
}
LENGTHS = {
    **dict.fromkeys(("digits", "mnist", "fashion_mnist"), SHORT + LONG),
    **dict.fromkeys(("kodak_tiles", FACES), SHORT),
    XRAYS: LONG,
}


@cache
def rows(name: str) -> tuple[Dataset, Dataset]:
    """Training rows, and at most 1,000 others that are scored."""
    if name == "digits":
        return load(name).split(0.2, seed=99)
    source = data_file(name) if name in (FACES, XRAYS) else name
    training = load(source, split="train")
    return training, load(source, split="test", schema=training.schema).thinned(TEST_ROWS)


def fitted(name: str, arm: str, updates: int) -> Fitted:
    training = TrainingOptions(updates=updates, threads=1, patience=0)
    return fit(rows(name)[0], FitOptions(ARMS[arm], training=training))


def measured(name: str, arm: str, updates: int) -> Answer:
    """Bits per dimension of each scored picture, by the ELBO."""
    found = fitted(name, arm, updates)
    dimension = rows(name)[0].schema.dimension
    nats = score(found.model, rows(name)[1], samples=4, seed=0).elbo.double()
    start = found.history.start
    return {
        "bits": [round(float(value), 4) for value in -nats / (dimension * math.log(2))],
        "start": None if start is None else -start / (dimension * math.log(2)),
    }


def answer(name: str, arm: str, updates: int) -> Answer:
    cell = name.partition(".")[0]
    return part_of(NAME, cell, f"{arm}, {updates}", lambda: measured(name, arm, updates))


def metric(name: str, updates: int) -> Metric:
    ours = answer(name, "started", updates)["bits"]
    rivals = [
        paired(arm, words, ours, answer(name, arm, updates)["bits"], "lower", "picture")
        for arm, words in SETTINGS.items()
    ]
    error = float(np.std(ours, ddof=1)) / math.sqrt(len(ours))
    title = f"{SETS[name]}: bits per dimension after {updates} updates"
    return Metric(title, float(np.mean(ours)), "bits", "lower", error, rivals=rivals)


def figure() -> None:
    """Faces drawn after 300 updates, as means of the decoder, by both starts."""
    canvas, axes = plt.subplots(2, DRAWN, figsize=(DRAWN * 0.9, 2.1))
    for line, arm in zip(axes, ("plain", "started"), strict=True):
        model = require(fitted(FACES, arm, SHORT[-1]).model, Decodes, "draw")
        with torch.no_grad():
            z = torch.randn(1, DRAWN, model.latent_dim, generator=torch.Generator().manual_seed(0))
            drawn = model.decode(z).mean[0].clamp(0, 1)
        for axis, picture in zip(line, drawn, strict=True):
            axis.imshow(picture.permute(1, 2, 0).numpy())
            axis.set_axis_off()
        line[0].set_title("without" if arm == "plain" else "with a linear start", loc="left")
    canvas.tight_layout(pad=0.3)
    keep(canvas, FIGURE)


def summarize() -> None:
    starts = "; ".join(
        f"{SETS[name]} {answer(name, 'started', SHORT[0])['start']:.3f}"
        for name, lengths in LENGTHS.items()
        if SHORT[0] in lengths
    )
    write(
        NAME,
        [metric(name, updates) for name, lengths in LENGTHS.items() for updates in lengths],
        data=[
            {"file": name, "split": "test", "sha256": file_sha256(data_file(name))}
            for name in (FACES, XRAYS)
        ],
        seeds=[0],
        minutes=spent_minutes(NAME),
        notes="Spreads are standard errors over pictures. Before the first update, held-out "
        f"training pictures had, in bits per dimension: {starts}. Minutes are processor time.",
    )


def main() -> None:
    parser = arguments("Short fits of pictures.")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--set", choices=SETS, help="train and score one set, without the result")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.quick:
        found = measured("digits", "started", 5)
        print(f"quick, not quoted: {np.mean(found['bits']):.3f} bits after 5 updates")
    elif chosen.list:
        print("\n".join(SETS))
    else:
        for name in [chosen.set] if chosen.set else SETS:
            for updates in LENGTHS[name]:
                metric(name, updates)
        if not chosen.set:
            figure()
            summarize()


if __name__ == "__main__":
    main()
