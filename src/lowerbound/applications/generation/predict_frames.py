"""``lowerbound predict-frames``: predict the next frames of clips, and measure the error."""

from __future__ import annotations

from dataclasses import dataclass

from lowerbound.applications.common.application import Reporter, WrittenReport, written
from lowerbound.applications.common.film import FrameFiles, check_outputs, some_windows
from lowerbound.applications.common.requested_rows import check_rows
from lowerbound.applications.common.sources import unconditioned
from lowerbound.applications.generation.requests import FramesRequest
from lowerbound.data.sequences.episode_kind import frame_schema
from lowerbound.data.sequences.frame_clips import FrameClips, read_frame_clips
from lowerbound.errors import OptionError
from lowerbound.evaluation.samples.frame_errors import (
    LAST,
    PREDICTION,
    FrameErrors,
    about_ratio,
    psnr,
)
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.frames import (
    Horizon,
    predict_frames as predicted,
    temporal_prior,
)
from lowerbound.models.powers import WorldModel


@dataclass(frozen=True)
class FramesReport(WrittenReport):
    """Frames were predicted.

    Attributes:
        episodes: their numbers.
        windows: how many futures were predicted.
        context: frames that were seen of each.
        frames: frames that were predicted.
        error: mean squared error in model units, by kind of prediction: ``prediction`` is the path
            of means, ``last frame`` repeats the last frame that was seen, ``reconstruction`` is the
            frame itself, encoded and decoded.
        psnr: the same in dB, for pictures; empty for other rows.
        by_frame: the errors of each predicted frame.
        ratio: error of the prediction over that of the last frame.
        ratio_error: its standard error, over episodes; None for a single episode.
    """

    episodes: tuple[int, ...]
    windows: int
    context: int
    frames: int
    error: dict[str, float]
    psnr: dict[str, float]
    by_frame: dict[str, list[float]]
    ratio: float
    ratio_error: float | None

    def text(self) -> str:
        lines = [
            f"{self.frames} frames predicted from {self.context}, in {self.windows:,} windows of "
            f"{len(self.episodes):,} episodes",
            about_ratio(self.ratio, self.ratio_error),
        ]
        for name, error in self.error.items():
            decibel = f", {self.psnr[name]:.2f} dB" if name in self.psnr else ""
            ends = self.by_frame[name]
            lines.append(
                f"  {name}: {error:.3g}{decibel}; first frame {ends[0]:.3g}, last {ends[-1]:.3g}"
            )
        return "\n".join([*lines, *([f"written: {', '.join(self.files)}"] if self.files else [])])


def predict_frames(request: FramesRequest, reporter: Reporter, fitted: Fitted) -> FramesReport:
    """Predict frames of every window, measure their error, and write films and arrays.

    Raises:
        UnsupportedError: the model has no temporal prior; the message names the command.
        DataError: the clips cannot be read, have other frames or actions than the prior's, or are
            too short.
        OptionError: an unknown episode, or an unknown suffix of a file.
    """
    schema = frame_schema(fitted.schema)
    check_outputs(request.output, schema)
    if not isinstance(fitted.model, WorldModel):
        temporal_prior(fitted.model)
    if request.rows < 1:
        raise OptionError(f"--rows must be at least 1, not {request.rows}")
    asked = f"--frames {request.frames} with --draws {request.draws}"
    check_rows(fitted, request.frames * (1 + request.draws), asked, schema)
    clips = chosen_episodes(request, fitted)
    horizon = Horizon(request.context, request.frames, request.every)
    errors, shown = FrameErrors(), some_windows(len(horizon.windows(clips)), request.rows)
    with FrameFiles(request.output, schema, shown) as files:
        for part in predicted(
            fitted.model,
            clips,
            horizon,
            draws=request.draws,
            seed=request.seed,
            progress=lambda done, total: reporter.advance("predicting", done, total),
        ):
            errors.add(part)
            files.add(part)
    return _report(request, fitted, errors, files.write_films(request.fps))


def chosen_episodes(request: FramesRequest, fitted: Fitted) -> FrameClips:
    """The clips that the request names.

    Raises:
        OptionError: ``--episodes`` has a word that is no number, or an unknown episode.
    """
    clips = read_frame_clips(request.data, frame_schema(unconditioned(fitted)), request.on_error)
    words = [word.strip() for word in request.episodes.split(",") if word.strip()]
    if not all(word.lstrip("-").isdecimal() for word in words):
        raise OptionError(f"--episodes takes numbers such as 20,21, not {request.episodes!r}")
    return clips.of([int(word) for word in words]) if words else clips


def _report(
    request: FramesRequest, fitted: Fitted, errors: FrameErrors, files: tuple[str, ...]
) -> FramesReport:
    means = errors.means()
    ratio, spread = errors.ratio()
    pictures = frame_schema(fitted.schema).data_kind.pictures
    assert {PREDICTION, LAST} <= means.keys()
    return FramesReport(
        episodes=errors.episodes,
        windows=errors.windows,
        context=request.context,
        frames=request.frames,
        error=means,
        psnr={name: psnr(value) for name, value in means.items()} if pictures else {},
        by_frame=errors.by_frame(),
        ratio=ratio,
        ratio_error=spread,
        **written(files),
    )
