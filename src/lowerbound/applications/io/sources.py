"""Where an application's data comes from: read once with what the person says about it, or by the
schema of a model that is there already."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from lowerbound.applications.form import OnError, unreadable
from lowerbound.config import option
from lowerbound.data import CATALOG, Dataset, load
from lowerbound.data.catalog.names import WITH_PARTS
from lowerbound.data.columns.inference import Hint
from lowerbound.data.raw import Kinds
from lowerbound.data.sequences.windows import Windows
from lowerbound.data.tables.duckdb import Address, is_address
from lowerbound.data.tables.files import is_table
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting import Fitted


@dataclass(frozen=True)
class ReadingOptions:
    """What a person may have to say about data that no model has seen."""

    label: str | None = option(
        None,
        "the table's column that holds the class, or the number to predict",
        metavar="COLUMN",
    )
    binarize: Literal["none", "dynamic", "threshold"] = option(
        "none",
        "turn grey values into bits: dynamic draws new ones at each visit, threshold "
        "cuts at a half",
    )
    levels: int | None = option(
        None, "number of levels of whole-number values (default: from the data)"
    )
    image_size: int | None = option(
        None, "height and width that pictures are brought to (default: the most common size)"
    )
    resize: Literal["pad", "crop", "stretch", "tiles"] | None = option(
        None,
        "how a picture of another size is brought to that size (default: pad); tiles are cut "
        "from it and overlap by half",
    )
    on_error: OnError = unreadable()
    missing: Literal["error", "model"] | None = option(
        None,
        "cells without a value: error refuses them, model models them (default: model for tables)",
    )
    kind: tuple[str, ...] = option(
        (),
        "kind of a table's column where the one found is wrong, such as zip=categorical or "
        "visit=datetime:%d/%m/%Y; repeatable",
        metavar="COLUMN=KIND",
    )
    columns: str | None = option(
        None, "a JSON file that lowerbound schema wrote, with your corrections", metavar="FILE"
    )
    standardize: bool = option(True, "leave real columns in their own units")
    window: int = option(0, "rows are points in time: model windows of N points")
    spectrograms: bool = option(False, "read clips of sound as spectrograms; folders are classes")
    stride: int = option(1, "points from the start of one window to that of the next")

    @property
    def windows(self) -> Windows | None:
        """How a series is cut; None where it is not.

        Raises:
            OptionError: the window is shorter than nothing, or the stride longer than the window.
        """
        return None if (self.window, self.stride) == (0, 1) else Windows(self.window, self.stride)


@dataclass(frozen=True, eq=False)
class DataParts:
    """Data to learn from, and data that only the last numbers are taken on.

    Attributes:
        training: rows to fit on.
        test: rows that nothing is fitted or chosen on; None where the person wanted none.
        protocol: how the test part came about, in words.
    """

    training: Dataset
    test: Dataset | None
    protocol: str


def read_parts(
    source: str,
    options: ReadingOptions,
    test: float,
    seed: int,
    numbers_only: bool = False,
    normal_scores: bool = True,
    regression: bool = False,
) -> DataParts:
    """Read ``source`` and set a test part aside: the published one where there is one.

    Args:
        source: a path or the name of a set.
        options: what is to be known about it.
        numbers_only: take a table's columns for real numbers, for models of nothing else.
        normal_scores: whether columns may be mapped to normal scores by their quantiles.
        regression: whether the label is a number to predict.
        test: share of the rows that is held out where no test part is published; 0: none.
        seed: of the rows that are held out.

    Raises:
        DataError: the data cannot be read or cannot be modeled.
        OptionError: ``test`` is not a share below one.
    """
    if not 0 <= test < 1:
        raise OptionError(f"--test is a share of the rows, 0 to below 1, not {test:g}")
    dataset = load(
        source,
        label=options.label,
        binarize=options.binarize,
        levels=options.levels,
        image_size=options.image_size,
        resize=options.resize,
        on_error=options.on_error,
        missing=options.missing,
        standardize=options.standardize,
        kinds="real" if numbers_only else column_hints(options),
        windows=options.windows,
        normal_scores=normal_scores,
        spectrograms=options.spectrograms,
        regression=regression,
    )
    return apart(source, dataset, test, seed, options.on_error)


def column_hints(options: ReadingOptions) -> Kinds:
    """What the person said of a table's columns; a flag wins over the file.

    Raises:
        DataError: the file cannot be read.
        OptionError: a flag is not of the form COLUMN=KIND.
    """
    hints: dict[str, Hint] = {} if options.columns is None else read_hints(Path(options.columns))
    for word in options.kind:
        name, equals, kind = word.rpartition("=")
        if not equals:
            raise OptionError(f"--kind takes COLUMN=KIND, not {word!r}")
        hints[name] = kind
    return hints or "infer"


def read_hints(path: Path) -> dict[str, Hint]:
    """The columns that ``lowerbound schema`` wrote, as a person left them.

    Raises:
        DataError: it is no such file.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): hint for name, hint in found["columns"].items()}
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is no file of columns, as lowerbound schema writes them: {error}"
        ) from error


