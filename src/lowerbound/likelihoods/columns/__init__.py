"""Families of columns: the groups of ``Mixed``, each of which is computed together.

A kind of column has the key of its family in ``COLUMN_FAMILIES``.
"""

from lowerbound.likelihoods.columns.continuous import (
    AtomColumns,
    AtomEmission,
    ColumnScale,
    ContinuousColumns,
)
from lowerbound.likelihoods.columns.count import CountColumns, NegativeBinomialEmission
from lowerbound.likelihoods.columns.group import COLUMN_FAMILIES, ColumnGroup, DiscreteEmission
from lowerbound.likelihoods.columns.histogram import HistogramColumns, HistogramEmission
from lowerbound.likelihoods.columns.levels import (
    BinaryColumns,
    BinaryColumnsEmission,
    CategoricalColumns,
    CategoricalColumnsEmission,
    EmbeddedColumn,
    OrdinalColumns,
    OrdinalColumnsEmission,
)

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
    "HistogramColumns",
    "HistogramEmission",
    "NegativeBinomialEmission",
    "OrdinalColumns",
    "OrdinalColumnsEmission",
]
