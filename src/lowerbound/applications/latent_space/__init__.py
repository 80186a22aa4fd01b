"""Paths, attributes, arithmetic and mixing of codes."""
