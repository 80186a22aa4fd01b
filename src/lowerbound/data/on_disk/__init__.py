"""Tables larger than memory: their schema from a sample, their encoded rows in files."""
