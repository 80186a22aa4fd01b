r"""Sound: .wav files as clips of one sample rate, and concatenated clips as rows of equal length.

::

    clips    [--- a ---][- b -][------ c ------]
    joined   ----------------------------------0000     silence fills the last row
    rows     [    0    ][    1    ][    2    ]
    apart    [    0    ]    [  2   0][    3    ]        silence fills a clip shorter than a row
                   [    1    ]           [    4    ]    the last row of a clip ends with it

Samples are amplitudes in [-1, 1] for every file format. Channels are averaged into one.

Training may hear sound at other speeds: voices and instruments that were not recorded. A row of n
samples at speed 1 / f is its spectrum on another grid, without aliases:

.. math:: y_t = x(t / f), \quad t < n, \quad x \text{ continued by its own beginning}

Its pitches and formants are divided by f, as those of a longer or shorter vocal tract. Source: Ko,
Peddinti, Povey & Khudanpur 2015.

Log-mel spectrograms: the loudness of a sound by pitch and time, on a perceptual scale.

.. math::
    \ell = \log_{10} \max(M |\mathcal F(w \cdot x)|, 10^{-5}), \qquad
    d(x, y) = \frac{1}{n} \|\ell(x) - \ell(y)\|_1

M is a matrix of triangular filters, evenly spaced on mel(f) = 2595 log10(1 + f / 700), with peaks
of 1. The magnitude is not squared. A distance of 0.05 is 1 dB on average.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from lowerbound import durable, untrusted
from lowerbound.data.arrays import Array, listed
from lowerbound.data.pictures import folders as images
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import DataError
from lowerbound.untrusted import folders

BREAK = 700.0  # Hz, from which the mel scale is logarithmic
FLOOR = 1e-5
USUAL_RATE = 8000  # default sample rate
TINY = 1e-12  # added in the square root, whose slope at zero is infinite


class LogMel(nn.Module):
    """Maps signals, (rows, samples), to (rows, bands, times), with silence before and after.

    Args:
        rate: samples per second.
        length: samples of a frame, under a Hann window.
        hop: samples from one frame to the next; None: 5/16 of the length.
        bands: number of filters; None: 40 for a length of 256, and in proportion to the length.
    """

    window: Tensor
    triangles: Tensor

    def __init__(
        self, rate: int, length: int = 256, hop: int | None = None, bands: int | None = None
    ) -> None:
        super().__init__()
        self.length = length
        self.hop = hop or max(1, length * 5 // 16)
        bands = bands or max(1, length * 40 // 256)
        self.register_buffer("window", torch.hann_window(length), False)
        self.register_buffer("triangles", mel_triangles(rate, length, bands), False)

    def forward(self, signals: Tensor) -> Tensor:
        spectra = torch.stft(
            signals.to(self.window),
            self.length,
            self.hop,
            window=self.window,
            pad_mode="constant",
            return_complex=True,
        )
        magnitudes = (spectra.real.square() + spectra.imag.square() + TINY).sqrt()
        loudness: Tensor = (self.triangles @ magnitudes).clamp_min(FLOOR).log10()
        return loudness

    def distance(self, ours: Tensor, theirs: Tensor) -> Tensor:
        """The distance d of each row, (rows,)."""
        apart: Tensor = (self(ours) - self(theirs)).abs()
        return apart.flatten(1).mean(1)


def mel_triangles(rate: int, length: int, bands: int) -> Tensor:
    """The filters M, (bands, length // 2 + 1)."""
    top = 2595 * torch.log10(torch.tensor(1 + rate / 2 / BREAK, dtype=torch.float64))
    corners = BREAK * (
        10 ** (torch.linspace(0, 1, bands + 2, dtype=torch.float64) * top / 2595) - 1
    )
    bins = torch.linspace(0, rate / 2, length // 2 + 1, dtype=torch.float64)
    low, peak, high = (corners[i : i + bands].unsqueeze(1) for i in range(3))
    rising, falling = (bins - low) / (peak - low), (high - bins) / (high - peak)
    return torch.minimum(rising, falling).clamp_min(0.0).float()


SUFFIX = ".wav"
UNREAD = frozenset(
    (".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma", ".aif", ".aiff", ".au")
)
SIXTEEN_BIT = 32_768  # the amplitude 1 in a file
# errors of scipy for broken files
_BROKEN = (
    OSError,
    ValueError,
    EOFError,
    TypeError,
    UnboundLocalError,
    ArithmeticError,
    struct.error,
)
BYTES_OF_SAMPLE = 12  # of memory for each byte of a file, while it is read
UNKNOWN_LENGTH = 0x7FFF0000  # bytes from which the length in a header is that of a pipe
SKIPPED = "(on_error='skip' leaves it out)"  # how the message of a file that cannot be used ends
OVERLAP = 4  # default number of training rows that begin within the length of one row


def at_speeds(rows: Tensor, factors: Sequence[float]) -> Tensor:
    """Rows of amplitudes in [-1, 1], (rows, samples), each longer by its factor f, and cut to their
    length; a shorter row is continued by its own beginning.

    Args:
        rows: (rows, samples).
        factors: f, positive, (rows,).
    """
    if not len(rows):  # the transform library refuses empty input
        return rows
    samples = rows.shape[1]
    spectra = torch.fft.rfft(rows)
    changed = [
        _continued(_resampled(spectrum, samples, factor), samples)
        for spectrum, factor in zip(spectra, factors, strict=True)
    ]
    return torch.stack(changed).clamp(-1, 1)


def drawn_speeds(change: float, rows: int, noise: torch.Generator) -> list[float]:
    """Factors f with log f uniform between -log(1 + change) and log(1 + change), (rows,).

    Args:
        change: 0 or more.
        rows: number of factors.
        noise: generator on the processor.
    """
    places = 2 * torch.rand(rows, generator=noise, dtype=torch.float64) - 1
    factors: list[float] = ((1 + change) ** places).tolist()
    return factors


def _resampled(spectrum: Tensor, samples: int, factor: float) -> Tensor:
    """One row on a grid of so many times the samples, (about samples * factor,)."""
    longer = max(2, round(samples * factor))
    # irfft leaves out frequencies that the new grid has no room for
    resampled: Tensor = torch.fft.irfft(spectrum, n=longer) * (longer / samples)
    return resampled


def _continued(row: Tensor, samples: int) -> Tensor:
    """The first samples of a row that repeats, (samples,)."""
    return row.repeat(-(-samples // len(row)))[:samples]


@dataclass(frozen=True, eq=False)
class Clips:
    """Sound clips of one sample rate.

    Attributes:
        samples: amplitudes of each clip, (length,) float32.
        rate: samples per second.
        names: of each clip, such as its path in a folder.
        source: origin of the clips.
    """

    samples: tuple[Array, ...]
    rate: int
    names: tuple[str, ...]
    source: str = ""

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of samples of each clip."""
        return tuple(map(len, self.samples))

    @property
    def joined(self) -> Array:
        """All clips concatenated, (sum of lengths,)."""
        return np.concatenate(self.samples)

    def cut(self, signal: Array) -> list[Array]:
        """Split a signal, at least as long as all clips together, into parts of their lengths."""
        ends = np.cumsum(self.lengths)
        return np.split(signal[: ends[-1]], ends[:-1])

    def places(self, length: int) -> tuple[str, ...]:
        """Where each row of ``length`` samples of the concatenated clips begins, such as
        "a.wav at 1.5 s"; if it ends in another clip, also where, such as "a.wav at 1.5 s to b.wav
        at 0.2 s".
        """
        total = sum(self.lengths)
        starts = np.arange(0, total, length)
        first, last = self._within(starts), self._within(np.minimum(starts + length, total) - 1)
        return tuple(
            self._place(*begin)
            if begin[0] == end[0]
            else f"{self._place(*begin)} to {self._place(*end)}"
            for begin, end in zip(first, last, strict=True)
        )

    def apart(self, length: int) -> tuple[Array, tuple[str, ...]]:
        """Each clip cut into rows on its own, (rows, length), and where each row begins.

        The last row of a clip ends with it, and may overlap the row before it. Silence fills a clip
        that is shorter than a row.
        """
        windows = Windows(length, length)
        rows, places = [], []
        for clip, samples in enumerate(self.samples):
            padded = np.pad(samples, (0, max(0, length - len(samples))))
            rows.append(windows.cut(padded)[..., 0])
            places += [self._place(clip, begin) for begin in windows.starts(len(padded)).tolist()]
        return np.concatenate(rows), tuple(places)

    def _within(self, samples: Array) -> list[tuple[int, int]]:
        """(clip, sample in it) of samples of the concatenated clips."""
        ends = np.cumsum(self.lengths)
        clips = np.searchsorted(ends, samples, side="right")
        inside = samples - (ends - self.lengths)[clips]
        return list(zip(clips.tolist(), inside.tolist(), strict=True))

    def _place(self, clip: int, sample: int) -> str:
        return f"{self.names[clip]} at {seconds(sample, self.rate)} s"

    def rows(self, windows: Windows) -> Array:
        """All clips concatenated and cut into rows, (rows, length); silence fills the last row."""
        joined = self.joined
        steps = max(0, -(-(len(joined) - windows.length) // windows.stride))
        padded = np.zeros(windows.length + steps * windows.stride, np.float32)
        padded[: len(joined)] = joined
        return windows.cut(padded)[..., 0]


def seconds(samples: int, rate: int) -> str:
    """A time in words, with so many digits that samples next to each other differ."""
    return f"{round(samples / rate, 6):.10g}"


def usual_windows(rate: int) -> Windows:
    """The default windows: one second long with a stride of a quarter of a second, so that the
    edge of a row is in the middle of another."""
    return Windows(rate, max(1, rate // OVERLAP))


def is_audio(source: Any) -> bool:
    """Whether ``source`` is a file of sound, or a folder with such files and without pictures.

    Files of other formats than .wav are sound, too: reading them raises an error that says so.
    """
    if not isinstance(source, (str, Path)):
        return False
    path = Path(source).expanduser()
    if path.is_dir():
        return bool(_find(path, UNREAD | {SUFFIX})) and not images.find_pictures(path)
    return path.suffix.lower() in UNREAD | {SUFFIX} and path.is_file()


def find_clips(folder: Path) -> list[Path]:
    """Sorted paths of the .wav files below ``folder``, relative to it, without hidden files."""
    return _find(folder, frozenset((SUFFIX,)))


def _find(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(
        path
        for path in found
        if path.suffix.lower() in suffixes and not any(part[0] in "._" for part in path.parts)
    )


def _clips_to_read(path: Path, root: Path) -> list[Path]:
    """The .wav files of a source below ``root``; a warning names files of other formats.

    Raises:
        DataError: there are none.
    """
    if not path.is_dir():
        if path.suffix.lower() == SUFFIX:
            return [Path(path.name)]
        raise DataError(f"{path} is not a {SUFFIX} file: convert it with ffmpeg or sox")
    names = find_clips(root)
    others = [name.as_posix() for name in _find(root, UNREAD)]
    if not names:
        has = f"; it has {listed(others)}: convert them with ffmpeg or sox" if others else ""
        raise DataError(f"{root} holds no {SUFFIX} files{has}")
    if others:
        what = "1 file that is" if len(others) == 1 else f"{len(others):,} files that are"
        warnings.warn(
            f"{what} not {SUFFIX} {'is' if len(others) == 1 else 'are'} left out: {listed(others)}",
            UserWarning,
            stacklevel=4,
        )
    return names


def read_clips(
    source: Path | str,
    rate: int | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    split: str | None = None,
) -> Clips:
    """Read a .wav file, or every .wav file below a folder, sorted by path.

    Args:
        source: the file or folder.
        rate: required samples per second; None: that of the first file.
        on_error: "skip" leaves out unreadable files, and a warning names them.
        split: the subfolder to read, if the first level is train/test.

    Raises:
        DataError: a file is not readable sound, is empty, or has another sample rate.
    """
    path = Path(source).expanduser()
    if not is_audio(path):
        raise DataError(
            f"{source} is neither a {SUFFIX} file nor a folder of them: give one of these"
        )
    root = images.split_folder(path, split) if path.is_dir() else path.parent
    names = _clips_to_read(path, root)
    found, rate = _all_read(root, names, rate, on_error)
    if rate is None or not found:
        raise DataError(f"{path} has no {SUFFIX} file that can be read")
    kept = tuple(name.as_posix() for name in found)
    return Clips(tuple(found.values()), rate, kept, str(path))


def _all_read(
    root: Path, names: Sequence[Path], rate: int | None, on_error: str
) -> tuple[dict[Path, Array], int | None]:
    """Amplitudes by name, and the sample rate of all."""
    found: dict[Path, Array] = {}
    broken: list[str] = []
    for name in names:
        try:
            samples, own = read_wav(root / name)
        except DataError:
            if on_error == "raise":
                raise
            broken.append(name.as_posix())
            continue
        rate = rate or own
        if own != rate:
            raise DataError(
                f"{root / name} has {own:,} samples per second and not {rate:,}: convert all clips "
                "to one sample rate first, with ffmpeg or sox"
            )
        found[name] = samples
    if broken:
        warnings.warn(
            f"{len(broken)} of {len(names)} clips cannot be read and are left out: "
            f"{listed(broken)}",
            UserWarning,
            stacklevel=4,
        )
    _warn_loud(found)
    return found, rate


def _warn_loud(clips: Mapping[Path, Array]) -> None:
    """Warn of samples outside of [-1, 1], which floats can be: written sound is clipped."""
    loud = [name.as_posix() for name, samples in clips.items() if np.abs(samples).max() > 1]
    if loud:
        warnings.warn(
            f"{len(loud)} of {len(clips)} clips have samples outside of -1 to 1, at which written "
            f"sound is clipped: {listed(loud)}; divide them by their largest",
            UserWarning,
            stacklevel=5,
        )


def read_wav(path: Path) -> tuple[Array, int]:
    """Read a .wav file as (amplitudes in [-1, 1], (length,) float32; samples per second).

    It may contain integers of 8 (unsigned), 16, 24 and 32 bits, or floats.

    Raises:
        DataError: the file is not .wav, or has no samples or samples that are not finite.
    """
    from scipy.io import wavfile  # half a second

    try:
        with warnings.catch_warnings():  # about chunks that are not sound, such as titles
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            rate, values = wavfile.read(io.BytesIO(_whole(path)))
    except DataError:
        raise
    except _BROKEN as error:
        raise DataError(f"{path} cannot be read as sound: {error} {SKIPPED}") from error
    samples = amplitudes(values)
    if not len(samples) or rate < 1:
        raise DataError(f"{path} holds no samples {SKIPPED}")
    if not np.isfinite(samples).all():
        raise DataError(f"{path} has samples that are not finite (NaN or infinities) {SKIPPED}")
    return samples, int(rate)


def _whole(path: Path) -> bytes:
    """A .wav file whose sound is no longer than the file.

    A program that writes to a pipe does not know the length, and writes the largest there is.

    Raises:
        DataError: the file is shorter than its header says.
    """
    size = path.stat().st_size
    untrusted.check_memory(BYTES_OF_SAMPLE * size, str(path), DataError)
    content = bytearray(untrusted.content(path, DataError))
    place = 12  # after "RIFF", a length and "WAVE"
    order: Literal["big", "little"] = "big" if content[:4] == b"RIFX" else "little"
    piped = int.from_bytes(content[4:8], order) >= UNKNOWN_LENGTH
    long = 0
    while place + 8 <= len(content):
        name = content[place : place + 4]
        length = int.from_bytes(content[place + 4 : place + 8], order)
        left = len(content) - place - 8
        if name == b"ds64":  # of RF64, whose chunk of sound has an unknown length
            long = int.from_bytes(content[place + 16 : place + 24], order)
        if name == b"data":
            length = long or length
            known = long or not (piped or length >= UNKNOWN_LENGTH)
            if known and left + 1 < length:  # some count the padding
                raise DataError(
                    f"{path} ends early: it has {left:,} of {length:,} bytes of sound {SKIPPED}"
                )
            content[place + 4 : place + 8] = min(length, left).to_bytes(4, order)
            break
        place += 8 + length + length % 2
    return bytes(content)


def amplitudes(values: Array) -> Array:
    """Convert stored samples, (length,) or (length, channels), to one channel of amplitudes."""
    if values.dtype.kind == "u":
        scaled = (values.astype(np.float64) - 128.0) / 128.0
    elif values.dtype.kind == "i":  # 24 bits are the upper bits of 32
        scaled = values.astype(np.float64) / -float(np.iinfo(values.dtype).min)
    else:
        scaled = values.astype(np.float64)
    mono = scaled if scaled.ndim == 1 else scaled.mean(1)
    return mono.astype(np.float32)


def write_wav(path: Path, samples: Array, rate: int) -> None:
    """Write amplitudes, (length,), as a 16-bit .wav file, clipped to [-1, 1]."""
    target = durable.linked(path)
    folders.make(target.parent)
    with durable.replacing(target) as place:
        place.write_bytes(wav_file(samples, rate))


def wav_file(samples: Array, rate: int) -> bytes:
    """The content of a 16-bit .wav file."""
    from scipy.io import wavfile

    whole = np.rint(np.asarray(samples, np.float64) * SIXTEEN_BIT)
    stream = io.BytesIO()
    wavfile.write(stream, rate, whole.clip(-SIXTEEN_BIT, SIXTEEN_BIT - 1).astype(np.int16))
    return stream.getvalue()
