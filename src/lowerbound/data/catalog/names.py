"""The catalog of named data sets: from scikit-learn, downloaded, or rendered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from lowerbound.data.catalog.digits import FASHION_MNIST, MNIST
from lowerbound.data.catalog.sprites import (
    FACTORS,
    SHAPES,
    SpriteGrid,
    render_sprites,
    split_sprites,
)
from lowerbound.data.raw import RawData
from lowerbound.errors import DataError
from lowerbound.registry import Registry


class NamedSet(Protocol):
    """Reads a data set, or one part of it."""

    def __call__(self, split: str | None = None) -> RawData:
        """Read the rows of ``split``; None: all, or the training part if parts are published."""


CATALOG: Registry[NamedSet] = Registry("data set")
_PUBLISHED = (MNIST, FASHION_MNIST)
WITH_PARTS = (*(published.name for published in _PUBLISHED), "sprites")
"""Data sets with a published test part."""


@CATALOG.register("digits")
def digits(split: str | None = None) -> RawData:
    """1,797 handwritten digits, 8x8 pixels of 17 grey levels (UCI, CC BY 4.0)."""
    from sklearn.datasets import load_digits

    _no_parts("digits", split)
    found = load_digits()
    return RawData(
        found.images.astype(np.uint8),
        labels=found.target,
        class_names=tuple("0123456789"),
        levels=17,
        source="digits",
    )


@CATALOG.register("breast_cancer")
def breast_cancer(split: str | None = None) -> RawData:
    """569 tumors, 30 measurements, malignant or benign (UCI, CC BY 4.0)."""
    from sklearn.datasets import load_breast_cancer

    return _table("breast_cancer", load_breast_cancer, split)


@CATALOG.register("wine")
def wine(split: str | None = None) -> RawData:
    """178 wines, 13 measurements, three growers (UCI, CC BY 4.0)."""
    from sklearn.datasets import load_wine

    return _table("wine", load_wine, split)


@CATALOG.register("iris")
def iris(split: str | None = None) -> RawData:
    """150 flowers, four measurements, three species (UCI, CC BY 4.0)."""
    from sklearn.datasets import load_iris

    return _table("iris", load_iris, split)


@CATALOG.register("diabetes")
def diabetes(split: str | None = None) -> RawData:
    """442 patients, ten measurements in their own units (Efron et al. 2004); no classes."""
    from sklearn.datasets import load_diabetes

    _no_parts("diabetes", split)
    frame = load_diabetes(as_frame=True, scaled=False).data
    return RawData(frame, source="diabetes")


for _set in _PUBLISHED:
    CATALOG.register(_set.name)(_set.read)


@CATALOG.register("sprites")
def sprites(split: str | None = None) -> RawData:
    """3,686 + 922 pictures of one shape, 32x32 bits, five known factors; rendered here."""
    grid = SpriteGrid()
    factors = split_sprites(grid, split)
    shapes = tuple(SHAPES)
    return RawData(
        render_sprites(grid, factors),
        labels=np.array(shapes)[factors[:, 0]],
        class_names=shapes,
        levels=2,
        source=f"sprites:{split or 'train'}",
        factors=factors,
        factor_names=FACTORS,
    )


def _table(name: str, reader: Callable[..., Any], split: str | None) -> RawData:
    _no_parts(name, split)
    found = reader(as_frame=True)
    names = tuple(str(target) for target in found.target_names)
    return RawData(found.data, labels=np.array(names)[found.target], class_names=names, source=name)


def _no_parts(name: str, split: str | None) -> None:
    if split is not None:
        raise DataError(
            f"{name} has no published parts, so no {split!r}; use Dataset.split(fraction, seed)"
        )
