"""Draw new rows from the model: z ~ p(z), then x ~ p(x | z); histories block by block.

The report is that of every command that writes rows which the model has made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lowerbound.applications.common.application import Reporter, WrittenReport, written
from lowerbound.applications.common.conditions import (
    class_column,
    class_condition,
    label_indices,
    prompt_of,
    typed_values,
)
from lowerbound.applications.common.drawn_parts import NumberedRows, drawing, write_table
from lowerbound.applications.common.engines import Progress
from lowerbound.applications.common.form import typed
from lowerbound.applications.common.parts import Arrays
from lowerbound.applications.common.release_record import (
    check_release,
    release_of_model,
    write_release,
)
from lowerbound.applications.common.requested_rows import check_disk, check_rows
from lowerbound.applications.common.rows import Drawn, row_files
from lowerbound.applications.common.sentences import (
    about_broken_dependencies,
    about_complete_rows,
    about_single_people,
)
from lowerbound.applications.common.table_rows import EventFiles
from lowerbound.applications.generation.requests import SampleRequest
from lowerbound.data.sequences.event_layout import EventLayout
from lowerbound.data.tables.files import read_frame
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.passes import evaluation_mode
from lowerbound.inference.prior_draws import PriorDraws, prior_settings
from lowerbound.inference.tables import draws_with_columns, gives_columns
from lowerbound.models.base import Model
from lowerbound.models.powers import Imagines, require
from lowerbound.trace import Batch, Draw, Tempered
from lowerbound.training.randomness import stream_seed

BLOCK = 256  # histories that are drawn side by side
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
NOT_OF_HISTORIES = (
    *("mean", "label", "given", "prompt", "top_k", "top_p", "guidance", "steps", "complete"),
    *("resume", "engine", "workers", "address"),
)


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


def sample_histories(
    model: Model,
    count: int,
    *,
    seed: int = 0,
    temperature: float | Sequence[float] = 1.0,
    progress: Progress | None = None,
) -> Iterator[Tensor]:
    """z ~ p(z) and a history from p(x | z), for ``count`` entities, in blocks.

    A history depends on the seed and on its number alone: more histories begin with the same ones.

    Args:
        model: of histories, with a prior.
        count: number of entities.
        seed: of the draws.
        temperature: scale of the noise of z.
        progress: called with (histories done, histories) after each block.

    Yields:
        (rows, events, features) in model units, on the CPU, NaN where there is no cell.

    Raises:
        UnsupportedError: the model has no prior, or a prior without a temperature.
        OptionError: fewer than one history, or a negative temperature.
    """
    require(model, Imagines, "be sampled")
    each = (temperature,) if isinstance(temperature, int | float) else tuple(temperature)
    if count < 1 or min(each) < 0:
        raise OptionError(
            f"give at least one history and a temperature of zero or more, not {count} and {each}"
        )
    return _blocks(model, count, seed, each, progress)


def _blocks(
    model: Model,
    count: int,
    seed: int,
    temperature: tuple[float, ...],
    progress: Progress | None,
) -> Iterator[Tensor]:
    imagines = require(model, Imagines, "be sampled")
    plain = all(one == 1.0 for one in temperature)
    choose = Draw(BLOCK) if plain else Tempered(BLOCK, temperature)
    for start in range(0, count, BLOCK):
        end = min(start + BLOCK, count)
        with (
            seeded(stream_seed(seed, f"histories from {start}")),
            evaluation_mode(model, gradients=True),
            torch.no_grad(),
        ):
            trace = imagines.imagine(Batch(count=1), choose)
            drawn = trace.likelihood.sample()[:, 0]
        if progress is not None:
            progress(end, count)
        yield drawn[: end - start].cpu()


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
    tally = _DrawnTally(fitted, label)
    with _settings(request, fitted.model):
        draws = PriorDraws.of(
            fitted.model,
            request.number,
            seed=request.seed,
            condition=_condition_of(fitted, label),
            prompt=prompt,
            temperature=request.temperature or 1.0,
            refined=not request.mean,
            complete=request.complete,
        )
    compute = partial(_drawn, request, draws)
    with drawing("sample", request, reporter, draws.blocks, request.number, compute) as made:
        names = files.write_parts(path, tally.written(made), rounded=not request.mean)
    if not (request.complete or tally.missing) and (note := about_complete_rows(fitted)):
        reporter.say(note)
    if gives_columns(fitted) and (note := about_broken_dependencies(fitted)):
        reporter.say(note)
    if note := about_single_people(fitted):
        reporter.say(note)
    refined = fitted.model.refiner is not None and not request.mean
    corrected = fitted.model.correction is not None and not request.mean
    return RowsReport("samples", request.number, request.mean, refined, corrected, **written(names))


def _settings(request: SampleRequest, model: Model) -> AbstractContextManager[None]:
    """Context in which the model draws as requested."""
    return prior_settings(
        model,
        guidance=request.guidance,
        steps=request.steps,
        top_k=request.top_k,
        top_p=request.top_p,
    )


def _drawn(
    request: SampleRequest, draws: PriorDraws, part: NumberedRows, progress: Progress
) -> Arrays:
    """The rows of a part to write."""
    found: list[Tensor] = []
    done = 0
    with _settings(request, draws.model):
        for made in draws.parts(slice(part.first, part.first + len(part))):
            found.append(made.mean if request.mean else made.x)
            done += len(made)
            progress(done, len(part))
    return {"x": torch.cat(found).numpy()}


@dataclass(eq=False)
class _DrawnTally:
    """Rows on their way to a file, and whether a cell is missing.

    Attributes:
        label: the class of some rows.
        missing: whether a cell of the rows so far is missing.
    """

    fitted: Fitted
    label: RowLabels
    missing: bool = False

    def written(self, parts: Iterable[tuple[NumberedRows, Arrays]]) -> Iterator[Drawn]:
        """The rows to write of each part."""
        for part, found in parts:
            x = torch.from_numpy(found["x"])
            label = self.label(slice(part.first, part.first + len(part)))
            self.missing |= bool(x.isnan().any())
            yield Drawn(x, class_column(self.fitted, label))


def _refuse(request: SampleRequest, names: Iterable[str], words: str) -> None:
    """Raise OptionError if one of the options is given."""
    for name in names:
        if getattr(request, name) != getattr(SampleRequest, name):
            raise OptionError(f"{words} without --{name.replace('_', '-')}: leave it out")


def _sampled_histories(
    request: SampleRequest, reporter: Reporter, fitted: Fitted, files: EventFiles
) -> RowsReport:
    """Histories, written as they are drawn; ``request.number`` is the number of entities."""
    _refuse(request, NOT_OF_HISTORIES, "histories of events are drawn")
    check_release(Path(request.output))
    drawn = sample_histories(
        fitted.model,
        request.number,
        seed=request.seed,
        temperature=request.temperature or 1.0,
        progress=partial(reporter.advance, "drawing"),
    )
    path = Path(request.output)
    files.write_parts(path, map(Drawn, drawn), rounded=True)
    rows, columns = len(read_frame(path)), EventLayout.of(fitted.schema).order
    command = typed("sample", request)
    record = release_of_model(path, rows, columns, command, fitted, request.model)
    paths = (str(path), *write_release(path, record))
    return RowsReport("histories", request.number, False, False, **written(paths))


def _sampled_with_columns(request: SampleRequest, reporter: Reporter, fitted: Fitted) -> RowsReport:
    """Rows of a table with given columns, written part by part."""
    path = Path(request.output)
    if path.suffix.lower() not in GIVEN_TABLES:
        raise OptionError(f"--given of columns writes .csv or .parquet, not {path.name}")
    _refuse(request, NOT_WITH_COLUMNS, "columns are given")
    given = typed_values(request.given, form="COLUMN=VALUE, such as sex=Female")
    draws = draws_with_columns(fitted, given, request.seed, request.within_range, request.complete)
    write_table("sample", request, reporter, draws, request.number)
    if note := about_single_people(fitted):
        reporter.say(note)
    corrected = fitted.model.correction is not None
    return RowsReport("samples", request.number, False, False, corrected, **written((str(path),)))


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
