"""A prior over codes from the command line: trained once, then used by every command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lowerbound.data.audio.clips import read_clips, write_wav
from tests.applications.compression.small_sound import RATE, clips
from tests.cli.conftest import Run, fitted

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")
RESIDUAL = (
    *("--model", "vq_vae", "--network", "mlp", "--set", "model.codes=16", "--latent-dim", "3"),
    *("--set", "model.quantizer=residual", "--set", "model.quantizers=2"),
)
MAPS = (
    *("--model", "vq_vae", "--network", "convolutional", "--set", "network.width=8"),
    *("--set", "model.maps=2", "--set", "model.stride=2", "--set", "model.codes=16"),
)
SOUND = (
    *("--model", "vq_vae", "--objective", "spectral", "--set", "objective.scales=[16,32]"),
    *("--set", "network.hop=8", "--set", "network.width=12", "--set", "network.depth=1"),
    *("--set", "model.quantizer=residual", "--set", "model.codes=8", "--set", "model.free=2"),
)
SMALL = ("--updates", "8", "--set", "width=16", "--set", "depth=1")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(RESIDUAL, id="two codebooks", marks=pytest.mark.long),
        pytest.param(MAPS, id="two maps"),
    ],
)
def model(
    request: pytest.FixtureRequest, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return fitted(pictures, tmp_path_factory.mktemp("models") / "codes", *request.param)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["autoregressive", "markov"])
def test_every_command_uses_the_prior(
    run: Run, model: Path, pictures: Path, tmp_path: Path, kind: str
) -> None:
    file, back = tmp_path / "x.lbz", tmp_path / "back.npz"
    sizes = SMALL if kind == "autoregressive" else ()
    for words in (
        ("prior", model, pictures, "--kind", kind, "--overwrite", *sizes),
        ("sample", model, "-n", "4", "-o", tmp_path / "new.png"),
        ("sample", model, "-n", "4", "-o", tmp_path / "new.npz", "--temperature", "0"),
        ("sample", model, "-n", "4", "-o", tmp_path / "likely.npz", "--top-k", "1", "--mean"),
        ("sample", model, "-n", "4", "-o", tmp_path / "some.npz", "--top-k", "3", "--top-p", "0.9"),
        ("compress", model, pictures, "-o", file),
        ("verify", file, "--model", model),
        ("decompress", model, file, "-o", back),
        ("reconstruct", model, pictures, "-o", tmp_path / "made.npz"),
        ("evaluate", model, pictures, "--samples", "1"),
        ("interpolate", model, pictures, "-o", tmp_path / "path.png"),
    ):
        done = run(*words)
        assert done.code == 0, (words, done.err)
    assert f"prior      {kind}" in run("info", model).out
    with np.load(tmp_path / "new.npz") as new:
        assert (new["x"] == new["x"][:1]).mean() > 0.2  # one and the same mean
    with np.load(tmp_path / "likely.npz") as likely:  # always the likeliest codes
        np.testing.assert_allclose(likely["x"], np.repeat(likely["x"][:1], 4, 0), atol=1e-3)
    with np.load(back) as arrays, np.load(tmp_path / "made.npz") as made:
        np.testing.assert_allclose(arrays["x"], np.rint(made["reconstruction"]), atol=1)


@pytest.mark.slow
def test_files_decode_in_another_process_with_other_threads(
    run: Run, model: Path, pictures: Path, tmp_path: Path
) -> None:
    run("prior", model, pictures, "--kind", "autoregressive", "--overwrite", *SMALL)
    file = tmp_path / "x.lbz"
    assert run("compress", model, pictures, "-o", file).code == 0
    for threads in ("1", "4"):
        words = [sys.executable, "-m", "lowerbound", "verify", str(file), "--model", str(model)]
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": threads},
        )
        assert done.returncode == 0, done.stderr
        assert "decodes: 60 rows" in done.stdout


@pytest.mark.long
def test_old_files_decode_after_another_prior_was_trained(
    run: Run, model: Path, pictures: Path, tmp_path: Path
) -> None:
    found = []
    for kind in ("marginal", "markov", "autoregressive"):
        sizes = SMALL if kind == "autoregressive" else ()
        assert run("prior", model, pictures, "--kind", kind, "--overwrite", *sizes).code == 0
        assert run("compress", model, pictures, "-o", tmp_path / f"{kind}.lbz").code == 0
    for kind in ("marginal", "markov", "autoregressive"):
        back = tmp_path / f"{kind}.npz"
        assert run("decompress", model, tmp_path / f"{kind}.lbz", "-o", back).code == 0
        with np.load(back) as arrays:
            found.append(arrays["x"])
    assert all(np.array_equal(found[0], other) for other in found[1:])


@pytest.mark.slow
def test_a_file_and_the_prior_of_another_model_are_refused(
    run: Run, model: Path, pictures: Path, tmp_path: Path
) -> None:
    file = tmp_path / "x.lbz"
    run("prior", model, pictures, "--kind", "autoregressive", "--overwrite", *SMALL)
    assert run("compress", model, pictures, "-o", file).code == 0
    content = bytearray(file.read_bytes())
    content[-5] ^= 4
    (tmp_path / "damaged.lbz").write_bytes(bytes(content))
    done = run("verify", tmp_path / "damaged.lbz", "--model", model)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    other = fitted(pictures, tmp_path / "other", *RESIDUAL)
    done = run("decompress", other, file, "-o", tmp_path / "back.npz")
    assert done.code == 2
    assert "was compressed with the codec" in done.err


def test_a_model_without_codes_is_refused(run: Run, pictures: Path, tmp_path: Path) -> None:
    numbers = fitted(pictures, tmp_path / "numbers", "--network", "mlp")
    for kind in ("autoregressive", "markov"):
        done = run("prior", numbers, pictures, "--kind", kind)
        assert (done.code, len(done.err.splitlines())) == (2, 1)
        assert f"'{kind}' is of codes" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["autoregressive", "markov"])
def test_sound(run: Run, tmp_path: Path, kind: str) -> None:
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for name, samples in zip(("0.wav", "1.wav"), clips(330, 1200).samples, strict=True):
        write_wav(sounds / name, samples, RATE)
    model, file = fitted(sounds, tmp_path / "sound", *SOUND), tmp_path / "x.lbz"
    sizes = SMALL if kind == "autoregressive" else ()
    done = run("prior", model, sounds, "--kind", kind, *sizes)
    assert done.code == 0, done.err
    assert run("compress", model, sounds, "-o", file).code == 0
    assert run("verify", file, "--model", model, "--json").object["decoded"] is True
    assert run("decompress", model, file, "-o", tmp_path / "back").code == 0
    assert run("reconstruct", model, sounds, "-o", tmp_path / "made").code == 0
    back, made = read_clips(tmp_path / "back"), read_clips(tmp_path / "made")
    assert back.lengths == (330, 1200)
    for one, other in zip(back.samples, made.samples, strict=True):
        np.testing.assert_array_equal(one, other)
    assert run("sample", model, "-n", "3", "-o", tmp_path / "new").code == 0
    content = bytearray(file.read_bytes())
    content[-7] ^= 1
    file.write_bytes(bytes(content))
    assert run("verify", file, "--model", model).code == 2
