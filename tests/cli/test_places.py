"""What a command writes is checked before it reads anything or trains."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lowerbound.applications import APPLICATIONS, load
from lowerbound.applications.common.form import Entry, entries
from tests.cli.conftest import QUICK, Run
from tests.cli.test_bad_input import refused

NOTHING = "nothing-is-here"
WRITERS = [
    (command, entry.name)
    for command in APPLICATIONS
    for entry in entries(load(command).request)
    if entry.writes
]


def line(command: str, written: str, place: Path) -> list[str]:
    """A command that writes to ``place``, and whose other arguments are there and of no use."""
    words = command.split()
    for entry in entries(load(command).request):
        if entry.name == written:
            words += [entry.flag, str(place)]
        elif entry.required:
            words += [word for word in ("" if entry.positional else entry.flag, of(entry)) if word]
    return words


def of(entry: Entry) -> str:
    """A value of the entry's kind."""
    return NOTHING if entry.kind is str else "1"


@pytest.mark.parametrize(("command", "written"), WRITERS)
def test_a_place_that_cannot_be_is_refused_first(
    run: Run, tmp_path: Path, command: str, written: str
) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "sub" / "x"
    done = run(*line(command, written, place))
    refused(done, f"{place}: not a directory; a part of the path is a file")
    assert len(done.err.splitlines()) == 1  # nothing was read, and nothing was trained


@pytest.mark.parametrize(("command", "written"), WRITERS)
@pytest.mark.parametrize("size", [231, 251, 300])
def test_a_long_name_is_refused_first(
    run: Run, tmp_path: Path, command: str, written: str, size: int
) -> None:
    name = "ä" * ((size - 4) // 2) + "x" * (size % 2) + ".csv"
    done = run(*line(command, written, tmp_path / name))
    refused(done, f"has {len(name.encode())} bytes, more than 230: choose a shorter one")
    assert len(done.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "written"), [each for each in WRITERS if each[0] in ("sample", "detect", "columns")]
)
@pytest.mark.parametrize("linked", [False, True])
def test_a_folder_with_the_name_of_a_file_is_refused_first(
    run: Run, tmp_path: Path, command: str, written: str, linked: bool
) -> None:
    place = tmp_path / "x.csv"
    (tmp_path / "folder" if linked else place).mkdir()
    if linked:
        place.symlink_to(tmp_path / "folder")
    done = run(*line(command, written, place))
    refused(done, f"{place}: is a directory; that is a folder, and a file is needed")
    assert len(done.err.splitlines()) == 1
    assert {path.name for path in tmp_path.rglob("*")} == {place.name, *["folder"] * linked}


def test_a_folder_that_may_not_be_written_is_refused_first(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(dir: Path) -> None:  # the tests may run as a user whom no permission stops
        raise PermissionError(13, "Permission denied", str(dir / "tmp1234"))

    monkeypatch.setattr("lowerbound.durable.tempfile.TemporaryFile", denied)
    done = run("fit", NOTHING, "-o", tmp_path / "m")
    refused(done, f"{tmp_path / 'm'}: permission denied; choose a place that you may use")


@pytest.mark.parametrize(
    "words",
    [
        ("fit", NOTHING),
        ("fit", NOTHING, "--overwrite"),
        ("synthesizer", NOTHING, "--overwrite"),
        ("imputer", NOTHING, "--overwrite"),
        ("prior", "{model}", NOTHING, "--kind", "mixture"),
        ("prior", "{model}", NOTHING, "--kind", "mixture", "--overwrite"),
        ("control", "train", "CartPole-v1", "--overwrite"),
        ("evaluate", "{model}", NOTHING),
    ],
    ids=" ".join,
)
def test_a_file_is_no_folder(
    run: Run, table_model: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "file").write_text("mine")
    done = run(*(word.format(model=table_model) for word in words), "-o", tmp_path / "file")
    refused(done, str(tmp_path / "file"), "is a file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "formats"),
    [
        (("private-table", NOTHING, "--epsilon", "1"), ".csv or .parquet"),
        (("canaries", NOTHING, "--key", "key.csv"), ".csv or .parquet"),
        (("control", "compare", NOTHING), "drawn as .png"),
        (("control", "collect", NOTHING), "written as .npz"),
        (("detect", "{model}", NOTHING), ".csv, .parquet or .json"),
        (("encode", "{model}", NOTHING), ".csv, .parquet or .npz"),
        (("reconstruct", "{model}", NOTHING), ".csv, .parquet or .npz"),
        (("audit", NOTHING, NOTHING), "NAME.html"),
    ],
    ids=lambda found: found[0] if isinstance(found, tuple) else "",
)
def test_a_suffix_is_refused_before_the_data_is_read(
    run: Run, table_model: Path, tmp_path: Path, words: tuple[str, ...], formats: str
) -> None:
    place = tmp_path / "x.xyz"
    done = run(*(word.format(model=table_model) for word in words), "-o", place)
    refused(done, f"{place}: ", formats)


def test_an_agent_is_replaced_only_by_options_that_make_sense(run: Run, tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "agent.jsonl").write_text("kept")
    words = ("control", "train", "CartPole-v1", "-o", tmp_path / "agent", "--overwrite")
    refused(run(*words, "--set", "agent.nothing=1"), "unknown --set agent.nothing")
    assert (tmp_path / "agent" / "agent.jsonl").read_text() == "kept"


@pytest.mark.slow
def test_nothing_is_left_where_a_command_looked(run: Run, table: Path, tmp_path: Path) -> None:
    assert run("fit", NOTHING, "-o", tmp_path / "a" / "b").code == 2
    assert list(tmp_path.iterdir()) == []
    assert run("fit", table, "-o", tmp_path / "a" / "b", *QUICK).code == 0


@pytest.mark.parametrize(
    ("words", "data"),
    [
        (("interpolate", "{pictures}", "{data}", "{pictures}", "-o", "x.npz"), "x.png"),
        (("interpolate", "{pictures}", "{data}", "{pictures}", "-o", "x.gif"), "x.png"),
        (("detect", "{pictures}", "{data}", "-o", "x.csv"), "x_heat.png"),
        (("evaluate", "{table}", "{data}", "-o", "."), "scores.csv"),
    ],
)
def test_files_beside_the_output_do_not_replace_the_data(
    run: Run,
    pictures: Path,
    picture_model: Path,
    table: Path,
    table_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    data: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(table if data.endswith("csv") else next(pictures.rglob("*.png")), data)
    before = Path(data).read_bytes()
    done = run(*(w.format(pictures=picture_model, table=table_model, data=data) for w in words))
    refused(done, f"{data} is the data itself: name another file")
    assert Path(data).read_bytes() == before
    assert len(done.err.splitlines()) == 1  # nothing was computed
    assert list(tmp_path.iterdir()) == [tmp_path / data]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["fit", "", "-o", NOTHING], "DATA"),
        (["synthesizer", "", "-o", NOTHING], "DATA"),
        (["audit", NOTHING, ""], "SYNTHETIC"),
        (["denoise", NOTHING, "", "-o", NOTHING], "DATA"),  # not: a single argument, the data
        (["info", ""], "MODEL"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_an_empty_path_is_not_the_working_directory(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(run(*words), f"{name} is an empty path")
