"""Columns of a table: their kinds, and the way of their values into model units and back."""
