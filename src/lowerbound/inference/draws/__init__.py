"""Draws from a model, and from codes that a model decodes."""
