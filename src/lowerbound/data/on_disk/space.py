"""Room on a disk, before anything is written there."""

from __future__ import annotations

import shutil
from pathlib import Path

from lowerbound import untrusted
from lowerbound.errors import DataError


def check_space(
    needed: float,
    what: str,
    folder: Path,
    advice: str = "choose a folder on another disk (--cache)",
) -> None:
    """Check that the disk of a folder has room.

    Args:
        needed: bytes.
        what: that needs them.
        folder: where they go; it need not exist.
        advice: what to do if there is none.

    Raises:
        DataError: it has not.
    """
    place = next(each for each in (folder / "x").absolute().parents if each.is_dir())
    free = shutil.disk_usage(place).free
    if needed > free:
        sizes = [f"{size / untrusted.GIGABYTE:,.1f} GB" for size in (needed, free)]
        raise DataError(
            f"{what} needs about {sizes[0]} on the disk of {place}, and {sizes[1]} are free: "
            f"{advice}"
        )
