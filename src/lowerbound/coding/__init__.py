"""Fitted models as codecs: whole numbers, streams of bits, files."""
