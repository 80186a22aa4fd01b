"""A folder of somebody else: its links are refused, its names are data, its weights are numbers.

Every command of the registry is walked, so that a new one is tested too.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lowerbound.applications import APPLICATIONS
from lowerbound.applications.common.application import named_folders
from lowerbound.applications.generation.requests import SampleRequest
from lowerbound.cli import main
from lowerbound.errors import LowerboundError, ModelFolderError
from lowerbound.fitting import folder as model_folder
from tests.fixtures.cases import FOLDER
from tests.hostile.commands import folder_fields, words_of
from tests.hostile.targets import MODELS, changed_folder, sign

DATA = FOLDER / "data"
NAMED = [(command, field) for command in APPLICATIONS for field in folder_fields(command)]
WITH_MODEL = [command for command, field in NAMED if field == "model"]
KINDS = {"rows": "digits.npz", "table": "people.csv", "semi_supervised": "few_labels.csv"}
WRITTEN = ("output", "cache", "onnx", "torch")  # folders that a command does not read
NAMES = (  # of all that commands write into a model folder or read there, beside what a fit writes
    *("agent.jsonl", "request.json", "report.html", "MODEL_CARD.md", "detector.safetensors"),
    *("trees.safetensors", "intervals.json", "imputer_columns.json", "answers.json"),
    *("column_names.json", "model_index.json"),
)
PARTS = ("checkpoint", "prior", "refiner", "codecs", "replay", "figures", "vae")

needs_links = pytest.mark.skipif(os.name == "nt", reason="links need a permission there")


def tree(folder: Path) -> dict[str, str]:
    """What lies in a folder: links by where they lead, files by their hashes."""
    return {
        str(path.relative_to(folder)): (
            os.readlink(path)
            if path.is_symlink()
            else hashlib.sha256(path.read_bytes()).hexdigest()
            if path.is_file()
            else ""
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder each entry of which is a link to a file or a folder outside."""
    root = tmp_path_factory.mktemp("theirs")
    outside = shutil.copytree(MODELS / "rows", root / "outside")
    for name in NAMES:
        (outside / name).write_text("{}")
    for name in PARTS:
        (outside / name / "mixture").mkdir(parents=True, exist_ok=True)
        for place in (outside / name, outside / name / "mixture"):
            (place / "state.json").write_text("precious")
    (root / "model.lb").mkdir()
    for path in outside.iterdir():
        (root / "model.lb" / path.name).symlink_to(path)
    return root / "model.lb"


@needs_links
@pytest.mark.parametrize(("command", "field"), NAMED)
def test_no_command_follows_a_link(
    command: str,
    field: str,
    linked: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = tree(linked.parent)
    assert main(words_of(command, DATA / "digits.npz", tmp_path, **{field: linked})) == 2
    said = capsys.readouterr().err.strip()
    assert f"lowerbound: {linked}{os.sep}" in said
    assert "is a link, and links inside a folder are not followed" in said
    assert tree(linked.parent) == before
    assert not list(tmp_path.iterdir())


@needs_links
@pytest.mark.parametrize("command", ["prior", "refiner", "compress", "evaluate", "sample"])
@pytest.mark.parametrize("name", [*PARTS, "prior/mixture", "request.json", "report.html"])
def test_one_link_is_enough(
    command: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, outside = tmp_path / "model.lb", tmp_path / "outside"
    shutil.copytree(MODELS / "rows", model)
    shutil.rmtree(model / "codecs")
    outside.mkdir()
    (outside / "state.json").write_text("precious")
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).symlink_to(outside)
    words = words_of(command, DATA / "digits.npz", tmp_path, model=model)
    assert main(words) == 2
    assert f"{model / name} is a link" in capsys.readouterr().err
    assert tree(outside) == {"state.json": hashlib.sha256(b"precious").hexdigest()}


@needs_links
def test_a_folder_may_itself_be_named_by_a_link(tmp_path: Path) -> None:
    shutil.copytree(MODELS / "rows", tmp_path / "rows")
    (tmp_path / "model.lb").symlink_to(tmp_path / "rows")
    assert main(words_of("sample", DATA / "digits.npz", tmp_path, model=tmp_path / "model.lb")) == 0
    assert (tmp_path / "out.npz").exists()


@needs_links
def test_parts_of_an_output_are_kept_behind_no_link(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "1+2.safetensors").write_text("precious")
    (tmp_path / "out.npz.unfinished").symlink_to(tmp_path / "outside")
    assert main(words_of("sample", DATA / "digits.npz", tmp_path, model=MODELS / "rows")) == 2
    assert "out.npz.unfinished is a link" in capsys.readouterr().err
    assert (tmp_path / "outside" / "1+2.safetensors").read_text() == "precious"


@needs_links
def test_rows_are_written_behind_no_link_of_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "precious.png").write_text("precious")
    out = tmp_path / "pictures"
    assert main(["sample", str(MODELS / "rows"), "-n", "2", "-o", str(out)]) == 0
    first = sorted(out.glob("*.png"))[0]
    first.unlink()
    first.symlink_to(tmp_path / "precious.png")
    capsys.readouterr()
    assert main(["sample", str(MODELS / "rows"), "-n", "2", "-o", str(out)]) == 2
    assert f"{first} is a link" in capsys.readouterr().err
    assert (tmp_path / "precious.png").read_text() == "precious"


