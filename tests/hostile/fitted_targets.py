"""Folders of fitted models of every kind, and what stands beside rows: columns, prompts, cells."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.applications.common.application import Silent, load
from lowerbound.fitting.manifest import AGENT, BESIDE, METRICS, WEIGHTS
from tests.fixtures.answers import call
from tests.fixtures.cases import FOLDER
from tests.hostile import targets
from tests.hostile.containers import one_of
from tests.hostile.mutations import changed_bytes, changed_cells, changed_text
from tests.hostile.targets import MODELS, SIGNED, Generator, Reader, sign, target

PEOPLE, GAPS = FOLDER / "data" / "people.csv", FOLDER / "data" / "gaps.csv"
ROWS = 12  # of new data
LINES = (METRICS, AGENT)
SMALL = ("network.hidden=[8]", "model.memory=8", "model.width=8", "model.groups=2")
RUN = ("agent.prefill=60", "agent.length=8", "agent.batch=4", "imagination.starts=8")
STEPS = ("--steps", "100", "--evaluate-every", "50", "--episodes", "1", "--network", "mlp")


# folders -----------------------------------------------------------------------------------------


@target
def imputer(place: Path, rng: Generator) -> Reader:
    """The folder of an imputer, its trees and intervals, and rows that it fills."""
    from lowerbound import VAEImputer
    from lowerbound.applications.restoration.requests import ImputeRequest

    folder = changed_model(_imputer(), place, rng)
    if rng.random() < 0.3:
        return lambda: VAEImputer.load(folder)
    request = ImputeRequest(str(folder), str(_few(GAPS)), output=str(place / "x.csv"), samples=2)
    return lambda: load("impute")(request, Silent())


@target
def synthesizer(place: Path, rng: Generator) -> Reader:
    """The folder of a synthesizer, and rows of it, some with given cells."""
    from lowerbound import TableSynthesizer
    from lowerbound.applications.release.requests import SynthesizeRequest

    folder = changed_model(_synthesizer(), place, rng)
    if rng.random() < 0.3:
        return lambda: TableSynthesizer.load(folder)
    given = one_of(((), ("smoker=yes",), ("visits=2", "town=town 1")), rng)
    request = SynthesizeRequest(str(folder), output=str(place / "x.csv"), number=5, given=given)
    return lambda: load("synthesize")(request, Silent())


@target
def scored(place: Path, rng: Generator) -> Reader:
    """The folder of a detector, and rows that it scores."""
    from lowerbound.applications.anomaly.requests import DetectRequest

    folder = changed_model(MODELS / "table_detector", place, rng)
    rows, output = str(_few(PEOPLE)), str(place / "x.csv")
    score = one_of(("bound", "bound", "mahalanobis", "latent", "combined"), rng)
    request = DetectRequest(
        str(folder), rows, output=output, calibrate=rows, alpha=0.2, score=score, explain=1
    )
    return lambda: load("detect")(request, Silent())


@target
def prior(place: Path, rng: Generator) -> Reader:
    """The folder of a model with a prior of its latents, and draws from it."""
    from lowerbound.applications.generation.requests import SampleRequest

    intact = one_of(_priors(), rng)
    folder = changed_model(intact, place, rng)
    prompt = one_of(("", "green"), rng) if intact.name == "prompted" else ""
    output = str(place / ("x.npz" if intact.name == "autoregressive" else "x.csv"))
    request = SampleRequest(str(folder), output=output, number=3, prompt=prompt)
    return lambda: load("sample")(request, Silent())


@target
def agent_folder(place: Path, rng: Generator) -> Reader:
    """The folder of an agent: an episode, the states of clips, and a comparison with another."""
    from lowerbound.applications.control.requests import (
        CompareAgentsRequest,
        EncodeClipsRequest,
        EvaluateAgentRequest,
    )

    intact, collected = _agents()
    compared = bool(rng.random() < 0.4)
    folder = changed_model(intact, place, rng, (AGENT,) if compared else ())
    output = str(place / "x.npz")
    compare = CompareAgentsRequest((f"a={intact}", f"b={folder}"))
    if compared:
        return lambda: load("control compare")(compare, Silent())
    name, request = one_of(
        (
            ("control evaluate", EvaluateAgentRequest(str(folder), episodes=1)),
            ("control encode", EncodeClipsRequest(str(folder), str(collected), output=output)),
        ),
        rng,
    )
    return lambda: load(name)(request, Silent())


# beside rows -------------------------------------------------------------------------------------


@target
def columns_file(place: Path, rng: Generator) -> Reader:
    """The kinds of columns, as ``lowerbound schema`` writes them."""
    from lowerbound.data import load as load_rows
    from lowerbound.data.reading_flags import read_hints

    path = place / "columns.json"
    path.write_bytes(changed_text(_kinds(), rng))
    return lambda: load_rows(str(PEOPLE), kinds=read_hints(path))


@target
def prompts(place: Path, rng: Generator) -> Reader:
    """Attributes, captions and phrases beside the rows of a prior."""
    from lowerbound.applications.common.conditions import with_prompts
    from lowerbound.applications.common.form import PromptOptions

    table = "name,hair,age\n" + "".join(f"n{i},{'rg'[i % 2]},{i % 3}\n" for i in range(ROWS))
    said = "".join(f"{('red', 'green')[i % 2]} hair\n" for i in range(ROWS))
    book = {
        "templates": ["a {before} one {after}"],
        "phrases": {"hair": {"r": ["red"], "g": ["b"]}},
    }
    attributes, captions, phrases = place / "a.csv", place / "c.txt", place / "p.json"
    how = int(rng.integers(4))
    attributes.write_bytes(changed_cells(table.encode(), rng) if how < 2 else table.encode())
    captions.write_bytes(changed_bytes(said.encode(), rng))
    phrases.write_bytes(changed_text(book, rng) if how == 2 else json.dumps(book).encode())
    told = "" if how == 0 else str(captions if how == 3 else phrases)
    options = PromptOptions(attributes="" if how == 3 else str(attributes), captions=told)
    return lambda: with_prompts(options, _named_rows())


@target
def new_rows(place: Path, rng: Generator) -> Reader:
    """Rows for a fitted model: filled, scored, encoded, completed or put into classes."""
    path = place / "x.csv"
    task = str(one_of(("impute", "complete", "synthesize", "encode", "detect", "classify"), rng))
    source = {"classify": FOLDER / "data" / "few_labels.csv", "impute": GAPS}.get(task, PEOPLE)
    lines = source.read_bytes().splitlines()[: ROWS + 1]
    path.write_bytes(changed_cells(b"\n".join(lines), rng))
    return _task(task, path, place)


def _task(task: str, path: Path, place: Path) -> Reader:
    from lowerbound.applications.anomaly.requests import DetectRequest
    from lowerbound.applications.generation.requests import EncodeRequest
    from lowerbound.applications.labels.requests import ClassifyRequest
    from lowerbound.applications.release.requests import SynthesizeRequest
    from lowerbound.applications.restoration.requests import ImputeRequest
    from lowerbound.data.tables.files import read_frame

    if task == "complete":
        return lambda: _loaded_synthesizer().complete(read_frame(path))
    folders = {
        "impute": _imputer(),
        "synthesize": _synthesizer(),
        "classify": MODELS / "semi_supervised",
        "encode": MODELS / "table",
        "detect": MODELS / "table_detector",
    }
    folder, data, output = str(folders[task]), str(path), str(place / "y.csv")
    requests: dict[str, Callable[[], Any]] = {
        "impute": lambda: ImputeRequest(folder, data, output=output, samples=2),
        "synthesize": lambda: SynthesizeRequest(folder, output=output, like=data),
        "classify": lambda: ClassifyRequest(folder, data, output=output),
        "encode": lambda: EncodeRequest(folder, data, output=output),
        "detect": lambda: DetectRequest(
            folder, data, output=output, calibrate=str(_few(PEOPLE)), alpha=0.2
        ),
    }
    return lambda: load(task)(requests[task](), Silent(), _read(folder))


# how folders are changed -------------------------------------------------------------------------


def changed_model(intact: Path, place: Path, rng: Generator, names: Sequence[str] = ()) -> Path:
    """A copy of a model folder with a file, one of these or any, changed and signed again."""
    folder = place / "model.lb"
    shutil.copytree(intact, folder, copy_function=os.link)
    there = [name for name in (*SIGNED, *BESIDE, *LINES) if (folder / name).exists()]
    # most checks are those of the schema and of the options
    some = there if rng.random() < 0.6 else SIGNED[:2]
    name = str(one_of(names or some, rng))
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    (folder / name).write_bytes(_changed(name, content, rng))
    if name in SIGNED:
        sign_all(folder, name)
    return folder


def sign_all(folder: Path, name: str) -> None:
    """Sign a file in the manifest; weights also in what stands beside them."""
    manifest = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").write_bytes(manifest)
    before = json.loads(manifest)["sha256"][WEIGHTS]
    sign(folder, name)
    after = json.loads((folder / "manifest.json").read_text())["sha256"][WEIGHTS]
    for beside in BESIDE:
        if name == WEIGHTS and (folder / beside).exists():
            content = (folder / beside).read_bytes().replace(before.encode(), after.encode())
            (folder / beside).unlink()
            (folder / beside).write_bytes(content)


def _changed(name: str, content: bytes, rng: Generator) -> bytes:
    if name.endswith(".safetensors"):
        return (
            targets.changed_numbers(content, rng)
            if rng.random() < 0.4
            else targets.changed_tensors(content, rng)
        )
    if name.endswith(".jsonl"):
        lines = content.splitlines()
        place = int(rng.integers(len(lines)))
        lines[place] = changed_text(json.loads(lines[place]), rng)
        return b"\n".join(lines)
    return changed_text(json.loads(content), rng)


# intact content ----------------------------------------------------------------------------------


@cache
def _root() -> Path:
    """A folder that lives as long as the process."""
    root = Path(tempfile.mkdtemp(prefix="fuzz-fitted"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


@cache
def _few(table: Path) -> Path:
    """The first rows of a table."""
    path = _root() / table.name
    path.write_bytes(b"\n".join(table.read_bytes().splitlines()[: ROWS + 1]))
    return path


@cache
def _imputer() -> Path:
    import pandas as pd

    from lowerbound import VAEImputer

    folder = _root() / "imputer"
    VAEImputer(epochs=2, random_state=0).fit(pd.read_csv(GAPS)).save(folder)
    return folder


@cache
def _synthesizer() -> Path:
    import pandas as pd

    from lowerbound import TableSynthesizer

    folder = _root() / "synthesizer"
    rows = pd.read_csv(PEOPLE)
    made = TableSynthesizer(
        minutes=0.005,
        prior="standard_normal",
        constraints=["visits >= 0"],
        combinations=[("smoker", "color")],
        random_state=0,
    )
    made.fit(rows).save(folder)
    return folder


@cache
def _loaded_synthesizer() -> Any:
    from lowerbound import TableSynthesizer

    return TableSynthesizer.load(_synthesizer(), random_state=0)


@cache
def _priors() -> list[Path]:
    """Models with a trained prior of each kind, and one that reads captions."""
    short = ("--updates", "2", "--no-report")
    small = ("--set", "width=8", "--set", "depth=1")
    captions = _root() / "captions.txt"
    captions.write_text("".join(f"{('red', 'green')[i % 2]} hair\n" for i in range(80)))
    kinds: dict[str, tuple[object, ...]] = {
        "flow": ("table", PEOPLE),
        "mixture": ("table", PEOPLE, "--set", "components=3"),
        "diffusion": ("table", PEOPLE, *small),
        "prompted": ("table", PEOPLE, "--captions", captions, *small),
        "autoregressive": ("codes", FOLDER / "data" / "digits.npz", *small),
    }
    found = []
    for name, (model, data, *words) in kinds.items():
        folder = _root() / name
        shutil.copytree(MODELS / str(model), folder)
        kind = "diffusion" if name == "prompted" else name
        call("prior", folder, data, "--kind", kind, *short, *words)
        found.append(folder)
    return found


@cache
def _agents() -> tuple[Path, Path]:
    """The folder of an agent, and clips of its environment."""
    environment, folder, clips = "lowerbound/GridCatch-v0", _root() / "agent", _root() / "c.npz"
    settings = [word for setting in (*SMALL, *RUN) for word in ("--set", setting)]
    call("control", "train", environment, "-o", folder, *STEPS, *settings)
    call("control", "collect", environment, "-o", clips, "--steps", "30")
    return folder, clips


@cache
def _kinds() -> dict[str, Any]:
    path = _root() / "columns.json"
    call("schema", PEOPLE, "-o", path)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@cache
def _named_rows() -> Any:
    from dataclasses import replace

    from lowerbound.data import load as load_rows

    rows = load_rows(np.random.default_rng(0).normal(size=(ROWS, 3)))
    return replace(rows, ids=tuple(f"n{i}" for i in range(ROWS)))


@cache
def _read(folder: str) -> Any:
    from lowerbound.fitting.folder import read

    return read(folder, "cpu")
