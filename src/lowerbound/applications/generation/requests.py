"""The requests to train second stages, and to draw, encode, decode and change rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from lowerbound.applications.common.form import (
    FRAMES_PER_SECOND,
    REQUIRED,
    DataRequest,
    DrawnRequest,
    EngineRequest,
    FolderDataRequest,
    ModelRequest,
    OnError,
    PromptOptions,
    ResumableRequest,
    unreadable,
)
from lowerbound.config import option, options_of
from lowerbound.parts import AUTO, CODE_PRIORS, PRIORS, EveryTrainable
from lowerbound.registry import Registry
from lowerbound.training.options import TrainingOptions

EVERY = "all"
NODES = 16  # of a geodesic
PATHS: Registry[Any] = Registry(
    "path",
    "lowerbound.applications.generation",
    {"lerp": "paths", "slerp": "paths", "norm": "paths", "geodesic": "paths"},
)


METHODS: Registry[Any] = Registry(
    "way to find an attribute",
    "lowerbound.applications.generation",
    {"mean": "attribute_vectors", "logistic": "attribute_vectors"},
)


@dataclass(frozen=True)
class StageRequest(FolderDataRequest):
    """The options of training a second stage, whatever it is."""

    trains_model: ClassVar[bool] = True
    output: str = option(
        "",
        "model folder to write (default: MODEL itself)",
        short="-o",
        metavar="MODEL",
        common=True,
        writes=True,
    )
    training: TrainingOptions = field(default_factory=TrainingOptions)
    resume: bool = option(False, "continue the training that was interrupted", common=True)
    overwrite: bool = option(
        False, "replace the model in the folder of -o, or an interrupted training", common=True
    )
    allow_resize: bool = option(
        False, "bring pictures of another size or color to those of the model"
    )
    on_error: OnError = unreadable()

    @property
    def device(self) -> str:
        """Where the model computes."""
        return self.training.device


def prior_options() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """The names of the options of every prior, which ``--set`` takes without the name of a part."""
    from lowerbound.applications.common.fit_folder import option_names

    return {"": {**option_names(PRIORS), **option_names(CODE_PRIORS)}}


def refiner_options() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """The names of the options of a refiner, which ``--set`` takes without the name of a part."""
    from lowerbound.models.refinement import Refiner

    return {"": {"diffusion": options_of(Refiner)}}


@dataclass(frozen=True)
class PriorRequest(StageRequest):
    """Train a prior on the latents of this data."""

    kind: str = option(
        AUTO,
        "the prior to train: diffusion, flow or mixture for latents that are numbers, "
        "recurrent for frames in the order of time; autoregressive or marginal for codes; auto: "
        "diffusion, or else the first of these that is installed",
        choices=EveryTrainable((AUTO,)),
        common=True,
    )
    set: tuple[str, ...] = option(
        (),
        "an option of the prior, such as components=500; repeatable",
        metavar="OPTION=VALUE",
        common=True,
        part_options=prior_options,
    )
    prompts: PromptOptions = field(default_factory=PromptOptions)
    report: bool = option(True, "do not measure both priors and write report.html again")


@dataclass(frozen=True)
class RefinerRequest(StageRequest):
    """Train a refiner on these pictures."""

    set: tuple[str, ...] = option(
        (),
        "an option of the refiner, such as width=48; repeatable",
        metavar="OPTION=VALUE",
        common=True,
        part_options=refiner_options,
    )
    report: bool = option(True, "do not write report.html again")


@dataclass(frozen=True)
class SampleRequest(ModelRequest, DrawnRequest):
    """Draw new rows from the model."""

    output: str = option(
        REQUIRED,
        "pictures: a .png sheet, .npz, or a folder; tables: .csv, .parquet or .npz; sound: .wav, "
        ".npz or a folder",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    number: int = option(64, "how many", short="-n", common=True)
    mean: bool = option(
        False, "write the decoder's mean instead of a draw from p(x | z)", common=True
    )
    temperature: tuple[float, ...] = option(
        (),
        "scale of the latents' noise, below 1 for likelier and less varied rows (default: 1); "
        "repeat it for the levels of a hierarchy, the coarsest first",
        common=True,
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
        common=True,
    )
    given: tuple[str, ...] = option(
        (),
        "a value that a column of a table has in all rows, such as sex=Female; or an attribute "
        "that the rows should have, for a prior that was trained with --label or --attributes; "
        "repeatable",
        metavar="NAME=VALUE",
        common=True,
    )
    prompt: str = option(
        "",
        "what the rows should be, for a prior that was trained with --captions",
        metavar="TEXT",
        common=True,
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
    complete: bool = option(False, "draw no missing cells of a table", common=True)
    seed: int = option(0, "seed of the draws")


@dataclass(frozen=True)
class EncodeRequest(DataRequest, ResumableRequest, EngineRequest):
    """Write the codes of data."""

    output: str = option(
        REQUIRED,
        "file for the codes: .csv, .parquet or .npz",
        short="-o",
        metavar="CODES",
        writes=True,
    )
    on_error: OnError = unreadable()


@dataclass(frozen=True)
class DecodeRequest(ModelRequest):
    """Decode codes into data."""

    codes: str = option(REQUIRED, "codes as encode writes them", positional=True, reads="data")
    output: str = option(
        REQUIRED,
        "pictures: a .png sheet, .npz, or a folder; tables: .csv, .parquet or .npz; sound: .wav, "
        ".npz or a folder",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    draw: bool = option(False, "write a draw from p(x | z) instead of its mean")
    label: str = option(
        "", "class of the rows, for a conditional model (default: the class in the file of codes)"
    )
    seed: int = option(0, "seed of the draws")


@dataclass(frozen=True)
class ReconstructRequest(DataRequest, ResumableRequest, EngineRequest):
    """Reconstruct rows."""

    output: str = option(
        REQUIRED,
        "pictures: a .png sheet (input | reconstruction | uncertainty), .npz, or a folder; "
        "tables: .csv, .parquet or .npz; sound: .wav or a folder",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    uncertainty: bool = option(False, "also the standard deviation of every value")
    draws: int = option(64, "codes drawn per row for the uncertainty")
    mean: bool = option(False, "write the decoder's mean, also where the model has a refiner")
    steps: int | None = option(None, "steps of a draw of the refiner (default: 20)")
    on_error: OnError = unreadable()
    seed: int = option(0, "seed of the draws")


@dataclass(frozen=True)
class InterpolateRequest(DataRequest):
    """Interpolate between rows."""

    output: str = option(
        REQUIRED,
        "pictures: .png, .gif, .webp, .mp4, .webm, .npz, or a folder; "
        "tables: .csv, .parquet or .npz",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    other: str = option(
        "",
        "data whose first row is the end of the path",
        positional=True,
        metavar="B",
        reads="data",
    )
    rows: str = option(
        "",
        "rows on the path, two or more, numbered from 0 or by name (default: 0,1)",
        metavar="I,J,...",
    )
    path: str = option("lerp", "kind of path", choices=(*PATHS, EVERY))
    frames: int = option(9, "points from one row to the next, both included")
    close: bool = option(False, "return to the first row, so that an animation has no jump")
    fps: float = option(FRAMES_PER_SECOND, "frames of an animation in a second")
    nodes: int = option(NODES, "number of points that the optimization of the geodesic moves")
    pairs: int = option(
        0,
        "also compare the kinds of paths over N random pairs of rows, by a classifier of "
        "the labels",
    )
    label: str = option(
        "", "class along the whole path, for a conditional model (default: the rows')"
    )
    seed: int = option(0, "seed of the random pairs")
    on_error: OnError = unreadable()


@dataclass(frozen=True)
class AttributesRequest(DataRequest):
    """Add attributes to rows, or subtract them."""

    output: str = option(
        REQUIRED,
        "pictures: .png, .gif, .webp, .mp4, .webm, .npz, or a folder; "
        "tables: .csv, .parquet or .npz",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    label: str = option(
        "",
        "the table's column with the classes (default: the data's label)",
        metavar="COLUMN",
    )
    add: tuple[str, ...] = option((), "a class to go toward; repeatable", metavar="NAME")
    subtract: tuple[str, ...] = option((), "a class to go away from; repeatable", metavar="NAME")
    with_: str = option(
        "", "data with the attribute, instead of classes", metavar="DATA", reads="data"
    )
    without: str = option(
        "", "data without the attribute; requires --with", metavar="DATA", reads="data"
    )
    method: str = option(
        "mean",
        "direction of the attribute: difference of means, or normal of a logistic regression",
        choices=METHODS,
    )
    strength: float = option(
        2.0, "largest step along the direction, in distances between the classes"
    )
    frames: int = option(5, "number of strengths, from 0 up")
    rows: str = option(
        "", "rows to change, from 0 or by name (default: some that lack it)", metavar="I,J,..."
    )
    fps: float = option(FRAMES_PER_SECOND, "frames of an animation in a second")
    seed: int = option(0, "seed of the split into rows for learning and rows for measuring effects")
    on_error: OnError = unreadable()


@dataclass(frozen=True)
class ArithmeticRequest(DataRequest):
    """A sum of codes to compute and decode."""

    sum: str = option(
        REQUIRED,
        "rows from 0 or by name, and mean(CLASS): '12 - 40 + 7', '12 - mean(3) + mean(8)'",
        positional=True,
        metavar="SUM",
    )
    output: str = option(
        REQUIRED,
        "pictures: a .png sheet, .npz or a folder; tables: .csv, .parquet or .npz",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    label: str = option("", "the table's column with the classes of mean(CLASS)", metavar="COLUMN")
    condition: str = option(
        "", "class of the result, for a conditional model", metavar="CLASS", formerly="told"
    )
    on_error: OnError = unreadable()


FIRST = 6  # default number of rows of each kind


@dataclass(frozen=True)
class MixRequest(DataRequest):
    """Mix the latents of rows."""

    output: str = option(
        REQUIRED,
        "pictures: .png, .npz, or a folder; tables: .csv, .parquet or .npz",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    coarse: str = option(
        "", f"rows that give the coarse levels (default: the first {FIRST})", metavar="I,J,..."
    )
    fine: str = option(
        "",
        f"rows that give the fine levels (default: the next {FIRST}), or the style, if the "
        f"model has classes (default: the first {FIRST})",
        metavar="K,L,...",
    )
    cut: int = option(
        0, "number of levels from the coarse rows (default: all but a style, else the coarsest)"
    )
    on_error: OnError = unreadable()


MOST_ROWS = 8


@dataclass(frozen=True)
class EditRequest(DataRequest):
    """Change attributes of rows."""

    output: str = option(
        REQUIRED,
        "pictures: a .png sheet (input | reconstruction | edited), .npz, or a folder; "
        "tables: .csv, .parquet or .npz",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    set: tuple[str, ...] = option(
        (), "an attribute that the rows should get; repeatable", metavar="ATTRIBUTE=VALUE"
    )
    rows: str = option(
        "", f"rows to edit, from 0 or by name (default: the first {MOST_ROWS})", metavar="I,J,..."
    )
    attributes: str = option(
        "",
        "what is known of the rows before: a csv or parquet file as for lowerbound prior "
        "(default: the factors and classes that the data holds; all else is unknown)",
        metavar="FILE",
        reads="data",
    )
    strength: float = option(
        0.8, "share of the noise that a row passes through: more changes more, at most 1"
    )
    guidance: float | None = option(
        None, "strength of the new attributes: 1 is p(z | attributes) (default: 1)"
    )
    steps: int | None = option(None, "steps in each direction (default: 20)")
    on_error: OnError = unreadable()


STRENGTH, STRENGTH_OF_PARTS = 0.6, 1.0  # of whole pictures, and inside a mask


@dataclass(frozen=True)
class RedrawRequest(DataRequest):
    """Draw pictures anew."""

    output: str = option(
        REQUIRED,
        "a .png sheet (given | redrawn), .npz, or a folder",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    mask: str = option(
        "",
        "what is redrawn: a picture whose black pixels are, booleans, or a rectangle of pixels; "
        "for all rows or one each (default: all of each picture)",
        metavar="MASK|TOP,LEFT,HEIGHT,WIDTH",
        reads="data",
    )
    strength: float | None = option(
        None,
        "share of the noise that is added: more changes more, at most 1 "
        f"(default: {STRENGTH}; {STRENGTH_OF_PARTS:g} with a mask)",
    )
    rows: str = option(
        "", f"rows to redraw, from 0 or by name (default: the first {MOST_ROWS})", metavar="I,J,..."
    )
    draws: int = option(1, "how many of each row")
    given: tuple[str, ...] = option(
        (),
        "an attribute that the rows should have, for a prior that was trained with --label or "
        "--attributes; repeatable",
        metavar="ATTRIBUTE=VALUE",
    )
    prompt: str = option(
        "", "what the rows should be, for a prior that was trained with --captions", metavar="TEXT"
    )
    guidance: float | None = option(
        None, "strength of the prompt: 1 draws from p(z | prompt), more exaggerates it (default: 1)"
    )
    steps: int | None = option(None, "steps from noise (default: 20)")
    rounds: int = option(
        20, "with a mask, how often a step is repeated: more fits the kept part better"
    )
    on_error: OnError = unreadable()
    seed: int = option(0, "of the draws")


FILM_SPEED = 5.0  # frames per second


@dataclass(frozen=True)
class FramesRequest(DataRequest):
    """Predict frames."""

    output: tuple[str, ...] = option(
        (),
        "a film (.gif, .webp, .mp4, .webm), a .png sheet, or .npz; repeatable",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    context: int = option(10, "frames that are seen")
    frames: int = option(10, "frames that are predicted after these")
    every: int = option(10, "frames from the start of one window to the start of the next")
    draws: int = option(0, "draws of the future of each window, beside the path of means")
    episodes: str = option("", "numbers of the episodes to predict (default: all)", metavar="I,J")
    rows: int = option(4, "windows on a film or sheet, drawn at random")
    fps: float = option(FILM_SPEED, "frames of a film in a second")
    seed: int = option(0, "seed of the draws")
    on_error: OnError = unreadable()
