"""Training under differential privacy: sampling, clipped gradients, noise, accounting."""
