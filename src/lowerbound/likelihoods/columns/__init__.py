"""Columns of one kind each, computed in one piece: the groups that ``Mixed`` puts side by side."""

from lowerbound.likelihoods.columns.atom import AtomColumns, AtomEmission
from lowerbound.likelihoods.columns.binary import BinaryColumns, BinaryColumnsEmission
from lowerbound.likelihoods.columns.categorical import (
    CategoricalColumns,
    CategoricalColumnsEmission,
)
from lowerbound.likelihoods.columns.continuous import ColumnScale, ContinuousColumns
from lowerbound.likelihoods.columns.count import CountColumns, NegativeBinomialEmission
from lowerbound.likelihoods.columns.embedded import EmbeddedColumn
from lowerbound.likelihoods.columns.group import ColumnGroup, DiscreteEmission
from lowerbound.likelihoods.columns.ordinal import OrdinalColumns, OrdinalColumnsEmission

__all__ = [
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
