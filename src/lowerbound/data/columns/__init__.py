"""Columns of a table: their kinds, and the way of their values into model units and back.

A new kind is one file and its line here.
"""

import lowerbound.data.columns.bounded
import lowerbound.data.columns.continuous
import lowerbound.data.columns.count
import lowerbound.data.columns.datetime
import lowerbound.data.columns.levels
import lowerbound.data.columns.mixed
import lowerbound.data.columns.unmodeled  # noqa: F401
