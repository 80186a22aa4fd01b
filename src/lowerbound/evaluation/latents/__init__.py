"""Measures of latents."""
