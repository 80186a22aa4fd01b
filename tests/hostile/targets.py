"""What a stranger's content reaches: how each kind is made from intact ones, and what reads it.

Content is signed again after it was changed, so that the checks behind the checksums are reached.
"""

from __future__ import annotations

import atexit
import hashlib
import io
import json
import shutil
import tempfile
import wave
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.applications.compression.exported_models import FOLDER as FOLDER_OF_CODECS
from lowerbound.applications.compression.requests import PHOTOGRAPHS
from tests.fixtures.answers import call
from tests.fixtures.cases import FILES, FOLDER
from tests.hostile.mutations import changed_bytes, changed_cells, changed_text

MODELS = FOLDER / "models"
SIGNED = ("config.json", "schema.json", "model.safetensors")
Generator = np.random.Generator
Reader = Callable[[], object]
Target = Callable[[Path, Generator], Reader]
"""Writes one input in an empty folder, and gives what reads it."""

TARGETS: dict[str, Target] = {}


def target(made: Target) -> Target:
    """Register a target by its name."""
    TARGETS[made.__name__] = made
    return made


# model folders -----------------------------------------------------------------------------------


@target
def model_folder(place: Path, rng: Generator) -> Reader:
    """A model folder, one of whose files is changed; mostly its hash is made again."""
    from lowerbound.fitting import folder

    copied = _changed_folder(place, rng, (*SIGNED, "metrics.jsonl", "manifest.json"))
    return lambda: folder.read(copied)


@target
def description(place: Path, rng: Generator) -> Reader:
    """What ``lowerbound info`` prints of such a folder."""
    from lowerbound.applications.common import application as base
    from lowerbound.applications.fit.info import info
    from lowerbound.applications.fit.requests import InfoRequest

    copied = _changed_folder(place, rng, (*SIGNED, "metrics.jsonl", "manifest.json"))
    return lambda: info(InfoRequest(str(copied)), base.Silent()).text()


@target
def detector(place: Path, rng: Generator) -> Reader:
    """The file of a detector."""
    from lowerbound.applications.anomaly.detector_file import read_state

    name = str(rng.choice(("detector", "picture_detector", "table_detector")))
    path = place / "detector.safetensors"
    path.write_bytes(changed_tensors((MODELS / name / path.name).read_bytes(), rng))
    return lambda: read_state(place)


@target
def checkpoint(place: Path, rng: Generator) -> Reader:
    """A checkpoint, whose hash is made again, and the run that it continues."""
    from lowerbound.fitting import FitOptions, fit
    from lowerbound.training import TrainingOptions

    rows, options, state, tensors = _run()
    (place / "checkpoint").mkdir()
    state = dict(state)
    if rng.random() < 0.5:
        tensors = changed_tensors(tensors, rng)
        state["sha256"] = hashlib.sha256(tensors).hexdigest()
        text = json.dumps(state).encode()
    else:
        text = changed_text(state, rng)
    (place / "checkpoint" / str(_run()[2]["tensors"])).write_bytes(tensors)
    (place / "checkpoint" / "state.json").write_bytes(text)
    assert isinstance(options, FitOptions)
    assert isinstance(options.training, TrainingOptions)
    return lambda: fit(rows, options, folder=place, resume=True)


@target
def codec(place: Path, rng: Generator) -> Reader:
    """The exported copy of a model, by which files are decoded."""
    from lowerbound.applications.compression.exported_models import read_exported

    path = _codecs()[int(rng.integers(len(_codecs())))]
    copied = place / path.name
    copied.write_bytes(changed_tensors(path.read_bytes(), rng))
    return lambda: read_exported(copied)


@target
def feature_network(place: Path, rng: Generator) -> Reader:
    """The classifier whose features distances are measured in."""
    from lowerbound.evaluation.samples import feature_network as networks

    weights, described = _feature_network()
    if rng.random() < 0.5:
        weights = changed_tensors(weights, rng)
        text = json.dumps(described).encode()
    else:
        text = changed_text(described, rng)
    (place / networks.WEIGHTS).write_bytes(weights)
    (place / networks.DESCRIPTION).write_bytes(text)
    return lambda: networks.load_feature_network(place)


