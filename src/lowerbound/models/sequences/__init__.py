"""Models of sequences, with one latent for each time."""