# names --------------------------------------------------------------------------------------------

_opened: list[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event in ("open", "import", "os.scandir", "os.listdir"):
        _opened.append(str(arguments[0]))


sys.addaudithook(_note)
Change = Callable[[Any], Any]


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Names of all that is opened or imported while the test runs."""
    global _opened
    _opened = found = []
    yield found
    _opened = None


def strings(values: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all texts in JSON values."""
    if isinstance(values, dict | list):
        inside = values.items() if isinstance(values, dict) else enumerate(values)
        for name, value in inside:
            yield from strings(value, (*place, name))
    elif isinstance(values, str):
        yield place


def planted(values: Any, places: list[tuple[Any, ...]], name: str) -> Any:
    """The JSON values with a name at these places."""
    values = json.loads(json.dumps(values))
    for place in places:
        inside = values
        for key in place[:-1]:
            inside = inside[key]
        inside[place[-1]] = name
    return values


def with_names(model: Path, place: Path, name: str, *, all_places: bool) -> Path:
    """A copy each of whose texts is a name.

    Args:
        model: the folder.
        place: of the copy.
        name: what is planted.
        all_places: everywhere; False: only where the folder can still be read, so that commands
            reach the name.
    """
    shutil.copytree(model, place)
    for file in ("config.json", "schema.json"):
        values = json.loads((place / file).read_text())
        found = list(strings(values))
        if not all_places:
            found = [each for each in found if _is_read(place, file, planted(values, [each], name))]
        _write(place, file, planted(values, found, name))
    for file in ("request.json", "metrics.jsonl", "agent.jsonl"):
        if (place / file).exists():
            lines = [json.loads(line) for line in _lines(place / file)]
            texts = [json.dumps(planted(line, list(strings(line)), name)) for line in lines]
            (place / file).write_text("\n".join(texts))
    manifest = json.loads((place / "manifest.json").read_text())
    found = [each for each in strings(manifest) if each[0] != "sha256"]
    (place / "manifest.json").write_text(json.dumps(planted(manifest, found, name)))
    return place


def _lines(path: Path) -> list[str]:
    text = path.read_text()
    return text.splitlines() if path.suffix == ".jsonl" else [text]


def _write(place: Path, file: str, values: Any) -> None:
    (place / file).write_text(json.dumps(values))
    sign(place, file)


def _is_read(place: Path, file: str, values: Any) -> bool:
    before = (place / file).read_text()
    _write(place, file, values)
    try:
        model_folder.read(place)
        return True
    except LowerboundError:
        return False
    finally:
        (place / file).write_text(before)
        sign(place, file)


@pytest.fixture(scope="module")
def planted_folders(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Path]]:
    """(folder, data): every text, and every free text, is the name of a module or of a file."""
    root = tmp_path_factory.mktemp("planted")
    (root / "their_rows.csv").write_text("a,b\n1,2\n")
    found = []
    for kind, data in {"rows": "digits.npz", "table": "people.csv"}.items():
        for number, name in enumerate(("this:Zen", str(root / "their_rows.csv"))):
            for all_places in (True, False):
                place = root / f"{kind}_{number}_{all_places}.lb"
                with_names(MODELS / kind, place, name, all_places=all_places)
                found.append((place, DATA / data))
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("command", "field"),
    [(c, f) for c, f in NAMED if f not in ("output", "cache", "onnx", "torch")],
)
def test_no_command_opens_or_imports_what_a_folder_names(
    command: str,
    field: str,
    planted_folders: list[tuple[Path, Path]],
    tmp_path: Path,
    opened: list[str],
) -> None:
    for number, (folder, data) in enumerate(planted_folders):
        out = tmp_path / str(number)
        out.mkdir()
        np.savez(out / "z.npz", z=np.zeros((2, 4)))
        theirs = shutil.copytree(folder, out / "theirs.lb")
        opened.clear()
        assert main(words_of(command, data, out, **{field: theirs})) in (0, 2)
        assert not [name for name in opened if "their_rows" in name or name == "this"]
    assert "this" not in sys.modules


