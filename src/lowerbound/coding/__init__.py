"""Codecs of fitted models: whole numbers, bit streams and files."""
