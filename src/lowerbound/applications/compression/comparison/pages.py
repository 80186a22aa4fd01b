"""A page that shows the output of several codecs side by side, in one HTML file."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

from lowerbound.applications.io.drawings.grids import as_image
from lowerbound.data.arrays import Array
from lowerbound.data.audio.clips import wav_file

Figure = tuple[str, str]
"""(HTML of a picture or player, its caption)."""


def side_by_side(
    title: str,
    about: str,
    rows: Sequence[tuple[str, Sequence[Figure]]],
    table: Sequence[Sequence[str]] = (),
) -> str:
    """The page as HTML.

    Args:
        title: title of the page.
        about: one sentence that describes the page.
        rows: a heading or "", and the figures side by side.
        table: lines of cells above the figures; the first line is the head.
    """
    lines = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(about)}</p>"]
    if table:
        head, *rest = table
        lines += ["<table>", _line(head, "th"), *(_line(words, "td") for words in rest), "</table>"]
    for heading, figures in rows:
        lines += [f"<h2>{html.escape(heading)}</h2>"] if heading else []
        lines.append(f"<div>{''.join(_figure(*figure) for figure in figures)}</div>")
    return _FRAME.format(title=html.escape(title), body="\n".join(lines))


def picture_of(picture: Array) -> str:
    """HTML of a picture (height, width, channels) uint8."""
    stream = io.BytesIO()
    as_image(picture).save(stream, "PNG")
    return f'<img src="data:image/png;base64,{_base64(stream.getvalue())}" alt="">'


def player_of(sound: Array, rate: int) -> str:
    """HTML that plays amplitudes, (length,)."""
    return f'<audio controls src="data:audio/wav;base64,{_base64(wav_file(sound, rate))}"></audio>'


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _figure(media: str, caption: str) -> str:
    text = html.escape(caption)
    return f'<figure aria-label="{text}">{media}<figcaption>{text}</figcaption></figure>'


def _line(words: Sequence[str], cell: str) -> str:
    return f"<tr>{''.join(f'<{cell}>{html.escape(word)}</{cell}>' for word in words)}</tr>"


_FRAME = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2em; color: #222; }}
th, td {{ padding: 0.1em 1.5em 0.1em 0; }}
th + th, td + td {{ text-align: right; font-variant-numeric: tabular-nums; }}
figure {{ display: inline-block; margin: 0 1em 1em 0; vertical-align: top; }}
img {{ display: block; }}
figcaption {{ max-width: 256px; font-size: 13px; }}
</style></head><body>
{body}
</body></html>
"""
