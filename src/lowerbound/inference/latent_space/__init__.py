"""Paths, mixtures and directions between codes."""
