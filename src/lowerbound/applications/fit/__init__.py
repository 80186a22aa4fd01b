"""Fit a model to a person's data, and say what came of it."""