@target
def private_table(place: Path, rng: Generator) -> Reader:
    """A private model of a table, and rows of it."""
    from lowerbound.applications.release.marginals.model import MarginalModel

    path = place / "private.json"
    path.write_bytes(changed_text(_private_table(), rng))
    return lambda: MarginalModel.load(path).sample(20)


@target
def agent(place: Path, rng: Generator) -> Reader:
    """The records of an agent, and the transitions that it has seen."""
    from lowerbound.applications.control.player import RECORDS, read_records
    from lowerbound.applications.control.replay import FOLDER as FOLDER_OF_REPLAY, EpisodeReplay

    form, transitions, records = _agent()
    (place / FOLDER_OF_REPLAY).mkdir()
    path = place / FOLDER_OF_REPLAY / "part-0.safetensors"
    if rng.random() < 0.5:
        path.write_bytes(changed_tensors(transitions, rng))
        return lambda: EpisodeReplay(form).read(place, 1)
    later = {**records, "steps": 2 * records["steps"]}
    lines = [changed_text(records, rng), json.dumps(later).encode()]
    (place / RECORDS).write_bytes(b"\n".join(lines))
    return lambda: read_records(place)


# compressed files --------------------------------------------------------------------------------


@target
def compressed_header(place: Path, rng: Generator) -> Reader:
    """The header of a compressed file."""
    from lowerbound.applications.compression.container import open_container

    content = _changed_file(_files()[int(rng.integers(len(FILES)))][1], rng)
    return lambda: open_container(content)


@target
def compressed(place: Path, rng: Generator) -> Reader:
    """A compressed file, decoded; mostly its checksums are made again."""
    from lowerbound.applications.compression.codec import CODECS
    from lowerbound.applications.compression.container import open_container

    folder, content = _files()[int(rng.integers(len(FILES)))]
    changed = _changed_file(content, rng)

    def read() -> object:
        file = open_container(changed)
        return CODECS[file.header.kind]().decode(file, folder, None)

    return read


@target
def foreign_autoencoder(place: Path, rng: Generator) -> Reader:
    """An autoencoder in the form of ``diffusers``, which ``lowerbound import`` reads."""
    from lowerbound.applications.interchange import config_file, config_file as weights_file

    described, weights = _foreign_autoencoder()
    text = json.dumps(described).encode()
    if rng.random() < 0.5:
        weights = changed_tensors(weights, rng)
    else:
        text = changed_text(described, rng)
    (place / config_file.CONFIG).write_bytes(text)
    (place / config_file.WEIGHTS).write_bytes(weights)
    return lambda: weights_file.read_weights(place, config_file.read_config(place))


# what users write by hand ------------------------------------------------------------------------


@target
def public_columns(place: Path, rng: Generator) -> Reader:
    """Declarations of public columns."""
    from lowerbound.data.tables.declared import declared_schema
    from lowerbound.training.private.declarations import Declarations

    path = place / "columns.json"
    path.write_bytes(changed_text({"columns": _columns()}, rng))
    return lambda: declared_schema(Declarations.read(path).columns, None)


@target
def phrases(place: Path, rng: Generator) -> Reader:
    """Templates and phrases of captions."""
    from lowerbound.data.vocabulary import TEMPLATES, PhraseBook

    path = place / "phrases.json"
    said = {"mouth": {"smile": ["smiling", "happy"]}, "hair": {"red": ["with red hair"]}}
    path.write_bytes(changed_text({"templates": list(TEMPLATES), "phrases": said}, rng))
    return lambda: PhraseBook.read(path)


# data --------------------------------------------------------------------------------------------


@target
def csv(place: Path, rng: Generator) -> Reader:
    """A table as text."""
    name = str(rng.choice(("people.csv", "gaps.csv", "series.csv", "few_labels.csv")))
    content = (FOLDER / "data" / name).read_bytes()
    if rng.random() < 0.5:
        return _loaded(place / "x.csv", content, rng)
    (place / "x.csv").write_bytes(changed_cells(content, rng))
    return reading(place / "x.csv")


