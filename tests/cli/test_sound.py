"""Sound from the command line: fit, compress, decompress, compare, reconstruct, sample."""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lowerbound.applications.compression.container import open_container
from lowerbound.applications.compression.sound_comparison import log_mel_distance, si_sdr
from lowerbound.data.audio.clips import read_clips, read_wav, wav_file, write_wav
from lowerbound.fitting.folder import read
from lowerbound.inference.sound_codes import SoundCoder
from tests.applications.compression.small_sound import RATE, clips
from tests.cli.conftest import Run, fitted

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
    assert "no report.html is written: a report has no figures of such rows" in found.err
    assert "rows of 1 s of sound, 200 samples per second" in found.err + found.out
    assert "network frames (sound is modeled in frames)" in found.err + found.out


def test_files_and_back(run: Run, model: Path, sounds: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.lbz"
    report = run("compress", model, sounds, "-o", file, "--json").object
    assert report["clips"] == 4
    assert report["bytes"] == file.stat().st_size
    assert report["sound_seconds"] == pytest.approx(2320 / RATE)
    assert report["codebooks"] == 4
    assert run("verify", file, "--model", model, "--json").object["decoded"] is True
    said = run("info", file).out
    assert "4 clips, 11.6 s of sound with 200 samples per second, in " in said
    for suffix in (".csv", ".npz"):
        refused = run("decompress", model, file, "-o", tmp_path / f"back{suffix}")
        assert refused.code == 2
        assert f"back{suffix}: clips, which differ in length, are written as one" in refused.err
    assert run("decompress", model, file, "-o", tmp_path / "back").code == 0
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.b.lbz").write_bytes(file.read_bytes())
    assert run("decompress", model, tmp_path / "files", "-o", tmp_path / "all").code == 0
    assert len(list((tmp_path / "all" / "a.b").glob("*.wav"))) == 4
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
    assert "from 1 to the model's 4, not 9" in found.err


def test_rows_of_sound_are_written(run: Run, model: Path, sounds: Path, tmp_path: Path) -> None:
    assert run("sample", model, "-n", "3", "-o", tmp_path / "new").code == 0
    assert read_clips(tmp_path / "new").lengths == (RATE,) * 3
    assert run("encode", model, sounds, "-o", tmp_path / "codes.npz").code == 0
    assert run("decode", model, tmp_path / "codes.npz", "-o", tmp_path / "all.wav").code == 0
    assert len(read_wav(tmp_path / "all.wav")[0]) == 12 * RATE
    assert run("evaluate", model, sounds, "--samples", "2").code == 0


def test_sound_is_compared_with_telephones(
    run: Run, model: Path, sounds: Path, tmp_path: Path
) -> None:
    pytest.importorskip("av", reason="pip install 'lowerbound[sound]'")
    page = tmp_path / "new" / "page.html"
    report = run("compare", model, sounds, "-o", page, "--json").object
    assert (report["clips"], report["sound_seconds"]) == (4, pytest.approx(2320 / RATE))
    assert report["left_out"] == []
    told = [(rate["codebooks"], rate["codec"]) for rate in report["rates"]]
    codecs = ("lowerbound", "Opus 3k/60 ms", "AMR-NB 4.75")  # the fewest that these can
    assert told == [(count, codec) for count in (4, 2) for codec in codecs]

    fitted, original, ours = read(model), read_clips(sounds), report["rates"][0]
    coder, signal = SoundCoder.of(fitted.model), torch.from_numpy(original.joined)
    made = coder.signal(coder.codes(signal), len(signal)).numpy()
    assert ours["si_sdr"] == pytest.approx(si_sdr(made, original.joined), abs=1e-3)
    assert ours["log_mel"] == pytest.approx(log_mel_distance(made, original.joined, RATE), abs=1e-4)

    text = page.read_text(encoding="utf-8")
    sources = re.findall(r'src="([^"]*)"', text)
    assert len(sources) == 4 * (1 + 2 + 2)  # clips x (itself, the model twice, two others)
    first = sources[0].removeprefix("data:audio/wav;base64,")
    assert base64.b64decode(first) == wav_file(original.samples[0], RATE)
    assert f"<td>{ours['log_mel']:.3f}</td>" in text
    assert not re.search(r"https?:|<link|<script", text)


def test_payload_is_what_is_compared(run: Run, model: Path, sounds: Path, tmp_path: Path) -> None:
    """Of the file that compress writes, all but its header and four lengths, 7 bytes."""
    assert run("compress", model, sounds, "-o", tmp_path / "x.lbz", "--codebooks", "3").code == 0
    file = open_container(tmp_path / "x.lbz")
    rates = run("compare", model, sounds, "--codebooks", "3", "--json").object["rates"]
    assert {rate["codebooks"] for rate in rates} == {3}
    ours = rates[0]
    assert ours["bytes"] == file.size - file.overhead - 7
    assert ours["kilobits_per_second"] == pytest.approx(ours["bytes"] * 8 / (2320 / RATE) / 1000)
    assert ours["times_smaller"] == pytest.approx(2320 * 2 / ours["bytes"])


def test_without_pyav_the_model_is_told_alone(
    run: Run, model: Path, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    found = run("compare", model, sounds)
    assert found.code == 0
    assert found.out.count("lowerbound  ") == 2
    assert found.out.count("pip install 'lowerbound[sound]'") == 1


def test_what_makes_no_sense(run: Run, model: Path, sounds: Path, tmp_path: Path) -> None:
    mistakes = {
        ("compress", model, sounds, "-o", tmp_path / "x.lbz", "--part", "test"): "leave --part out",
        ("compress", model, tmp_path, "-o", tmp_path / "x.lbz"): "neither a .wav file nor a folder",
        ("compare", model, sounds, "--part", "test"): "leave --part out",
        ("compare", model, sounds, "--codebooks", "9"): "from 1 to the model's 4",
        ("compare", model, sounds, "-o", tmp_path / "x.txt"): "the page is written as NAME.html",
        ("compare", model, tmp_path): "neither a .wav file nor a folder",
        ("compare", model, "digits"): "neither a .wav file nor a folder",
        ("reconstruct", model, sounds, "-o", tmp_path / "x.png"): "sound is written as one .wav",
        (
            "reconstruct",
            model,
            "digits",
            "-o",
            tmp_path / "x.wav",
        ): "neither a .wav file nor a folder",
    }
    for words, message in mistakes.items():
        found = run(*words)
        assert found.code == 2
        assert message in found.err


def test_other_models_reconstruct_windows(run: Run, sounds: Path, tmp_path: Path) -> None:
    """Clips of sound keep their names and lengths; an array holds the windows."""
    model, given = fitted(sounds, tmp_path / "vae", "--model", "vae"), read_clips(sounds)
    assert run("reconstruct", model, sounds, "-o", tmp_path / "made").code == 0
    found = read_clips(tmp_path / "made")
    assert (found.rate, found.names, found.lengths) == (RATE, given.names, given.lengths)
    assert run("reconstruct", model, sounds, "-o", tmp_path / "made.npz").code == 0
    with np.load(tmp_path / "made.npz") as arrays:
        rows, whole = arrays["x"], arrays["reconstruction"]
    assert rows.shape == (12, RATE)  # windows of a second
    np.testing.assert_allclose(found.joined, np.clip(whole, -1, 1).reshape(-1)[:2320], atol=1e-4)
    np.savez(tmp_path / "rows.npz", x=rows)
    assert run("reconstruct", model, tmp_path / "rows.npz", "-o", tmp_path / "cut").code == 0
    assert read_clips(tmp_path / "cut").lengths == (RATE,) * 12


def test_sound_has_no_gaps(run: Run, model: Path, sounds: Path, tmp_path: Path) -> None:
    refused = run("fit", sounds, "-o", tmp_path / "m", "--missing", "model")
    assert refused.code == 2
    assert "sound has no missing samples" in refused.err
    refused = run("impute", model, sounds, "-o", tmp_path / "whole.npz")
    assert refused.code == 2
    assert "rows of 1 s of sound, 200 samples per second, of which no part" in refused.err


@pytest.fixture(scope="module")
def continuous(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE of the same clips, whose latents are continuous."""
    return fitted(sounds, tmp_path_factory.mktemp("models") / "vae", "--model", "vae")


def test_denoised_clips_keep_their_names_and_lengths(
    run: Run, continuous: Path, sounds: Path, tmp_path: Path
) -> None:
    """Without noise, every form has the given samples, bit for bit."""
    given = read_clips(sounds)
    exact = ("--noise", 0, "--draws", 1)
    assert run("denoise", continuous, sounds, "-o", tmp_path / "clean", *exact).code == 0
    found = read_clips(tmp_path / "clean")
    assert found.names == tuple(f"{i}{end}.wav" for i in range(4) for end in ("-1", ""))
    for clip, samples in zip(given.samples, found.samples[1::2], strict=True):
        np.testing.assert_array_equal(samples, clip)
    assert run("denoise", continuous, sounds, "-o", tmp_path / "clean.wav", *exact).code == 0
    for name in ("clean.wav", "clean-1.wav"):
        np.testing.assert_array_equal(read_wav(tmp_path / name)[0], given.joined)
    assert run("denoise", continuous, sounds, "-o", tmp_path / "clean.npz", *exact).code == 0
    with np.load(tmp_path / "clean.npz") as arrays:
        np.testing.assert_array_equal(arrays["x"].reshape(-1)[:2320], given.joined)
        rows = arrays["x"]
    np.savez(tmp_path / "rows.npz", x=rows)
    words = ("--noise", 0.1, "--chains", 2, "--temperatures", 2)
    found_rows = run("denoise", continuous, tmp_path / "rows.npz", "-o", tmp_path / "new", *words)
    assert found_rows.code == 0, found_rows.err
    assert read_clips(tmp_path / "new").lengths == (RATE,) * 12


def test_noise_beyond_the_amplitudes_is_refused(
    run: Run, continuous: Path, sounds: Path, tmp_path: Path
) -> None:
    refused = run("denoise", continuous, sounds, "-o", tmp_path / "clean", "--noise", 1000)
    assert refused.code != 0
    assert "amplitudes, which lie between -1 and 1, not 1000" in refused.err
    assert "0.0305" in refused.err
    assert not (tmp_path / "clean").exists()


def test_codes_cannot_be_denoised(run: Run, model: Path, sounds: Path, tmp_path: Path) -> None:
    for noise in (0, 0.1, "auto"):
        refused = run("denoise", model, sounds, "-o", tmp_path / "clean.npz", "--noise", noise)
        assert refused.code == 2
        assert "removing noise moves latents along gradients" in refused.err
        assert "discrete latent (Quantized): fit a vae or pca to clean rows" in refused.err


def test_detect_names_the_clip_and_the_second(
    run: Run, continuous: Path, sounds: Path, tmp_path: Path
) -> None:
    done = run("detect", continuous, sounds, "-o", tmp_path / "scores.csv")
    assert done.code == 0, done.err
    assert re.search(r"  row [0-3]\.wav at \S+ s: score", done.out)
    assert re.search(r": sample 0\.\d+ s after the start of the row \(", done.out)
    assert "windows of the fit start" not in done.err  # sound has no period
    rows = (tmp_path / "scores.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows][:4] == [
        "0.wav at 0 s",
        "0.wav at 0.65 s",  # the last 200 of its 330 samples, at 200 per second
        "1.wav at 0 s",
        "2.wav at 0 s",
    ]


@pytest.mark.slow
def test_a_broken_clip_is_blamed_itself(run: Run, continuous: Path, tmp_path: Path) -> None:
    """Its length is no multiple of a row, nor are those of the clips before it."""
    normal = clips(207, 207, 207, 207).samples
    square = np.sign(np.sin(np.arange(207) / 2))
    for number, samples in enumerate((*normal[:3], square, normal[3])):
        write_wav(tmp_path / "new" / f"{number}.wav", samples, RATE)
    words = ("--score", "reconstruction", "--json")
    done = run("detect", continuous, tmp_path / "new", *words)
    assert done.code == 0, done.err
    worst = [row["row"] for row in done.object["oddest"]][:2]
    assert sorted(worst) == ["3.wav at 0 s", "3.wav at 0.035 s"]


def test_draws_whose_names_collide_are_numbered(
    run: Run, continuous: Path, sounds: Path, tmp_path: Path
) -> None:
    (tmp_path / "given").mkdir()
    for name in ("a.wav", "a-1.wav"):
        write_wav(tmp_path / "given" / name, read_wav(sounds / "1.wav")[0], RATE)
    words = ("-o", tmp_path / "clean", "--noise", 0, "--draws", 1)
    assert run("denoise", continuous, tmp_path / "given", *words).code == 0
    names = ("00000-1.wav", "00000.wav", "00001-1.wav", "00001.wav")
    assert read_clips(tmp_path / "clean").names == names
