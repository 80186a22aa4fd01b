"""Parts, commands and public names are those of the record, with their options and their order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_what_a_user_can_name_is_as_recorded() -> None:
    """In a process of its own: other tests register parts, and import in another order."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fixtures.faces"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.strip() == ""
    assert done.returncode == 0, done.stderr
