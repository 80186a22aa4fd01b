"""The record of a fit in its folder, and what a new fit leaves of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lowerbound.applications.common.fit_folder import REQUEST, TRAINED_AFTER, forget
from lowerbound.fitting.manifest import CHECKPOINT


@pytest.mark.parametrize("name", [CHECKPOINT, *TRAINED_AFTER])
def test_a_new_fit_forgets_every_training_of_the_former_one(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    for file in (tmp_path / REQUEST, tmp_path / name / "state.json", tmp_path / "kept.txt"):
        file.write_text("{}", encoding="utf-8")
    forget(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
    assert set(TRAINED_AFTER) == {"prior", "refiner"}
