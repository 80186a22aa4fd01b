"""Bring what the pages show up to date: run demo and examples, keep their pictures and output.

    python docs/update.py [NAME ...]      all, or "demo" and the examples whose name contains NAME

Pictures go to docs/images. Output goes between the fences that follow a line such as
``<!-- output: 02_pca.py -->`` or ``<!-- output: demo -->`` in any page: all of it, or with
``<!-- output: 02_pca.py: Title -->`` the section whose first line begins with ``Title``. So no
number of an example is typed by hand.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
DEMO = "demo"
FROM_REPORT = ("latent_maps", "reconstructions", "samples_compared")
WIDTH = 1000  # pixels of a picture from the report
BLOCK = re.compile(
    r"(?P<head><!-- output: (?P<origin>demo|\S+?\.py)(?:: (?P<title>.+?))? -->\n```text\n)"
    r"(?P<body>.*?)(?P<tail>^```)",
    re.DOTALL | re.MULTILINE,
)


def pages() -> list[Path]:
    """Every page that may show output."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def origins() -> list[str]:
    """What can be run: the demo, and the examples."""
    return [DEMO, *sorted(path.name for path in (ROOT / "examples").glob("[0-9]*.py"))]


def run(origin: str) -> str:
    """What it prints; its pictures are in docs/images then."""
    if origin == DEMO:
        return run_demo()
    with tempfile.TemporaryDirectory() as folder:
        script = str(ROOT / "examples" / origin)
        output = standard_output([sys.executable, script], Path(folder))
        for picture in [*Path(folder).glob("*.png"), *Path(folder).glob("*.gif")]:
            shutil.copy(picture, IMAGES)
    lines = output.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("picture: "))


def run_demo() -> str:
    """What the demo says of its models; some of its report's pictures are kept."""
    command = str(Path(sys.executable).parent / "lowerbound")
    with tempfile.TemporaryDirectory() as folder:
        output = standard_output([command, "demo", "-o", "digits.lb"], Path(folder))
        for name in FROM_REPORT:
            (path,) = (Path(folder) / "digits.lb" / "figures").glob(f"[0-9][0-9]_{name}.png")
            keep(path, IMAGES / f"demo_{name}.png")
    return output.partition("Look at it:")[0].strip("\n") + "\n"


def standard_output(command: Sequence[str], folder: Path) -> str:
    """What a command prints there, by one thread; notes and progress are shown as they come."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE)
    return done.stdout.decode()


def keep(source: Path, target: Path) -> None:
    """A picture of the report, smaller."""
    from PIL import Image

    with Image.open(source) as picture:
        size = (WIDTH, round(picture.height * WIDTH / picture.width))
        small = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    small.quantize(64, Image.Quantize.MAXCOVERAGE, kmeans=1).save(target, optimize=True)


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
    return found[0].rstrip("\n") + "\n"


def shown(text: str) -> Iterator[tuple[str, str | None, str]]:
    """(origin, title, body) of each block of output on a page."""
    for match in BLOCK.finditer(text):
        yield match["origin"], match["title"], match["body"]


def updated(text: str, origin: str, output: str) -> str:
    """The page with the blocks of this origin filled anew."""

    def fill(match: re.Match[str]) -> str:
        if match["origin"] != origin:
            return match[0]
        return match["head"] + section(output, match["title"]) + match["tail"]

    return BLOCK.sub(fill, text)


def main(names: list[str]) -> None:
    for origin in origins():
        if names and not any(name in origin for name in names):
            continue
        print(origin, flush=True)
        output = run(origin)
        for page in pages():
            text = page.read_text(encoding="utf-8")
            page.write_text(updated(text, origin, output), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
