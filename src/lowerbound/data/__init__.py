"""Conversion of data of every kind to a schema and tensors, and back.

>>> from lowerbound.data import load
>>> digits = load("digits")
>>> digits.schema.event_shape, digits.schema.levels, len(digits)
((1, 8, 8), 17, 1797)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lowerbound.registry import public_names

if TYPE_CHECKING:
    from lowerbound.data.audio.kind import AudioKind as AudioKind
    from lowerbound.data.catalog import (
        CATALOG as CATALOG,
        file_sha256 as file_sha256,
        flat_sheet as flat_sheet,
        rolled_sheet as rolled_sheet,
    )
    from lowerbound.data.columns.column import Column as Column
    from lowerbound.data.dataset import Dataset as Dataset, require_binary as require_binary
    from lowerbound.data.kinds import DATA_KINDS as DATA_KINDS, DataKind as DataKind
    from lowerbound.data.labels import UNKNOWN as UNKNOWN, encode_labels as encode_labels
    from lowerbound.data.loading import load as load
    from lowerbound.data.pictures.kind import PictureKind as PictureKind
    from lowerbound.data.pictures.pixels import ImageFormat as ImageFormat
    from lowerbound.data.raw import RawData as RawData
    from lowerbound.data.schema import (
        Binarize as Binarize,
        Condition as Condition,
        Schema as Schema,
    )
    from lowerbound.data.sciences.compositions import (
        CompositionKind as CompositionKind,
        Formulas as Formulas,
    )
    from lowerbound.data.sequences.episode_kind import (
        EpisodeForm as EpisodeForm,
        EpisodeKind as EpisodeKind,
    )
    from lowerbound.data.sequences.event_kind import EventKind as EventKind, Events as Events
    from lowerbound.data.sequences.event_table import history_frame as history_frame
    from lowerbound.data.sequences.frame_clips import (
        FrameClips as FrameClips,
        read_frame_clips as read_frame_clips,
    )
    from lowerbound.data.sequences.kind import SequenceKind as SequenceKind, Sequences as Sequences
    from lowerbound.data.sequences.texts import Texts as Texts
    from lowerbound.data.sequences.token_kind import TokenKind as TokenKind
    from lowerbound.data.tables.frames import to_frame as to_frame
    from lowerbound.data.tables.kind import TableKind as TableKind, VectorKind as VectorKind

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        ".audio.kind": "AudioKind",
        ".catalog": "flat_sheet rolled_sheet CATALOG file_sha256",
        ".columns.column": "Column",
        ".dataset": "Dataset require_binary",
        ".kinds": "DATA_KINDS DataKind",
        ".labels": "UNKNOWN encode_labels",
        ".loading": "load",
        ".pictures.kind": "PictureKind",
        ".pictures.pixels": "ImageFormat",
        ".raw": "RawData",
        ".schema": "Binarize Condition Schema",
        ".sciences.compositions": "CompositionKind Formulas",
        ".sequences.episode_kind": "EpisodeForm EpisodeKind",
        ".sequences.event_kind": "EventKind Events",
        ".sequences.event_table": "history_frame",
        ".sequences.frame_clips": "FrameClips read_frame_clips",
        ".sequences.kind": "SequenceKind Sequences",
        ".sequences.texts": "Texts",
        ".sequences.token_kind": "TokenKind",
        ".tables.frames": "to_frame",
        ".tables.kind": "TableKind VectorKind",
    },
)
