"""The file of compressed data and the numbers in it."""
