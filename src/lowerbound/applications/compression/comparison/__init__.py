"""Comparison of a model with widely used codecs on the same data."""
