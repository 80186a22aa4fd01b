"""What an unfinished output is of: every file that the results depend on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from lowerbound.applications.common.application import Silent
from lowerbound.applications.common.parts import finished_parts, stamp
from lowerbound.config import option
from lowerbound.errors import OptionError


@dataclass(frozen=True)
class Request:
    """Of a command that works in parts."""

    data: str = option("", "a table")
    output: str = option("", "a file")
    resume: bool = option(False, "go on")


def interrupt(request: Request) -> None:
    """Leave an unfinished output with a part."""

    def run() -> None:
        with finished_parts("encode", request, Silent()) as parts:
            parts.rows = 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()


@pytest.mark.parametrize("changed", ["x.db", "x.db.wal"])
def test_a_database_or_its_log_that_changed_is_not_resumed(tmp_path: Path, changed: str) -> None:
    """A database that another program has open keeps its newest rows in the log."""
    for name in ("x.db", "x.db.wal"):
        (tmp_path / name).write_bytes(b"rows")
    given = f"duckdb:{tmp_path / 'x.db'}?table=t", str(tmp_path / "out.csv")
    interrupt(Request(*given))
    with finished_parts("encode", Request(*given, resume=True), Silent()):
        pass
    interrupt(Request(*given))
    (tmp_path / changed).write_bytes(b"more rows")
    with (
        pytest.raises(OptionError, match="differs in file for data"),
        finished_parts("encode", Request(*given, resume=True), Silent()),
    ):
        pass


def test_the_stamp_of_several_files_has_each_of_them(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(b"1")
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        before = stamp(*paths)
        path.write_bytes(b"22")
        assert stamp(*paths) != before
