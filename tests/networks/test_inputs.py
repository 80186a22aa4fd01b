"""What encoders are fed: features of a row, and which of them were seen."""

from __future__ import annotations

import math
import time

import pytest
import torch
from torch import Tensor

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.levels import AtLevel
from lowerbound.data.columns.mixed import ATOM, AtAtom, BesideAtom
from lowerbound.networks import Columns, Masked
from lowerbound.networks.inputs import SquareRoots

COLUMNS = [
    Column("a"),
    Column("name", "identifier"),
    Column("b", "mixed", atom=0.0),
    Column("c", "count"),
    Column("d", "binary", levels=(False, True)),
    Column("e", "ordinal", levels=("low", "mid", "high")),
    Column("f", "categorical", levels=("x", "y", "z")),
    Column("g", "categorical", levels=tuple(range(100))),
]
#                    a     b    c    d    e    f    g
ROWS = torch.tensor([[0.5, ATOM, 0.0, 1.0, 2.0, 0.0, 99.0], [-1.0, 0.25, 7.0, 0.0, 1.0, 2.0, 3.0]])


def read(x: Tensor, observed: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    columns = Columns(COLUMNS)
    features = columns(x, observed)
    assert features.shape == (len(x), *columns.shape)
    return columns.split(features)


def test_masked() -> None:
    for shape in ((3,), (2, 4, 5)):
        x, observed = torch.randn(2, *shape), torch.rand(2, *shape) > 0.5
        masked = Masked(shape)
        assert masked(x).shape == (2, *masked.shape)
        assert torch.equal(masked(x, observed), torch.cat((x, observed.float()), 1))
        assert (masked(x).chunk(2, 1)[1] == 1).all()


def test_the_linear_values_of_each_kind() -> None:
    values, mask, embedded = read(ROWS)
    columns = Columns(COLUMNS)
    assert columns.feature_column.tolist() == [0, 3, 4, 2, 1, 1, 5, 5, 5]
    assert [(type(each), each.number) for _, each in columns.features[-5:]] == [
        (AtAtom, 0),
        (BesideAtom, 1),
        (AtLevel, 0),
        (AtLevel, 1),
        (AtLevel, 2),
    ]
    by_hand = [
        #  a    d    e    log(1 + c)   b is its atom, b   f in x, y, z
        [0.5, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0],
        [-1.0, 0.0, 0.5, torch.tensor(8.0).log(), 0.0, 0.25, 0.0, 0.0, 1.0],
    ]
    torch.testing.assert_close(values, torch.tensor(by_hand))
    assert mask[0].tolist() == [1, 1, 1, 1, 1, 0, 1, 1, 1]  # the atom has no value
    assert mask[1].tolist() == [1] * 9
    assert embedded.shape == (2, 3 + 11)  # ceil(sqrt(3)) + 1 and ceil(sqrt(100)) + 1


def test_hidden_cells_are_zero_and_unmasked_and_missing_is_a_level() -> None:
    hidden = torch.zeros(2, 7, dtype=torch.bool)
    values, mask, embedded = read(torch.zeros(2, 7), hidden)
    assert not values.any()
    assert not mask.any()
    seen = read(torch.zeros(2, 7))[2]
    assert not torch.isclose(embedded, seen).any()
    unknown = torch.zeros(2, 7)
    unknown[0, 5:], unknown[1, 5:] = -1.0, 100.0
    torch.testing.assert_close(read(unknown)[2], embedded)


def test_each_column_and_level_has_an_embedding_of_its_own() -> None:
    columns = Columns([Column(str(i), "categorical", levels=(0, 1, 2)) for i in range(4)])
    codes = torch.cartesian_prod(*[torch.arange(3.0)] * 4)
    embedded = columns.split(columns(codes))[2].unflatten(1, (4, 3))
    for i in range(4):
        assert len(embedded[:, i].unique(dim=0)) == 3
    assert len(embedded.flatten(0, 1).unique(dim=0)) == 12


def test_standardized_over_the_cells_that_were_seen() -> None:
    columns, rows = Columns([*COLUMNS, Column("h")]).double(), 2000
    levels = torch.tensor([3, 3, 3, 2, 3, 3, 100, 1])
    x = (torch.rand(rows, 8, dtype=torch.float64) * levels).floor()
    x[:, 0] = 3 * torch.randn(rows, dtype=torch.float64) + 5
    x[::3, 1] = ATOM
    observed = torch.rand(rows, 8) > 0.3
    columns.initialize(torch.where(observed, x, float("nan")), observed)
    values, mask, _ = columns.split(columns(torch.where(observed, x, 0.0), observed))
    count = mask.sum(0)
    torch.testing.assert_close(values.sum(0) / count, torch.zeros(10).double(), rtol=0, atol=1e-5)
    variance = values.square().sum(0) / count
    varies = torch.ones(10).double()
    varies[3] = 0.0  # column h is always zero
    torch.testing.assert_close(variance, varies, rtol=0, atol=1e-5)
    assert columns.scale[3] == 1
    assert not values[mask == 0].any()


def test_fitted_scales_are_saved() -> None:
    first, second = Columns(COLUMNS), Columns(COLUMNS)
    first.initialize(ROWS)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(ROWS), second(ROWS))


