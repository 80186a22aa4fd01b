"""The requests to fit, measure and describe a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lowerbound.applications.common.form import (
    REQUIRED,
    DataRequest,
    DeviceRequest,
    OnError,
    unreadable,
)
from lowerbound.config import option
from lowerbound.data.reading_flags import DialectOptions, ReadingOptions
from lowerbound.errors import OptionError
from lowerbound.evaluation.report.sizes import RequestedSizes, SuiteOptions
from lowerbound.fitting.options import FitOptions
from lowerbound.parts import LIKELIHOODS, MODELS, NETWORKS, OBJECTIVES, POSTERIORS, PRIORS


@dataclass(frozen=True)
class DemoRequest(DeviceRequest):
    """Options of ``lowerbound demo``."""

    output: str = option(
        "digits.lb", "model folder to write", short="-o", metavar="MODEL", writes=True
    )
    minutes: float | None = option(
        None, "minutes of training for each model (default: until training is done)"
    )
    seed: int = option(0, "seed of everything that is drawn")


@dataclass(frozen=True)
class SchemaRequest:
    """Options of ``lowerbound schema``."""

    data: str = option(REQUIRED, "a .csv, .parquet or .xlsx file", positional=True, reads="data")
    output: str | None = option(
        None, "JSON file to write, for you to correct", short="-o", metavar="FILE", writes=True
    )
    label: str | None = option(None, "the column that holds the class", metavar="COLUMN")
    file: DialectOptions = field(default_factory=DialectOptions)


@dataclass(frozen=True)
class ProcessOptions:
    """The processes that train one model together.

    Raises:
        OptionError: there would be none, or the machines could not find each other.
    """

    devices: int = option(
        1, "processes on this machine that train together, one for each GPU or group of cores"
    )
    nodes: int = option(1, "machines that train together; start the same command on each")
    rendezvous: str | None = option(
        None,
        "where the machines meet: name and free port of one of them, the same in all commands",
        metavar="HOST:PORT",
    )

    def __post_init__(self) -> None:
        if self.devices < 1 or self.nodes < 1:
            raise OptionError(
                f"devices and nodes are at least 1, not {self.devices} and {self.nodes}"
            )
        if self.nodes > 1 and not self.rendezvous:
            raise OptionError(
                f"nodes={self.nodes} needs rendezvous=HOST:PORT, one of the machines and a free "
                "port of it, the same in the command of each machine"
            )

    @property
    def several(self) -> bool:
        """Whether there is more than one process."""
        return self.devices * self.nodes > 1


def part_options() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """The names of the options of every part, by its family and its registered name."""
    from lowerbound.applications.common.fit_folder import option_names

    return {
        "objective": option_names(OBJECTIVES),
        "network": option_names(NETWORKS),
        "model": {name: MODELS[name].option_names() for name in MODELS},
        "likelihood": option_names(LIKELIHOODS),
        "prior": option_names(PRIORS),
        "posterior": option_names(POSTERIORS),
    }


@dataclass(frozen=True)
class FitRequest:
    """Options of ``lowerbound fit``."""

    data: str = option(
        REQUIRED,
        "a folder of pictures or of .wav files, a .csv, .xlsx, .parquet, .npz or .npy file, or a "
        "named set such as digits",
        positional=True,
        reads="data",
    )
    output: str = option(
        REQUIRED, "model folder to write", short="-o", metavar="MODEL", writes=True
    )
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    fitting: FitOptions = field(default_factory=FitOptions)
    set: tuple[str, ...] = option(
        (),
        "an option of a part, such as network.hidden=[200,200]; repeatable",
        metavar="PART.OPTION=VALUE",
        part_options=part_options,
    )
    start: str | None = option(
        None,
        "model folder whose weights to start from, where names and sizes agree",
        metavar="MODEL",
        reads="model",
    )
    test: float | None = option(
        None,
        "share of the rows kept for the final measurements (default: 0.1; of a semi-supervised "
        "model's rows without a label, if there are any)",
        common=True,
    )
    measuring: RequestedSizes = field(default_factory=RequestedSizes)
    compare: bool = option(
        False, "also fit PCA and an autoencoder with the same network for comparison", common=True
    )
    report: bool = option(True, "numbers only: no figures, no report.html")
    title: str = option("", "title of the report (default: the folder's name)")
    rows_in: Literal["auto", "memory", "disk"] = option(
        "auto",
        "where the rows of a Parquet or csv table are during the fit: disk, for tables larger than "
        "memory, or memory; auto: disk if they would take more than the limit of --memory",
    )
    cache: str | None = option(
        None,
        "keep the rows on disk in this folder, for later fits (default: a folder beside the "
        "model, deleted at the end)",
        metavar="FOLDER",
        reads="model",
        writes=True,
    )
    together: ProcessOptions = field(default_factory=ProcessOptions)
    resume: bool = option(
        False, "continue the run that was interrupted in this folder", common=True
    )
    overwrite: bool = option(False, "replace the model in this folder", common=True)


@dataclass(frozen=True)
class EvaluateRequest(DataRequest):
    """Options of ``lowerbound evaluate``."""

    suite: Literal["likelihood", "latents", "samples", "all"] = option(
        "likelihood", "what to measure", common=True
    )
    part: Literal["all", "test"] = option(
        "all",
        "all rows, or those that were set aside when the model was fitted to this data",
        common=True,
    )
    compare: tuple[str, ...] = option(
        (),
        "another model folder to compare with on the same rows; repeatable",
        metavar="MODEL",
        common=True,
        reads="model",
    )
    at_least: float | None = option(
        None, "nats per row that the bound must reach; exit code 1 if it does not", common=True
    )
    output: str = option(
        "",
        "folder for findings.json and scores.csv",
        short="-o",
        metavar="OUT",
        common=True,
        writes=True,
    )
    on_error: OnError = unreadable()
    measuring: SuiteOptions = field(default_factory=SuiteOptions)


@dataclass(frozen=True)
class InfoRequest:
    """Options of ``lowerbound info``."""

    model: str = option(
        REQUIRED,
        "model folder, or a file that compress wrote",
        positional=True,
        metavar="MODEL",
        reads="model",
    )
