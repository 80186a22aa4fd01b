"""Code shared by models with a label among their latents."""
