"""The file format of compressed data."""
