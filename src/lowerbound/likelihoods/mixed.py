"""The likelihood of a table with columns of several kinds: p(x | z) = prod_j p_j(x_j | z)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor, nn

from lowerbound.classical.self_masking import SelfMasking
from lowerbound.config import construct
from lowerbound.data.columns.column import Column
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.likelihoods.base import LIKELIHOODS, Likelihood, at_least_float32
from lowerbound.likelihoods.columns.group import ColumnGroup, DiscreteEmission, group_columns
from lowerbound.trace import Emission

if TYPE_CHECKING:
    from lowerbound.data.schema import Schema


class MixedEmission(Emission):
    r"""log p(x) = sum_j log p_j(x_j), columns of one kind computed together.

    ``mean`` can be decoded. It is the mean of a continuous column or of a count (with a gradient),
    and the most probable code of a column of levels (without). For a column with an atom, it is the
    atom if its probability is above one half, else the mean of the other values.

    ``variance`` is that of the value for continuous columns (their continuous part), counts, binary
    and ordinal codes. For categorical columns it is the Gini impurity 1 - sum_k p_k^2.

    Args:
        parts: p of each group of columns.
        families: the class of each group.
        gather: the column at each position of the concatenated groups; None: the same order.
        scatter: the inverse, the position of each column.
    """

    def __init__(
        self,
        parts: Sequence[Emission],
        families: Sequence[type[ColumnGroup]],
        gather: Tensor | None = None,
        scatter: Tensor | None = None,
    ) -> None:
        self.parts, self.families = tuple(parts), tuple(families)
        self.gather, self.scatter = gather, scatter
        self.sizes = [part.event_shape[0] for part in self.parts]
        event_shape = torch.Size([sum(self.sizes)])
        super().__init__(self.parts[0].batch_shape, event_shape, validate_args=False)

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        values = self._apart(x)
        masks = [None] * len(values) if observed is None else self._apart(observed)
        each = zip(self.parts, values, masks, strict=True)
        return self._together([part.terms(value, mask) for part, value, mask in each])

    @property
    def mean(self) -> Tensor:
        return self._together([part.mean for part in self.parts])

    @property
    def variance(self) -> Tensor:
        return self._together([part.variance for part in self.parts])

    def probabilities(self, column: int) -> Tensor:
        """Probability of each code of one column, (samples, batch, levels).

        A column with an atom has two: of the atom, and of all other values.

        Raises:
            UnsupportedError: the column is continuous or a count.
        """
        for part, columns in self.members():
            if column in columns and isinstance(part, DiscreteEmission):
                return part.probabilities(columns.index(column))
        raise UnsupportedError(
            f"column {column} is continuous or a count and has no probabilities of levels; use its "
            "mean and variance"
        )

    def knowing(self, missing: Tensor | None) -> MixedEmission:
        masks = [None] * len(self.sizes) if missing is None else self._apart(missing)
        parts = [part.knowing(mask) for part, mask in zip(self.parts, masks, strict=True)]
        if all(new is old for new, old in zip(parts, self.parts, strict=True)):
            return self
        return MixedEmission(parts, self.families, self.gather, self.scatter)

    def members(self) -> Iterator[tuple[Emission, list[int]]]:
        """Each group of columns with the columns of x that are its own."""
        return zip(self.parts, _columns_of(self.sizes, self.gather), strict=True)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        return self._together([part.sample(sample_shape) for part in self.parts])

    def _apart(self, x: Tensor) -> list[Tensor]:
        """Split (..., columns) into the groups."""
        side_by_side = x if self.gather is None else x.index_select(-1, self.gather)
        return list(side_by_side.split(self.sizes, -1))

    def _together(self, pieces: list[Tensor]) -> Tensor:
        """Concatenate the groups' results in the order of the columns."""
        side_by_side = torch.cat(pieces, -1) if len(pieces) > 1 else pieces[0]
        return side_by_side if self.scatter is None else side_by_side.index_select(-1, self.scatter)


