"""Compositions: chemical formulas as fractions of elements."""
