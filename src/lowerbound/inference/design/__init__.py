"""Design in latent space: search for codes whose decoded rows have a high score."""
