"""Sound: clips, rows of clips, spectrograms."""
