"""The public names have types: a strict checker accepts a user's script, and finds its mistakes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.type_checks import user_script

ROOT = Path(__file__).parents[2]
pytest.importorskip("mypy", reason="pip install mypy")


def checked(script: Path, cache: Path) -> str:
    """What mypy says of a script; the package counts as installed, so only the script is judged."""
    words = ["--strict", "--follow-imports=silent", "--config-file=", f"--cache-dir={cache}"]
    run = subprocess.run(
        [sys.executable, "-m", "mypy", *words, str(script)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, "MYPYPATH": str(ROOT / "src")},
    )
    return run.stdout + run.stderr


@pytest.mark.slow
def test_a_strict_checker_accepts_the_script_and_finds_mistakes(tmp_path: Path) -> None:
    script = Path(user_script.__file__)
    assert checked(script, tmp_path / "cache").startswith("Success")
    text = script.read_text(encoding="utf-8")
    wrong = {
        "rows: Dataset = load(X)": "rows: str = load(X)",
        "codes: np.ndarray =": "codes: str =",
        "fitted: Fitted = fit(": "fitted: int = fit(",
        "model = assemble(rows.schema, options)": "model = assemble(rows.schema, 3)",
    }
    for right, mistake in wrong.items():
        assert right in text
        text = text.replace(right, mistake)
    other = tmp_path / "wrong.py"
    other.write_text(text, encoding="utf-8")
    found = checked(other, tmp_path / "cache")
    for mistake in wrong.values():
        line = text[: text.index(mistake)].count("\n") + 1
        assert f"wrong.py:{line}: error" in found, found


@pytest.mark.slow
def test_the_script_runs(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(80, 2)) @ np.ones((2, 4))
    X += 0.1 * np.random.default_rng(1).normal(size=X.shape)
    for value in (
        user_script.estimators(X, tmp_path),
        user_script.functions(X, tmp_path),
        user_script.own_loop(X),
    ):
        assert np.isfinite(value)