@pytest.mark.parametrize("command", ["control evaluate", "control video"])
@pytest.mark.parametrize("name", ["this:Zen-v0", "this:CartPole-v1", "Unknown-v0", "dmc/x"])
def test_an_agents_folder_names_no_module(
    command: str, name: str, agent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(schema: dict[str, Any]) -> None:
        schema["details"]["environment"]["name"] = name

    theirs = changed_folder(agent, tmp_path / "theirs.lb", "schema.json", change)
    words = words_of(command, DATA / "digits.npz", tmp_path, model=theirs)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert f"names the environment {name!r}" in said
    assert f"--environment {name}" in said
    assert "this" not in sys.modules
    # a person may name it, and then it is made
    assert main([*words, "--environment", "CartPole-v1"]) == 2
    assert f"was trained in {name}, and not in CartPole-v1" in capsys.readouterr().err
    assert "this" not in sys.modules


def test_an_environment_that_a_person_names_is_made(
    agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_games.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Own-v0', 'lowerbound.applications.control.grid_catch:GridCatch')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    def change(schema: dict[str, Any]) -> None:
        schema["details"]["environment"]["name"] = "own_games:Own-v0"

    theirs = changed_folder(agent, tmp_path / "theirs.lb", "schema.json", change)
    words = words_of("control evaluate", DATA / "digits.npz", tmp_path, model=theirs)
    assert main(words) == 2
    assert "own_games" not in sys.modules
    assert main([*words, "--environment", "own_games:Own-v0"]) == 0
    assert "own_games" in sys.modules


def test_an_agent_of_other_frames_does_not_play(
    agent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(schema: dict[str, Any]) -> None:
        schema["details"]["environment"]["name"] = "CartPole-v1"

    theirs = changed_folder(agent, tmp_path / "theirs.lb", "schema.json", change)
    words = words_of("control evaluate", DATA / "digits.npz", tmp_path, model=theirs)
    assert main(words) == 2
    assert "has other frames or actions" in capsys.readouterr().err


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an agent that has hardly learned."""
    pytest.importorskip("gymnasium")
    folder = tmp_path_factory.mktemp("agent") / "agent.lb"
    sizes = ("network.hidden=[8]", "model.memory=8", "model.width=8", "model.groups=2")
    quick = ("agent.prefill=24", "agent.length=8", "agent.batch=2", "imagination.starts=2")
    words = [word for setting in (*sizes, *quick) for word in ("--set", setting)]
    words += ["--steps", "32", "--episodes", "1", "--evaluate-every", "0", "--network", "mlp"]
    assert main(["control", "train", "lowerbound/GridCatch-v0", "-o", str(folder), *words]) == 0
    return folder


# weights ------------------------------------------------------------------------------------------


def with_weights(model: Path, place: Path, value: float) -> Path:
    """A copy of a model all of whose learned weights are one number."""
    shutil.copytree(model, place)
    learned = dict(model_folder.read(model).model.named_parameters()).keys()
    weights = load_file(place / "model.safetensors")
    filled = {n: torch.full_like(w, value) if n in learned else w for n, w in weights.items()}
    save_file(filled, place / "model.safetensors")
    sign(place, "model.safetensors")
    return place


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, float], Path]:
    """Folders by the kind of model and the value of its weights."""
    root = tmp_path_factory.mktemp("weights")
    return {
        (kind, value): with_weights(MODELS / kind, root / f"{kind}_{value:g}.lb", value)
        for kind in KINDS
        for value in (float("nan"), float("inf"), -1e30, 1e18, 1e-40)
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("command", [c for c in WITH_MODEL if c != "verify"])
def test_weights_that_give_no_numbers_are_one_sentence(
    command: str,
    numbered: dict[tuple[str, float], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number, ((kind, value), folder) in enumerate(numbered.items()):
        out = tmp_path / str(number)
        out.mkdir()
        np.savez(out / "z.npz", z=np.ones((2, 4)))
        model = shutil.copytree(folder, out / "model.lb")
        capsys.readouterr()
        code = main(words_of(command, DATA / KINDS[kind], out, model=model))
        said = capsys.readouterr().err.strip().splitlines()
        if command not in ("info", "decompress") and not abs(value) < 1e20:
            assert code == 2, (kind, value)
            assert f"the weights in {model / 'model.safetensors'} hold" in said[-1]
        assert code in (0, 1, 2), (kind, value)
        if code == 0:
            assert not _without_numbers(out), (kind, value)


def _without_numbers(folder: Path) -> list[str]:
    """Arrays and cells of written files that are NaN or infinite."""
    found = []
    for path in sorted(folder.glob("out.*")):
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                found += [n for n in arrays if not np.isfinite(_floats(arrays[n])).all()]
        elif path.suffix == ".csv":
            cells = path.read_text().lower().replace("\n", ",").split(",")
            found += [cell for cell in cells if cell in ("nan", "inf", "-inf")]
    return found


def _floats(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return values if values.dtype.kind == "f" else np.zeros(1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e30])
def test_such_weights_are_not_read(value: float, tmp_path: Path) -> None:
    folder = with_weights(MODELS / "rows", tmp_path / "model.lb", value)
    with pytest.raises(ModelFolderError, match=r"tensors hold (NaN|numbers as large)"):
        model_folder.read(folder)


def test_tiny_weights_are_read(tmp_path: Path) -> None:
    model_folder.read(with_weights(MODELS / "rows", tmp_path / "model.lb", 1e-40))


# types --------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[str, str, Change]] = {
    "a type of no name": ("table", "synthesize", lambda s: s["columns"][0].update(dtype="x")),
    "a type of no frame": ("table", "sample", lambda s: s["columns"][0].update(frame_dtype="x")),
    "a type of no array": ("rows", "sample", lambda s: s.update(dtype="x")),
    "a picture that is a row": ("imputer", "impute", lambda s: s.update(image={})),
    "rows that are no windows": ("windows", "impute", lambda s: s["windows"].update(length=7)),
    "rows of another length": ("windows", "evaluate", lambda s: s["event_shape"].append(1)),
    "a level twice": ("table", "synthesize", lambda s: s["columns"][6].update(levels=["a", "a"])),
    "a name twice": ("table", "synthesize", lambda s: s["columns"][1].update(name="height")),
    "text for a number": ("table", "sample", lambda s: s["columns"][0].update(shift="x")),
    "a list for a column": ("table", "sample", lambda s: s["columns"].append([])),
}


@pytest.mark.parametrize(("kind", "command", "change"), WRONG.values(), ids=WRONG)
def test_a_schema_that_contradicts_itself_is_one_sentence(
    kind: str, command: str, change: Change, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = changed_folder(MODELS / kind, tmp_path / "theirs.lb", "schema.json", change)
    data = {"table": "people.csv", "rows": "digits.npz", "windows": "series.csv"}
    words = words_of(command, DATA / data.get(kind, "gaps.csv"), tmp_path, model=theirs)
    assert main(words) == 2
    assert str(theirs) in capsys.readouterr().err


@needs_links
def test_links_among_data_are_the_users_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pictures").mkdir()
    assert main(["sample", str(MODELS / "rows"), "-n", "3", "-o", str(tmp_path / "drawn")]) == 0
    for path in (tmp_path / "drawn").glob("[0-9]*.png"):
        (tmp_path / "pictures" / path.name).symlink_to(path)
    (tmp_path / "pictures" / "config.json").write_text("{}")
    words = ["encode", str(MODELS / "rows"), str(tmp_path / "pictures")]
    main([*words, "-o", str(tmp_path / "z.npz")])
    assert "found whole numbers from 0 to 255" in capsys.readouterr().err  # so they were read


def test_texts_that_are_no_paths_name_no_folder() -> None:
    texts = ("x" * 5000, "a\0b", "", "=,=", "duckdb:?query=SELECT 1")
    assert named_folders(SampleRequest("", "", given=texts, prompt="0 + 1")) == []
