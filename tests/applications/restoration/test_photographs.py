"""What a report of cleaned photographs says of their noise."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from lowerbound.applications.common.application import Silent
from lowerbound.applications.restoration import photographs


def test_the_expected_psnr_is_that_of_the_mean_square_deviation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the pixels are known, and the others are off by 0.2 of white."""
    Image.fromarray(np.full((10, 20, 3), 128, np.uint8)).save(tmp_path / "a.png")
    deviation = np.where(np.arange(20) % 2, 0.2, 0.0)[None, :, None].repeat(10, 0).repeat(3, 2)
    cleaned = SimpleNamespace(mean=np.full((10, 20, 3), 0.6), deviation=deviation)
    monkeypatch.setattr(photographs, "shipped_denoiser", lambda: None)
    monkeypatch.setattr(photographs, "clean_picture", lambda *_: cleaned)
    report = photographs.denoise_pictures(
        str(tmp_path / "a.png"), str(tmp_path / "b.png"), 25.5, "raise", Silent()
    )
    assert report.psnr == pytest.approx(-10 * np.log10(0.02))
    assert report.noise == pytest.approx(25.5)
    assert report.moved == pytest.approx(255 * (0.6 - 128 / 255), rel=1e-3)
    assert report.megapixels == pytest.approx(2e-4)
