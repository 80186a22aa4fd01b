"""Sample rows, encode them, decode codes, and reconstruct rows."""
