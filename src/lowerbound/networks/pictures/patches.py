r"""Linear paths between a picture and a map of vectors: principal components of its patches.

.. math:: z_i = W^T (x_i - m), \qquad \hat x_i = m + W z_i

with x_i the square patch of place i, W the leading eigenvectors of the patches' covariance, as
columns, and m their mean. The encoder's path is fixed, so codebooks learn from fixed vectors. The
decoder adds a network that starts at zero.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowerbound.errors import OptionError
from lowerbound.networks.base import (
    Encoder,
    Picture,
    as_picture,
)


def by_pixel(pictures: Tensor) -> Tensor:
    """(rows, channels, height, width) to (rows, height * width * channels)."""
    return pictures.permute(0, 2, 3, 1).flatten(1)


class PatchEncoder(Encoder):
    """Picture to the principal components of its patches, (rows, places * numbers); not trained.

    Args:
        event_shape: of the picture.
        side: of a patch.
        numbers: of each place.
        condition_dim: numbers of the decoder's condition, which the encoder ignores.
    """

    def __init__(
        self, event_shape: tuple[int, ...], side: int, numbers: int, condition_dim: int = 0
    ) -> None:
        super().__init__()
        self.picture = as_picture(event_shape)
        _check(self.picture, side, numbers)
        self.condition_dim = condition_dim
        self.components = nn.Conv2d(self.picture.channels, numbers, side, side)
        for value in self.components.parameters():
            nn.init.zeros_(value).requires_grad_(False)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return by_pixel(self.components(x.reshape(x.shape[0], *self.picture)))


class PatchSums(nn.ConvTranspose2d):
    """Map to the location of a picture, the inverse of ``PatchEncoder``; zero until started.

    Args:
        picture: shape of the first channels of the likelihood's parameters.
        side: of a patch.
        numbers: of each place.
    """

    def __init__(self, picture: Picture, side: int, numbers: int) -> None:
        _check(picture, side, numbers)
        super().__init__(numbers, picture.channels, side, side, bias=False)
        nn.init.zeros_(self.weight)


@torch.no_grad()
def start_from_patches(encoder: PatchEncoder, up: PatchSums, x: Tensor) -> Tensor:
    """Set both to the principal components of the patches of rows ``x``, (rows, *event).

    Returns:
        The mean patch side by side, (C, H, W), which a decoder adds to the output of ``up``.
    """
    down = encoder.components
    side, numbers = down.kernel_size[0], down.out_channels
    channels, height, width = encoder.picture
    pictures = x.double().reshape(x.shape[0], *encoder.picture)
    patches = pictures.unfold(2, side, side).unfold(3, side, side)
    flat = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, channels * side * side)
    mean = flat.mean(0)
    centered = flat - mean
    _, vectors = torch.linalg.eigh(centered.T @ centered)
    leading = vectors.flip(1)[:, :numbers].T
    assert down.bias is not None
    down.bias.copy_(-(leading @ mean))
    for weight in (down.weight, up.weight):
        weight.copy_(leading.reshape(numbers, channels, side, side))
    patch = mean.reshape(channels, side, side)
    return patch.repeat(1, height // side, width // side).to(x.dtype)


def _check(picture: Picture, side: int, numbers: int) -> None:
    if picture.height % side or picture.width % side:
        raise OptionError(
            f"a linear path takes pictures whose sides are multiples of the stride {side}, and "
            f"these are {picture.height}x{picture.width}"
        )
    most = picture.channels * side * side
    if numbers > most:
        raise OptionError(
            f"a patch has {most} numbers, so a linear path gives at most as many, not {numbers}; "
            "lower latent_dim"
        )
