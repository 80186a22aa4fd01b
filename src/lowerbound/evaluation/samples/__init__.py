"""Distance of samples from real rows."""