def apart(source: str, dataset: Dataset, test: float, seed: int, on_error: OnError) -> DataParts:
    """The rows of ``source``, already read, in a part to learn from and a test part."""
    if publishes_test(source):
        published = load(source, schema=dataset.schema, split="test", on_error=on_error)
        return DataParts(dataset, published, f"the published test part, {len(published):,} rows")
    if not test or round(test * len(dataset)) < 1:
        return DataParts(dataset, None, "no test part")
    if dataset.schema.windows is not None:
        return _in_time(dataset, dataset.schema.windows, test)
    training, held_out = dataset.split(test, seed)
    share = f"{len(held_out):,} of {len(dataset):,} rows, drawn by seed {seed} before training"
    return DataParts(training, held_out, share)


def _in_time(dataset: Dataset, windows: Windows, test: float) -> DataParts:
    """The end of the series as test part, since windows overlap: it shares no point with the rest.

    Raises:
        DataError: nothing is left to learn from.
    """
    first = len(dataset) - round(test * len(dataset))
    training = windows.before(first)
    if training < 2:
        raise DataError(
            f"a series of {len(dataset):,} windows of {windows.length} points is too short to set "
            f"its end aside: give a longer one, a shorter --window, or --test 0"
        )
    held_out = dataset.subset(range(first, len(dataset)))
    protocol = f"{len(held_out):,} of {len(dataset):,} windows, the end of the series"
    return DataParts(dataset.subset(range(training)), held_out, protocol)


def publishes_test(source: str) -> bool:
    """Whether ``source`` comes with a part called "test": a folder or array of that name."""
    if source in CATALOG:
        return source in WITH_PARTS
    if is_table(source):
        return False
    path = Path(source).expanduser()
    if path.is_dir():
        return (path / "test").is_dir() and (path / "train").is_dir()
    if path.suffix.lower() != ".npz":
        return False
    with np.load(path, allow_pickle=False) as arrays:
        return any("test" in name.split("_") for name in arrays.files)


def is_there(source: str) -> bool:
    """Whether ``source`` is the name of a set, or a file, folder or database that exists."""
    if source in CATALOG:
        return True
    file = Address.read(source).file if is_address(source) else source
    return not file or Path(file).expanduser().exists()


def open_data(source: str, fitted: Fitted, *, on_error: OnError = "raise") -> Dataset:
    """Data of the kind that a model was fitted on, with the class where the model is conditional.

    Raises:
        DataError: it is of another kind, or a conditional model meets rows without a class.
    """
    return conditioned(open_unconditioned(source, fitted, on_error), fitted)


def open_unconditioned(source: str, fitted: Fitted, on_error: OnError = "raise") -> Dataset:
    """The same without the class, which its rows may know nevertheless."""
    return load(source, schema=replace(fitted.schema, condition=None), on_error=on_error)


def conditioned(dataset: Dataset, fitted: Fitted) -> Dataset:
    """The rows as the model sees them: with their class, where it is a conditional one."""
    return dataset.conditioned_on_label() if fitted.schema.condition else dataset
