"""What latents carry."""
