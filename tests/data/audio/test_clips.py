"""Sound files: samples as scipy reads them, clips end to end, broken files named."""

from __future__ import annotations

import struct
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from lowerbound.data import load
from lowerbound.data.audio.clips import (
    Clips,
    is_audio,
    read_clips,
    read_wav,
    usual_windows,
    write_wav,
)
from lowerbound.data.audio.kind import learned, rows_of, rows_of_each
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import DataError, OptionError

RATE = 800
RANDOM = np.random.default_rng(0)


def noise(samples: int = 500) -> np.ndarray:
    return RANDOM.uniform(-0.9, 0.9, samples).astype(np.float32)


def stored(path: Path, values: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, values)
    return path


@pytest.mark.parametrize(
    ("dtype", "scale", "shift"),
    [("u1", 128, 128), ("<i2", 2**15, 0), ("<i4", 2**31, 0), ("<f4", 1, 0), ("<f8", 1, 0)],
)
def test_samples_are_amplitudes(tmp_path: Path, dtype: str, scale: int, shift: int) -> None:
    wanted = noise().astype(np.float64)
    values = wanted * scale + shift
    whole = values if dtype.startswith("<f") else np.rint(values)
    samples, rate = read_wav(stored(tmp_path / "a.wav", whole.astype(dtype)))
    assert rate == RATE
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, wanted, atol=0.51 / scale if scale > 1 else 1e-7)


def test_samples_of_24_bits(tmp_path: Path) -> None:
    whole = np.rint(noise() * 2**23).astype("<i4")
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(3)
        file.setframerate(RATE)
        file.writeframes(whole.view("u1").reshape(-1, 4)[:, :3].tobytes())
    samples, _ = read_wav(tmp_path / "a.wav")
    np.testing.assert_allclose(samples, whole / 2**23, atol=1e-7)


def test_channels_are_averaged(tmp_path: Path) -> None:
    both = np.stack([noise(), noise()], 1)
    samples, _ = read_wav(stored(tmp_path / "a.wav", both))
    np.testing.assert_allclose(samples, both.mean(1), atol=1e-7)


def test_sixteen_bits_come_back_as_they_were(tmp_path: Path) -> None:
    values = RANDOM.integers(-(2**15), 2**15, 300).astype(np.int16)
    samples, rate = read_wav(stored(tmp_path / "a.wav", values))
    write_wav(tmp_path / "deep" / "b.wav", samples, rate)
    assert wavfile.read(tmp_path / "deep" / "b.wav")[0] == RATE
    np.testing.assert_array_equal(wavfile.read(tmp_path / "deep" / "b.wav")[1], values)


def test_what_is_too_loud_is_clipped(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.array([-2.0, 0.0, 2.0]), RATE)
    np.testing.assert_array_equal(wavfile.read(tmp_path / "a.wav")[1], [-(2**15), 0, 2**15 - 1])


def test_a_folder_is_read_by_name_and_hidden_files_are_not(tmp_path: Path) -> None:
    clips = {name: noise(90) for name in ("b.wav", "a.wav", "deep/c.WAV")}
    for name, samples in clips.items():
        stored(tmp_path / name, samples)
    stored(tmp_path / ".hidden.wav", noise())
    (tmp_path / "notes.txt").write_text("not sound")
    found = read_clips(tmp_path)
    assert found.names == ("a.wav", "b.wav", "deep/c.WAV")
    for name, samples in zip(found.names, found.samples, strict=True):
        np.testing.assert_array_equal(samples, clips[name])


def test_rows_cover_the_clips_end_to_end() -> None:
    clips = Clips((noise(130), noise(70), noise(45)), RATE, ("a", "b", "c"))
    rows = clips.rows(Windows(100, 100))
    joined = np.concatenate(clips.samples)
    np.testing.assert_array_equal(rows.ravel()[:245], joined)
    assert not rows.ravel()[245:].any()
    overlapping = clips.rows(Windows(100, 25))
    assert len(overlapping) == 7  # the last ends at or after the end of the sound
    for number, row in enumerate(overlapping):
        part = joined[25 * number : 25 * number + 100]
        np.testing.assert_array_equal(row[: len(part)], part)
    parts = clips.cut(rows.ravel())
    for part, clip in zip(parts, clips.samples, strict=True):
        np.testing.assert_array_equal(part, clip)


