"""The number of samples of each clip in a file of sound, which no model is needed to read."""

from __future__ import annotations

from lowerbound.coding.files import varint
from lowerbound.coding.files.container import Container
from lowerbound.errors import BitstreamError

KIND = "audio"


def clip_lengths(file: Container) -> list[int]:
    """Samples of each clip, from the first chunk of a file of sound.

    Raises:
        BitstreamError: they are damaged, or no encoder writes them.
    """
    payload = file.payload(0)
    file.check_symbols(0, payload)
    try:
        lengths = varint.decode_all(payload)
    except ValueError as error:
        raise BitstreamError(f"{file.name} has clips with invalid lengths") from error
    if sum(lengths) != file.header.shape[0] or 0 in lengths:
        raise BitstreamError(
            f"{file.name} has clips whose lengths are zero or do not add up to the total"
        )
    return list(lengths)


def described(file: Container) -> str:
    """The content of a file of sound in words.

    Raises:
        BitstreamError: as in ``clip_lengths``, or no encoder writes the settings.
    """
    clips = len(clip_lengths(file))
    rate, _, _ = file.settings(3)
    if not rate:
        raise BitstreamError(f"{file.name} has settings with no samples per second")
    seconds = file.header.shape[0] / rate
    named = "1 clip" if clips == 1 else f"{clips:,} clips"
    return f"{named}, {seconds:,.1f} s of sound with {rate:,} samples per second,"
