"""Design: search the latent space for rows with a high score."""
