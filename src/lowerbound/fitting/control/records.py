"""What agents reach while they learn, as one record per evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from lowerbound import durable, untrusted
from lowerbound.config import from_mapping, option
from lowerbound.errors import LowerboundError, ModelFolderError, OptionError
from lowerbound.untrusted import folders

RECORDS = "agent.jsonl"  # of a model folder; ``model_folder.manifest`` names it too
RECENT = 30  # training episodes of a mean


@dataclass(frozen=True)
class AgentRecord:
    """What an agent has reached.

    Attributes:
        steps: of the environment so far.
        updates: so far.
        episodes: that ended so far.
        seconds: processor seconds so far, without evaluation.
        recent: mean sum of rewards of the last training episodes; None before the first.
        sampled, greedy: sums of rewards of evaluated episodes, with drawn actions and with the
            likeliest; empty: not evaluated here.
        readings: losses and rates of the newest update.
        environment: name of the environment; empty in older records.
    """

    steps: int
    updates: int
    episodes: int
    seconds: float
    recent: float | None
    sampled: tuple[float, ...] = ()
    greedy: tuple[float, ...] = ()
    readings: Mapping[str, float] = field(default_factory=dict)
    environment: str = ""


@dataclass(frozen=True)
class EvaluationOptions:
    """Evaluation while an agent learns."""

    evaluate_every: int = option(5_000, "steps of the environment between two evaluations; 0: none")
    episodes: int = option(10, "evaluated episodes, with drawn actions and with the likeliest each")


def said_of(at: str, folder: Path | None) -> str:
    """What the exception of Ctrl-C says.

    Args:
        at: which training was interrupted, and where.
        folder: of its checkpoint; None: there is none.
    """
    if folder is None:
        return f"{at}; without a folder nothing was saved"
    return f"{at} and saved in {folder}; resume to continue from there"


@folders.closing
def write_records(folder: Path, records: Sequence[AgentRecord]) -> None:
    """Write the records of an agent to its folder."""
    folders.make(folder)
    lines = [json.dumps(asdict(record)) + "\n" for record in records]
    durable.write_text(folder / RECORDS, "".join(lines))


@folders.closing
def read_records(folder: Path) -> list[AgentRecord]:
    """The records of an agent's folder.

    Raises:
        OptionError: it has none.
    """
    try:
        with untrusted.guarded(str(folder / RECORDS), ModelFolderError):
            lines = untrusted.text(folder / RECORDS, ModelFolderError).splitlines()
            values = [untrusted.parsed_mapping(line, RECORDS, ModelFolderError) for line in lines]
            found = [_record(each, line) for line, each in enumerate(values, 1)]
            steps = [0, *(record.steps for record in found)]
            if not all(before < after for before, after in pairwise(steps)):
                raise ValueError("the steps of its records do not rise from 1")
            return found
    except (OSError, LowerboundError) as error:
        raise OptionError(f"{folder} has no records of an agent ({RECORDS}): {error}") from error


def _record(values: Mapping[str, Any], line: int) -> AgentRecord:
    """The record of a line.

    Raises:
        ModelFolderError: a value is missing, or of another type than the record's.
    """
    known = {name: values[name] for name in AgentRecord.__dataclass_fields__ if name in values}
    try:
        return from_mapping(AgentRecord, known)
    except LowerboundError as error:
        raise ModelFolderError(f"line {line}: {error}") from error
