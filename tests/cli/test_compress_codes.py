"""``lowerbound compress``, ``decompress``, ``verify`` and ``compare`` of models with codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run, fitted

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")
CODES = (
    *("--model", "vq_vae", "--network", "mlp", "--set", "model.codes=16", "--latent-dim", "3"),
    *("--set", "model.quantizer=residual", "--set", "model.quantizers=2"),
    *("--set", "model.prior=marginal"),
    *("--set", "model.breadth=4"),
)
MAPS = (
    *("--model", "vq_vae", "--network", "convolutional", "--set", "network.width=8"),
    *("--set", "model.maps=2", "--set", "model.stride=2", "--set", "model.codes=16"),
    *("--latent-dim", "3", "--set", "model.prior=marginal"),
)


@pytest.fixture(scope="module", params=[CODES, MAPS], ids=["two codebooks", "two maps"])
def model(
    request: pytest.FixtureRequest, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return fitted(pictures, tmp_path_factory.mktemp("models") / "codes", *request.param)


@pytest.fixture
def file(run: Run, model: Path, pictures: Path, tmp_path: Path) -> Path:
    assert run("compress", model, pictures, "-o", tmp_path / "x.lbz").code == 0
    return tmp_path / "x.lbz"


@pytest.mark.slow
def test_what_comes_back_is_said_to_be_lossy(
    run: Run, model: Path, pictures: Path, file: Path, tmp_path: Path
) -> None:
    report = run("compress", model, pictures, "-o", file, "--json").object
    assert report["bytes"] == file.stat().st_size < report["raw_bytes"] == 60 * 30
    assert (
        "lossy: decompressed rows are approximate, PSNR"
        in run("compress", model, pictures, "-o", file).out
    )
    assert run("verify", file, "--model", model, "--json").object["decoded"] is True
    assert run("decompress", model, file, "-o", tmp_path / "back.npz").code == 0
    from PIL import Image

    names = sorted(pictures.rglob("*.png"))
    x = np.stack([np.asarray(Image.open(name)) for name in names]).astype(float)
    with np.load(tmp_path / "back.npz") as arrays:
        error = np.square(arrays["x"] - x).reshape(60, -1).mean(1)
    assert report["loss"]["psnr"] == pytest.approx(np.mean(10 * np.log10(255**2 / error)), abs=1e-6)


def test_it_is_what_reconstruct_gives(
    run: Run, model: Path, pictures: Path, file: Path, tmp_path: Path
) -> None:
    assert run("decompress", model, file, "-o", tmp_path / "x.npz").code == 0
    assert run("reconstruct", model, pictures, "-o", tmp_path / "y.npz").code == 0
    with np.load(tmp_path / "x.npz") as back, np.load(tmp_path / "y.npz") as rebuilt:
        found, expected = back["x"].astype(float), np.asarray(rebuilt["reconstruction"], float)
        np.testing.assert_allclose(found, expected.reshape(found.shape), atol=1.001)


def test_fewer_codebooks_take_fewer_bytes(
    run: Run, model: Path, pictures: Path, file: Path, tmp_path: Path
) -> None:
    few = tmp_path / "few.lbz"
    assert run("compress", model, pictures, "-o", few, "--codebooks", 1).code == 0
    assert few.stat().st_size < file.stat().st_size
    assert run("verify", few, "--model", model).code == 0
    refused = run("compress", model, pictures, "-o", few, "--codebooks", 3)
    assert refused.code == 2
    assert "from 1 to the model's 2" in refused.err


@pytest.mark.slow
def test_other_lossy_codecs_stand_beside_it(
    run: Run, model: Path, pictures: Path, file: Path
) -> None:
    report = run("compare", model, pictures, "--json").object
    own = next(size for size in report["sizes"] if size["codec"] == "lowerbound")
    assert own["bytes"] == file.stat().st_size
    assert own["psnr"] == report["loss"]["psnr"]
    others = {(size["codec"], size["how"]) for size in report["sizes"]}
    assert {(name, how) for name in ("JPEG", "WebP") for how in ("a file each", "one mosaic")} <= others  # fmt: skip # noqa: E501
    quality = [size["psnr"] for size in report["sizes"]]
    assert quality == sorted(quality, reverse=True)
    assert "lossy" in run("compare", model, pictures).out


@pytest.mark.slow
def test_another_process_decodes(model: Path, file: Path) -> None:
    words = [sys.executable, "-m", "lowerbound", "verify", str(file), "--model", str(model)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "decodes: 60 rows" in done.stdout


@pytest.mark.slow
def test_a_refitted_model_still_decodes(run: Run, pictures: Path, tmp_path: Path) -> None:
    folder = fitted(pictures, tmp_path / "m", *CODES)
    assert run("compress", folder, pictures, "-o", tmp_path / "x.lbz").code == 0
    fitted(pictures, folder, *CODES, "--seed", "5", "--overwrite")
    assert run("compress", folder, pictures, "-o", tmp_path / "y.lbz").code == 0
    assert len(list((folder / "codecs").iterdir())) == 2
    for name in ("x.lbz", "y.lbz"):
        assert run("verify", tmp_path / name, "--model", folder).code == 0


def test_vectors_take_codes_too(run: Run, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(50, 6))
    np.savez(tmp_path / "x.npz", x=x)
    folder = fitted(tmp_path / "x.npz", tmp_path / "m", *CODES)
    done = run("compress", folder, tmp_path / "x.npz", "-o", tmp_path / "x.lbz")
    assert done.code == 0, done.err
    assert "of the variance kept" in done.out
    assert run("decompress", folder, tmp_path / "x.lbz", "-o", tmp_path / "x.csv").code == 0
    compared = run("compare", folder, tmp_path / "x.npz", "--json").object
    assert [size["codec"] for size in compared["sizes"]] == ["lowerbound"]


def test_bad_input_is_a_sentence(
    run: Run, model: Path, picture_model: Path, pictures: Path, file: Path, tmp_path: Path
) -> None:
    other = fitted(pictures, tmp_path / "other", *CODES, "--seed", "7")
    (tmp_path / "cut.lbz").write_bytes(file.read_bytes()[:-1])
    for words, sentence in (
        (("decompress", other, file, "-o", tmp_path / "y"), "has none of that name"),
        (("decompress", model, tmp_path / "cut.lbz", "-o", tmp_path / "y"), "is cut short"),
    ):
        refused = run(*words)
        assert refused.code == 2, (words, refused)
        assert sentence in refused.err, (words, refused.err)
    assert not (tmp_path / "y").exists()
