r"""Sample from the prior, encode rows, decode codes, and reconstruct rows.

.. math::
    \text{sample: } z \sim p(z),\; x \sim p(x \mid z) \qquad
    \text{encode: } x \mapsto q(z \mid x) \qquad
    \text{decode: } z \mapsto p(x \mid z)

All inputs and outputs are in the data's own units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lowerbound.applications.base import Report, Reporter, WrittenReport, written
from lowerbound.applications.form import REQUIRED, DataRequest, ModelRequest, OnError, unreadable
from lowerbound.applications.generation.code_files import (
    CodeTable,
    check_suffix,
    columns_of,
    read_codes,
)
from lowerbound.applications.generation.rebuilt_rows import RebuiltRows, RebuiltTally
from lowerbound.applications.io.columnar_files import columnar
from lowerbound.applications.io.conditions import (
    class_condition,
    label_indices,
    label_names,
    one_hot,
)
from lowerbound.applications.io.prompts import prompt_of, typed_values
from lowerbound.applications.io.requested_rows import (
    RequestedRows,
    requested_rows,
    rows_of_model,
)
from lowerbound.applications.io.row_files import EventFiles, row_files
from lowerbound.applications.io.rows import Drawn, Reconstructed
from lowerbound.applications.io.sentences import about_complete_rows, about_exact, about_explained
from lowerbound.applications.io.sizes import check_disk, check_rows
from lowerbound.config import option
from lowerbound.data.dataset import Dataset
from lowerbound.data.synthetic.form import TableForm
from lowerbound.data.tables.text_form import TextForm
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.fitting import Fitted
from lowerbound.inference.codebooks import numbers_of, quantized_rows, vectors_of
from lowerbound.inference.codes import encode_rows
from lowerbound.inference.histories import sample_histories
from lowerbound.inference.passes import collected
from lowerbound.inference.prior_settings import prior_settings
from lowerbound.inference.reconstruction import reconstruct as predict
from lowerbound.inference.refinement import reconstruct_refined
from lowerbound.inference.samples import Samples, decode_codes, sample_parts
from lowerbound.inference.synthesis.given_columns import gives_columns, rows_with_columns
from lowerbound.models import Decodes, Model, Quantizes, require
from lowerbound.trace import Mean

ROWS_AT_ONCE = 512

# sample -------------------------------------------------------------------------------------------

GIVEN_TABLES = (".csv", ".parquet")
NOT_WITH_COLUMNS = (
    "mean",
    "temperature",
    "top_k",
    "top_p",
    "label",
    "prompt",
    "guidance",
    "steps",
)
"""Options of draws from p(z), which a draw given columns does not make."""


@dataclass(frozen=True)
class SampleRequest(ModelRequest):
    """Draw new rows from the model."""

    output: str = option(
        REQUIRED,
        "pictures: a .png sheet, .npz, or a folder; tables: .csv, .parquet or .npz; sound: .wav, "
        ".npz or a folder",
        short="-o",
        metavar="OUT",
    )
    number: int = option(64, "how many", short="-n")
    mean: bool = option(False, "write the decoder's mean instead of a draw from p(x | z)")
    temperature: tuple[float, ...] = option(
        (),
        "scale of the latents' noise, below 1 for likelier and less varied rows (default: 1); "
        "repeat it for the levels of a hierarchy, the coarsest first",
    )
    top_k: int | None = option(
        None, "of a model with codes: draw only among so many of the likeliest (default: all)"
    )
    top_p: float | None = option(
        None,
        "of a model with codes: draw only among the likeliest that together have this probability "
        "(default: 1)",
    )
    label: str = option(
        "",
        "class of the rows: for a conditional model (default: all in turn), or for a model that "
        "infers the class (default: drawn)",
    )
    given: tuple[str, ...] = option(
        (),
        "a value that a column of a table has in all rows, such as sex=Female; or an attribute "
        "that the rows should have, for a prior that was trained with --label or --attributes; "
        "repeatable",
        metavar="NAME=VALUE",
    )
    prompt: str = option(
        "", "what the rows should be, for a prior that was trained with --captions", metavar="TEXT"
    )
    guidance: float | None = option(
        None, "strength of the prompt: 1 draws from p(z | prompt), more exaggerates it (default: 1)"
    )
    steps: int | None = option(
        None, "steps of a draw from a diffusion prior, or of a refiner (default: 20)"
    )
    within_range: bool = option(
        False,
        "set drawn numbers and dates of a table outside the range of the fitted rows to its nearer "
        "end; a .csv or .parquet file",
    )
    complete: bool = option(False, "draw no missing cells of a table")
    seed: int = option(0, "seed of the draws")


@dataclass(frozen=True)
class RowsReport(WrittenReport):
    """Rows were written.

    Attributes:
        what: "samples", "decoded rows", ...
        rows: number of rows.
        mean: whether they are the decoder's means rather than draws from p(x | z).
        refined: whether they are draws of the model's refiner.
        corrected: whether they have the missing cells and the shares of values of the fitted rows.
    """

    what: str
    rows: int
    mean: bool
    refined: bool
    corrected: bool = False

    def text(self) -> str:
        draws = "refined draws" if self.refined else "draws from p(x | z)"
        draws = f"corrected {draws}" if self.corrected else draws
        kind = "decoder means" if self.mean else draws
        return f"{self.rows:,} {self.what} ({kind}): {self.where}"


def sample(request: SampleRequest, reporter: Reporter, fitted: Fitted) -> RowsReport:
    """Draw z from the prior and x from p(x | z).

    Raises:
        UnsupportedError: the model has no prior, or one without the setting that is given.
        OptionError: fewer than one row, an unknown class, attribute or word, a number out of
            range, or an output of unknown format.
    """
    if request.number < 1:
        raise OptionError(f"-n must be at least 1, not {request.number}")
    path = Path(request.output)
    files = row_files(fitted.schema)
    files = files.within_range() if request.within_range else files
    files.check(path)
    if files.in_parts(path):
        check_disk(path, request.number, fitted.schema, f"-n {request.number}")
    else:
        check_rows(fitted, request.number, f"-n {request.number}")
    if isinstance(files, EventFiles):
        return _sampled_histories(request, reporter, fitted, files)
    if request.given and gives_columns(fitted):
        return _sampled_with_columns(request, reporter, fitted)
    label = _row_labels(fitted, request.label)
    prompt = prompt_of(fitted, typed_values(request.given), request.prompt, request.number)
    tally = _DrawnTally(request, reporter, fitted, label)
    with prior_settings(
        fitted.model,
        guidance=request.guidance,
        steps=request.steps,
        top_k=request.top_k,
        top_p=request.top_p,
    ):
        made = sample_parts(
            fitted.model,
            request.number,
            seed=request.seed,
            condition=_condition_of(fitted, label),
            prompt=prompt,
            temperature=request.temperature or 1.0,
            refined=not request.mean,
            complete=request.complete,
        )
        names = files.write_parts(path, tally.written(made), rounded=not request.mean)
    if not (request.complete or tally.missing) and (note := about_complete_rows(fitted)):
        reporter.say(note)
    refined = fitted.model.refiner is not None and not request.mean
    corrected = fitted.model.correction is not None and not request.mean
    return RowsReport("samples", tally.rows, request.mean, refined, corrected, **written(names))


@dataclass(eq=False)
class _DrawnTally:
    """Rows on their way to a file, counted.

    Attributes:
        label: the class of some rows.
        rows: rows so far.
        missing: whether a cell of these is missing.
    """

    request: SampleRequest
    reporter: Reporter
    fitted: Fitted
    label: RowLabels
    rows: int = 0
    missing: bool = False

    def written(self, parts: Iterable[Samples]) -> Iterator[Drawn]:
        """The rows to write of each part."""
        for part in parts:
            x = part.mean if self.request.mean else part.x
            label = self.label(slice(self.rows, self.rows + len(x)))
            self.rows += len(x)
            self.missing |= bool(x.isnan().any())
            yield Drawn(x, _class_column(self.fitted, label))
            self.reporter.advance("sampling", self.rows, self.request.number)


def _sampled_histories(
    request: SampleRequest, reporter: Reporter, fitted: Fitted, files: EventFiles
) -> RowsReport:
    """Histories, written as they are drawn; ``request.number`` is the number of entities."""
    given = [name for name in ("mean", "label", "given", "prompt") if getattr(request, name)]
    if given:
        raise OptionError(f"histories of events are drawn without --{given[0]}: leave it out")
    drawn = sample_histories(
        fitted.model,
        request.number,
        seed=request.seed,
        temperature=request.temperature or 1.0,
        progress=partial(reporter.advance, "sampling"),
    )
    paths = files.write_parts(Path(request.output), map(Drawn, drawn), rounded=True)
    return RowsReport("histories", request.number, False, False, **written(paths))


def _sampled_with_columns(request: SampleRequest, reporter: Reporter, fitted: Fitted) -> RowsReport:
    """Rows of a table with given columns, written block by block."""
    path = Path(request.output)
    if path.suffix.lower() not in GIVEN_TABLES:
        raise OptionError(f"--given of columns writes .csv or .parquet, not {path.name}")
    for name in NOT_WITH_COLUMNS:
        if getattr(request, name) != getattr(SampleRequest, name):
            flag = name.replace("_", "-")
            raise OptionError(f"columns are given without --{flag}: leave it out")
    given = typed_values(request.given, form="COLUMN=VALUE, such as sex=Female")
    blocks = rows_with_columns(
        fitted, given, request.number, request.seed, request.within_range, request.complete
    )
    form, done = TableForm.of(fitted.schema), 0
    with columnar(path, TextForm.of(fitted.schema)) as file:
        for frame in blocks:
            cells = form.spelled(frame) if path.suffix.lower() == ".csv" else frame
            file.add({name: cells[name] for name in cells.columns})
            done += len(frame)
            reporter.advance("drawing", done, request.number)
    corrected = fitted.model.correction is not None
    return RowsReport("samples", done, False, False, corrected, **written((str(path),)))


RowLabels = Callable[[slice], Tensor | None]
"""The class of some rows, (rows,); None: they have none."""


def _row_labels(fitted: Fitted, label: str) -> RowLabels:
    """The class of each row: the requested one; by default a conditional model cycles."""
    classes = len(fitted.schema.class_names)
    if label:
        index = label_indices(fitted, [label])
        return lambda rows: index.expand(rows.stop - rows.start)
    if not fitted.options.model.conditional:
        return lambda rows: None
    return lambda rows: torch.arange(rows.start, rows.stop) % classes


def _condition_of(fitted: Fitted, label: RowLabels) -> Callable[[slice], Tensor] | None:
    """The condition of some rows to be sampled; None: the model has none."""
    if class_condition(fitted, label(slice(0, 1))) is None:
        return None

    def condition(rows: slice) -> Tensor:
        found = class_condition(fitted, label(rows))
        assert found is not None
        return found

    return condition


def _class_column(fitted: Fitted, label: Tensor | None) -> dict[str, list[str]]:
    """The column with the class of each row; none without classes."""
    if label is None:
        return {}
    names = fitted.schema.class_names
    return {fitted.schema.label_column or "label": [names[index] for index in label.tolist()]}


# encode -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EncodeRequest(DataRequest):
    """Write the codes of data."""

    output: str = option(
        REQUIRED, "file for the codes: .csv, .parquet or .npz", short="-o", metavar="CODES"
    )
    on_error: OnError = unreadable()


@dataclass(frozen=True)
class EncodeReport(Report):
    """Codes were written.

    Attributes:
        rows: number of rows.
        latent_dim: numbers per code.
        cloud: whether each code has a standard deviation.
        files: paths.
    """

    rows: int
    latent_dim: int
    cloud: bool
    files: tuple[str, ...]

    def text(self) -> str:
        clouds = ", each with its standard deviation" if self.cloud else ""
        return f"{self.rows:,} codes of {self.latent_dim} numbers{clouds}: {self.files[0]}"


def encode(request: EncodeRequest, reporter: Reporter, fitted: Fitted) -> EncodeReport:
    """Write each row's posterior mean and standard deviation, or its discrete codes.

    Raises:
        DataError: the data is not of the kind that the model was fitted on.
    """
    path = Path(request.output)
    check_suffix(path)
    count = 0
    with columnar(path) as file:
        for part in requested_rows(request.data, fitted, on_error=request.on_error):
            codes = _coded(fitted, part.rows)
            file.add(columns_of(codes, path))
            count += len(codes.z)
            reporter.advance("encoding", count, part.total)
    return EncodeReport(count, codes.z.shape[1], codes.std is not None, (request.output,))


def _coded(fitted: Fitted, dataset: Dataset) -> CodeTable:
    if isinstance(fitted.model, Quantizes):
        z = quantized_rows(fitted.model, dataset)
        return CodeTable(z, None, label_names(dataset), dataset.ids)
    codes = encode_rows(fitted.model, dataset)
    std = codes.deviation.float() if bool(codes.deviation.any()) else None
    return CodeTable(codes.mean.float(), std, label_names(dataset), dataset.ids)


# decode -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DecodeRequest(ModelRequest):
    """Decode codes into data."""

    codes: str = option(REQUIRED, "codes as encode writes them", positional=True)
    output: str = option(
        REQUIRED,
        "pictures: a .png sheet, .npz, or a folder; tables: .csv, .parquet or .npz; sound: .wav, "
        ".npz or a folder",
        short="-o",
        metavar="OUT",
    )
    draw: bool = option(False, "write a draw from p(x | z) instead of its mean")
    label: str = option(
        "", "class of the rows, for a conditional model (default: the class in the file of codes)"
    )
    seed: int = option(0, "seed of the draws")


def decode(request: DecodeRequest, reporter: Reporter, fitted: Fitted) -> RowsReport:
    """Decode codes and write the rows.

    Raises:
        DataError: the codes cannot be read or have another length.
    """
    model = require(fitted.model, Decodes, "decode")
    path = Path(request.output)
    files = row_files(fitted.schema)
    files.check(path)
    if isinstance(model, Quantizes):
        codes = read_codes(Path(request.codes), numbers_of(model))
        z = vectors_of(model, codes.z)
    else:
        codes = read_codes(Path(request.codes), model.latent_dim)
        z = codes.z
    label = _labels_of(fitted, codes, request.label)
    condition = one_hot(fitted, label)
    made = decode_codes(
        fitted.model, z, seed=request.seed, condition=condition, refined=request.draw
    )
    x = made.x if request.draw else made.mean
    extra = _class_column(fitted, label)
    names = files.write(path, x, rounded=request.draw, extra=extra)
    refined = fitted.model.refiner is not None and request.draw
    return RowsReport("decoded rows", len(x), not request.draw, refined, **written(names))


def _labels_of(fitted: Fitted, codes: CodeTable, label: str) -> Tensor | None:
    if label:
        return label_indices(fitted, [label]).expand(len(codes.z))
    if not fitted.options.model.conditional or codes.label is None:
        return None
    return label_indices(fitted, codes.label)


# reconstruct --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReconstructRequest(DataRequest):
    """Reconstruct rows."""

    output: str = option(
        REQUIRED,
        "pictures: a .png sheet (input | reconstruction | uncertainty), .npz, or a folder; "
        "tables: .csv, .parquet or .npz; sound: .wav or a folder",
        short="-o",
        metavar="OUT",
    )
    uncertainty: bool = option(False, "also the standard deviation of every value")
    draws: int = option(64, "codes drawn per row for the uncertainty")
    mean: bool = option(False, "write the decoder's mean, also where the model has a refiner")
    steps: int | None = option(None, "steps of a draw of the refiner (default: 20)")
    on_error: OnError = unreadable()
    seed: int = option(0, "seed of the draws")


@dataclass(frozen=True)
class ReconstructReport(WrittenReport):
    """Reconstructions were written.

    Attributes:
        rows: number of rows.
        refined: whether they are draws of the model's refiner rather than the decoder's means.
        explained: 1 - squared error / variance, over all values in model units. 1 is perfect, 0 is
            no better than the mean of each value; NaN if the rows do not vary.
        uncertainty: mean standard deviation, relative to that of the values; None if not requested.
        exact: of texts, share of the rows that are reconstructed without an error.
    """

    rows: int
    refined: bool
    explained: float
    uncertainty: float | None
    exact: float | None = None

    def text(self) -> str:
        facts = [f"{self.rows:,} rows"]
        if self.refined:
            facts.append("refined draws (--mean writes the decoder's means)")
        if self.exact is not None:
            facts.append(about_exact(self.exact))
        elif math.isfinite(self.explained):
            facts.append(about_explained(self.explained))
        if self.uncertainty is not None and math.isfinite(self.uncertainty):
            facts.append(f"mean uncertainty {self.uncertainty:.1%} of the values' spread")
        return f"{', '.join(facts)}: {self.where}"


def reconstruct(
    request: ReconstructRequest, reporter: Reporter, fitted: Fitted
) -> ReconstructReport:
    """Write the reconstruction of every row, and the uncertainty of every value.

    Raises:
        DataError: the data is not of the kind that the model was fitted on.
        OptionError: fewer than two draws for an uncertainty.
        UnsupportedError: ``--steps`` without a refiner.
    """
    path = Path(request.output)
    writer = row_files(fitted.schema)
    writer.check(path)
    if request.uncertainty and request.draws < 2:
        raise OptionError(f"--draws must be at least 2, not {request.draws}")
    refined = fitted.model.refiner is not None and not request.mean
    if request.steps is not None and not refined:
        raise UnsupportedError(
            "--steps is for draws of a refiner: train one with lowerbound refiner"
            if fitted.model.refiner is None
            else "--steps is for draws of the refiner: leave out --mean or --steps"
        )
    whole = writer.rebuild(fitted.model, request.data, path, request.on_error)
    if whole is not None:
        return ReconstructReport(whole.items, False, whole.kept, None, **written(whole.files))
    tally = RebuiltTally()
    parts = _rebuilt(request, reporter, fitted, tally, refined)
    files = writer.write_reconstructions(path, parts)
    exact = tally.exact if fitted.schema.data_kind.symbolic else None
    found = tally.explained, tally.relative_std, exact
    return ReconstructReport(tally.rows, refined, *found, **written(files))


def _rebuilt(
    request: ReconstructRequest,
    reporter: Reporter,
    fitted: Fitted,
    tally: RebuiltTally,
    refined: bool,
) -> Iterator[Reconstructed]:
    """The reconstruction of the rows, chunk by chunk, which ``tally`` adds up."""
    if request.uncertainty:
        reporter.say(f"uncertainty from {request.draws} codes of each row")
    for part in rows_of_model(request.data, fitted, request.on_error):
        made = _best_guess(fitted.model, part, request, reporter, refined)
        if request.uncertainty:
            answer = predict(fitted.model, part.rows, samples=request.draws, seed=request.seed)
            made = replace(made, std=answer.deviation)
        tally.add(made)
        yield Reconstructed(made.x, made.mean, made.std, part.rows.ids)


def _best_guess(
    model: Model,
    part: RequestedRows,
    request: ReconstructRequest,
    reporter: Reporter,
    refined: bool,
) -> RebuiltRows:
    """Encode each row to its mean code and decode it; ``refined``: a draw of the refiner given the
    decoder's mean."""
    cells, task = part.rows.comparable.cpu(), "refining" if refined else "reconstructing"

    def advance(done: int, rows: int) -> None:
        reporter.advance(task, *part.place(done, rows))

    if refined:
        with prior_settings(model, steps=request.steps):
            found = reconstruct_refined(model, part.rows, seed=request.seed, progress=advance)
        return RebuiltRows(found.x, found.drawn, cells)
    x, mean = collected(
        model,
        part.rows,
        ROWS_AT_ONCE,
        lambda _, batch: (batch.filled, model(batch, Mean()).likelihood.best[0]),
        progress=advance,
    )
    return RebuiltRows(x, mean, cells)
