"""Clips of sound as a model of codes gives them back, each at its own length."""

from __future__ import annotations

from pathlib import Path

import torch

from lowerbound.applications.io.audio_files import check_clips_output, write_sounds
from lowerbound.coding.sound_codes import SoundCoder
from lowerbound.data.audio import clips as audio
from lowerbound.data.pictures.folders import OnError
from lowerbound.fitting import Fitted


def rebuild_sound(
    fitted: Fitted, data: str, path: Path, on_error: OnError
) -> tuple[int, float, tuple[str, ...]]:
    """Write what the model makes of clips: (how many, share of the variance kept, files).

    Raises:
        UnsupportedError: the model does not turn sound into codes.
        DataError: the data is no sound of the model's sample rate.
        OptionError: the output's name makes no sense.
    """
    check_clips_output(path)
    coder = SoundCoder.of(fitted.model)
    clips = audio.read_clips(data, fitted.schema.sample_rate, on_error)
    signal = torch.from_numpy(clips.joined)
    made = coder.signal(coder.codes(signal), len(signal))
    error, spread = (signal - made).double().square().mean(), signal.double().var(correction=0)
    kept = float(1 - error / spread) if spread > 0 else float("nan")
    files = write_sounds(path, clips.cut(made.numpy()), clips.rate, clips.names)
    return len(clips.samples), kept, files
