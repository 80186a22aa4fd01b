"""Bring what the pages show up to date: run the examples, keep their pictures and their output.

    python docs/update.py [NAME ...]      all examples, or those whose name contains NAME

Pictures go to docs/images. Output goes between the fences that follow a line such as
``<!-- output: 02_pca.py -->`` in any page: all of it, or with ``<!-- output: 02_pca.py: Title -->``
the section whose first line begins with ``Title``. So no number on a page is typed by hand.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
BLOCK = re.compile(
    r"(?P<head><!-- output: (?P<script>\S+?\.py)(?:: (?P<title>.+?))? -->\n```text\n)"
    r"(?P<body>.*?)(?P<tail>^```)",
    re.DOTALL | re.MULTILINE,
)


def pages() -> list[Path]:
    """Every page that may show output."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def run(script: Path) -> str:
    """What the script prints; its pictures are written to docs/images."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, script], cwd=IMAGES, env=environment, check=True, stdout=subprocess.PIPE
    )
    lines = done.stdout.decode().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("picture: "))


def section(output: str, title: str | None) -> str:
    """The part of the output that begins with ``title`` and goes on while lines are indented.

    >>> section("Coins\\n  heads\\nDice\\n  six\\n", "Dice")
    'Dice\\n  six\\n'
    """
    if title is None:
        return output
    parts = re.split(r"^(?=\S)", output, flags=re.MULTILINE)
    found = [part for part in parts if part.startswith(title)]
    if len(found) != 1:
        raise SystemExit(f"{len(found)} sections of the output begin with {title!r}")
    return found[0]


def shown(text: str) -> Iterator[tuple[str, str | None, str]]:
    """(script, title, body) of each block of output on a page."""
    for match in BLOCK.finditer(text):
        yield match["script"], match["title"], match["body"]


def updated(text: str, script: str, output: str) -> str:
    """The page with this script's blocks filled anew."""

    def fill(match: re.Match[str]) -> str:
        if match["script"] != script:
            return match[0]
        return match["head"] + section(output, match["title"]) + match["tail"]

    return BLOCK.sub(fill, text)


def main(names: list[str]) -> None:
    for script in sorted((ROOT / "examples").glob("[0-9]*.py")):
        if names and not any(name in script.name for name in names):
            continue
        print(script.name, flush=True)
        output = run(script)
        for page in pages():
            text = page.read_text(encoding="utf-8")
            page.write_text(updated(text, script.name, output), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
