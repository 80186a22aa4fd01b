"""Columns that depend on the columns known so far: p(x | z) = prod_j p(x_j | z, x_known)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.config import construct
from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.synthetic.constraints import Relation
from lowerbound.errors import DataError, OptionError
from lowerbound.likelihoods.autoregressive.emission import (
    NOTHING,
    AutoregressiveColumnsEmission,
    FollowingColumns,
    Inequalities,
)
from lowerbound.likelihoods.autoregressive.relations import Relations
from lowerbound.likelihoods.base import LIKELIHOODS, Likelihood, at_least_float32
from lowerbound.likelihoods.columns.group import (
    COLUMN_FAMILIES,
    ChoosesValues,
    ColumnsOfCodes,
    DiscreteEmission,
)
from lowerbound.likelihoods.mixed import MixedEmission
from lowerbound.networks.columns import ColumnNetworks
from lowerbound.trace import masked_terms

if TYPE_CHECKING:
    from lowerbound.data.schema import Schema

FLOOR = 1e-2  # model units; largest width of the cell of a frequent value
NUMBERS_AT_ONCE = 1 << 23  # outputs of the network, when nothing is differentiated


@LIKELIHOODS.register("autoregressive_columns")
class AutoregressiveColumns(Likelihood):
    """Each column of a table given z and any subset of the other columns.

    Levels have a probability each, and numbers a histogram. The decoder returns the parameters of
    columns without others, and features. A network of each column adds what the known columns say;
    at the start it adds nothing, so training starts as that of independent columns.

    Args:
        columns: the modeled columns, in the order of x.
        cells: most cells of the histogram of a column of numbers.
        embedding: the largest number of levels with one logit each; with more levels, a column has
            this number of parameters.
        features: numbers that the decoder gives the networks.
        width: of the network of each column.
        layers: residual blocks of the network of each column.
        vectors: length of the vector by which the networks see a code.
        ordered: share of rows in training whose random order is that of the table, in which
            ``sample`` draws; the others serve given columns.
        blind: share of rows whose columns are all hidden from each other in training, so that z
            alone has to explain them.
        gaps: whether a missing cell is a value of its own, log p(x, missing | z), so that draws
            have missing cells (NaN); else log p(x | z) is of the cells that are not missing.
        inequalities: places of a column and of another that it is at most in every row; each has
            its distribution inside the window that the other, if known, leaves.
        relations: of columns of numbers that follow another or equal it in some rows: the residual,
            the place of the column, and that of the other; see ``found_relations``.

    Raises:
        OptionError: a size is not positive, or ``blind`` is not a share below 1.
        DataError: there is no column, a column cannot be modeled, or one in a relation has levels.
    """

    by_columns: ClassVar[bool] = True
    draws_as_rows: ClassVar[bool] = True
    columns_in_turn: ClassVar[bool] = True
    start_rows: ClassVar[int] = 1_000_000  # cells and their range are those of the data
    missing_share: Tensor

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        cells: int = 128,
        embedding: int = 64,
        features: int = 32,
        width: int = 64,
        layers: int = 1,
        vectors: int = 16,
        ordered: float = 0.5,
        blind: float = 0.05,
        gaps: bool = False,
        inequalities: tuple[tuple[int, int], ...] = (),
        relations: tuple[Relation, ...] = (),
    ) -> None:
        if min(embedding, features, width, vectors) < 1 or cells < 4 or layers < 0:
            raise OptionError(
                "embedding, features, width and vectors must be at least 1, cells at least 4 and "
                "layers at least 0"
            )
        if not (0 <= blind < 1 and 0 <= ordered <= 1):
            raise OptionError(
                f"ordered is a share of the rows, and blind one below 1, not {ordered} and {blind}"
            )
        _check_kinds(columns)
        super().__init__((len(columns),))
        self.ordered, self.blind, self.features, self.gaps = ordered, blind, features, gaps
        self.inequalities = Inequalities(columns, inequalities)
        self.relations = Relations(columns, relations)
        self.columns = tuple(columns)
        self.groups = nn.ModuleList(_family_of(column, cells, embedding) for column in columns)
        self.following = FollowingColumns(self.columns, self.groups, self.relations)
        self.mass = all(group.mass for group in self._groups())
        self.own = [group.parameter_shape[0] for group in self._groups()]
        counts = [own + self.relations.count(place) + gaps for place, own in enumerate(self.own)]
        ends = torch.tensor([0, *counts]).cumsum(0).tolist()
        self.places = [slice(a, b) for a, b in pairwise(ends)]
        self.owned = ends[-1]
        if gaps:
            self.register_buffer("missing_share", torch.zeros(len(columns)))
        self.network = ColumnNetworks(
            [group.code_counts[0] + gaps for group in self._groups()],
            features,
            self.places,
            width=width,
            layers=layers,
            vectors=vectors,
        )

    @classmethod
    def from_schema(cls, schema: Schema, options: Mapping[str, Any]) -> Likelihood:
        """Build the likelihood of the schema's modeled columns.

        Raises:
            DataError: the schema has no modeled columns.
        """
        built: Likelihood = construct(cls, schema.modeled, options=options)
        return built

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """(P,): the parameters of all columns without others, then the features."""
        return (self.owned + self.features,)

    @property
    def owners(self) -> Tensor:
        """The column that each of the P parameters belongs to, (P,); -1 for features."""
        counts = [place.stop - place.start for place in self.places]
        columns = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        return torch.cat([columns, columns.new_full((self.features,), -1)])

    def forward(self, parameters: Tensor) -> AutoregressiveColumnsEmission:
        own, features = at_least_float32(parameters).split([self.owned, self.features], 2)
        return AutoregressiveColumnsEmission(self, own, features)

    def check(self, x: Tensor) -> None:
        for place, group in enumerate(self._groups()):
            group.check(x[..., place : place + 1])

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Fit the cells of histograms; the network adds nothing."""
        for place, group in enumerate(self._groups()):
            group.initialize(x[:, place : place + 1].double())
        self.relations.fit(x)
        self.network.last.weight.zero_()
        self.network.last.bias.zero_()

    def initialize_missing(self, missing: Tensor) -> None:
        if self.gaps:
            count = missing.sum(0).to(self.missing_share)
            self.missing_share.copy_((count + 0.5 * (count > 0)) / (len(missing) + 1))

    def initial_bias(self, x: Tensor) -> Tensor:
        """The bias with which every column starts at its marginal, and zeros for the features."""
        each = []
        for place, group in enumerate(self._groups()):
            each.append(group.initial_bias(x[:, place : place + 1].double()))
            if self.relations.count(place):
                each.append(self.following.first_numbers(place, x, each[-1]))
            if self.gaps:
                share = self.missing_share[place : place + 1].double()
                each.append(torch.logit(share.clamp(1e-6, 1 - 1e-6)))
        return torch.cat([*each, x.new_zeros(self.features)]).to(at_least_float32(x).dtype)

    # rows of one axis: values, a mask of known columns, parameters, features ----------------------

    def emission(self, parameters: Tensor) -> MixedEmission:
        """The distributions of values that are not missing; (samples, batch, owned)."""
        groups = list(self._groups())
        each = [
            (own, part.stop - part.start) for own, part in zip(self.own, self.places, strict=True)
        ]
        pieces = [size for own, all_ in each for size in (own, all_ - own)]
        # one split: the gradient of a slice would be a tensor of all parameters, for each column
        own = parameters.split(pieces, -1)[::2]
        parts = [group(part) for group, part in zip(groups, own, strict=True)]
        return MixedEmission(parts, [type(group) for group in groups])

    def given(self, x: Tensor, known: Tensor, own: Tensor, features: Tensor) -> Tensor:
        """Parameters of each column given the known columns, (rows, owned)."""
        return self._in_parts(self._given, x, known, own, features)

    def estimate(self, x: Tensor, observed: Tensor, own: Tensor, features: Tensor) -> Tensor:
        """log p of each column given the observed columns before it in the table's or a random
        order, (rows, columns)."""
        rank = torch.rand_like(own[:, :1].expand(-1, x.shape[1]))
        in_order = torch.arange(x.shape[1], device=x.device) / x.shape[1]
        ordered, blind = torch.rand_like(own[:, :1].expand(-1, 2)).unbind(1)
        rank = torch.where((ordered < self.ordered).unsqueeze(1), in_order, rank)
        before = rank.unsqueeze(1) < rank.unsqueeze(2)
        return self._chain(
            x, observed, before & (blind >= self.blind)[:, None, None], own, features
        )

    def in_order(self, x: Tensor, observed: Tensor, own: Tensor, features: Tensor) -> Tensor:
        """log p of each column given the observed columns before it, (rows, columns)."""
        return self._in_parts(self._in_order, x, observed, own, features)

    def draw(
        self,
        x: Tensor,
        known: Tensor,
        own: Tensor,
        features: Tensor,
        *,
        gaps: bool = False,
        chooser: ChoosesValues | None = None,
    ) -> Tensor:
        """Complete rows, (rows, columns): hidden columns one after another.

        With ``gaps`` they may be missing, which is NaN. A ``chooser`` draws the values.
        """
        index = torch.arange(len(x), device=x.device)
        work = partial(self._draw, gaps=gaps, chooser=chooser)
        return self._in_parts(work, x, known, own, features, index)

    def _given(self, x: Tensor, known: Tensor, own: Tensor, features: Tensor) -> Tensor:
        others = ~torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
        parameters = self._seeing(x, known.unsqueeze(1) & others, own, features)
        if not (self.inequalities.pairs or len(self.relations)):
            return parameters
        each = []
        for place, outputs in enumerate(self.places):
            inside = self._inside(place, parameters[:, outputs], x, known)
            each.append(self.following.as_histogram(place, inside, x, known))
        return torch.cat(each, 1)

    def _in_order(self, x: Tensor, observed: Tensor, own: Tensor, features: Tensor) -> Tensor:
        columns = x.shape[1]
        before = torch.ones(1, columns, columns, dtype=torch.bool, device=x.device).tril(-1)
        return self._chain(x, observed, before, own, features)

    def _chain(
        self, x: Tensor, observed: Tensor, before: Tensor, own: Tensor, features: Tensor
    ) -> Tensor:
        """log p of each column given the observed columns before it.

        Args:
            before: whether column i is before column j, (rows or 1, columns j, columns i).
        """
        known = (before & observed.unsqueeze(1)).expand(len(x), -1, -1)
        parameters = self._seeing(x, known, own, features)
        missing = x.isnan()
        scored = observed & ~missing
        terms = masked_terms(self.emission(parameters.unsqueeze(0)).terms, x, scored)[0]
        if self.inequalities.pairs:
            terms = terms - self._log_shares(x, known, parameters, scored)
        if len(self.relations):
            each = [parameters[:, place] for place in self.places]
            terms = self.following.terms(x, known, each, terms, scored)
        return terms + self._log_missing(parameters, missing, observed) if self.gaps else terms

    def _log_missing(self, parameters: Tensor, missing: Tensor, observed: Tensor) -> Tensor:
        """log of the probability that each cell is missing, or that it is not, (rows, columns)."""
        logits = parameters[:, [place.stop - 1 for place in self.places]]
        return torch.where(observed, F.logsigmoid(torch.where(missing, logits, -logits)), 0.0)

    def _log_shares(self, x: Tensor, known: Tensor, parameters: Tensor, scored: Tensor) -> Tensor:
        """log of the probability of each column's window, (rows, columns)."""
        values = self.inequalities.values(x)
        columns = list(torch.zeros_like(parameters[:, : x.shape[1]]).unbind(1))
        for place in self.inequalities.places:
            shares = self._shares(place, parameters[:, self.places[place]], False).double()
            ends = self._group(place).ends()
            inside = self.inequalities.inside(place, ends, values, known[:, place])
            mass = (shares * inside).sum(1) / shares.sum(1)
            columns[place] = mass.clamp(NOTHING, 1.0).log().to(parameters.dtype)
        return torch.stack(columns, 1).where(scored & ~x.isnan(), 0.0)

    def _inside(self, place: int, parameters: Tensor, x: Tensor, known: Tensor) -> Tensor:
        """Parameters of a column after its cells outside of its window lost their probability.

        Args:
            place: of the column.
            parameters: its own, (rows, numbers).
            x: rows.
            known: the columns that are known, (rows, columns).
        """
        if place not in self.inequalities.places:
            return parameters
        values, ends = self.inequalities.values(x), self._group(place).ends()
        inside = self.inequalities.inside(place, ends, values, known).clamp_min(NOTHING).log()
        added = F.pad(inside, (0, parameters.shape[1] - inside.shape[1]))
        return parameters + added.to(parameters.dtype)

    def _seeing(self, x: Tensor, known: Tensor, own: Tensor, features: Tensor) -> Tensor:
        """Of each column j, given the columns i with ``known``, (rows, columns j, columns i)."""
        return own + at_least_float32(self.network(*self._seen(x), known, features))

    def _draw(
        self,
        x: Tensor,
        known: Tensor,
        own: Tensor,
        features: Tensor,
        index: Tensor,
        *,
        gaps: bool,
        chooser: ChoosesValues | None,
    ) -> Tensor:
        x = x.clone()
        mask = known.to(features.dtype).T.unsqueeze(-1)
        seen = (self.network.added(*self._seen(x), features.dtype) * mask).sum(0)
        seen = seen + self.network.features(features)
        for place, outputs in enumerate(self.places):
            rows = torch.nonzero(~known[:, place]).flatten()
            if not len(rows):
                continue
            added = at_least_float32(self.network.of(place, seen[rows]))
            parameters = own[rows, outputs] + added
            may_miss = gaps and bool(self.missing_share[place] > 0)
            drawn = known[rows] | (torch.arange(x.shape[1], device=x.device) < place)
            if chooser is None:
                values = self._drawn(place, parameters, x[rows], drawn, may_miss)
            else:
                shares = self._shares(place, parameters, may_miss)
                ends = self._group(place).ends()
                related = self.following.candidates(place, parameters, x[rows], drawn)
                values = chooser.choose(place, index[rows], shares, ends, related)
            x[rows, place] = values.to(x)
            codes, numbers = self._seen_at(place, x[rows, place])
            seen[rows] += self.network.added_by(place, codes, numbers, features.dtype)
        return x

    def _drawn(
        self, place: int, parameters: Tensor, x: Tensor, known: Tensor, may_miss: bool
    ) -> Tensor:
        """Values of one column, (rows,).

        Args:
            place: of the column.
            parameters: its own, (rows, numbers).
            x: rows.
            known: the columns that are known, (rows, columns).
            may_miss: whether they may be missing.
        """
        inside = self._inside(place, parameters, x, known)
        values: Tensor = self._of(place, inside).sample()[0, :, 0]
        related = self.following.candidates(place, parameters, x, known)
        if related is not None:
            units = self.relations.values(x, set(self.relations.needed(place)))
            drawn = self.inequalities.limited(place, related.draw(units), x, known)
            there = np.isfinite(drawn)
            encoded = np.zeros(drawn.shape)
            encoded[there] = self.columns[place].encode(self._rounded(place, drawn[there]))
            shares = related.shares * torch.from_numpy(there).to(related.shares)
            free = (1 - related.shares.sum(1, keepdim=True)).clamp_min(1e-9)
            choice = torch.multinomial(torch.cat([free, shares], 1), 1)
            found = torch.from_numpy(encoded).to(values)
            values = torch.cat([values.unsqueeze(1), found], 1).gather(1, choice).squeeze(1)
        if may_miss:
            missing = torch.bernoulli(torch.sigmoid(parameters[:, -1])) > 0
            values = values.masked_fill(missing, math.nan)
        return values

    def _rounded(self, place: int, values: Array) -> Array:
        """Values with the resolution and the range of a column."""
        column = self.columns[place]
        nearest = column.rules.rounded(values)
        return nearest if column.observed is None else np.clip(nearest, *column.observed)

    def _shares(self, place: int, parameters: Tensor, may_miss: bool) -> Tensor:
        """Probabilities of the cells of a value that is not missing, (rows, cells), and last that
        it is missing."""
        shares = self._of(place, parameters).drawn(0)[0]
        if not may_miss:
            return shares
        missing = torch.sigmoid(parameters[:, -1:])
        # apart, since 1 - missing is 0 in float32 where a column is nearly always missing
        return torch.cat([shares, missing], 1)

    def _of(self, place: int, parameters: Tensor) -> DiscreteEmission:
        """The histogram or the levels of one column, (1, rows, 1)."""
        emission = self._group(place)(parameters[None, :, : self.own[place]])
        assert isinstance(emission, DiscreteEmission)
        return emission

    def _seen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Codes and numbers of values, (rows, columns) each."""
        return self._coded(list(self._groups()), x)

    def _seen_at(self, place: int, values: Tensor) -> tuple[Tensor, Tensor]:
        """Codes and numbers of one column, (rows,) each."""
        codes, numbers = self._coded([self._group(place)], values.unsqueeze(1))
        return codes.squeeze(1), numbers.squeeze(1)

    def _coded(self, groups: Sequence[ColumnsOfCodes], x: Tensor) -> tuple[Tensor, Tensor]:
        """Codes and numbers of some columns, like x, (rows, columns)."""
        missing = x.isnan()
        filled = torch.where(missing, 0.0, x).split(1, 1)
        each = list(zip(groups, filled, strict=True))
        codes = torch.cat([group.codes(values) for group, values in each], 1)
        numbers = torch.cat([group.numbers_of(values) for group, values in each], 1)
        if self.gaps:
            gone = codes.new_tensor([group.code_counts[0] for group in groups])
            codes, numbers = torch.where(missing, gone, codes), numbers.masked_fill(missing, 0.0)
        return codes, numbers

    def _in_parts(self, work: Callable[..., Tensor], *rows: Tensor) -> Tensor:
        """``work`` on as many rows at once as fit into memory."""
        if torch.is_grad_enabled():
            return work(*rows)
        size = max(1, NUMBERS_AT_ONCE // self.owned)
        parts = zip(*(each.split(size) for each in rows), strict=True)
        return torch.cat([work(*part) for part in parts])

    def _group(self, place: int) -> ColumnsOfCodes:
        group = self.groups[place]
        assert isinstance(group, ColumnsOfCodes)
        return group

    def _groups(self) -> Iterator[ColumnsOfCodes]:
        for group in self.groups:
            assert isinstance(group, ColumnsOfCodes)
            yield group


def _check_kinds(columns: Sequence[Column]) -> None:
    """Raise DataError if a table has no columns with kinds."""
    if not columns:
        raise DataError(
            "the autoregressive_columns likelihood is for tables whose columns have kinds, but "
            "this data has no kinds; choose another, such as 'autoregressive' for pictures"
        )


def _family_of(column: Column, cells: int, embedding: int) -> ColumnsOfCodes:
    """The distribution of one column.

    Raises:
        DataError: the column is not modeled.
    """
    if not column.modeled:
        raise DataError(
            f"column {column.name!r} is of the kind {column.kind!r}, which is not modeled"
        )
    family = COLUMN_FAMILIES[column.rules.table_family]
    group = family.of([column], FLOOR, embedding if column.levels else cells)
    assert isinstance(group, ColumnsOfCodes)
    return group
