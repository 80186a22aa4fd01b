"""Objectives that learn from labels of some of the rows."""
