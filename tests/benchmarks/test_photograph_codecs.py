"""Codecs of photographs beside ours: settings, points and BD-rates."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from _photograph_codecs import (
    ANCHOR,
    CODECS,
    HAS_MOZJPEG,
    JPEG,
    curve,
    decibels,
    point_of,
    rivals,
    saved,
)
from PIL import Image, features
from sklearn.datasets import load_sample_images


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.asarray(load_sample_images().images[0])[100:196, 200:296]


def test_points_are_rate_error_and_similarity() -> None:
    picture = np.zeros((20, 10, 3), np.uint8)
    rate, error, similar = point_of(50, picture, picture + 2)
    assert (rate, error) == (2.0, 4.0)
    assert 0 < similar < 1
    assert point_of(50, picture, picture)[2] == 1.0
    assert decibels(255.0**2 / 100) == pytest.approx(20.0)


def test_jpeg_is_progressive_with_tables_of_its_own(picture: np.ndarray) -> None:
    sizes = {}
    for name, settings in {"ours": JPEG, "plain": {"subsampling": "4:2:0"}}.items():
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "JPEG", quality=75, **settings)
        sizes[name] = len(stream.getvalue())
        assert (b"\xff\xc2" in stream.getvalue()) == (
            name == "ours"
        )  # start of a progressive frame
    assert sizes["ours"] < sizes["plain"]


@pytest.mark.skipif(not HAS_MOZJPEG, reason="mozjpeg's scans are not installed")
def test_scans_of_mozjpeg_hold_the_same_picture_in_fewer_bytes(picture: np.ndarray) -> None:
    plain, smaller = CODECS[ANCHOR].point(picture, 75), CODECS["JPEG, mozjpeg"].point(picture, 75)
    assert smaller[0] < plain[0]
    assert smaller[1:] == plain[1:]


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow writes no AVIF")
def test_avif_with_all_colors_is_closer_in_color_at_one_quality(picture: np.ndarray) -> None:
    few, all_colors = (CODECS[f"AVIF, speed 6, {c}"].point(picture, 90) for c in ("4:2:0", "4:4:4"))
    assert all_colors[1] < few[1]


def test_the_anchor_saves_nothing_and_half_the_bytes_save_half() -> None:
    # rates around those of the range, qualities that rise with them
    anchor = [
        [rate, 1000 * math.exp(-3 * rate), 1 - 0.1 / rate] for rate in (0.2, 0.4, 0.6, 0.8, 1)
    ]
    half = [[rate / 2, *rest] for rate, *rest in anchor]
    for measure in ("PSNR", "MS-SSIM"):
        found = saved({ANCHOR: anchor, "half": half}, measure)
        assert found[ANCHOR] == pytest.approx(0.0, abs=1e-9)
        assert found["half"] == pytest.approx(-50.0)


def test_a_codec_without_a_common_quality_has_no_rate() -> None:
    anchor = [[rate, 1000 * math.exp(-3 * rate), 0.5] for rate in (0.2, 0.4, 0.6, 0.8)]
    far = [[rate, error * 1e4, 0.5] for rate, error, _ in anchor]
    assert saved({ANCHOR: anchor, "far": far}, "PSNR")["far"] is None


def test_a_curve_is_the_mean_over_photographs_at_each_setting() -> None:
    first, second = [[1.0, 255.0**2 / 10, 0.9]], [[3.0, 255.0**2 / 1000, 0.9]]
    assert curve([first, second], "PSNR") == [(2.0, pytest.approx(20.0))]


@pytest.mark.slow
def test_every_rival_writes_smaller_files_at_lower_quality(picture: np.ndarray) -> None:
    for codec in rivals().values():
        low, high = (
            codec.point(picture, codec.qualities[0]),
            codec.point(picture, codec.qualities[-1]),
        )
        assert low[0] < high[0]
        assert low[1] > high[1]
