"""Help texts are kept, and made again where they could differ."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lowerbound.cli import help_texts

AGAIN = """
import sys
from lowerbound.cli import main
main(sys.argv[1:])
print("torch" in sys.modules)
"""


def helped(cache: Path, *words: str, columns: int = 100) -> tuple[str, bool]:
    """The help in a process of its own, and whether it imported torch."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "COLUMNS": str(columns)}
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, *words],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    *text, imported = done.stdout.splitlines()
    return "\n".join(text), imported == "True"


def kept(cache: Path) -> list[Path]:
    return sorted((cache / "lowerbound" / "help").glob("*/*"))


def test_a_help_text_is_made_once(tmp_path: Path) -> None:
    first, imported = helped(tmp_path, "sample", "--help")
    assert first.startswith("usage: lowerbound sample MODEL -o OUT [options]") and imported
    assert helped(tmp_path, "sample", "--help") == (first, False)
    assert helped(tmp_path, "help", "sample") == (first, False)


def test_each_command_width_and_length_has_a_text_of_its_own(tmp_path: Path) -> None:
    of_sample, _ = helped(tmp_path, "sample", "--help")
    assert helped(tmp_path, "decode", "--help")[0].startswith("usage: lowerbound decode")
    narrow, imported = helped(tmp_path, "sample", "--help", columns=60)
    assert imported and narrow != of_sample
    assert max(map(len, narrow.splitlines())) < max(map(len, of_sample.splitlines()))
    every, _ = helped(tmp_path, "sample", "--help-all")
    assert "--keep-formulas" in every and len(kept(tmp_path)) == 4


def test_texts_of_another_version_are_removed(tmp_path: Path) -> None:
    old = tmp_path / "lowerbound" / "help" / "0123456789abcdef" / "text"
    old.parent.mkdir(parents=True)
    old.write_text("an option that is gone")
    helped(tmp_path, "decode", "--help")
    (text,) = kept(tmp_path)
    assert text.parent != old.parent and not old.exists()


def test_the_folder_changes_with_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = tmp_path / "package" / "inner" / "part.py"
    part.parent.mkdir(parents=True)
    part.write_text("a = 1")
    monkeypatch.setattr(help_texts, "__file__", str(tmp_path / "package" / "cli" / "it.py"))
    before = help_texts._folder()
    assert help_texts._folder() == before
    part.write_text("a = 2")
    os.utime(part, ns=(1, 1))
    assert help_texts._folder() != before


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "lowerbound").write_text("a file in place of the folder")
    assert helped(tmp_path, "decode", "--help")[0].startswith("usage: lowerbound decode")
