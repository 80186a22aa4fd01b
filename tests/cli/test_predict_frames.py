"""predict-frames: a temporal prior from the command line, its films, and everything that can go
wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lowerbound.cli import main
from lowerbound.fitting.folder import read
from tests.cli.conftest import Run, fitted

EPISODES, FRAMES = 5, 16
SMALL = ("--set", "hidden=8", "--set", "window=8", "--set", "ahead=3", "--threads", "1")
HORIZON = ("--context", "5", "--frames", "4", "--every", "4")


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """Color pictures, 10x8, on which a bar goes down as fast as the action says."""
    rng = np.random.default_rng(0)
    action = rng.uniform(0, 1, (EPISODES, FRAMES)).astype(np.float32)
    place = np.concatenate([np.zeros((EPISODES, 1)), action.cumsum(1)[:, :-1]], 1) % 10
    near = np.exp(-((np.arange(10) - place[..., None]) ** 2))
    frames = np.broadcast_to(near[..., None, None], (EPISODES, FRAMES, 10, 8, 3))
    return {
        "frames": (255 * frames).round().astype(np.uint8).reshape(-1, 10, 8, 3),
        "episode": np.repeat(np.arange(EPISODES) + 3, FRAMES),
        "action": action.reshape(-1, 1),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def clips(arrays: dict[str, np.ndarray], folder: Path) -> Path:
    np.savez(folder / "clips.npz", **arrays)  # type: ignore[arg-type]
    return folder / "clips.npz"


@pytest.fixture(scope="module")
def plain(clips: Path, folder: Path) -> Path:
    """A model of single frames."""
    words = ("--network", "mlp", "--latent-dim", "3", "--learning-rate", "0.01")
    return fitted(clips, folder / "plain", "--updates", "60", *words)


@pytest.fixture(scope="module")
def model(plain: Path, clips: Path, folder: Path) -> Path:
    """The same with a temporal prior."""
    made = folder / "temporal"
    words = ("--kind", "recurrent", "--updates", "10", "--validation", "0.4", *SMALL)
    assert main(["prior", str(plain), str(clips), "-o", str(made), *words]) == 0
    return made


@pytest.mark.slow
def test_the_folder_tells_of_the_prior(run: Run, model: Path) -> None:
    shown = run("info", model).out
    assert "prior      recurrent (hidden 8, window 8, ahead 3, actions 1)" in shown
    assert "on 32 held-out rows" in shown
    assert run("sample", model, "-n", "4", "-o", model.parent / "sampled.npz").code == 0


def test_film_sheet_arrays_and_errors(run: Run, model: Path, clips: Path, tmp_path: Path) -> None:
    names = [tmp_path / name for name in ("film.gif", "sheet.png", "frames.npz")]
    outputs = [word for name in names for word in ("-o", name)]
    words = (*HORIZON, "--draws", "2", "--rows", "3", "--episodes", "4,6")
    found = run("predict-frames", model, clips, *outputs, *words, "--json").object
    assert (found["episodes"], found["windows"], found["context"], found["frames"]) == (
        [4, 6],
        4,
        5,
        4,
    )
    assert found["files"] == [str(name) for name in names]
    with Image.open(names[0]) as film:
        assert film.n_frames == 9
    with Image.open(names[1]) as sheet:
        assert sheet.height > 3 * 6 * 56  # three windows of six kinds of frames
    arrays = np.load(names[2])
    assert arrays["prediction"].shape == arrays["truth"].shape == (4, 4, 10, 8, 3)
    assert arrays["draws"].shape == (4, 2, 4, 10, 8, 3)
    assert arrays["prediction"].dtype == np.uint8
    assert arrays["episode"].tolist() == [4, 4, 6, 6]
    assert arrays["frame"].tolist() == [5, 9, 5, 9]
    truth = np.load(clips)["frames"].reshape(EPISODES, FRAMES, 10, 8, 3)
    assert np.array_equal(arrays["truth"][1], truth[1, 9:13])
    difference = (arrays["prediction"].astype(float) - arrays["truth"]) / 255
    assert found["error"]["prediction"] == pytest.approx((difference**2).mean(), abs=2e-3)
    last = (truth[[1, 1, 3, 3], [4, 8, 4, 8]][:, None].astype(float) - arrays["truth"]) / 255
    assert found["error"]["last frame"] == pytest.approx((last**2).mean(), rel=1e-5)
    share = found["error"]["prediction"] / found["error"]["last frame"]
    assert found["ratio"] == pytest.approx(share)
    assert set(found["error"]) == {
        "prediction",
        "last frame",
        "reconstruction",
        "draw",
        "mean of draws",
    }
    decibel = -10 * np.log10(found["error"]["draw"])
    assert found["psnr"]["draw"] == pytest.approx(decibel)
    again = run("predict-frames", model, clips, *outputs, *words)
    assert again.code == 0
    assert f"squared error: {found['ratio']:.3f}" in again.out
    assert "4 frames predicted from 5, in 4 windows of 2 episodes" in again.out
    assert np.array_equal(np.load(names[2])["draws"], arrays["draws"])


def test_bad_input_of_predict_frames(
    run: Run, plain: Path, model: Path, clips: Path, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    def wrong(words: tuple[object, ...], *said: str) -> None:
        done = run(*words)
        assert (done.code, done.out) == (2, ""), done
        (line,) = [line for line in done.err.splitlines() if "predicting" not in line]
        for part in said:
            assert part in line, line

    def changed(**values: np.ndarray | None) -> Path:
        kept = {key: value for key, value in {**arrays, **values}.items() if value is not None}
        np.savez(tmp_path / "changed.npz", **kept)  # type: ignore[arg-type]
        return tmp_path / "changed.npz"

    ask = "predict-frames"
    wrong((ask, plain, clips), "lowerbound prior MODEL CLIPS --kind recurrent trains one")
    wrong((ask, model, clips, "--context", "99"), "have 16 frames, and --context 99", "needs 109")
    wrong((ask, model, clips, "--episodes", "1"), "there is no episode 1; there are 3, 4, 5")
    wrong((ask, model, clips, "--episodes", "x"), "--episodes takes numbers")
    wrong((ask, model, clips, "-o", "film.txt"), "film.txt: predicted frames are written as a film")
    wrong((ask, model, clips, "--rows", "0"), "--rows must be at least 1")
    wrong((ask, model, clips, "--draws", "-1", *HORIZON), "--draws is a number of draws")
    small = changed(frames=arrays["frames"][:, :9])
    wrong((ask, model, small), "expected pictures of 3 channel(s), 10 high and 8 wide")
    wrong((ask, model, changed(episode=None)), "has no episode numbers")
    wrong(
        (ask, model, changed(action=None), *HORIZON),
        "actions of 1 number, and the clips have no actions",
    )
    wide = changed(action=np.zeros((len(arrays["frames"]), 2)))
    wrong((ask, model, wide, *HORIZON), "the clips have 2 numbers")
    learn = ("prior", plain, changed(episode=None), "-o", tmp_path / "n", "--kind", "recurrent")
    wrong(learn, "has no episode numbers")
    prompted = ("prior", plain, clips, "-o", tmp_path / "n", "--kind", "recurrent", "--label")
    wrong(prompted, "takes no prompts: leave out --label")
    window = ("--kind", "recurrent", "--set", "window=5", "--set", "ahead=5")
    wrong(("prior", plain, clips, "-o", tmp_path / "n", *window), "ahead must be at least 1")
    assert not (tmp_path / "n").exists()


@pytest.mark.slow
def test_rows_that_are_no_pictures_have_no_film(run: Run, tmp_path: Path) -> None:
    angle = np.arange(60) * 0.3
    x = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    np.savez(tmp_path / "c.npz", frames=x, episode=np.arange(60) // 20)
    model = fitted(
        tmp_path / "c.npz",
        tmp_path / "m",
        "--updates",
        "300",
        "--set",
        "objective.beta=0.2",
        "--learning-rate",
        "0.01",
    )
    words = ("--kind", "recurrent", "--updates", "3", *SMALL)
    assert run("prior", model, tmp_path / "c.npz", *words).code == 0
    assert read(model).model.prior.actions == 0
    asked = ("predict-frames", model, tmp_path / "c.npz", *HORIZON)
    found = run(*asked, "-o", tmp_path / "p.npz", "--json").object
    assert found["psnr"] == {}
    assert np.load(tmp_path / "p.npz")["prediction"].shape == (9, 4, 2)
    done = run(*asked, "-o", tmp_path / "film.gif")
    assert (done.code, "frames that are no pictures are written as .npz" in done.err) == (2, True)
