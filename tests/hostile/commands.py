"""Commands that write files, with data and models that they take."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lowerbound.cli import main

QUICK = ("--no-report", "--test", "0", "--samples", "2", "--gap-rows", "0", "--threads", "1")
MLP = ("--network", "mlp", "--set", "network.hidden=[4]", "--latent-dim", "2")
EXACT = (*MLP, "--set", "network.activation=relu", "--likelihood", "discretized_logistic")
SPREAD = ("--set", "objective.beta=0.01", "--learning-rate", "0.02")  # latents that tell rows apart
OFTEN = ("--checkpoint-seconds", "0")

COMMANDS: dict[str, tuple[list[str], str]] = {
    "sample": (["sample", "1.lb", "-n", "9", "-o", "out.npz"], "out.npz"),
    "sample to csv": (["sample", "1.lb", "-n", "9", "-o", "out.csv"], "out.csv"),
    "impute": (["impute", "1.lb", "gaps.csv", "-o", "out.csv"], "out.csv"),
    "compress": (["compress", "0.lb", "x.npz", "-o", "out.lbz"], "out.lbz"),
    "encode": (["encode", "1.lb", "gaps.csv", "-o", "out.parquet"], "out.parquet"),
}
"""Words of a command, and the file that it writes."""

FIT = ["fit", "gaps.csv", "-o", "m.lb", *QUICK, *MLP, *OFTEN]
PRIOR = ["prior", "2.lb", "gaps.csv", "--kind", "mixture", "--no-report", *OFTEN]
PRIOR += ["--set", "components=3"]


def prepare(folder: Path) -> None:
    """Write pictures, a table with gaps, and models of them: 0.lb, 1.lb and 2.lb."""
    x = np.random.default_rng(0).integers(0, 5, (24, 3, 3)).astype(np.uint8)
    np.savez(folder / "x.npz", x=x)
    gaps = np.random.default_rng(1).normal(size=(30, 3))
    gaps[::4, 1] = np.nan
    rows = "".join(",".join("" if np.isnan(v) else f"{v:.3f}" for v in row) + "\n" for row in gaps)
    (folder / "gaps.csv").write_text("a,b,c\n" + rows)
    fits = (
        ("x.npz", ("--updates", "4", *EXACT)),
        ("gaps.csv", ("--updates", "4", *MLP)),
        ("gaps.csv", ("--updates", "150", *SPREAD, *MLP)),
    )
    for number, (name, words) in enumerate(fits):
        output = str(folder / f"{number}.lb")
        assert main(["fit", str(folder / name), "-o", output, *QUICK, *words]) == 0
