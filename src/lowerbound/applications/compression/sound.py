"""Clips of sound as small files of codes: see ``lowerbound.applications.compression.sound_codec``.

The fitted model itself decodes. Files carry its hash and need its folder unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lowerbound.applications.common.application import Reporter
from lowerbound.applications.common.audio_rows import (
    check_clips_output,
    write_sound_folder,
    write_sounds,
)
from lowerbound.applications.common.form import PROCESSOR
from lowerbound.applications.compression.codec import (
    CODECS,
    Codec,
    CompareReport,
    CompressReport,
    Output,
)
from lowerbound.applications.compression.container import KIND, Container
from lowerbound.applications.compression.lossless import Progress, model_hash
from lowerbound.applications.compression.requests import (
    CodecRequest,
    CompareRequest,
    CompressRequest,
    output_file,
)
from lowerbound.applications.compression.sound_codec import Decoded, read_clips, write_clips
from lowerbound.applications.compression.sound_comparison import BITS, compare_sound
from lowerbound.data.audio import clips as audio
from lowerbound.data.audio.clips import Clips
from lowerbound.errors import counted
from lowerbound.fitting import folder as model_folder
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.sound_codes import SoundCoder
from lowerbound.untrusted import folders


@CODECS.register(KIND)
class SoundClips(Codec):
    """Clips of any length in one file: lossy."""

    takes = "sound by models with codes and the network 'frames'"
    unit = "clip"
    options = frozenset({"codebooks"})
    has_page = True

    def serves(self, request: CodecRequest, fitted: Fitted) -> bool:
        """Whether rows are windows of sound and not pictures of it."""
        return fitted.schema.data_kind.amplitudes

    def write(self, request: CompressRequest, fitted: Fitted, reporter: Reporter) -> CompressReport:
        path = output_file(request)
        clips, codebooks = _requested(request, fitted)
        folders.make(path.parent)
        write_clips(path, fitted.model, clips.samples, clips.rate, codebooks=codebooks)
        codec, seconds = model_hash(fitted.model).hex(), sum(clips.lengths) / clips.rate
        kilobits = path.stat().st_size * 8 / seconds / 1000
        return CompressReport.of(
            [path],
            sum(clips.lengths) * BITS // 8,
            f"{counted(len(clips.samples), 'clip')}, {seconds:,.1f} s of sound,",
            f"{kilobits:.2f} kbit/s with {codebooks} codebooks",
            [f"lossy: decompressed sound is approximate; keep the model folder, codec {codec}"],
            clips=len(clips.samples),
            sound_seconds=seconds,
            kilobits_per_second=kilobits,
            codebooks=codebooks,
        )

    def decode(self, file: Container, folder: Path, progress: Progress | None) -> Decoded:
        return read_clips(file, model_folder.read(folder, PROCESSOR).model)

    def decompress(
        self, file: Container, folder: Path, output: Output, progress: Progress | None
    ) -> tuple[int, Sequence[str]]:
        if not output.is_folder:
            check_clips_output(output.path)
        found = self.decode(file, folder, progress)
        write = write_sound_folder if output.is_folder else write_sounds
        return len(found.clips), write(output.path, found.clips, found.rate)

    def compare(self, request: CompareRequest, fitted: Fitted, reporter: Reporter) -> CompareReport:
        return compare_sound(request, fitted, *_requested(request, fitted), reporter)


def _requested(request: CodecRequest, fitted: Fitted) -> tuple[Clips, int]:
    """(the clips, the number of codebooks to use).

    Raises:
        UnsupportedError: the model does not turn sound into codes.
        DataError: the data is no sound of the model's sample rate.
        OptionError: the model has fewer codebooks.
    """
    codebooks = SoundCoder.of(fitted.model).levels(request.codebooks)
    clips = audio.read_clips(request.source, fitted.schema.sample_rate, request.on_error)
    return clips, codebooks
