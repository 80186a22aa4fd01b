"""A requested size is found with few files; tunes do what they say, by the codec in the package."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from lowerbound.applications.compression.container import open_container
from lowerbound.applications.compression.exported_models import shipped
from lowerbound.applications.compression.picture_tiles import tiles_of_pictures
from lowerbound.applications.compression.rated_pictures import level_for, write_one
from lowerbound.applications.compression.requests import CompressRequest
from lowerbound.applications.compression.step_map import LAST
from lowerbound.applications.compression.transform_codec import read_eight_bit
from lowerbound.errors import OptionError
from lowerbound.objectives.features import ms_ssim

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")


def textured() -> np.ndarray:
    """Weak smooth noise on the left, strong edges on the right, (192, 256, 3) uint8."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(192, 256))
    for axis in (0, 1):
        noise = (noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)) / 3
    weak = 120 + 14 * noise
    strong = 128 + 90 * np.sign(np.sin(np.arange(256) / 3)) * np.ones((192, 1)) + 40 * noise
    grey = np.where(np.arange(256) < 128, weak, strong)
    tint = np.array([1.0, 0.95, 0.85])
    return (grey[..., None] * tint).clip(0, 255).round().astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("size", [3000, 6000])
def test_ssim_keeps_weak_texture_at_equal_bytes(tmp_path: Path, size: int) -> None:
    picture, model = textured(), shipped().model
    found = {}
    for tune in ("psnr", "ssim"):
        request = CompressRequest("", bytes=size, tune=tune)  # type: ignore[arg-type]
        one = write_one(model, picture, tmp_path / f"{tune}.lbz", request)
        assert one.bytes <= size
        assert one.bytes > 0.9 * size
        spread = [part[:, 16:112].astype(float).std((0, 1)).mean() for part in (one.back, picture)]
        found[tune] = (ms_ssim(picture, one.back), one.psnr, spread[0] / spread[1])
    assert found["ssim"][0] > found["psnr"][0]
    assert found["ssim"][1] < found["psnr"][1]
    assert found["ssim"][2] > found["psnr"][2]


def test_few_files_are_tried_for_a_size() -> None:
    """Wrong estimates, by a factor and by a slope, are mended by the sizes that are seen."""
    for size in (500, 4000, 30_000):
        for factor in (0.6, 1.0, 1.6):
            for slope in (0.7, 1.0, 1.3):
                tried: list[int] = []

                def real(level: int, tried: list[int] = tried) -> int:
                    tried.append(level)
                    return round(1e5 * math.exp(-0.033 * level))

                def estimate(level: int, factor: float = factor, slope: float = slope) -> float:
                    return math.log(1e5 * factor) - 0.033 * slope * level

                level = level_for(CompressRequest("", bytes=size), 1, real, estimate)
                assert size >= round(1e5 * math.exp(-0.033 * level)) > 0.85 * size
                assert len(set(tried)) <= 3


def test_no_file_is_small_enough() -> None:
    with pytest.raises(OptionError, match="more than the 100 requested"):
        level_for(CompressRequest("", bytes=100), 1, lambda level: 5000 - level, lambda at: -at)
    assert level_for(CompressRequest("", quality=0), 1, lambda at: 0, lambda at: 0.0) < LAST


@pytest.mark.slow
def test_tenth_of_a_bit_per_pixel(tmp_path: Path) -> None:
    picture = textured()
    for tune in ("psnr", "ssim"):
        request = CompressRequest("", bytes=192 * 256 // 80, tune=tune)  # type: ignore[arg-type]
        one = write_one(shipped().model, picture, tmp_path / "x.lbz", request)
        assert one.bytes <= 192 * 256 // 80


@pytest.mark.slow
def test_the_header_of_many_tiles_counts(tmp_path: Path) -> None:
    picture, file = np.tile(textured()[:16], (1, 8, 1)), tmp_path / "x.lbz"
    coarse = write_one(shipped().model, picture, file, CompressRequest("", quality=10))
    assert open_container(file).overhead > 60
    size = coarse.bytes - 1
    write_one(shipped().model, picture, file, CompressRequest("", bytes=size))
    assert 0.8 * size < file.stat().st_size <= size


@pytest.mark.slow
def test_neutral_greys_stay_neutral(tmp_path: Path) -> None:
    """A grey wedge inside a picture with colors shows no color that an eye would see."""
    picture = textured()
    picture[64:128] = np.linspace(10, 245, 256)[None, :, None].round()
    picture[:32] = (200, 60, 40)
    for tune in ("psnr", "ssim"):
        request = CompressRequest("", quality=50, tune=tune)  # type: ignore[arg-type]
        back = write_one(shipped().model, picture, tmp_path / "x.lbz", request).back.astype(float)
        middle = back[80:112]
        assert np.ptp(middle.mean((0, 1))) < 1, tune
        assert np.sqrt(np.square(middle - middle.mean(-1, keepdims=True)).mean()) < 2, tune


@pytest.mark.slow
@pytest.mark.parametrize("size", [None, pytest.param(20_000, marks=pytest.mark.long)])
def test_the_loss_of_a_large_picture_is_measured_in_some_tiles(
    tmp_path: Path, size: int | None
) -> None:
    model, place = shipped().model, tmp_path / "x.lbz"
    picture = np.tile(textured(), (3, 5, 1))[:530, :1_100]
    request = CompressRequest("", bytes=size, quality=None if size else 30)
    one = write_one(model, picture, place, request, measured=2)
    (whole,) = read_eight_bit(open_container(place), model)
    tiles = tiles_of_pictures((1, 3, 530, 1_100), 2)
    shown = np.zeros((530, 1_100), bool)
    for tile in tiles:
        tile.in_picture(shown)[:] = True
    assert one.measured == shown.mean() < 0.6
    np.testing.assert_array_equal(one.back, whole * shown[..., None])
    error = np.square(picture[shown].astype(float) - whole[shown]).mean()
    assert one.psnr == pytest.approx(10 * np.log10(255**2 / error))
    assert write_one(model, picture, place, request).measured == 1.0
