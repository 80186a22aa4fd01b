"""Pictures drawn anew in whole or inside a mask: what is not masked comes back as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lowerbound.applications.generation.redraw import require_redraws
from lowerbound.cli.main import main
from lowerbound.data import load
from lowerbound.errors import UnsupportedError
from lowerbound.fitting import FitOptions, ModelOptions, fit
from lowerbound.training import TrainingOptions

pytest.importorskip("diffusers")

QUICK = ("--kind", "diffusion", "--set", "width=16", "--set", "depth=1", "--updates", "4")
FAST = ("--steps", "3", "--rounds", "2", "--rows", "0,5")


def fitted(folder: Path, name: str, *words: str) -> Path:
    path = folder / name
    effort = ("--updates", "150", "--learning-rate", "0.01", "--no-report")
    run("fit", folder / "x.npz", "-o", path, *effort, *words)
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, and models whose latents are a map (with both kinds of prior) and a vector."""
    folder = tmp_path_factory.mktemp("redraw")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 200, (60, 1, 1, 3)) + rng.integers(0, 56, (60, 12, 12, 3))
    x = x.astype(np.uint8)
    np.savez(folder / "x.npz", x=x, y=np.array(["a", "b"])[rng.integers(0, 2, 60)])
    sizes = ("--network", "convolutional", "--set", "network.width=8", "--latent-dim", "2")
    fitted(folder, "plain.lb", *sizes, "--set", "model.stride=4")
    data = (folder / "x.npz", *QUICK, "--no-report")
    run("prior", folder / "plain.lb", *data, "--label", "-o", folder / "map.lb")
    vector = fitted(folder, "vector.lb", "--network", "mlp", "--latent-dim", "2")
    run("prior", vector, *data)
    return folder


def run(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


def redrawn(world: Path, out: Path, *words: str, model: str = "map.lb") -> np.ndarray:
    run("redraw", world / model, world / "x.npz", *FAST, *words, "-o", out)
    with np.load(out) as arrays:
        return arrays["x"]


@pytest.mark.slow
def test_what_is_not_masked_is_as_given(world: Path, tmp_path: Path) -> None:
    given = np.load(world / "x.npz")["x"][[0, 5]]
    made = redrawn(world, tmp_path / "a.npz", "--mask", "2,3,4,5")
    inside = np.zeros((12, 12), dtype=bool)
    inside[2:6, 3:8] = True
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made[:, ~inside], given[:, ~inside])
    assert (made[:, inside] != given[:, inside]).mean() > 0.9
    Image.fromarray(np.where(inside, 0, 255).astype(np.uint8)).save(tmp_path / "mask.png")
    again = redrawn(world, tmp_path / "b.npz", "--mask", str(tmp_path / "mask.png"))
    np.testing.assert_array_equal(again, made)
    other = redrawn(world, tmp_path / "c.npz", "--mask", "2,3,4,5", "--seed", "1")
    assert (other != made)[:, inside].any()


@pytest.mark.parametrize("model", ["map.lb", "vector.lb"])
def test_less_noise_changes_less(world: Path, tmp_path: Path, model: str) -> None:
    """Measured from the reconstruction, which nothing can come nearer to."""
    near, far = (
        redrawn(world, tmp_path / "a.npz", "--strength", strength, model=model).astype(float)
        for strength in ("0.01", "1")
    )
    run("reconstruct", world / model, world / "x.npz", "-o", tmp_path / "r.npz")
    with np.load(tmp_path / "r.npz") as arrays:
        rebuilt = arrays["reconstruction"][[0, 5]]
    assert np.abs(near - rebuilt).mean() < 0.3 * np.abs(far - rebuilt).mean()


def test_several_draws_on_a_sheet_and_in_a_folder(world: Path, tmp_path: Path) -> None:
    words = ("--draws", "3", "--mask", "0,0,6,6", "--given", "class=a", "--guidance", "2")
    found = redrawn(world, tmp_path / "a.npz", *words)
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["draws"].shape == (2, 2, 12, 12, 3)
        assert (arrays["draws"] != found).any((1, 2, 3, 4)).all()
    command = ("redraw", world / "map.lb", world / "x.npz", *FAST, *words, "-o")
    run(*command, tmp_path / "a.png")
    run(*command, tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 1 + 3 * 2
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "out" / "00001.png")), found[1])


@pytest.mark.parametrize(
    ("model", "words", "message"),
    [
        ("vector.lb", ("--mask", "0,0,4,4"), "is a vector, and each of its numbers describes all"),
        ("plain.lb", (), "a diffusion prior: lowerbound prior --kind diffusion"),
        ("map.lb", ("--mask", "8,8,5,4"), "does not lie in pictures 12 pixels high and 12 wide"),
        ("map.lb", ("--mask", "0,0,0,4"), "does not lie in pictures 12 pixels high and 12 wide"),
        ("map.lb", ("--mask", "none.png"), "there is no file none.png, which should be a mask"),
        ("map.lb", ("--strength", "0"), "strength is above 0 and at most 1, not 0"),
        ("map.lb", ("--rounds", "0"), "--rounds and --draws must be at least 1, not 0"),
        ("map.lb", ("--given", "class=c"), "unknown value of class 'c'"),
        ("vector.lb", ("--given", "class=a"), "takes no attributes"),
    ],
)
def test_what_cannot_be_redrawn_is_refused(
    world: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    words: tuple[str, ...],
    message: str,
) -> None:
    command = ("redraw", world / model, world / "x.npz", *words, "-o", tmp_path / "a.npz")
    assert main([str(word) for word in command]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.npz").exists()


def test_a_mask_that_hides_nothing_is_refused_in_the_words_of_its_kind(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "m.npy", np.zeros((12, 12), dtype=bool))
    Image.new("L", (12, 12), 255).save(tmp_path / "m.png")
    command = ["redraw", str(world / "map.lb"), str(world / "x.npz"), "-o", str(tmp_path / "a.npz")]
    for name, lacks in (("m.npy", "cell that is True"), ("m.png", "black pixel")):
        assert main([*command, "--mask", str(tmp_path / name)]) == 2
        assert f"has no {lacks}, so nothing would be redrawn" in capsys.readouterr().err


def test_a_model_of_codes_is_refused_with_what_to_fit(world: Path) -> None:
    data = load(np.load(world / "x.npz")["x"])
    coder = ModelOptions(model="vq_vae", network="mlp")
    codes = fit(data, FitOptions(coder, training=TrainingOptions(updates=1)))
    with pytest.raises(UnsupportedError, match=r"fit a vae, because .* codes, and then run"):
        require_redraws(codes.model)


def test_rows_that_are_not_pictures_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(30, 3)))
    model = fitted(tmp_path, "m.lb", "--latent-dim", "1")
    assert main(["redraw", str(model), str(tmp_path / "x.npz"), "-o", str(tmp_path / "a.npz")]) == 2
    assert "redraw is for pictures" in capsys.readouterr().err
