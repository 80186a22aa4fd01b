"""PhysioNet 2012, set a: 48 hours of intensive care on an hourly grid, a patient at a time."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lowerbound.data.catalog import data_folders, first_place
from lowerbound.errors import DataError

ARCHIVE = "physionet2012_set_a.tar.xz"
HOURS = 48
# what a patient is rather than how the patient fares, and a flag that is only ever 1
NOT_SERIES = ("RecordID", "Age", "Gender", "Height", "ICUType", "MechVent")
Array = np.ndarray[Any, Any]


def place() -> Path:
    """The archive.

    Raises:
        DataError: it is in no data folder.
    """
    found = first_place(data_folders(), (ARCHIVE,))
    if found is None:
        raise DataError(f"the data set {ARCHIVE} is missing: put it into LOWERBOUND_DATA")
    return found


@cache
def grids() -> tuple[Array, tuple[str, ...]]:
    """(patients, hours, variables), the mean of what was measured in each hour, NaN where nothing
    was; and the variables. The 36 that are numbers over time; negative weights are missing ones.
    """
    records = pd.concat(_records(), ignore_index=True)
    records = records[~records["Parameter"].isin(NOT_SERIES) & records["Parameter"].notna()]
    records = records[(records["Parameter"] != "Weight") | (records["Value"] > 0)]
    records["hour"] = records["Time"].str.slice(0, 2).astype(int)
    records = records[records["hour"] < HOURS]
    names = tuple(sorted(records["Parameter"].unique()))
    patients = records["patient"].max() + 1
    whole = pd.MultiIndex.from_product([range(patients), range(HOURS)], names=["patient", "hour"])
    wide = records.pivot_table(
        index=["patient", "hour"], columns="Parameter", values="Value", aggfunc="mean"
    )
    values = wide.reindex(whole)[list(names)].to_numpy()
    return values.reshape(patients, HOURS, len(names)), names


def last_seen(series: Array) -> Array:
    """The value last measured up to each hour, like ``series``; NaN before the first."""
    seen = ~np.isnan(series)
    hour = np.where(seen, np.arange(series.shape[1])[:, None], -1)
    latest = np.maximum.accumulate(hour, 1)
    found = np.take_along_axis(series, latest.clip(0), 1)
    return np.where(latest < 0, np.nan, found)


def before(series: Array) -> Array:
    """The value last measured before each hour."""
    found = np.full_like(series, np.nan)
    found[:, 1:] = last_seen(series)[:, :-1]
    return found


def after(series: Array) -> Array:
    """The value next measured after each hour."""
    return before(series[:, ::-1])[:, ::-1]


def interpolated(series: Array) -> Array:
    """The straight line in time from the value last measured to the next one; beyond the first and
    the last the nearest value, NaN where a patient has none."""
    found = series.copy()
    hours = np.arange(series.shape[1])
    for patient, variable in zip(*np.nonzero(~np.isnan(series).all(1)), strict=True):
        own = series[patient, :, variable]
        seen = ~np.isnan(own)
        found[patient, :, variable] = np.interp(hours, hours[seen], own[seen])
    return found


def _records() -> Iterator[Any]:
    """The long table of each patient, in the order of the archive."""
    with tarfile.open(place()) as archive:
        files = (m for m in archive if m.name.startswith("set-a/") and m.name.endswith(".txt"))
        for patient, member in enumerate(files):
            file = archive.extractfile(member)
            assert file is not None
            yield pd.read_csv(BytesIO(file.read())).assign(patient=patient)
