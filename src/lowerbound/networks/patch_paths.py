r"""Linear paths between a picture and a map of vectors: principal components of its patches.

.. math:: z_i = W^T (x_i - m), \qquad \hat x_i = m + W z_i

with x_i the square patch of place i, W the leading eigenvectors of the patches' covariance, as
columns, and m their mean. Beside a network whose last weights are zero they let training start
where principal component analysis ends.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowerbound.errors import OptionError
from lowerbound.networks.sizes import Picture


class PatchComponents(nn.Conv2d):
    """Picture to map, (rows, C, H, W) to (rows, numbers, H / side, W / side); zero until started.

    Args:
        picture: its shape.
        side: of a patch.
        numbers: of each place.
    """

    def __init__(self, picture: Picture, side: int, numbers: int) -> None:
        _check(picture, side, numbers)
        super().__init__(picture.channels, numbers, side, side)
        nn.init.zeros_(self.weight)
        assert self.bias is not None
        nn.init.zeros_(self.bias)


class PatchSums(nn.ConvTranspose2d):
    """Map to the location of a picture, the way back from ``PatchComponents``; zero until started.

    Args:
        picture: its shape; of what a decoder owes for it, the first channels.
        side: of a patch.
        numbers: of each place.
    """

    def __init__(self, picture: Picture, side: int, numbers: int) -> None:
        _check(picture, side, numbers)
        super().__init__(numbers, picture.channels, side, side, bias=False)
        nn.init.zeros_(self.weight)


@torch.no_grad()
def start_from_patches(down: PatchComponents, up: PatchSums, x: Tensor) -> Tensor:
    """Set both to the principal components of the patches of ``x``, (rows, C, H, W).

    Returns:
        The mean patch side by side, (C, H, W), which a decoder adds to what ``up`` says.
    """
    side, numbers = down.kernel_size[0], down.out_channels
    channels, height, width = x.shape[1:]
    patches = x.double().unfold(2, side, side).unfold(3, side, side)
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
