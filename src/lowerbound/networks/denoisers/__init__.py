"""Networks of a diffusion model: a noisy x_t, its time t and a prompt to a prediction."""

from lowerbound.networks.denoisers.base import DENOISERS, Denoiser, DenoiserSizes
from lowerbound.networks.denoisers.mlp import MLPDenoiser
from lowerbound.networks.denoisers.transformer import TransformerDenoiser
from lowerbound.networks.denoisers.unet import UNetDenoiser

__all__ = [
    "DENOISERS",
    "Denoiser",
    "DenoiserSizes",
    "MLPDenoiser",
    "TransformerDenoiser",
    "UNetDenoiser",
]
