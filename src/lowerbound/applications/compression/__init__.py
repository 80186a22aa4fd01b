"""Compression of rows, pictures and sound."""
