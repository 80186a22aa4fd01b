"""Synthetic tables: what they are good for, and what they reveal."""
