"""The bytes that a model saves against each codec, at equal PSNR and at equal MS-SSIM."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lowerbound.applications.common.application import Silent
from lowerbound.applications.compression import picture_comparison
from lowerbound.applications.compression.picture_comparison import ANCHOR, OURS, PictureRate
from lowerbound.applications.compression.requests import CompareRequest


def test_each_measure_of_quality_has_its_own_savings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the bytes of the anchor at equal PSNR, and a tenth more at equal MS-SSIM."""
    picture, part = np.zeros((8, 8, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)
    found: dict[tuple[float, str], PictureRate] = {}
    for place, times in enumerate((10.0, 20.0, 40.0, 80.0, 160.0)):
        size, quality = round(1e9 / times), 40.0 - 3 * place
        similar = 1 - 10 ** (-quality / 20)
        found[times, ANCHOR] = PictureRate(size, quality, similar, part)
        better = 1 - 10 ** (-(quality - 3 * np.log2(1.1)) / 20)
        found[times, OURS] = PictureRate(size, quality + 3, better, part)
    model = SimpleNamespace(model=None)
    monkeypatch.setattr(
        picture_comparison, "each", lambda *_: iter([(Path("a.png"), picture, model)])
    )
    monkeypatch.setattr(picture_comparison, "_by_all", lambda *_: found)
    monkeypatch.setattr(picture_comparison, "invents", lambda _: False)
    fitted: Any = None
    report = picture_comparison.compare_pictures(
        CompareRequest("m.lb", "a.png"), fitted, [Path("a.png")], Silent()
    ).to_mapping()
    assert report["saved"][OURS] == pytest.approx(-0.5, abs=0.01)
    assert report["saved_by_ms_ssim"][OURS] == pytest.approx(0.1, abs=0.01)
