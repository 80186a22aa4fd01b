"""Synthetic tables: the form of a table that its synthetic rows must have, and its constraints."""
