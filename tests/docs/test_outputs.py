"""What a page shows as a script's output is its output."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT

EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?")


def update() -> ModuleType:
    """docs/update.py, which keeps the blocks of output."""
    spec = importlib.util.spec_from_file_location("docs_update", DOCS / "update.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown() -> list[tuple[str, str | None, str]]:
    """(script, title, body) of every block of output on every page."""
    return [block for page in PAGES for block in update().shown(page.read_text(encoding="utf-8"))]


def test_every_block_is_of_a_script_and_filled() -> None:
    known = update().origins()
    for script, title, body in shown():
        assert script in known
        assert body.strip(), f"the output of {script} ({title}) was never filled in"
        assert title is None or body.startswith(title)


def test_the_tour_shows_every_example() -> None:
    text = (DOCS / "tour.md").read_text(encoding="utf-8")
    for script in EXAMPLES:
        assert f"../examples/{script.name}" in text
        assert (DOCS / "images" / f"{script.stem[3:]}.png").exists()
    assert {script for script, _, _ in update().shown(text)} == {s.name for s in EXAMPLES}


@pytest.mark.slow
@pytest.mark.parametrize("script", ["07_surprisal_and_kl.py"])
def test_computed_examples_are_current(script: str, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    path = ROOT / "examples" / script
    run = subprocess.run(
        [sys.executable, path], cwd=tmp_path, env=environment, check=True, capture_output=True
    )
    output = run.stdout.decode()
    for name, title, body in shown():
        if name == script:
            fresh = update().section(output, title)
            assert NUMBER.sub("#", fresh) == NUMBER.sub("#", body)
            assert numbers(fresh) == pytest.approx(numbers(body), rel=2e-3, abs=2e-2)


def numbers(text: str) -> list[float]:
    """All numbers in a text."""
    return [float(number.replace(",", "")) for number in NUMBER.findall(text)]


def test_every_example_teaches_and_can_be_quick() -> None:
    for script in EXAMPLES:
        source = script.read_text(encoding="utf-8")
        assert len(source.split('"""')[1].splitlines()) >= 10, f"{script.name} says too little"
        assert f"python examples/{script.name} [--quick]" in source
        assert len(source.splitlines()) < 260
