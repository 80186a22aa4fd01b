"""Figures: they draw what they are given, and touch no global state."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from lowerbound.evaluation.report import figures
from lowerbound.evaluation.report.cells import minus
from lowerbound.evaluation.report.figure_style import PALETTE, mosaic, short
from lowerbound.evaluation.report.latent_figures import principal_plane
from lowerbound.evaluation.report.training_figures import _correlation

RNG = np.random.default_rng(0)
TICKS = np.stack([np.linspace(-2, 2, 5), np.linspace(-1, 1, 5)])


def pictures(count: int, channels: int = 1, side: int = 20) -> Any:
    return RNG.uniform(0, 1, (count, channels, side, side))


def curve(name: str, rate: float = 3.0, epochs: int = 30) -> figures.TrainingCurve:
    epoch = np.arange(1.0, epochs + 1)
    validation = np.where(epoch % 2 == 0, -100 / epoch, np.nan)
    return figures.TrainingCurve(name, epoch, -90 / epoch, validation, 90 / epoch, 0 * epoch + rate)


def latent_map(name: str, dims: int, width: float = 0.2) -> figures.LatentMap:
    mean = RNG.normal(0, 1, (60, dims))
    return figures.LatentMap(name, mean, np.full((60, dims), width))


NAMES = ["first", "second", "third"]
TABLE = RNG.normal(0, 1, (80, 3))
DRAWN = {"PCA": RNG.normal(0, 1, (90, 3)), "VAE": RNG.normal(0, 2, (90, 3))}
X = RNG.normal(0, 1, (10, 30))
AXES = ("z1", "z2")
GRID = RNG.uniform(0, 1, (5, 5, 1, 20, 20))
FEATURES, PROFILES = RNG.normal(size=(5, 5, 3)), RNG.normal(size=(5, 5, 30))

ALL = {
    "training": lambda: figures.training_curves([curve("VAE"), curve("Autoencoder", 0.0, 5)]),
    "prior": lambda: figures.prior_curve(
        np.arange(4.0), np.arange(4.0) - 9, np.array([np.nan, -8.0, np.nan, -7.0]), -10.0
    ),
    "critic": lambda: figures.reading_curves(
        "Critic", np.arange(1.0, 4.0), {"loss": np.array([np.nan, 2.0, 1.0]), "right": np.ones(3)}
    ),
    "maps": lambda: figures.latent_maps(
        [latent_map("PCA", 2), latent_map("VAE", 6)], np.arange(60) % 3 - 1, ["zero", "one"]
    ),
    "maps without labels": lambda: figures.latent_maps([latent_map("VAE", 1, 0.0)]),
    "units": lambda: figures.unit_bars(np.array([1.0, 0.0, 2.0]), np.array([True, False, True])),
    "factors": lambda: figures.factor_matrix(RNG.uniform(0, 1, (4, 3)), NAMES, "VAE"),
    "factors of many units": lambda: figures.factor_matrix(RNG.uniform(0, 1, (70, 3)), NAMES),
    "pictures": lambda: figures.decoded_pictures(
        pictures(25).reshape(5, 5, 1, 20, 20), TICKS, ("a", "b")
    ),
    "features": lambda: figures.decoded_features(
        RNG.normal(size=(5, 5, 3)), TICKS, ("a", "b"), NAMES
    ),
    "profiles": lambda: figures.decoded_profiles(PROFILES, TICKS, AXES),
    "reconstructions": lambda: figures.picture_reconstructions(
        pictures(6, 3), pictures(6, 3), pictures(6, 3) / 5, "VAE"
    ),
    "compared": lambda: figures.compared_reconstructions(
        pictures(6), {"PCA": pictures(6), "VAE": pictures(6)}
    ),
    "profile reconstructions": lambda: figures.profile_reconstructions(X, X, np.abs(X)),
    "scatter": lambda: figures.scatter_reconstructions(TABLE, TABLE, NAMES),
    "strip": lambda: figures.picture_strip(pictures(30, 3, 8), 10, "Your data"),
    "sheets": lambda: figures.sample_sheets(
        [figures.Sheet("a", pictures(16), "noted"), figures.Sheet("b", pictures(9, 3))], "Samples"
    ),
    "shares": lambda: figures.class_shares({"PCA": (0.2, 0.8), "VAE": (0.5, 0.5)}, ["a", "b"]),
    "sampled profiles": lambda: figures.sampled_profiles(X, {"VAE": X}),
    "marginals": lambda: figures.marginals(TABLE, DRAWN, NAMES),
    "levels": lambda: figures.level_curves("ladder", np.arange(9.0), np.abs(X[:9])),
    "correlations": lambda: figures.correlations(TABLE, DRAWN, NAMES),
}


@pytest.mark.parametrize("name", ALL)
def test_every_figure_is_drawn_and_leaves_no_state_behind(name: str) -> None:
    settings = dict(matplotlib.rcParams)
    figure = ALL[name]()
    assert isinstance(figure, Figure)
    png = figures.to_png(figure)
    assert png.startswith(b"\x89PNG")
    assert len(png) > 5_000
    assert dict(matplotlib.rcParams) == settings


def test_every_public_figure_is_drawn_here() -> None:
    made = {n for n in figures.__all__ if n[0].islower() and not n.endswith("png")}
    used = {name for make in ALL.values() for name in make.__code__.co_names}
    assert made <= used


@pytest.mark.slow
def test_pyplot_is_never_imported() -> None:
    code = (
        "import sys, numpy as np\n"
        "from lowerbound.evaluation.report import figures\n"
        "assert 'matplotlib' not in sys.modules, 'imported before it is needed'\n"
        "figures.to_png(figures.unit_bars(np.ones(3), np.ones(3, bool)))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_every_row_is_a_dot_and_clouds_are_one_deviation_wide() -> None:
    mean = np.array([[0.0, 0.0], [1.0, 2.0]])
    deviation = np.array([[0.5, 0.25], [0.5, 0.25]])
    figure = figures.latent_maps([figures.LatentMap("VAE", mean, deviation)])
    (axes,) = figure.axes
    assert np.allclose(axes.collections[0].get_offsets(), mean)
    clouds = [patch for patch in axes.patches if isinstance(patch, Ellipse)]
    assert len(clouds) == 2
    assert sorted([clouds[0].width, clouds[0].height]) == pytest.approx([0.5, 1.0])


def test_more_than_two_dimensions_are_said_to_be_projected() -> None:
    figure = figures.latent_maps([latent_map("VAE", 6)])
    assert "6 dimensions" in figure.axes[0].get_title(loc="left")
    assert "of the variance" in figure.axes[0].get_xlabel()


def test_the_principal_plane_holds_the_widest_directions() -> None:
    mean = RNG.normal(size=(500, 4)) * np.array([0.1, 3.0, 0.1, 2.0])
    plane, share = principal_plane(mean)
    assert np.abs(plane[[1, 3]]).max(0) == pytest.approx([1, 1], abs=0.01)
    assert share > 0.99


def test_pictures_of_a_grid_grow_upwards() -> None:
    grid = np.zeros((2, 2, 1, 20, 20))
    grid[1, 0] = 1.0  # up, left
    figure = figures.decoded_pictures(grid, TICKS[:, :2], ("a", "b"))
    shown = np.asarray(figure.axes[0].images[0].get_array())
    assert shown[5, 5].mean() == 1.0
    assert shown[-5, 5].mean() == 0.0


def test_a_mosaic_puts_pictures_in_lines() -> None:
    shown = mosaic(np.stack([np.full((1, 20, 20), i / 10) for i in range(3)]), 2, gap=0.1)
    assert shown.shape == (42, 42, 3)
    assert shown[0, 0, 0] == 0
    assert shown[0, 22, 0] == pytest.approx(0.1)
    assert shown[22, 0, 0] == pytest.approx(0.2)
    assert shown[22, 22, 0] == 1  # nothing there


def test_small_pictures_are_enlarged_and_keep_their_range() -> None:
    shown = mosaic(pictures(1, 1, 8), 1)
    assert shown.shape == (32, 32, 3)
    assert shown.min() >= 0
    assert shown.max() <= 1


def test_inactive_units_are_grey() -> None:
    figure = figures.unit_bars(np.array([0.0, 2.0]), np.array([False, True]))
    colors = [matplotlib.colors.to_hex(bar.get_facecolor()) for bar in figure.axes[0].patches]
    assert colors[0] == PALETTE[0]
    assert colors[1] != PALETTE[0]


def test_a_correlation_that_is_lost_is_counted() -> None:
    together = np.repeat(RNG.normal(size=(500, 1)), 2, 1)
    apart = RNG.normal(size=(500, 2))
    figure = figures.correlations(together, {"VAE": apart}, ["a", "b"])
    title = figure.axes[1].get_title(loc="left")
    assert title.startswith("VAE, off by ")
    assert float(title.rsplit(" ", 1)[1]) > 0.9


@pytest.mark.parametrize(("value", "text"), [(-0.04, "0.0"), (-1.25, "−1.2"), (2.0, "2.0")])
def test_numbers_on_axes(value: float, text: str) -> None:
    assert minus(value, 1) == text


def test_long_names_are_cut() -> None:
    assert short("a" * 30, 10) == "a" * 9 + "…"


def test_the_factor_matrix_has_units_across_and_factors_down() -> None:
    information = np.array([[0.9, 0.0, 0.25], [0.0, 0.5, 0.0]])
    axes = figures.factor_matrix(information, NAMES).axes[0]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written[(0, 2)] == "0.25"
    assert written[(1, 1)] == "0.50"
    assert [label.get_text() for label in axes.get_yticklabels()] == NAMES


def test_correlations_are_those_of_the_pairs_that_were_observed() -> None:
    """By pandas, at a location that would cancel in plain sums of squares."""
    random = np.random.default_rng(0)
    values = random.normal(size=(200, 4)) @ random.normal(size=(4, 4)) + 1.6e9
    values[random.random(values.shape) < 0.2] = np.nan
    expected = pd.DataFrame(values).corr().to_numpy()
    np.testing.assert_allclose(_correlation(values), expected, atol=1e-6)


def test_a_constant_curve_has_numbers_at_its_axis() -> None:
    epoch = np.arange(20.0)
    values = 0.693147 + 1e-9 * np.sin(epoch)
    figure = figures.reading_curves("", epoch, {"mutual information": values})
    (axes,) = figure.axes
    low, high = axes.get_ylim()
    assert [t for t in axes.get_yticks() if low <= t <= high]
    assert high - low >= 1e-3 * 0.693


@pytest.mark.parametrize(("columns", "title"), [(3, "Each column"), (14, "The first 12 of 14")])
def test_columns_that_are_not_shown_are_counted(columns: int, title: str) -> None:
    values = np.random.default_rng(0).normal(size=(20, columns))
    figure = figures.marginals(values, {"VAE": values}, [f"c{i}" for i in range(columns)])
    assert figure.get_suptitle().startswith(title)


def test_bars_of_levels_carry_their_names() -> None:
    codes = np.array([[0.0], [1.0], [1.0], [np.nan]])
    figure = figures.marginals(codes, {"VAE": codes[:3]}, ["size"], {"size": ("small", "large")})
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["small", "large"]


def test_names_of_classes_do_not_cover_each_other() -> None:
    """Six classes with one middle: five names move, and a line leads to their place."""
    draws = np.random.default_rng(0).normal(size=(600, 2))
    shown = figures.LatentMap("VAE", draws, np.zeros_like(draws))
    names = ["a", "bb", "a long name", "dd", "another long name", "f"]
    axes = figures.latent_maps([shown], np.arange(600) % 6, names).axes[0]
    written = [text for text in axes.texts if text.get_text() and text.get_visible()]
    boxes = [text.get_window_extent() for text in written]
    assert {text.get_text() for text in written} == set(names)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert sum(not text.get_text() for text in axes.texts) == sum(
        any(text.get_position()) for text in written
    )
    assert all(text.get_path_effects() for text in written)  # a white outline, over the dots


@pytest.mark.parametrize("rows", [1, 2, 12])
def test_names_and_titles_of_few_pictures_lie_inside(rows: int) -> None:
    x = np.random.default_rng(0).random((rows, 1, 8, 8))
    lines = {"autoregressive prior": x, "former prior, uniform": x}
    for figure in (
        figures.compared_reconstructions(x, lines),
        figures.picture_reconstructions(x, x, 0.1 * x, "variational autoencoder"),
    ):
        figure.draw_without_rendering()
        texts = [axes.yaxis.label for axes in figure.axes] + figure.texts
        boxes = [text.get_window_extent() for text in texts if text.get_text()]
        assert min(box.x0 for box in boxes) >= 0
        assert max(box.x1 for box in boxes) <= figure.bbox.width


def test_each_curve_of_a_prior_has_its_own_values() -> None:
    training = np.arange(4.0) - 9
    validation = np.array([np.nan, -8.5, np.nan, -7.5])
    (axes,) = figures.prior_curve(np.arange(4.0), training, validation, -10.0).axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn["training rows"] == [[place, place - 9.0] for place in range(4)]
    assert drawn["held-out rows"] == [[1.0, -8.5], [3.0, -7.5]]
    former = drawn["former prior, held-out rows"]
    assert [value for _, value in former] == [-10.0, -10.0]


def test_each_curve_of_a_training_has_its_own_values() -> None:
    shown = curve("VAE")
    left, right, rates = figures.training_curves([shown]).axes
    drawn = {line.get_label(): line.get_ydata() for line in left.lines}
    seen = np.isfinite(shown.validation)
    np.testing.assert_array_equal(drawn["training rows"], shown.bound)
    if seen.any():
        np.testing.assert_array_equal(drawn["validation rows"], shown.validation[seen])
    np.testing.assert_array_equal(right.lines[0].get_ydata(), shown.distortion)
    np.testing.assert_array_equal(rates.lines[0].get_ydata(), shown.rate)