@LIKELIHOODS.register("mixed")
class Mixed(Likelihood):
    """Each column has the distribution of its kind, and columns of a kind are computed together.

    The distributions are Gaussians for continuous columns, a Gaussian and an atom for mixed
    columns, negative binomials for counts, Bernoullis for binary columns, cumulative logits for
    ordered levels and softmax for other levels. It is a mass if every column is discrete, else a
    density.

    Args:
        columns: the modeled columns, in the order of x.
        floor: the smallest sigma of a continuous column, model units.
        embedding: the largest number of levels of a categorical column with one logit each; with
            more levels, the column has this number of parameters.

    Raises:
        OptionError: floor or embedding is not positive.
        DataError: there is no column, or a column cannot be modeled.
    """

    by_columns: ClassVar[bool] = True
    gather: Tensor | None
    scatter: Tensor | None

    def __init__(
        self, columns: Sequence[Column], *, floor: float = 1e-2, embedding: int = 16
    ) -> None:
        if floor <= 0 or embedding < 1:
            raise OptionError(f"floor and embedding must be positive, not {floor} and {embedding}")
        if not columns:
            raise DataError(
                "the Mixed likelihood is for tables whose columns have kinds, but this data has no "
                "kinds; choose another, such as 'discretized_logistic' for pictures"
            )
        super().__init__((len(columns),))
        grouped = group_columns(columns, floor, embedding)
        self.groups = nn.ModuleList(group for _, group in grouped)
        self.mass = all(group.mass for _, group in grouped)
        self._place([index for indices, _ in grouped for index in indices])

    @classmethod
    def from_schema(cls, schema: Schema, options: Mapping[str, Any]) -> Likelihood:
        """Build the likelihood of the schema's modeled columns.

        Raises:
            DataError: the schema has no modeled columns.
        """
        columns = [column for column in schema.columns if column.modeled]
        built: Likelihood = construct(cls, columns, options=options)
        return built

    @property
    def numbers(self) -> int:
        raise UnsupportedError(
            "columns of different kinds take different numbers of parameters; parameter_shape "
            "has their sum"
        )

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """(P,), the number of parameters of all columns, in the order of the groups."""
        return (sum(self._counts()),)

    @property
    def owners(self) -> Tensor:
        """The column that each of the P parameters belongs to, (P,)."""
        columns = torch.arange(self.event_shape[0])
        side_by_side = columns if self.gather is None else self.gather.cpu()
        numbers = [group.numbers for group in self._groups() for _ in group.names]
        return side_by_side.repeat_interleave(torch.tensor(numbers))

    def set_noise(self, sigma: Tensor) -> None:
        """Set the initial sigma of continuous columns, from (columns,)."""
        for indices, group in self._members():
            group.set_noise(sigma[indices])

    def explain_missing(self, missingness: str) -> None:
        """Apply it to columns of real numbers; other kinds stay missing at random.

        Raises:
            DataError: there is no column of real numbers.
        """
        self.missingness = missingness
        able = [group for group in self._groups() if group.may_explain_missing]
        for group in able:
            group.explain_missing(missingness)
        if not able:
            raise DataError(
                "no column holds real numbers, so none can be missing because of its values; "
                "leave missingness at 'at_random'"
            )

    def start_curves(self, curves: SelfMasking) -> None:
        """Set the initial curves of columns of real numbers, from those of all columns of x."""
        for indices, group in self._members():
            if group.curves is not None:
                group.curves.start_from(curves.at(indices))

    def forward(self, parameters: Tensor) -> MixedEmission:
        pieces = at_least_float32(parameters).split(self._counts(), -1)
        parts = [group(piece) for group, piece in zip(self._groups(), pieces, strict=True)]
        families = [type(group) for group in self._groups()]
        return MixedEmission(parts, families, self.gather, self.scatter)

    def check(self, x: Tensor) -> None:
        for group, piece in self._pieces(x):
            group.check(piece)

    def initialize(self, x: Tensor) -> None:
        """Set scales, dispersions, cut points and tables to the columns' marginals."""
        for group, piece in self._pieces(x.double()):
            group.initialize(piece)

    def initial_bias(self, x: Tensor) -> Tensor:
        """The bias, (P,), with which every column starts at its marginal."""
        biases = [group.initial_bias(piece) for group, piece in self._pieces(x.double())]
        return torch.cat(biases).to(at_least_float32(x).dtype)

    def _place(self, side_by_side: list[int]) -> None:
        """Store the order of the groups' columns and its inverse, unless it is that of x."""
        gather = torch.tensor(side_by_side)
        in_order = all(a < b for a, b in pairwise(side_by_side))
        self.register_buffer("gather", None if in_order else gather, persistent=False)
        self.register_buffer("scatter", None if in_order else gather.argsort(), persistent=False)

    def _groups(self) -> Iterator[ColumnGroup]:
        return (cast("ColumnGroup", group) for group in self.groups)

    def _members(self) -> Iterator[tuple[list[int], ColumnGroup]]:
        """Each group with the columns of x that are its own."""
        sizes = [len(group.names) for group in self._groups()]
        return zip(_columns_of(sizes, self.gather), self._groups(), strict=True)

    def _counts(self) -> list[int]:
        """Parameters of each group."""
        return [group.parameter_shape[0] for group in self._groups()]

    def _pieces(self, x: Tensor) -> Iterator[tuple[ColumnGroup, Tensor]]:
        """Each group with its columns of x, (rows, columns)."""
        side_by_side = x if self.gather is None else x.index_select(-1, self.gather)
        sizes = [len(group.names) for group in self._groups()]
        return zip(self._groups(), side_by_side.split(sizes, -1), strict=True)


def _columns_of(sizes: Sequence[int], gather: Tensor | None) -> Iterator[list[int]]:
    """The columns of x in each of the concatenated groups of these sizes."""
    remaining = iter(range(sum(sizes)) if gather is None else gather.tolist())
    return (list(islice(remaining, size)) for size in sizes)
