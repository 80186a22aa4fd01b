"""Networks of models with a label among their latents."""
