"""Columns of a table: their kinds, and the maps of their values to model units and back.

To add a kind, add one file and its import here.
"""

import lowerbound.data.columns.continuous
import lowerbound.data.columns.datetime
import lowerbound.data.columns.levels
import lowerbound.data.columns.mixed
import lowerbound.data.columns.unmodeled  # noqa: F401
