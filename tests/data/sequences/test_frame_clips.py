"""Clips of frames in .npz files: what they hold, and what is refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from lowerbound.data import Dataset, FrameClips, Schema, load, read_frame_clips
from lowerbound.data.sequences.episode_kind import actions_before, outcomes_of
from lowerbound.errors import DataError, OptionError

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (9, 6, 5, 3), dtype=np.uint8)
EPISODE = np.array([4, 4, 4, 4, 1, 1, 1, 7, 7], dtype=np.int16)
ACTION = RNG.normal(size=(9, 2))


def written(folder: Path, **arrays: object) -> Path:
    path = folder / "clips.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("keys", [("frames", "episode", "action"), ("obs", "ep", "act")])
def test_frames_episodes_and_actions_are_read(tmp_path: Path, keys: tuple[str, str, str]) -> None:
    path = written(tmp_path, **dict(zip(keys, (FRAMES, EPISODE, ACTION), strict=True)))
    clips = read_frame_clips(path)
    assert torch.equal(clips.frames.x, load(FRAMES).x)
    assert clips.spans == {4: range(4), 1: range(4, 7), 7: range(7, 9)}
    assert clips.resets.tolist() == [True, False, False, False, True, False, False, True, False]
    assert clips.actions is not None
    assert np.allclose(clips.actions.numpy(), ACTION)
    assert read_frame_clips(clips) is clips


def test_episodes_are_chosen_and_held_out_whole(tmp_path: Path) -> None:
    clips = read_frame_clips(written(tmp_path, frames=FRAMES, episode=EPISODE, action=ACTION[:, 0]))
    some = clips.of([7, 4])
    assert some.episode.tolist() == [7, 7, 4, 4, 4, 4]
    assert torch.equal(some.frames.x, clips.frames.x[[7, 8, 0, 1, 2, 3]])
    assert some.action_numbers == 1
    seen, fresh = clips.split(0.3, seed=0)
    assert sorted(seen + fresh) == [1, 4, 7]
    assert len(fresh) == 1
    assert clips.split(0.0, seed=0) == ([4, 1, 7], [])
    assert clips.of([1]).split(0.5, seed=0) == ([1], [])
    with pytest.raises(OptionError, match="no episode 2; there are 4, 1, 7"):
        clips.of([2])


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    frames, actions = load(FRAMES), torch.zeros(9, 1)
    with pytest.raises(DataError, match=r"has no episode numbers: clips are an \.npz file"):
        read_frame_clips(written(tmp_path, frames=FRAMES))
    with pytest.raises(DataError, match="float64 of shape"):
        read_frame_clips(written(tmp_path, frames=FRAMES, episode=EPISODE.astype(float)))
    with pytest.raises(DataError, match="9 frames but 8 rows of episode"):
        read_frame_clips(written(tmp_path, frames=FRAMES, episode=EPISODE[:8]))
    path = written(tmp_path, frames=FRAMES)
    cut = io.BytesIO()
    np.save(cut, EPISODE)
    with zipfile.ZipFile(path, "a") as archive:  # a header that is no expression of Python
        archive.writestr("episode.npy", cut.getvalue().replace(b"(9,)", b"(9, "))
    with pytest.raises(DataError, match=r"episode.npy is damaged"):
        read_frame_clips(path)
    for classes in (np.inf, 0, 2**40):
        path = written(tmp_path, frames=FRAMES, episode=EPISODE, action_classes=np.array(classes))
        with pytest.raises(DataError, match="needs the number of classes"):
            read_frame_clips(path)
    with pytest.raises(DataError, match="the actions are"):
        read_frame_clips(written(tmp_path, frames=FRAMES, episode=EPISODE, action=FRAMES))
    with pytest.raises(DataError, match="expected pictures of 3 channel"):
        read_frame_clips(written(tmp_path, frames=FRAMES[:, :4], episode=EPISODE), frames.schema)
    with pytest.raises(DataError, match="episode 4 are not one after another"):
        FrameClips(frames, torch.from_numpy(EPISODE[[0, 1, 4, 5, 6, 2, 3, 7, 8]].astype(int)))
    with pytest.raises(DataError, match="not a finite number"):
        FrameClips(frames, torch.from_numpy(EPISODE.astype(int)), actions / 0)


def test_an_episode_whose_end_is_unknown_neither_goes_on_nor_ends() -> None:
    schema = Schema("images", (1, 2, 2), levels=2)
    frames = Dataset(schema, torch.zeros(4, 1, 2, 2, dtype=torch.uint8))
    episode, rewards = torch.tensor([0, 0, 1, 1]), torch.tensor([0.0, 1.0, 0.0, -2.0])
    ends = torch.tensor([False, True, False, False])
    known = outcomes_of(FrameClips(frames, episode, None, rewards, ends))
    assert known.tolist() == [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [-2.0, 1.0]]
    unknown = outcomes_of(FrameClips(frames, episode, None, rewards))
    assert torch.equal(unknown[:, 0], rewards)
    assert bool(unknown[:, 1].isnan().all())


def test_an_action_leads_to_the_next_frame_and_none_to_the_first_of_an_episode() -> None:
    schema = Schema("images", (1, 2, 2), levels=2)
    frames = Dataset(schema, torch.zeros(4, 1, 2, 2, dtype=torch.uint8))
    done = torch.tensor([[1.0], [2.0], [0.0], [1.0]])
    clips = FrameClips(frames, torch.tensor([0, 0, 1, 1]), done, classes=3)
    before = [[0, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]]
    assert actions_before(clips).tolist() == before
