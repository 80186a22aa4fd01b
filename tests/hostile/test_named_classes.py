"""A model folder that names a class: nothing is imported, and nothing of it runs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from lowerbound import VAE
from lowerbound.cli import main
from lowerbound.errors import LowerboundError
from tests.hostile.targets import changed_folder


@pytest.mark.parametrize("part", ["network", "likelihood", "prior"])
@pytest.mark.parametrize("name", ["hostile_part:Part", "hostile_part:Part#00c0ffee"])
def test_a_named_class_is_not_imported(
    part: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "hostile_part.py").write_text(f"open({str(ran)!r}, 'w')\nclass Part: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    X = np.random.default_rng(0).normal(size=(20, 3))
    VAE(latent_dim=1, epochs=1).fit(X).save(tmp_path / "m.lb")

    def change(config: dict) -> None:
        config["model"][part] = name

    folder = changed_folder(tmp_path / "m.lb", tmp_path / "theirs.lb", "config.json", change)
    with pytest.raises(LowerboundError, match="never import"):
        VAE.load(folder)
    assert main(["sample", str(folder), "-o", str(tmp_path / "x.npz")]) == 2
    assert "never import" in capsys.readouterr().err
    assert not ran.exists()
    assert "hostile_part" not in sys.modules
