"""Classes of rows by a semi-supervised model, calibrated probabilities, and rows to label next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowerbound.applications.common.application import Report, Reporter
from lowerbound.applications.common.columnar_files import check_suffix, columnar, numbered
from lowerbound.applications.common.engines import Progress, computed, engine_of
from lowerbound.applications.common.fit_rows import fitted_to
from lowerbound.applications.common.parts import Arrays, finished_parts
from lowerbound.applications.common.requested_rows import RequestedRows, in_chunks, rows_of_model
from lowerbound.applications.labels.requests import ClassifyRequest
from lowerbound.data.dataset import Dataset
from lowerbound.errors import OptionError
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.passes import collected
from lowerbound.models.base import Model
from lowerbound.models.powers import Classifies, require
from lowerbound.networks.processor import in_precision

ROWS = 1_024  # rows in a batch
BINS = 15
UNSURE = ""  # the class of a row whose probabilities are too low


@dataclass(frozen=True)
class ClassCalibration:
    """Calibration and accuracy of class probabilities.

    Attributes:
        error: expected calibration error: the mean over the rows of |accuracy - confidence|, in
            ``BINS`` bins of confidence (Guo et al. 2017).
        accuracy: share of the rows whose likeliest class is the true one.
        nats: mean -log p of the true class.
    """

    error: float
    accuracy: float
    nats: float


def class_logits(model: Model, dataset: Dataset, progress: Progress | None = None) -> Tensor:
    """Logits of q(y | x) before the temperature, (rows, classes), float64.

    Args:
        model: one with classes.
        dataset: the rows.
        progress: called with (rows done, rows) after each batch.

    Raises:
        UnsupportedError: the model has no classes; the message names models that have.
    """
    model = in_precision(model, dataset.x.dtype)
    classifier = require(model, Classifies, "choose a class")
    (logits,) = collected(
        model,
        dataset,
        ROWS,
        lambda _, batch: [classifier.class_logits(batch).double()],
        progress=progress,
    )
    return logits


def class_probabilities(model: Model, dataset: Dataset, progress: Progress | None = None) -> Tensor:
    """q(y | x) of every row, (rows, classes), float64; rows sum to one.

    Args:
        model, dataset, progress: as for ``class_logits``.

    Raises:
        UnsupportedError: as ``class_logits``.
    """
    classifier = require(model, Classifies, "choose a class")
    return torch.softmax(classifier.tempered(class_logits(model, dataset, progress)), -1)


def calibration(probability: Tensor, label: Tensor) -> ClassCalibration:
    """Calibration of probabilities (rows, classes) given the true classes, (rows,)."""
    tally = CalibrationTally()
    tally.add(probability, label)
    return tally.result()


class CalibrationTally:
    """Calibration and accuracy of class probabilities over several parts of the rows.

    Attributes:
        rows: number of rows so far.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._gap = torch.zeros(BINS, dtype=torch.float64)
        self._right = self._nats = 0.0

    def add(self, probability: Tensor, label: Tensor) -> None:
        """Add probabilities (rows, classes) and the true classes, (rows,)."""
        confidence, chosen = probability.max(1)
        right = (chosen == label).double()
        place = (confidence * BINS).long().clamp_max(BINS - 1)
        self._gap.index_add_(0, place, right - confidence.double())
        true = probability.gather(1, label.unsqueeze(1)).clamp_min(1e-12)
        self._right += float(right.sum())
        self._nats -= float(torch.log(true).sum())
        self.rows += len(label)

    def result(self) -> ClassCalibration:
        """The calibration on all rows so far."""
        error = float(self._gap.abs().sum() / self.rows)
        return ClassCalibration(error, self._right / self.rows, self._nats / self.rows)


def information(probability: Tensor) -> Tensor:
    r"""H(y | x) of each row in nats, (rows,): the expected information of its label.

    The most informative rows to label are those with the largest entropy of q(y | x).
    """
    bits: Tensor = torch.special.entr(probability)
    return bits.sum(1)


@dataclass(frozen=True)
class Question:
    """A row whose label would be informative.

    Attributes:
        row: its number, from 0.
        name: of its file, if it has one.
        guess: its likeliest class.
        probability: of that class.
        information: expected information of its label: the entropy of q(y | x), nats.
    """

    row: int
    name: str
    guess: str
    probability: float
    information: float


