"""Checkpoints, from which a run is resumed bit for bit."""
