"""Clips by several codecs on one page that needs no other file: a table, and each clip to play."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.data.audio.clips import wav_file

Array = np.ndarray[Any, Any]
SHOWN = 4  # clips
SECONDS = 10  # of each


@dataclass(frozen=True, eq=False)
class Shown:
    """What there is to listen to.

    Attributes:
        names: of the clips; those after the last that is heard are not looked at.
        rate: samples per second.
        heard: by codec, amplitudes of each clip.
    """

    names: Sequence[str]
    rate: int
    heard: Mapping[str, Sequence[Array]]


def sound_page(table: Sequence[Sequence[str]], shown: Shown) -> str:
    """The page.

    Args:
        table: lines of words, the first of them the head.
        shown: the clips, and what is heard of them.
    """
    clips = zip(shown.names, *shown.heard.values(), strict=False)
    return _FRAME.format(
        head=_line(table[0], "th"),
        rows="\n".join(_line(words, "td") for words in table[1:]),
        clips="\n".join(_clip(name, sounds, shown) for name, *sounds in clips),
        seconds=SECONDS,
    )


def _line(words: Sequence[str], cell: str) -> str:
    return f"<tr>{''.join(f'<{cell}>{html.escape(word)}</{cell}>' for word in words)}</tr>"


def _clip(name: str, sounds: Sequence[Array], shown: Shown) -> str:
    players = (
        _player(codec, sound[: SECONDS * shown.rate], shown.rate)
        for codec, sound in zip(shown.heard, sounds, strict=True)
    )
    return f"<h2>{html.escape(name)}</h2>\n<div>{''.join(players)}</div>"


def _player(codec: str, sound: Array, rate: int) -> str:
    data, text = base64.b64encode(wav_file(sound, rate)).decode(), html.escape(codec)
    return (
        f'<figure><audio controls src="data:audio/wav;base64,{data}" aria-label="{text}"></audio>'
        f"<figcaption>{text}</figcaption></figure>"
    )


_FRAME = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Sound in few bits</title><style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2em; color: #222; }}
th, td {{ padding: 0.1em 1.5em 0.1em 0; }}
th + th, td + td {{ text-align: right; font-variant-numeric: tabular-nums; }}
figure {{ display: inline-block; margin: 0 1em 1em 0; }}
figcaption {{ font-size: 13px; }}
</style></head><body>
<h1>Sound in few bits</h1>
<p>All clips, laid end to end; bits are of codes and packets, without headers of files.</p>
<table>
{head}
{rows}
</table>
<p>The first clips, {seconds} seconds of each at most.</p>
{clips}
</body></html>
"""
