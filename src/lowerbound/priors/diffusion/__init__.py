"""A diffusion model of latents as prior: its noise process, its samplers and its bound."""