@target
def parquet(place: Path, rng: Generator) -> Reader:
    """A table in columns."""
    return _loaded(place / "x.parquet", _parquet(), rng)


@target
def workbook(place: Path, rng: Generator) -> Reader:
    """A workbook; changed inside the archive, or outside."""
    if rng.random() < 0.2:
        return _loaded(place / "x.xlsx", _workbook(), rng)
    (place / "x.xlsx").write_bytes(_repacked(_workbook(), rng))
    return reading(place / "x.xlsx")


@target
def npz(place: Path, rng: Generator) -> Reader:
    """Arrays, compressed or not; changed inside the archive, or outside."""
    content = _arrays(bool(rng.random() < 0.5))
    if rng.random() < 0.5:
        return _loaded(place / "x.npz", content, rng)
    (place / "x.npz").write_bytes(_repacked(content, rng))
    return reading(place / "x.npz")


@target
def picture(place: Path, rng: Generator) -> Reader:
    """A picture of a common kind."""
    suffix = str(rng.choice(("png", "jpg", "bmp", "gif", "tiff", "webp")))
    return _loaded(place / f"x.{suffix}", _pictures()[suffix], rng)


@target
def sound(place: Path, rng: Generator) -> Reader:
    """A clip."""
    return _loaded(place / "x.wav", _sound(), rng)


@target
def array(place: Path, rng: Generator) -> Reader:
    """One array."""
    out = io.BytesIO()
    np.save(out, np.random.default_rng(0).random((30, 4)))
    return _loaded(place / "x.npy", out.getvalue(), rng)


def changed_folder(
    model: Path, place: Path, name: str, change: Callable[[dict[str, Any]], None]
) -> Path:
    """A copy of a model folder with a JSON file changed, and its hash made again."""
    shutil.copytree(model, place)
    values = json.loads((place / name).read_text())
    change(values)
    (place / name).write_text(json.dumps(values))
    sign(place, name)
    return place


def sign(folder: Path, name: str) -> None:
    """Write the hash of a file into the manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


# how content is changed --------------------------------------------------------------------------


def changed_tensors(content: bytes, rng: Generator) -> bytes:
    """A safetensors file: its header changed as JSON, or any bytes of it."""
    if rng.random() < 0.3:
        return changed_bytes(content, rng)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    facts = header.get("__metadata__", {})
    names = [name for name in ("detector", "codec") if name in facts]
    if names and rng.random() < 0.6:
        changed = changed_text(json.loads(facts[names[0]]), rng)
        facts[names[0]] = changed.decode("utf-8", "replace")
        text = json.dumps(header).encode()
    else:
        text = changed_text(header, rng)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def changed_numbers(content: bytes, rng: Generator) -> bytes:
    """A safetensors file with some float32 numbers changed to rare ones."""
    first = 8 + int.from_bytes(content[:8], "little")
    found, count = bytearray(content), (len(content) - first) // 4
    for _ in range(int(rng.integers(1, 4)) if count else 0):
        place = first + 4 * int(rng.integers(count))
        number = float(rng.choice((np.nan, np.inf, -np.inf, 1e30, -1e30, 1e-40, 0.0, 1e5)))
        found[place : place + 4] = np.float32(number).tobytes()
    return bytes(found)


def _changed_folder(place: Path, rng: Generator, names: tuple[str, ...]) -> Path:
    models = sorted(path for path in MODELS.iterdir())
    copied = place / "model.lb"
    shutil.copytree(models[int(rng.integers(len(models)))], copied)
    name = str(rng.choice(names))
    content = (copied / name).read_bytes()
    if name.endswith(".safetensors"):
        changed = changed_tensors(content, rng)
    elif name.endswith(".jsonl"):
        lines = content.splitlines()
        number = int(rng.integers(len(lines)))
        lines[number] = changed_text(json.loads(lines[number]), rng)
        changed = b"\n".join(lines)
    else:
        changed = changed_text(json.loads(content), rng)
    (copied / name).write_bytes(changed)
    if name in SIGNED and rng.random() < 0.95:
        sign(copied, name)
    return copied


def _changed_file(content: bytes, rng: Generator) -> bytes:
    """A compressed file: raw bytes changed, or its payload or a field, and checksums made again."""
    import zlib
    from dataclasses import replace

    from lowerbound.applications.compression import header as headers
    from lowerbound.applications.compression.container import unpack
    from lowerbound.errors import OptionError

    if rng.random() < 0.2:
        return changed_bytes(content, rng)
    header, found = unpack(content)
    payloads, shape, settings = list(found), list(header.shape), header.settings
    how = rng.random()
    if how < 0.6:
        number = int(rng.integers(len(payloads)))
        payloads[number] = changed_bytes(payloads[number], rng)
    elif how < 0.8:
        settings = changed_bytes(settings, rng)[:4096]
    else:
        place = int(rng.integers(len(shape)))
        shape[place] = int(rng.choice((1, shape[place] + 1, 2 * shape[place], 1_000, 10**6)))
    entries = tuple(
        headers.ChunkEntry(len(payload), zlib.crc32(payload), entry.symbols_crc)
        for payload, entry in zip(payloads, header.chunks, strict=True)
    )
    made = replace(header, shape=tuple(shape), settings=settings, chunks=entries)
    try:
        return headers.pack(made, 2**60) + b"".join(payloads)
    except OptionError:  # a field does not fit
        return changed_bytes(content, rng)


def _loaded(path: Path, content: bytes, rng: Generator) -> Reader:
    path.write_bytes(changed_bytes(content, rng))
    return reading(path)


def reading(path: Path) -> Reader:
    """What reads the data at a path."""
    from lowerbound.data import load

    return lambda: load(str(path))


def _repacked(content: bytes, rng: Generator) -> bytes:
    """The archive with a member changed, and its checksum made again."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        chosen = str(rng.choice(names))
        for name in names:
            inside = old.read(name)
            new.writestr(name, changed_bytes(inside, rng) if name == chosen else inside)
    return out.getvalue()