def test_a_clip_shorter_than_a_row_is_one_row() -> None:
    rows = Clips((noise(30),), RATE, ("a",)).rows(Windows(100, 25))
    assert rows.shape == (1, 100)
    assert not rows[0, 30:].any()


def test_loading_learns_rows_of_a_second_that_overlap(tmp_path: Path) -> None:
    samples = noise(2000)
    dataset = load(stored(tmp_path / "a.wav", samples))
    assert dataset.schema.kind == "audio"
    assert dataset.schema.sample_rate == RATE
    assert dataset.schema.windows == usual_windows(RATE) == Windows(RATE, RATE // 4)
    assert dataset.x.shape == (7, RATE)
    np.testing.assert_array_equal(dataset.x[1], samples[200:1000])
    again = load(tmp_path / "a.wav", schema=dataset.schema)
    assert again.x.shape == (3, RATE)  # each sample in one row
    np.testing.assert_array_equal(again.x.flatten()[:2000], samples)
    restored = type(dataset.schema).from_mapping(dataset.schema.to_mapping())
    assert restored == dataset.schema
    np.testing.assert_array_equal(dataset.schema.decode(dataset.x), dataset.x)
    assert not dataset.log_jacobian(mass=False).any()


def test_rows_can_be_said(tmp_path: Path) -> None:
    stored(tmp_path / "a.wav", noise(1000))
    assert load(tmp_path, windows=Windows(300, 300)).x.shape == (4, 300)


def test_parts_of_a_folder(tmp_path: Path) -> None:
    stored(tmp_path / "train" / "a.wav", noise(900))
    stored(tmp_path / "test" / "b.wav", noise(1700))
    with pytest.warns(UserWarning, match="only train is read"):
        training = load(tmp_path)
    assert len(load(tmp_path, split="test", schema=training.schema)) == 3


def test_pictures_come_before_sound(tmp_path: Path) -> None:
    from PIL import Image

    stored(tmp_path / "a.wav", noise())
    assert is_audio(tmp_path)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "b.png")
    assert not is_audio(tmp_path)


