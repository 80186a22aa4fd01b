"""The options of commands are kept, and found again where they could differ."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lowerbound.applications import APPLICATIONS, load
from lowerbound.applications.common.form import Entry, entries
from lowerbound.cli import forms

AGAIN = """
import sys
from lowerbound.cli import main
code = main(sys.argv[1:])
print(code, "torch" in sys.modules)
"""


def said(cache: Path, *words: str) -> tuple[str, bool]:
    """What a process of its own prints, and whether it imported torch."""
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, *words],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    *text, last = done.stdout.splitlines()
    return done.stderr + "\n".join(text), last.split()[1] == "True"


def values(entry: Entry) -> Mapping[str, Any]:
    """The fields, with what the entry's part options say in place of the function."""
    found = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
    options = entry.part_options
    plain = json.loads(json.dumps(options())) if options else None
    return found | {"part_options": plain}


@pytest.mark.parametrize("command", APPLICATIONS)
def test_a_form_comes_back_whole(command: str) -> None:
    form = entries(load(command).request)
    text = json.dumps([forms._plain(entry) for entry in form])
    found = [forms._entry(each) for each in json.loads(text)]
    assert list(map(values, found)) == list(map(values, form))


@pytest.mark.slow
def test_the_second_help_and_wrong_words_do_not_wait_for_torch(tmp_path: Path) -> None:
    first, imported = said(tmp_path, "sample", "--help")
    assert first.startswith("usage: lowerbound sample MODEL -o OUT [options]")
    assert imported
    assert said(tmp_path, "sample", "--help") == (first, False)
    assert said(tmp_path, "help", "sample") == (first, False)
    assert said(tmp_path, "sample", "m.lb", "-o", "o.csv", "--temprature", "3") == (
        "lowerbound: unknown option --temprature; did you mean --temperature?\n",
        False,
    )
    missing, imported = said(tmp_path, "sample", "m.lb")
    assert missing.startswith("lowerbound: missing: -o/--output")
    assert not imported


@pytest.mark.slow
def test_the_second_list_of_parts_does_not_wait_for_torch(tmp_path: Path) -> None:
    first, imported = said(tmp_path, "models")
    assert "autoencoder, hierarchical" in first
    assert imported
    assert said(tmp_path, "models") == (first, False)


@pytest.mark.slow
def test_a_kept_form_runs_the_command(tmp_path: Path) -> None:
    words = ("info", str(tmp_path / "nothing.lb"))
    assert said(tmp_path, *words) == said(tmp_path, *words)
    assert str(tmp_path / "nothing.lb") in said(tmp_path, *words)[0]


@pytest.mark.slow
def test_forms_of_another_version_are_removed(tmp_path: Path) -> None:
    old = tmp_path / "lowerbound" / "forms" / "0123456789abcdef" / "decode.json"
    old.parent.mkdir(parents=True)
    old.write_text('{"form": []}')
    said(tmp_path, "decode", "--help")
    (kept,) = (tmp_path / "lowerbound" / "forms").glob("*/*")
    assert kept.name == "decode.json"
    assert kept.parent != old.parent


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"form": [{"path": 3}]}',
        *(pytest.param(each, marks=pytest.mark.long) for each in ("[]", '{"form": 1}', "\0")),
    ],
)
def test_a_damaged_form_is_found_again(tmp_path: Path, content: str) -> None:
    whole, _ = said(tmp_path, "decode", "--help")
    (kept,) = (tmp_path / "lowerbound" / "forms").glob("*/*")
    kept.write_text(content)
    assert said(tmp_path, "decode", "--help")[0] == whole


def test_the_folder_changes_with_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = tmp_path / "package" / "inner" / "part.py"
    part.parent.mkdir(parents=True)
    part.write_text("a = 1")
    monkeypatch.setattr(forms, "PACKAGE", tmp_path / "package")
    before = forms._folder()
    assert forms._folder() == before
    os.utime(part, ns=(1, 1))
    assert forms._folder() != before


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the forms of all commands."""
    place = tmp_path_factory.mktemp("installed")
    shutil.copytree(forms.PACKAGE, place / "lowerbound")
    subprocess.run(
        [sys.executable, "-m", "lowerbound.cli.forms"],
        env={**os.environ, "PYTHONPATH": str(place)},
        check=True,
        cwd=place,
    )
    return place


@pytest.mark.slow
def test_the_first_help_of_a_wheel_does_not_wait_for_torch(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(installed))
    found, imported = said(tmp_path, "sample", "--help")
    assert not imported
    assert not list(tmp_path.iterdir())
    monkeypatch.delenv("PYTHONPATH")
    assert said(tmp_path, "sample", "--help") == (found, True)


@pytest.mark.slow
def test_shipped_forms_of_other_files_are_not_used(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    shutil.copytree(installed, other)
    with (other / "lowerbound" / "registry.py").open("a") as file:
        file.write("# changed\n")
    monkeypatch.setenv("PYTHONPATH", str(other))
    assert said(tmp_path / "cache", "sample", "--help")[1]


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "lowerbound").write_text("a file in place of the folder")
    assert said(tmp_path, "decode", "--help")[0].startswith("usage: lowerbound decode")


def test_a_user_without_a_home_has_help(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(forms, "cache_folder", no_home)
    monkeypatch.delitem(sys.modules, "torch")
    assert [entry.name for entry in forms.form_of("info")] == [
        entry.name for entry in entries(load("info").request)
    ]
