"""What models with a label among their latents share."""
