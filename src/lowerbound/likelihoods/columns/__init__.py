"""Families of columns, each computed in one piece: the groups that ``Mixed`` puts side by side.

A column's kind names its family by the key under which it is registered in ``COLUMN_FAMILIES``.
"""

from lowerbound.likelihoods.columns.atom import AtomColumns, AtomEmission
from lowerbound.likelihoods.columns.binary import BinaryColumns, BinaryColumnsEmission
from lowerbound.likelihoods.columns.categorical import (
    CategoricalColumns,
    CategoricalColumnsEmission,
    EmbeddedColumn,
)
from lowerbound.likelihoods.columns.continuous import ColumnScale, ContinuousColumns
from lowerbound.likelihoods.columns.count import CountColumns, NegativeBinomialEmission
from lowerbound.likelihoods.columns.group import COLUMN_FAMILIES, ColumnGroup, DiscreteEmission
from lowerbound.likelihoods.columns.ordinal import OrdinalColumns, OrdinalColumnsEmission

__all__ = [
    "COLUMN_FAMILIES",
    "AtomColumns",
    "AtomEmission",
    "BinaryColumns",
    "BinaryColumnsEmission",
    "CategoricalColumns",
    "CategoricalColumnsEmission",
    "ColumnGroup",
    "ColumnScale",
    "ContinuousColumns",
    "CountColumns",
    "DiscreteEmission",
    "EmbeddedColumn",
    "NegativeBinomialEmission",
    "OrdinalColumns",
    "OrdinalColumnsEmission",
]