# intact content ----------------------------------------------------------------------------------


@cache
def _files() -> list[tuple[Path, bytes]]:
    """(model folder, content) of each compressed file; the folders live as long as the process."""
    root = Path(tempfile.mkdtemp(prefix="fuzz-models"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    found = []
    for file in FILES:
        path, folder = root / f"{file.name}.lbz", PHOTOGRAPHS
        if file.folder:
            folder = root / f"{file.name}.model"
            shutil.copytree(MODELS / file.folder, folder)
        words = [*([folder] if file.folder else []), FOLDER / "data" / file.data, *file.words]
        call("compress", *words, "-o", path)
        found.append((folder, path.read_bytes()))
    return found


@cache
def _codecs() -> list[Path]:
    """The copies that the compressed files are decoded by."""
    return sorted(
        path for folder, _ in _files() for path in (folder / FOLDER_OF_CODECS).glob("*.safetensors")
    )


@cache
def _run() -> tuple[Any, Any, Mapping[str, Any], bytes]:
    """A short run that can be continued: rows, options, state and tensors of its checkpoint."""
    from lowerbound.data import load
    from lowerbound.fitting import FitOptions, fit
    from lowerbound.models.options import ModelOptions
    from lowerbound.training import TrainingOptions

    rows = load(np.random.default_rng(0).normal(size=(40, 3)))
    model = ModelOptions(latent_dim=2, network="mlp", network_options={"hidden": (4,)})
    training = TrainingOptions(updates=4, batch_size=8, threads=1, compile="off")
    options = FitOptions(model=model, training=training)
    with tempfile.TemporaryDirectory() as folder:
        fit(rows, options, folder=Path(folder))
        directory = Path(folder) / "checkpoint"
        state = json.loads((directory / "state.json").read_text())
        content = (directory / str(state["tensors"])).read_bytes()
    return rows, options, state, content


@cache
def _workbook() -> bytes:
    import pandas as pd

    written = io.BytesIO()
    frame = pd.read_csv(FOLDER / "data" / "people.csv").head(20)
    frame.to_excel(written, index=False, engine="openpyxl")
    return written.getvalue()


@cache
def _parquet() -> bytes:
    import pandas as pd

    out = io.BytesIO()
    pd.read_csv(FOLDER / "data" / "people.csv").to_parquet(out)
    return out.getvalue()


@cache
def _arrays(compressed: bool) -> bytes:
    out = io.BytesIO()
    rows = np.random.default_rng(0).integers(0, 9, (30, 5, 5)).astype(np.uint8)
    save = np.savez_compressed if compressed else np.savez
    save(out, x=rows, y=np.arange(30) % 3)
    return out.getvalue()


@cache
def _pictures() -> dict[str, bytes]:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3)).astype(np.uint8)
    found = {}
    for suffix in ("png", "jpeg", "bmp", "gif", "tiff", "webp"):
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, suffix)
        found["jpg" if suffix == "jpeg" else suffix] = out.getvalue()
    return found


