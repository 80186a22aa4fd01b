"""Sound from the command line: fit, compress, decompress, reconstruct, sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lowerbound.data.audio import read_clips, read_wav, write_wav
from tests.cli.conftest import Run, fitted
from tests.coding.small_sound import RATE, clips

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")
SMALL = (
    *("--model", "vq_vae", "--objective", "spectral", "--set", "objective.scales=[16,32]"),
    *("--set", "network.hop=8", "--set", "network.width=12", "--set", "network.depth=1"),
    *("--set", "model.quantizer=residual", "--set", "model.codes=8", "--set", "model.free=2"),
)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    found = clips(330, 90, 1200, 700)
    for name, samples in zip(found.names, found.samples, strict=True):
        write_wav(folder / name, samples, RATE)
    return folder


@pytest.fixture(scope="module")
def model(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted(sounds, tmp_path_factory.mktemp("models") / "sound", *SMALL)


def test_what_is_said_of_sound(run: Run, sounds: Path, tmp_path: Path) -> None:
    found = run("fit", sounds, "-o", tmp_path / "m", *SMALL, "--updates", "2", "--samples", "2")
    assert found.code == 0, found.err
    assert "rows of 1 s of sound, 200 samples per second" in found.err + found.out
    assert "network frames (sound goes by frames)" in found.err + found.out


def test_files_and_back(run: Run, model: Path, sounds: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.lbz"
    report = run("compress", model, sounds, "-o", file, "--json").object
    assert report["clips"] == 4
    assert report["bytes"] == file.stat().st_size
    assert report["sound_seconds"] == pytest.approx(2320 / RATE)
    assert report["codebooks"] == 4
    assert run("verify", file, "--model", model, "--json").object["decoded"] is True
    assert run("decompress", model, file, "-o", tmp_path / "back").code == 0
    assert run("reconstruct", model, sounds, "-o", tmp_path / "made").code == 0
    back, made = read_clips(tmp_path / "back"), read_clips(tmp_path / "made")
    assert back.lengths == made.lengths == (330, 90, 1200, 700)
    assert made.names == ("0.wav", "1.wav", "2.wav", "3.wav")
    for one, other in zip(back.samples, made.samples, strict=True):
        np.testing.assert_array_equal(one, other)
    assert run("decompress", model, file, "-o", tmp_path / "all.wav").code == 0
    np.testing.assert_array_equal(read_wav(tmp_path / "all.wav")[0], back.joined)


def test_fewer_codebooks_take_less(run: Run, model: Path, sounds: Path, tmp_path: Path) -> None:
    sizes = []
    for count in (1, 2, 4):
        words = ("compress", model, sounds / "2.wav", "-o", tmp_path / "x.lbz")
        sizes.append(run(*words, "--codebooks", count, "--json").object["bytes"])
    assert sizes == sorted(set(sizes))
    found = run("compress", model, sounds, "-o", tmp_path / "x.lbz", "--codebooks", "9")
    assert found.code == 2
    assert "the model has 4 codebooks" in found.err


def test_rows_of_sound_are_written(run: Run, model: Path, sounds: Path, tmp_path: Path) -> None:
    assert run("sample", model, "-n", "3", "-o", tmp_path / "new").code == 0
    assert read_clips(tmp_path / "new").lengths == (RATE,) * 3
    assert run("encode", model, sounds, "-o", tmp_path / "codes.npz").code == 0
    assert run("decode", model, tmp_path / "codes.npz", "-o", tmp_path / "all.wav").code == 0
    assert len(read_wav(tmp_path / "all.wav")[0]) == 12 * RATE
    assert run("evaluate", model, sounds, "--samples", "2").code == 0


def test_what_makes_no_sense(run: Run, model: Path, sounds: Path, tmp_path: Path) -> None:
    mistakes = {
        ("compress", model, sounds, "-o", tmp_path / "x.lbz", "--part", "test"): "leave --part out",
        ("compress", model, tmp_path, "-o", tmp_path / "x.lbz"): "no .wav file and no folder",
        ("reconstruct", model, sounds, "-o", tmp_path / "x.png"): "sound is written as one .wav",
        ("reconstruct", model, "digits", "-o", tmp_path / "x.wav"): "no .wav file and no folder",
    }
    for words, message in mistakes.items():
        found = run(*words)
        assert found.code == 2
        assert message in found.err
