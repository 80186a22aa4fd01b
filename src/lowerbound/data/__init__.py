"""Conversion of data of every kind to a schema and tensors, and back.

>>> from lowerbound.data import load
>>> digits = load("digits")
>>> digits.schema.event_shape, digits.schema.levels, len(digits)
((1, 8, 8), 17, 1797)
"""

from __future__ import annotations

from lowerbound.data.audio.kind import AudioKind
from lowerbound.data.catalog.digits import flat_sheet, rolled_sheet
from lowerbound.data.catalog.names import CATALOG
from lowerbound.data.catalog.published import file_sha256
from lowerbound.data.columns.column import Column
from lowerbound.data.dataset import Dataset, require_binary
from lowerbound.data.kinds import DATA_KINDS, DataKind
from lowerbound.data.labels import UNKNOWN, encode_labels
from lowerbound.data.load import load
from lowerbound.data.pictures.kind import PictureKind
from lowerbound.data.pictures.pixels import ImageFormat
from lowerbound.data.raw import RawData
from lowerbound.data.schema import Binarize, Condition, Schema
from lowerbound.data.sciences.compositions import CompositionKind, Formulas
from lowerbound.data.sequences.episode_kind import EpisodeForm, EpisodeKind
from lowerbound.data.sequences.event_kind import EventKind, Events
from lowerbound.data.sequences.event_table import history_frame
from lowerbound.data.sequences.frame_clips import FrameClips, read_frame_clips
from lowerbound.data.sequences.kind import SequenceKind, Sequences
from lowerbound.data.sequences.texts import Texts
from lowerbound.data.sequences.token_kind import TokenKind
from lowerbound.data.tables.frames import to_frame
from lowerbound.data.tables.kind import TableKind, VectorKind

__all__ = [
    "CATALOG",
    "DATA_KINDS",
    "UNKNOWN",
    "AudioKind",
    "Binarize",
    "Column",
    "CompositionKind",
    "Condition",
    "DataKind",
    "Dataset",
    "EpisodeForm",
    "EpisodeKind",
    "EventKind",
    "Events",
    "Formulas",
    "FrameClips",
    "ImageFormat",
    "PictureKind",
    "RawData",
    "Schema",
    "SequenceKind",
    "Sequences",
    "TableKind",
    "Texts",
    "TokenKind",
    "VectorKind",
    "encode_labels",
    "file_sha256",
    "flat_sheet",
    "history_frame",
    "load",
    "read_frame_clips",
    "require_binary",
    "rolled_sheet",
    "to_frame",
]