@cache
def _sound() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.arange(4_000, dtype=np.int16).tobytes())
    return out.getvalue()


@cache
def _feature_network() -> tuple[bytes, dict[str, Any]]:
    from lowerbound.evaluation.samples import feature_network as networks

    made = networks.NetworkDescription((3,), 4, 40, None, 0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        networks.save_feature_network(networks.FeatureNetwork(made), folder)
        described = json.loads((folder / networks.DESCRIPTION).read_text())
        return (folder / networks.WEIGHTS).read_bytes(), described


def _columns() -> dict[str, Any]:
    return {
        "age": {"kind": "count", "low": 0, "high": 90},
        "town": {"kind": "categorical", "levels": ["a", "b", "c"], "missing": True},
        "member": {"kind": "binary", "levels": ["no", "yes"]},
        "since": {"kind": "datetime", "low": "2001-01-01", "high": "2021-01-01"},
    }


@cache
def _private_table() -> dict[str, Any]:
    import pandas as pd

    from lowerbound.applications.release.marginals.model import fit_marginals

    rng = np.random.default_rng(0)
    columns = {
        "age": rng.integers(0, 90, 200),
        "town": rng.choice(["a", "b", "c"], 200),
        "member": rng.choice(["no", "yes"], 200),
        "since": rng.choice(["2003-02-01", "2019-05-30"], 200),
    }
    return fit_marginals(pd.DataFrame(columns), _columns(), 5.0, target="member").to_mapping()


@cache
def _agent() -> tuple[Any, bytes, dict[str, Any]]:
    """The form of episodes, transitions, and a record of an agent."""
    from dataclasses import asdict

    import torch

    from lowerbound.applications.control.player import AgentRecord
    from lowerbound.applications.control.replay import FOLDER as FOLDER_OF_REPLAY, EpisodeReplay
    from tests.models.sequences.worlds import FORM

    frame = FORM.frame
    replay, rng = EpisodeReplay(FORM), np.random.default_rng(0)
    for number in range(12):
        shown = torch.from_numpy(rng.integers(0, 2, frame.event_shape).astype(np.uint8))
        replay.add(shown, torch.zeros(FORM.actions), 0.5, number % 5 > 0, number % 5 == 1)
    with tempfile.TemporaryDirectory() as place:
        replay.write(Path(place))
        content = (Path(place) / FOLDER_OF_REPLAY / "part-0.safetensors").read_bytes()
    record = AgentRecord(100, 20, 3, 1.5, 0.5, (1.0, 2.0), (1.5,), {"bound": -3.0})
    return FORM, content, asdict(record)


@cache
def _foreign_autoencoder() -> tuple[dict[str, Any], bytes]:
    """config.json and the weights."""
    import torch
    from safetensors.torch import save

    from lowerbound.applications.interchange.config_file import (
        KLConfig,
        expected_shapes,
        written_config,
    )

    config = KLConfig(block_out_channels=(4,), norm_num_groups=2, latent_channels=2)
    weights = {name: torch.zeros(shape) for name, shape in expected_shapes(config).items()}
    described: dict[str, Any] = json.loads(json.dumps(written_config(config)))
    return described, save(weights, {"format": "pt"})
