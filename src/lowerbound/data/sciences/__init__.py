"""Formulas, compositions and molecules: one file per notation."""
