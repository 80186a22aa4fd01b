"""Distributions of latents: reparameterized draws, divergences, noise and custom types."""
