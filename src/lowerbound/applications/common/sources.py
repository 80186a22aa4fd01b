"""The data of an application: read with options for a fit, or with the schema of a fitted model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowerbound.data.audio.clips import is_audio, read_clips
from lowerbound.data.audio.kind import rows_of_each
from lowerbound.data.catalog import CATALOG, WITH_PARTS
from lowerbound.data.dataset import Dataset
from lowerbound.data.loading import load, read
from lowerbound.data.npz import array_names
from lowerbound.data.options import OnError
from lowerbound.data.reading_flags import ReadingOptions
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.windows import Windows
from lowerbound.data.tables.duckdb import PREFIX, Address, is_address
from lowerbound.data.tables.files import is_table
from lowerbound.data.tables.on_disk import ON_DISK, load_on_disk
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.fitting.fitted import Fitted

USUAL_TEST = 0.1  # share of the rows
MOST_NUMBERED = 1_000_000  # rows of a test part that keep their numbers in the table


@dataclass(frozen=True)
class SetAside:
    """Which rows a fit sets aside for the final measurements.

    Attributes:
        share: of all rows; 0: none.
        seed: of the draw.
        keeps_labels: draw from the rows without a label, if there are any.

    Raises:
        OptionError: the share is not below one.
    """

    share: float
    seed: int
    keeps_labels: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise OptionError(f"--test is a share of the rows, 0 to below 1, not {self.share:g}")

    @classmethod
    def of(cls, share: float | None, seed: int, infers_label: bool) -> SetAside:
        """The test part of a fit; ``share`` None: the default, which costs no scarce label."""
        if share is None:
            return cls(USUAL_TEST, seed, infers_label)
        return cls(share, seed)


@dataclass(frozen=True, eq=False)
class DataParts:
    """Training rows and test rows.

    Attributes:
        training: rows for the fit.
        test: rows for the final measurements only; None if no test part is requested.
        protocol: how the test part was chosen, in words.
    """

    training: Dataset
    test: Dataset | None
    protocol: str


def read_parts(
    source: str,
    options: ReadingOptions,
    test: SetAside,
    numbers_only: bool = False,
    normal_scores: bool = True,
    regression: bool = False,
    schema: Schema | None = None,
    rows: Any = None,
    cache: Path | None = None,
    conditional: bool = False,
) -> DataParts:
    """Read ``source`` and set a test part aside: the published part if there is one.

    Args:
        source: a path or the name of a set.
        options: options for reading it.
        test: the rows that are held out if no test part is published.
        numbers_only: read a table's columns as real numbers.
        normal_scores: whether columns may be mapped to normal scores by their quantiles.
        regression: whether the label is a number to predict.
        schema: public schema of the rows; None: it is learned from them.
        rows: the table of ``source``, if it was read already.
        cache: folder of the encoded rows of a Parquet table, which stay there; None: the rows are
            read into memory. Other options than those of ``load_on_disk`` must be the default.
        conditional: whether every row must have a class.

    Raises:
        DataError: the data cannot be read or cannot be modeled.
    """
    reading = options.reading(
        "real" if numbers_only else options.kinds,
        normal_scores=normal_scores,
        regression=regression,
        schema=schema,
    )
    if cache is not None:
        dataset = load_on_disk(source, cache, **{name: getattr(reading, name) for name in ON_DISK})
    else:
        dataset = read(source if rows is None else rows, reading)
    if rows is not None:
        dataset = replace(dataset, source=source)
    if conditional:  # before rows are set aside, so that their numbers are those of the source
        dataset.require_classes()
    return apart(source, dataset, test, options.on_error)


def apart(source: str, dataset: Dataset, test: SetAside, on_error: OnError) -> DataParts:
    """Split the rows of ``source``, which are already read, into training and test part."""
    if publishes_test(source):
        published = load(source, schema=dataset.schema, split="test", on_error=on_error)
        return DataParts(dataset, published, f"the published test part, {len(published):,} rows")
    size = round(test.share * len(dataset))
    if size < 1:
        return DataParts(dataset, None, "no test part")
    if dataset.schema.windows is not None:
        return _in_time(dataset, dataset.schema.windows, test.share)
    if test.keeps_labels and not bool((labeled := dataset.labeled).all()):
        unlabeled = torch.nonzero(~labeled).flatten()
        return _without_labels(dataset, unlabeled, size, test.seed)
    training, held_out = _drawn(dataset, test)
    share = f"{len(held_out):,} of {len(dataset):,} rows, drawn by seed {test.seed} before training"
    return DataParts(training, held_out, share)


def _drawn(dataset: Dataset, test: SetAside) -> tuple[Dataset, Dataset]:
    """A random split; rows of the test part without names have their numbers in the table."""
    rows, aside = dataset.split_rows(test.share, test.seed)
    held_out = dataset.subset(aside)
    if dataset.ids is None and dataset.schema.columns and len(aside) <= MOST_NUMBERED:
        held_out = replace(held_out, ids=tuple(map(str, aside.tolist())))
    return dataset.subset(rows), held_out


def _without_labels(dataset: Dataset, unlabeled: Tensor, size: int, seed: int) -> DataParts:
    """A test part of rows without a label, because labels are scarce."""
    order = torch.randperm(len(unlabeled), generator=torch.Generator().manual_seed(seed))
    chosen = unlabeled[order[:size]].sort().values
    kept = torch.ones(len(dataset), dtype=torch.bool).index_fill(0, chosen, False)
    protocol = (
        f"{len(chosen):,} of {len(unlabeled):,} rows without a label, drawn by seed {seed} before "
        f"training; all {len(dataset) - len(unlabeled):,} labels are for training (--test "
        f"{USUAL_TEST:g} draws from all rows)"
    )
    return DataParts(
        dataset.subset(torch.nonzero(kept).flatten()), dataset.subset(chosen), protocol
    )


def _in_time(dataset: Dataset, windows: Windows, test: float) -> DataParts:
    """Split a series in time: windows overlap, so a random test part would share points.

    Raises:
        DataError: too few windows are left for training.
    """
    first = len(dataset) - round(test * len(dataset))
    training = windows.before(first)
    if training < 2:
        raise DataError(
            f"a series of {len(dataset):,} windows of {windows.length} points is too short to set "
            f"its end aside: give a longer one, a shorter --window, or --test 0"
        )
    held_out = dataset.subset(range(first, len(dataset)))
    if dataset.schema.columns and len(held_out) <= MOST_NUMBERED:
        held_out = replace(held_out, ids=windows.spans(len(dataset))[first:])
    protocol = f"{len(held_out):,} of {len(dataset):,} windows, the end of the series"
    return DataParts(dataset.subset(range(training)), held_out, protocol)


def publishes_test(source: str) -> bool:
    """Whether ``source`` has a part "test": a folder or array of that name."""
    if source in CATALOG:
        return source in WITH_PARTS
    if is_table(source):
        return False
    path = Path(source).expanduser()
    if path.is_dir():
        return (path / "test").is_dir() and (path / "train").is_dir()
    return any("test" in name.split("_") for name in array_names(path))


def is_there(source: str) -> bool:
    """Whether ``source`` is the name of a set, or a file, folder or database that exists."""
    if source in CATALOG:
        return True
    file = Address.read(source).file if is_address(source) else source
    try:
        return not file or Path(file).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # no path, or no such home
        return False


def located(source: str, directory: str) -> str:
    """The source with an absolute path, if it has one: a relative one starts in ``directory``."""
    if source in CATALOG or not directory:
        return source
    if not is_address(source):
        return str(Path(directory) / Path(source).expanduser())
    file = Address.read(source).file
    if not file:
        return source
    _, mark, what = source.partition("?")
    return f"{PREFIX}///{Path(directory) / Path(file).expanduser()}{mark}{what}"


def same_source(one: str, other: str) -> bool:
    """Whether two sources are the same data, however the paths to it are written."""
    return _resolved(one) == _resolved(other)


def _resolved(source: str) -> object:
    if source in CATALOG:
        return source
    if is_address(source):
        address = Address.read(source)
        return replace(address, file=address.file and str(_absolute(address.file)))
    return _absolute(source)


def _absolute(path: str) -> Path:
    return Path(path).expanduser().resolve()


def open_data(source: str, fitted: Fitted, *, on_error: OnError = "raise") -> Dataset:
    """Read data for a fitted model; a conditional model also receives the classes.

    Raises:
        DataError: the data is of another kind, or rows for a conditional model have no class.
    """
    return conditioned(open_unconditioned(source, fitted, on_error), fitted)


def open_clips(source: str, fitted: Fitted, *, on_error: OnError = "raise") -> Dataset:
    """As ``open_data``, but each clip of sound is cut into rows on its own."""
    schema = fitted.schema
    if not schema.data_kind.amplitudes or not is_audio(source):
        return open_data(source, fitted, on_error=on_error)
    return rows_of_each(read_clips(source, schema.sample_rate, on_error), schema)


def open_unconditioned(source: str, fitted: Fitted, on_error: OnError = "raise") -> Dataset:
    """Read data for a fitted model, without conditioning it on the class."""
    return load(source, schema=replace(fitted.schema, condition=None), on_error=on_error)


def unconditioned(fitted: Fitted) -> Schema:
    """The schema of the frames of clips.

    Raises:
        UnsupportedError: the model is conditional, and clips hold no classes.
    """
    if fitted.schema.condition:
        raise UnsupportedError(
            "the model is conditional, and the frames of clips have no class: fit it without "
            "--conditional"
        )
    return fitted.schema


def conditioned(dataset: Dataset, fitted: Fitted) -> Dataset:
    """The rows, conditioned on their class if the model is conditional."""
    return dataset.conditioned_on_label() if fitted.schema.condition else dataset
