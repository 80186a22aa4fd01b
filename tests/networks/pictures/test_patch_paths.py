"""Linear paths of patches: they start as principal component analysis, to the last digit."""

from __future__ import annotations

import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from lowerbound.errors import OptionError
from lowerbound.networks.base import Picture
from lowerbound.networks.pictures.patches import PatchEncoder, PatchSums, start_from_patches

PICTURE = Picture(2, 8, 12)
SIDE, NUMBERS = 4, 5


def pictures(rows: int = 30) -> Tensor:
    torch.manual_seed(0)
    rough = torch.randn(rows, 2, 8, 12, dtype=torch.float64)
    return 3 + nn.functional.avg_pool2d(rough, 3, 1, 1)


def paths() -> tuple[PatchEncoder, PatchSums]:
    down, up = PatchEncoder(PICTURE, SIDE, NUMBERS), PatchSums(PICTURE, SIDE, NUMBERS)
    return down.double(), up.double()


def as_map(encoder: PatchEncoder, x: Tensor) -> Tensor:
    """(rows, numbers, places down, places across)."""
    return encoder(x).unflatten(1, (2, 3, -1)).permute(0, 3, 1, 2)


def flat_patches(x: Tensor) -> Tensor:
    """(rows, places down, places across, numbers of a patch), cut by hand."""
    cut = x.reshape(len(x), 2, 2, SIDE, 3, SIDE).permute(0, 2, 4, 1, 3, 5)
    return cut.reshape(len(x), 2, 3, -1)


def test_they_say_nothing_until_started() -> None:
    down, up = paths()
    assert not down(pictures()).any()
    assert not any(value.requires_grad for value in down.parameters())
    assert not up(torch.randn(3, NUMBERS, 2, 3, dtype=torch.float64)).any()


@torch.no_grad()
def test_they_start_as_the_principal_components_of_patches() -> None:
    x = pictures()
    down, up = paths()
    mean = start_from_patches(down, up, x)
    patches = flat_patches(x).flatten(0, 2).numpy()
    fitted = PCA(NUMBERS).fit(patches)
    expected = torch.from_numpy(fitted.inverse_transform(fitted.transform(patches)))
    found = flat_patches(mean + up(as_map(down, x))).flatten(0, 2)
    torch.testing.assert_close(found, expected)
    coordinates = down(x).unflatten(1, (6, -1)).flatten(0, 1)
    torch.testing.assert_close(coordinates.var(0), torch.from_numpy(fitted.explained_variance_))


@torch.no_grad()
def test_all_components_lose_nothing() -> None:
    x = pictures()
    down = PatchEncoder(PICTURE, SIDE, 32).double()
    up = PatchSums(PICTURE, SIDE, 32).double()
    mean = start_from_patches(down, up, x)
    torch.testing.assert_close(mean + up(as_map(down, x)), x)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(OptionError, match="multiples of the stride 8"):
        PatchEncoder((2, 8, 12), 8, 3)
    with pytest.raises(OptionError, match="lower latent_dim"):
        PatchSums(PICTURE, SIDE, 33)
