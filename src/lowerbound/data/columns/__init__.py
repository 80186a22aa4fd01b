"""Columns of a table: their kinds, and the maps of their values to model units and back."""
