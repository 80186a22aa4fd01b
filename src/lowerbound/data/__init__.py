"""Data of every kind becomes a schema plus tensors."""
