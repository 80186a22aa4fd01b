"""Paths, attributes, arithmetic and style mixing in latent space."""
