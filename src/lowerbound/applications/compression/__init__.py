"""Rows, pictures and sound as small files."""