@dataclass(frozen=True)
class ClassifyReport(Report):
    """The result of a classification.

    Attributes:
        rows: number of rows.
        counts: number of rows of each class.
        unsure: number of rows without a class.
        questions: the rows to label next, most informative first.
        labeled: number of rows whose label is one of the model's classes.
        judged: accuracy and calibration on those; None: there are none.
        of_fit: whether the model was fitted to this data.
        file: the written file; "": none.
    """

    rows: int
    counts: Mapping[str, int]
    unsure: int
    questions: tuple[Question, ...]
    labeled: int
    judged: ClassCalibration | None
    of_fit: bool
    file: str

    def text(self) -> str:
        counts = ", ".join(f"{name}: {count:,}" for name, count in self.counts.items())
        lines = [f"{self.rows:,} rows: {counts}" + (f": {self.file}" if self.file else "")]
        if self.unsure:
            lines.append(f"  {self.unsure:,} rows got no class: the probability of each is too low")
        if self.judged is not None:
            lines.append(
                f"  of {self.labeled:,} rows whose label is known {self.judged.accuracy:.1%} are "
                f"right; expected calibration error {self.judged.error:.3f} in {BINS} bins"
            )
            if self.of_fit:
                lines.append("  the model was fitted to this data: of new rows, fewer may be right")
        if self.questions:
            lines.append("rows to label next, by the nats that the label is expected to give:")
        for row in self.questions:
            name = f" ({row.name})" if row.name else ""
            lines.append(
                f"  row {row.row}{name}: {row.information:.2f}, now {row.guess} with "
                f"{row.probability:.0%}"
            )
        return "\n".join(lines)


def classify(request: ClassifyRequest, reporter: Reporter, fitted: Fitted) -> ClassifyReport:
    """q(y | x) of every row.

    Raises:
        UnsupportedError: the model has no classes.
        DataError: the data is not of the kind that the model was fitted on.
        OptionError: the output's name or a number is invalid.
    """
    if not 0 <= request.abstain <= 1 or request.suggest < 0:
        raise OptionError("--abstain takes a probability, 0 to 1, and --suggest a number from 0 up")
    if request.output:
        check_suffix(Path(request.output))
    require(fitted.model, Classifies, "choose a class")
    tally = _Tally(request, fitted.schema.class_names)
    parts = rows_of_model(request.data, fitted, request.on_error)
    many = in_chunks(request.data, fitted)

    def progress_of(part: RequestedRows) -> Progress:
        return lambda done, rows: reporter.advance("classifying", *part.place(done, rows))

    with (
        finished_parts("classify", request, reporter, in_parts=many) as finished,
        engine_of(request, partial(_computed, fitted), in_parts=many) as engine,
        columnar(Path(request.output)) if request.output else nullcontext() as file,
    ):
        for part, found in computed(parts, lambda part: part, engine, finished, progress_of):
            columns = tally.add(part, torch.from_numpy(found["probability"]))
            if file is not None:
                file.add(columns)
    return tally.report()


def _computed(fitted: Fitted, part: RequestedRows, progress: Progress) -> Arrays:
    """q(y | x) of a part, (rows, classes)."""
    return {"probability": class_probabilities(fitted.model, part.rows, progress).numpy()}


class _Tally:
    """The results of the rows so far.

    Args:
        request: the options.
        names: of the classes.
    """

    def __init__(self, request: ClassifyRequest, names: tuple[str, ...]) -> None:
        self.request, self.names = request, names
        self.counts: Counter[str] = Counter()
        self.questions: list[Question] = []
        self.known = CalibrationTally()

    def add(self, part: RequestedRows, probability: Tensor) -> dict[str, Any]:
        """Add some rows; also their columns of the file of classes."""
        least = self.request.abstain
        names = self.names
        most, index = probability.max(1)
        pairs = zip(most.tolist(), index.tolist(), strict=True)
        chosen = [names[place] if value >= least else UNSURE for value, place in pairs]
        nats = information(probability)
        self.counts.update(chosen)
        found = _questions(part, self.names, probability, nats, self.request.suggest)
        every = [*self.questions, *found]
        every.sort(key=lambda row: -row.information)
        self.questions = every[: self.request.suggest]
        label = part.rows.label
        if label is not None:
            self.known.add(probability[label >= 0], label[label >= 0])
        return _columns(part, self.names, probability, chosen, nats)

    def report(self) -> ClassifyReport:
        """The report of all rows."""
        return ClassifyReport(
            rows=self.counts.total(),
            counts={name: self.counts[name] for name in self.names},
            unsure=self.counts[UNSURE],
            questions=tuple(self.questions),
            labeled=self.known.rows,
            judged=self.known.result() if self.known.rows else None,
            of_fit=fitted_to(self.request.model, self.request.data),
            file=self.request.output,
        )


def _columns(
    part: RequestedRows,
    names: tuple[str, ...],
    probability: Tensor,
    chosen: list[str],
    nats: Tensor,
) -> dict[str, Any]:
    each = {f"p({name})": probability[:, index].numpy() for index, name in enumerate(names)}
    most = probability.amax(1).numpy()
    rows = numbered(part.rows, part.first)
    return {**rows, "class": chosen, "probability": most, "information": nats.numpy(), **each}


def _questions(
    part: RequestedRows, names: tuple[str, ...], probability: Tensor, nats: Tensor, count: int
) -> list[Question]:
    """The unlabeled rows whose label would be most informative."""
    gain, dataset = nats.clone(), part.rows
    if dataset.label is not None:
        gain[dataset.label >= 0] = -1.0
    order = gain.argsort(descending=True, stable=True)[:count].tolist()
    most, index = probability.max(1)
    return [
        Question(
            part.first + row,
            "" if dataset.ids is None else dataset.ids[row],
            names[int(index[row])],
            float(most[row]),
            float(nats[row]),
        )
        for row in order
        if gain[row] >= 0
    ]