def broken(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_broken_files_are_named(tmp_path: Path) -> None:
    whole = stored(tmp_path / "whole.wav", noise()).read_bytes()
    for length in (0, 3, 12, 30, 40):
        with pytest.raises(DataError, match=r"cut\.wav (cannot be read as sound|holds no samples)"):
            read_wav(broken(tmp_path / "cut.wav", whole[:length]))
    with pytest.raises(DataError, match="cannot be read as sound"):
        read_wav(broken(tmp_path / "text.wav", b"this is a text, and no sound at all"))
    with pytest.raises(DataError, match="holds no samples"):
        read_wav(stored(tmp_path / "empty.wav", np.zeros(0, np.int16)))
    with pytest.raises(DataError, match="not finite"):
        read_wav(stored(tmp_path / "nan.wav", np.array([0.0, np.nan], np.float32)))


def test_a_file_that_ends_early_is_not_read_as_a_shorter_one(tmp_path: Path) -> None:
    sound = np.sin(np.arange(4_000) / 9).astype(np.float32)
    write_wav(tmp_path / "a.wav", sound, 8_000)
    whole = (tmp_path / "a.wav").read_bytes()
    for cut in (1_000, 1_001):
        (tmp_path / "a.wav").write_bytes(whole[:-cut])
        words = rf"a\.wav ends early: it has {8_000 - cut:,} of 8,000 bytes of sound \([^(]*\)$"
        with pytest.raises(DataError, match=words):
            read_wav(tmp_path / "a.wav")
    piped = bytearray(whole[:-1_000])
    for unknown in (0xFFFFFFFF, 0x7FFFF000):
        piped[40:44] = unknown.to_bytes(4, "little")
        (tmp_path / "a.wav").write_bytes(bytes(piped))
        assert len(read_wav(tmp_path / "a.wav")[0]) == 3_500


def test_big_endian_and_long_files_that_end_early(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    form = b"fmt " + (16).to_bytes(4, "big") + struct.pack(">HHIIHH", 1, 1, 8_000, 16_000, 2, 16)
    big = (
        b"RIFX" + (2_036).to_bytes(4, "big") + b"WAVE" + form + b"data" + (2_000).to_bytes(4, "big")
    )
    path.write_bytes(big + bytes(2_000))
    assert len(read_wav(path)[0]) == 1_000
    path.write_bytes(big + bytes(1_500))
    with pytest.raises(DataError, match="it has 1,500 of 2,000 bytes"):
        read_wav(path)
    sizes = b"ds64" + struct.pack("<IQQQI", 28, 0, 2_000, 1_000, 0)
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8_000, 16_000, 2, 16)
    long = b"RF64" + b"\xff" * 4 + b"WAVE" + sizes + form + b"data" + b"\xff" * 4
    path.write_bytes(long + bytes(1_500))
    with pytest.raises(DataError, match="it has 1,500 of 2,000 bytes"):
        read_wav(path)


def test_a_length_that_counts_padding_that_is_not_there(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "a.wav", 8_000, np.arange(101, dtype=np.uint8))
    content = bytearray((tmp_path / "a.wav").read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = (102).to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(bytes(content[: place + 4 + 101]))
    assert len(read_wav(tmp_path / "a.wav")[0]) == 101


def test_floats_that_are_too_loud_are_named(tmp_path: Path) -> None:
    for name, loudest in (("a", 1.0), ("b", 5.0)):
        wavfile.write(
            tmp_path / f"{name}.wav", 8_000, loudest * np.sin(np.arange(99.0) * np.pi / 2)
        )
    with pytest.warns(UserWarning, match=r"1 of 2 clips have samples outside of -1 to 1.*: b\.wav"):
        assert read_clips(tmp_path).samples[1].max() == 5


def test_rows_are_named_after_the_clip_and_the_second_of_their_first_sample() -> None:
    """Every sample has its own value, so that the first of a row says where it begins.

    A row that ends in another clip is named after that clip, too.
    """
    lengths = (2, 3 * RATE, RATE // 2, RATE - 2, 5)
    whole = np.arange(sum(lengths), dtype=np.float32) / 2**13
    parts = tuple(np.split(whole, np.cumsum(lengths)[:-1]))
    clips = Clips(parts, RATE, tuple(f"{name}.wav" for name in "abcde"))
    found = rows_of(clips, learned(RATE, Windows(RATE, RATE)))
    assert found.ids is not None
    joined = clips.joined
    times = {value: place_of(value, parts, clips.names) for value in joined.tolist()}
    assert found.ids == tuple(
        times[row[0]]
        if times[row[0]].split()[0] == times[row[-1]].split()[0]
        else f"{times[row[0]]} to {times[row[-1]]}"
        for row in (joined[start : start + RATE].tolist() for start in range(0, len(joined), RATE))
    )
    assert found.ids[1] == f"b.wav at {(RATE - 2) / RATE:g} s"
    assert found.ids[0] == f"a.wav at 0 s to b.wav at {(RATE - 3) / RATE:g} s"
    assert len(found.ids) == len(found)


def place_of(value: float, parts: Sequence[np.ndarray], names: Sequence[str]) -> str:
    """The clip that has a sample, and its second."""
    for name, samples in zip(names, parts, strict=True):
        if len(found := np.flatnonzero(samples == value)):
            return f"{name} at {found[0] / RATE:.10g} s"
    raise AssertionError(value)


def test_clips_cut_on_their_own_are_not_mixed_and_every_sample_is_in_a_row() -> None:
    lengths = (2, 3 * RATE, RATE + 1, RATE // 2)
    whole = np.arange(1, sum(lengths) + 1, dtype=np.float32) / 2**13
    parts = tuple(np.split(whole, np.cumsum(lengths)[:-1]))
    names = tuple(f"{name}.wav" for name in "abcd")
    found = rows_of_each(Clips(parts, RATE, names), learned(RATE, Windows(RATE, RATE)))
    one = f"{1 / RATE:.10g}"
    starts = {"a": ["0"], "b": ["0", "1", "2"], "c": ["0", one], "d": ["0"]}
    assert found.ids == tuple(f"{clip}.wav at {t} s" for clip in starts for t in starts[clip])
    for name, row in zip(found.ids, found.x.numpy(), strict=True):
        clip, second = name.removesuffix(" s").split(" at ")
        samples = parts[names.index(clip)][round(float(second) * RATE) :][:RATE]
        np.testing.assert_array_equal(row[: len(samples)], samples)
        assert not row[len(samples) :].any()
    assert set(whole) <= set(found.x.numpy().ravel())


def test_broken_files_can_be_left_out(tmp_path: Path) -> None:
    stored(tmp_path / "a.wav", noise())
    broken(tmp_path / "b.wav", b"nothing")
    with pytest.raises(DataError, match=r"b\.wav cannot be read"):
        read_clips(tmp_path)
    with pytest.warns(UserWarning, match=r"1 of 2 clips cannot be read and are left out: b\.wav"):
        assert read_clips(tmp_path, on_error="skip").names == ("a.wav",)


def test_no_clip_that_can_be_read_is_a_sentence(tmp_path: Path) -> None:
    """Also if the rate is known, from the fit."""
    broken(tmp_path / "b.wav", b"nothing")
    for rate in (None, RATE):
        with (
            pytest.warns(UserWarning, match=r"1 of 1 clips cannot be read"),
            pytest.raises(DataError, match=r"has no \.wav file that can be read$"),
        ):
            read_clips(tmp_path, rate, on_error="skip")


def test_every_file_that_can_be_skipped_says_so(tmp_path: Path) -> None:
    nan = np.full(9, np.nan, np.float32)
    for name, samples, why in (("a", np.int16([]), "no samples"), ("b", nan, "are not finite")):
        wavfile.write(tmp_path / f"{name}.wav", RATE, samples)
        with pytest.raises(DataError, match=rf"{why}.*\(on_error='skip' leaves it out\)$"):
            read_wav(tmp_path / f"{name}.wav")


def test_sample_rates_must_agree(tmp_path: Path) -> None:
    schema = load(stored(tmp_path / "a.wav", noise(900))).schema
    stored(tmp_path / "b.wav", noise(), rate=1600)
    with pytest.raises(DataError, match="1,600 samples per second and not 800"):
        load(tmp_path)
    with pytest.raises(DataError, match="1,600 samples per second and not 800"):
        load(tmp_path / "b.wav", schema=schema)


def test_what_is_for_tables_and_pictures_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.wav", noise(900))
    with pytest.raises(DataError, match="no column 'who'"):
        load(path, label="who")
    with pytest.raises(OptionError, match="no levels and bits"):
        load(path, levels=4)


def test_sound_and_other_data_are_told_apart(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.wav", noise(900))
    with pytest.raises(DataError, match="fitted on other data"):
        load(path, schema=load(np.eye(4)).schema)
    schema = load(path).schema
    with pytest.raises(DataError, match=r"rows of 800 samples, but this is an array of shape"):
        load(np.zeros((3, 4)), schema=schema)
    assert torch.equal(load(np.ones((3, 800)), schema=schema).x, torch.ones(3, 800))
    with pytest.raises(DataError, match=r"neither a \.wav file nor a folder"):
        read_clips(tmp_path / "absent.wav")
    (tmp_path / "empty").mkdir()
    for model in (schema, load(path, spectrograms=True).schema):
        with pytest.raises(DataError, match=r"empty is neither a \.wav file nor a folder"):
            load(tmp_path / "empty", schema=model)


def test_files_of_other_formats_are_named(tmp_path: Path) -> None:
    (tmp_path / "low").mkdir()
    (tmp_path / "low" / "a.FLAC").write_bytes(b"fLaC")
    (tmp_path / "._b.mp3").write_bytes(b"")
    for read in (load, read_clips):
        with pytest.raises(DataError, match=r"holds no \.wav files; it has low/a\.FLAC: convert"):
            read(tmp_path)
        with pytest.raises(DataError, match=r"a\.FLAC is not a \.wav file: convert it with ffmpeg"):
            read(tmp_path / "low" / "a.FLAC")
    stored(tmp_path / "a.wav", noise(900))
    with pytest.warns(UserWarning, match=r"^1 file that is not \.wav is left out: low/a\.FLAC$"):
        load(tmp_path)
    (tmp_path / "c.mp3").write_bytes(b"ID3")
    with pytest.warns(UserWarning, match=r"2 files that are not \.wav are left out: c\.mp3, low/"):
        load(tmp_path)
