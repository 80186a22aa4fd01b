"""What the compression of a folder of photographs depends on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lowerbound.applications.common.application import Silent
from lowerbound.applications.compression import photographs
from lowerbound.applications.compression.photographs import Photographs
from lowerbound.applications.compression.requests import CompressRequest


def test_a_run_is_another_one_if_any_picture_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, facts = tmp_path / "in", list[Any]()
    source.mkdir()
    for name in "abc":
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(source / f"{name}.png")
    exported = SimpleNamespace(model=None)

    def taken(*_: Any, **given: Any) -> Any:
        facts.append(given["facts"])
        raise KeyboardInterrupt

    monkeypatch.setattr(
        photographs, "each", lambda *_: iter([(source / "a.png", np.zeros((4, 4, 3)), exported)])
    )
    monkeypatch.setattr(photographs, "finished_parts", taken)
    request = CompressRequest("m.lb", data=str(source), output=str(tmp_path / "out"), quality=50)
    fitted: Any = None

    def run() -> Any:
        with pytest.raises(KeyboardInterrupt):
            Photographs().write(request, fitted, Silent())
        return facts[-1]

    before = run()
    assert run() == before
    for name in "abc":
        Image.fromarray(np.ones((5, 4, 3), np.uint8)).save(source / f"{name}.png")
        assert run() != before
        before = facts[-1]
    (source / "c.png").rename(source / "d.png")
    assert run() != before
