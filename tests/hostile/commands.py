"""Commands that write files, with data and models that they take."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lowerbound.applications import load
from lowerbound.applications.common.form import entries
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


# any command, on any model ------------------------------------------------------------------------

EXTRA: dict[str, tuple[str, ...]] = {
    "attributes": ("--frames", "2", "--rows", "3,4"),
    "denoise": ("--noise", "0.5", "--chains", "2", "--temperatures", "3"),
    "design": ("--objective", "values"),
    "fit": ("--updates", "2", "--no-report", "--samples", "2", "--gap-rows", "0"),
    "evaluate": (
        *("--samples", "2", "--rows", "0", "--gap-rows", "0", "--agreement-rows", "0"),
        *("--part", "all"),
    ),
    "interpolate": ("--frames", "3"),
    "mix": ("--coarse", "0,1", "--fine", "2,3"),
    "prior": ("--no-report", "--updates", "2", "--kind", "mixture"),
    "redraw": ("--strength", "0.5"),
    "refiner": ("--no-report", "--updates", "2", "--set", "width=8", "--set", "steps=2"),
    "sample": ("-n", "4"),
    "synthesize": ("-n", "4"),
    "control evaluate": ("--episodes", "1"),
    "control video": ("--frames", "2", "--context", "2"),
}
"""Words that a command needs, or that make it quick."""

OUTPUTS = {
    "classify": "out.csv",
    "compress": "out.lbz",
    "control compare": "out.png",
    "control encode": "out.npz",
    "control video": "out.gif",
    "detect": "out.csv",
    "predict": "out.csv",
    "synthesize": "out.csv",
}
"""Files that commands write where they differ from the data."""

KEEPS_FOLDER = ("compare", "evaluate", "prior", "refiner", "export")
"""Commands whose output is a page, or the model folder itself."""

FOLDERS = ("MODEL", "FOLDER", "AGENT")
"""What a folder that somebody else may have made is called."""


def words_of(command: str, data: Path, out: Path, **folders: Path) -> list[str]:
    """A command with all that it requires.

    Args:
        command: its name.
        data: rows, where it takes any.
        out: where it writes.
        folders: for options and arguments that name one, by the name of the request's field.
    """
    form = entries(load(command).request)
    values = {"ENV": "lowerbound/GridCatch-v0", "SUM": "0 + 1 - 2", "CODES": str(out / "z.npz")}
    words = command.split()
    for entry in form:
        if entry.positional and entry.name in folders:
            words.append(str(folders[entry.name]))
        elif entry.positional and (entry.required or entry.called in ("DATA", "FILE")):
            words.append(values.get(entry.called, str(data)))
    for entry in form:
        if not entry.positional and entry.name in folders:
            words += [entry.flag, str(folders[entry.name])]
        elif entry.short == "-o" and command not in KEEPS_FOLDER:
            words += ["-o", str(out / OUTPUTS.get(command, f"out{data.suffix}"))]
        elif entry.required and not entry.positional and entry.flag not in EXTRA.get(command, ()):
            words += [entry.flag, str(out / entry.name)]
    return [*words, *EXTRA.get(command, ())]


def folder_fields(command: str) -> list[str]:
    """The fields of a command that name a folder which somebody else may have made."""
    form = entries(load(command).request)
    called = {entry.name: entry.called if entry.positional else entry.metavar for entry in form}
    return [name for name in called if called[name] in FOLDERS]