def test_a_row_does_not_depend_on_its_neighbors() -> None:
    columns = Columns(COLUMNS)
    torch.testing.assert_close(columns(ROWS.flip(0)).flip(0), columns(ROWS))
    assert columns(ROWS[:0]).shape == (0, *columns.shape)


def test_compiles_into_one_graph_and_gives_gradients_per_row() -> None:
    columns, observed = Columns(COLUMNS), torch.rand(2, 7) > 0.4
    x = torch.where(observed, ROWS, 0.0)
    torch.compiler.reset()
    compiled = torch.compile(columns, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, observed), columns(x, observed))
    each = torch.func.vmap(lambda row, seen: columns(row[None], seen[None])[0])(x, observed)
    torch.testing.assert_close(each, columns(x, observed))


@pytest.mark.parametrize(
    "columns",
    [
        [Column(str(i), "binary", levels=(0, 1)) for i in range(1500)],
        [Column(str(i), "categorical", levels=tuple(range(9 + i % 20))) for i in range(300)],
        [Column("many", "categorical", levels=tuple(range(100_000)))],
    ],
    ids=["binary", "categorical", "levels"],
)
def test_many_columns_and_many_levels_are_cheap(columns: list[Column]) -> None:
    start = time.process_time()  # on a busy machine other processes take the time of the clock
    reader = Columns(columns)
    for _ in range(20):
        reader(torch.zeros(128, len(columns)))
    assert time.process_time() - start < 2.0


def test_square_roots_of_fractions_have_hellinger_distances() -> None:
    x = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.25, 0.25, 0.01, 0.49]], dtype=torch.float64)
    fed = SquareRoots((4,))(x)
    assert fed.square().mean(1).tolist() == pytest.approx([1, 1], abs=1e-5)
    hellinger = (1 - (x[0] * x[1]).sqrt().sum()).sqrt()  # from the Bhattacharyya coefficient
    distance = (fed[0] - fed[1]).square().sum().sqrt()
    assert distance.item() == pytest.approx(math.sqrt(2 * 4) * hellinger.item(), abs=2e-3)


def test_square_roots_have_a_finite_slope_at_zero() -> None:
    x = torch.tensor([[1.0, 0.0]], requires_grad=True)
    SquareRoots((2,))(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_only_numbers_are_missing_because_of_their_values() -> None:
    """Of levels, counts and atoms the encoder learns nothing from why a cell is missing."""
    columns = Columns(COLUMNS, tells_missing=True)
    modeled = [column for column in COLUMNS if column.modeled]
    names = [modeled[place].name for place, _ in columns.features]
    missing = torch.ones_like(ROWS, dtype=torch.bool)
    features = columns(ROWS, ~missing, missing)
    gone = features[:, 2 * columns.linear : 3 * columns.linear]
    told = {name for name, one in zip(names, gone[0].tolist(), strict=True) if one}
    assert told == {"a"}
    assert not columns(ROWS, ~missing)[:, 2 * columns.linear : 3 * columns.linear].any()
