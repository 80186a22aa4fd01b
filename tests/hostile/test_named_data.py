"""A model folder from elsewhere names data, and nothing that it names is opened or written."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lowerbound.applications import APPLICATIONS, load
from lowerbound.applications.common.form import entries
from lowerbound.cli import main

WITH_MODEL = [
    name
    for name in APPLICATIONS
    if any(entry.positional and entry.called == "MODEL" for entry in entries(load(name).request))
]
"""Every command that is given a model folder; one that is new is tested too."""

_opened: list[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event in ("open", "os.scandir", "os.listdir", "glob.glob"):
        _opened.append(str(arguments[0]))


sys.addaudithook(_note)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of all files, folders and databases that are opened while the test runs."""
    global _opened
    _opened = found = []
    duckdb = pytest.importorskip("duckdb", reason="pip install 'lowerbound[duckdb]'")
    connect = duckdb.connect

    def noted(*arguments: Any, **keywords: Any) -> Any:
        found.append("duckdb")
        return connect(*arguments, **keywords)

    monkeypatch.setattr(duckdb, "connect", noted)
    yield found
    _opened = None


def draw(folder: Path) -> Path:
    """24 small pictures."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for index in range(24):
        picture = rng.integers(0, 256, (4, 4), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{index:02d}.png")
    return folder


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that somebody else fitted on another machine to pictures of the same size."""
    root = tmp_path_factory.mktemp("theirs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(root / "state"))
        fit(draw(root / "pictures"), root / "model")
    return root / "model"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's own."""
    return draw(tmp_path_factory.mktemp("own") / "pictures")


def fit(data: Path, folder: Path, *words: str) -> Path:
    quick = ("--updates", "2", "--no-report", "--samples", "2", "--set", "network.activation=relu")
    assert main(["fit", str(data), "-o", str(folder), *quick, *words]) == 0
    return folder


def tampered(model: Path, place: Path, **changes: Any) -> Path:
    """A copy whose request is another."""
    shutil.copytree(model, place)
    request = json.loads((place / "request.json").read_text())
    (place / "request.json").write_text(json.dumps({**request, **changes}))
    return place


def call(command: str, model: Path, pictures: Path, out: Path) -> int:
    """Any command, on a model folder and the user's own pictures."""
    application = load(command)
    words = [command]
    for entry in entries(application.request):
        if entry.positional and (entry.required or entry.called in ("DATA", "FILE")):
            words.append(str({"MODEL": model, "DATA": pictures}.get(entry.called, "1")))
    if command == "evaluate":
        words += ["--part", "test"]
    elif command != "compare" and any(
        entry.short == "-o" for entry in entries(application.request)
    ):
        words += ["-o", str(out / ("out.lbz" if command == "compress" else "out.csv"))]
    if any(entry.name == "updates" for entry in entries(application.request)):
        words += ["--updates", "2"]
    if command in ("prior", "refiner"):
        words += ["--no-report"]
    if command == "refiner":
        words += ["--set", "width=8", "--set", "steps=2"]
    return main(words)


NAMED: dict[str, Callable[[Path], str]] = {
    "a query that writes": lambda secret: f"duckdb:?query=COPY (SELECT 1) TO '{secret}.stolen'",
    "a query that writes, and a database": lambda secret: (
        f"duckdb:{secret}?query=COPY (SELECT 1) TO '{secret}.stolen'"
    ),
    "a query that reads": lambda secret: f"duckdb:?query=SELECT * FROM read_text('{secret}')",
    "a file of the system": lambda secret: "/etc/passwd",
    "a file": str,
    "a path upward": lambda secret: os.path.join("..", secret.name),
    "a folder": lambda secret: str(secret.parent / "album"),
    "a device": lambda secret: "/dev/zero",
}


@pytest.mark.parametrize("command", WITH_MODEL)
def test_no_command_opens_what_a_folder_from_elsewhere_names(
    command: str,
    theirs: Path,
    pictures: Path,
    tmp_path: Path,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    secret = tmp_path / "secret.csv"
    secret.write_text("password\n1\n2\n")
    draw(tmp_path / "album")
    before = sorted(tmp_path.iterdir())
    for number, (kind, spelled) in enumerate(NAMED.items()):
        source = spelled(secret)
        folder = tampered(theirs, Path(f"model_{number}"), data=source)
        opened.clear()
        code = call(command, folder, pictures, Path(f"out_{number}"))
        assert code in ((0,) if command in ("compress", "compare", "evaluate") else (0, 2)), kind
        ours = [name for name in opened if not name.startswith(str(folder))]
        if command in ("detect", "compress", "compare", "evaluate"):  # they get to the request
            assert any(name.startswith(str(pictures)) for name in ours), kind
        assert "duckdb" not in ours, kind
        assert not [name for name in ours if name in (source, str(secret))], kind
        assert not [name for name in ours if "album" in name], kind
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_the_question_is_put_to_commands_that_would_open_it(
    pictures: Path, tmp_path: Path, opened: list[str]
) -> None:
    """The user's own folder, also as a copy elsewhere, still knows its rows."""
    data = tmp_path / "album"
    shutil.copytree(pictures, data)
    shutil.copytree(fit(data, tmp_path / "model"), tmp_path / "copy")
    for command in ("detect", "compress"):
        for model in (tmp_path / "model", tmp_path / "copy"):
            opened.clear()
            shutil.rmtree(model / "codecs", ignore_errors=True)
            assert call(command, model, pictures, tmp_path) == 0
            assert any(name.startswith(str(data)) for name in opened)


def test_a_request_of_ones_own_does_not_speak_for_another_model(
    theirs: Path, pictures: Path, tmp_path: Path, opened: list[str]
) -> None:
    data = tmp_path / "album"
    shutil.copytree(pictures, data)
    mine = fit(data, tmp_path / "mine", "--latent-dim", "2")
    other = shutil.copytree(theirs, tmp_path / "other")
    shutil.copy(mine / "request.json", other)
    opened.clear()
    assert call("detect", other, pictures, tmp_path) == 2
    assert not [name for name in opened if name.startswith(str(data))]


@pytest.mark.parametrize("changes", [{"fitting": {}}, {"fitting": "x"}, {"test": [1]}])
def test_a_request_of_another_form_is_one_sentence(
    theirs: Path,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
) -> None:
    folder = tampered(theirs, tmp_path / "model", **changes)
    assert call("evaluate", folder, pictures, tmp_path) == 2
    assert "leave out --part test" in capsys.readouterr().err


def test_what_to_do_is_said(
    theirs: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", str(theirs), str(pictures)]) == 2
    assert "with --calibrate" in capsys.readouterr().err
    assert main(["detect", str(theirs), str(pictures), "--calibrate", str(pictures)]) == 0


@pytest.mark.parametrize(
    ("part", "name", "flag"),
    [
        (None, "start", "--start"),
        ("reading", "columns", "--columns"),
        ("measuring", "features", "--features"),
    ],
)
def test_a_resumed_run_opens_no_file_that_it_names(
    theirs: Path,
    tmp_path: Path,
    opened: list[str],
    capsys: pytest.CaptureFixture[str],
    part: str | None,
    name: str,
    flag: str,
) -> None:
    secret = tmp_path / "secret"
    request = json.loads((theirs / "request.json").read_text())
    named = {name: str(secret)}
    folder = tampered(
        theirs, tmp_path / "model", **({part: {**request[part], **named}} if part else named)
    )
    opened.clear()
    data = str(theirs.parent / "pictures")
    assert main(["fit", data, "-o", str(folder), "--resume"]) == 2
    assert f"give {flag} again" in capsys.readouterr().err
    assert str(secret) not in opened
    assert not secret.exists()


def test_a_checkpoint_names_files_of_its_own_folder_only(theirs: Path, tmp_path: Path) -> None:
    from lowerbound.errors import ModelFolderError
    from lowerbound.training.checkpoint import load as load_checkpoint

    folder = shutil.copytree(theirs, tmp_path / "model")
    state = json.loads((folder / "checkpoint" / "state.json").read_text())
    shutil.move(folder / "checkpoint" / state["tensors"], tmp_path / "outside")
    state["tensors"] = "../../outside"
    (folder / "checkpoint" / "state.json").write_text(json.dumps(state))
    with pytest.raises(ModelFolderError, match="missing or damaged"):
        load_checkpoint(folder)


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    from lowerbound import durable

    (tmp_path / "precious").write_text("keep")
    (tmp_path / ".a.json.part").symlink_to(tmp_path / "precious")
    durable.write_text(tmp_path / "a.json", "new")
    assert (tmp_path / "precious").read_text() == "keep"
    assert (tmp_path / "a.json").read_text() == "new"
