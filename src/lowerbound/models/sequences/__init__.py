"""Models of rows that go on in time, one latent for each time."""
