"""Defects that a move of code can bring in, written by hand: each with the tests that notice it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.defects import PACKAGE

LISTS = ("planted.json", "planted_more.json")  # beside this module


@dataclass(frozen=True)
class Planted:
    """A text of a file, and a wrong one in its place.

    Attributes:
        name: what is wrong with it, in a sentence.
        path: of the file, from the checkout on.
        before, after: the two texts; the file contains the first once.
        tests: that notice it, as pytest names them.
    """

    name: str
    path: str
    before: str
    after: str
    tests: Sequence[str]

    @property
    def file(self) -> str:
        """From the package on."""
        return Path(self.path).relative_to(PACKAGE).as_posix()

    @property
    def room(self) -> str:
        """Part of the package, or of its applications, that contains the file."""
        parts = Path(self.file).parts
        return "/".join(parts[: 2 if parts[0] == "applications" and len(parts) > 2 else 1])

    @property
    def change(self) -> str:
        """What changes, independent of the file."""
        return f"{self.name}: {self.before} -> {self.after}"

    def planted(self, content: bytes) -> bytes:
        """The content of the file with the defect.

        Raises:
            ValueError: the file contains the text not at all or several times.
        """
        text = content.decode()
        times = text.count(self.before)
        if times != 1:
            raise ValueError(f"{self.path} has the text of {self.name!r} {times} times")
        return text.replace(self.before, self.after).encode()


def planted_defects(root: Path) -> list[Planted]:
    """Those of a checkout."""
    lists = [path for name in LISTS if (path := root / "tests" / "mutation" / name).exists()]
    return [
        Planted(one["name"], one["file"], one["before"], one["after"], one["tests"])
        for path in lists
        for one in json.loads(path.read_text(encoding="utf-8"))
    ]
