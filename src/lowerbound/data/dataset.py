"""Data for the training loop: compact tensors, gathered into a ``Batch``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import chain
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import row_numbers
from lowerbound.data.labels import UNKNOWN, encode_labels, encode_targets
from lowerbound.data.pictures.whole import tiles_in
from lowerbound.data.raw import BITS_SEED, bits_sha256, drawn_bits, keyed_bits, threshold_bits
from lowerbound.data.row_files import gathered
from lowerbound.data.schema import Condition, Schema
from lowerbound.data.vocabulary import PromptVocabulary
from lowerbound.errors import DataError
from lowerbound.trace import Batch

_ROWS = 4096  # rows that are converted at once
MOST_IN_MEMORY = 1 << 23  # numbers of rows in files that are read into memory at once


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows of data with their masks, labels, conditions and names.

    Attributes:
        schema: of the rows.
        x: (rows, *event), compact: codes in uint8 if there are levels (int32 above 256), else
            model units in float32 or float64.
        observed: shape of x, False if a value is missing.
        unseen: (rows, columns of the schema) float32: 0 for values that the fit saw, and 1 for
            others, such as a new level, which the model treats as missing; an ordered number that
            lies d ranges of the fitted ones outside of these has 1 + d. None: all were seen.
        beyond: (rows, columns of the schema) float64: numbers beyond the ends of the maps to model
            units, which x does not hold, in units of the table; NaN for other cells. None: no
            number is known to lie there.
        label: (rows,) long, index into ``schema.class_names``; -1 if unknown.
        target: (rows,) float64, regression targets, standardized by ``schema.target``; NaN if
            unknown.
        quantities: (rows, quantities) float32, what codes are to predict, standardized by
            ``schema.quantities``; NaN if unknown.
        condition: (rows, size) conditions of a conditional model; of windows of episodes
            (rows, time, numbers), the action that led to each frame.
        outcomes: (rows, time, 2) float32, the reward of arriving at each frame of a window, and 1
            if the episode goes on there, else 0; NaN if unknown.
        resets: (rows, time) bool, True at the first frame of each episode in a window.
        prompt: (rows, fields) long, the input of a conditional prior for each row, -1 if unknown.
        vocabulary: of the prompts.
        folder: of the files that hold the tensors, which are then read-only views of them; None:
            the rows are in memory.
        ids: a name per row, such as its file.
        source: origin of the rows, for reports.
        factors: (rows, factors) long, the known generative factors of each row, -1 if unknown;
            batches do not contain them.
        factor_names: a name per factor.
        factor_values: of each factor, the names of its values; empty if they have none.
    """

    schema: Schema
    x: Tensor
    observed: Tensor | None = None
    unseen: Tensor | None = None
    beyond: Tensor | None = None
    label: Tensor | None = None
    target: Tensor | None = None
    quantities: Tensor | None = None
    condition: Tensor | None = None
    outcomes: Tensor | None = None
    resets: Tensor | None = None
    prompt: Tensor | None = None
    ids: tuple[str, ...] | None = None
    source: str = ""
    factors: Tensor | None = None
    factor_names: tuple[str, ...] = ()
    factor_values: tuple[tuple[str, ...], ...] = ()
    vocabulary: PromptVocabulary = field(default_factory=PromptVocabulary)
    folder: Path | None = None

    def __post_init__(self) -> None:
        for name in (
            "observed",
            "unseen",
            "beyond",
            "label",
            "target",
            "quantities",
            "condition",
            "outcomes",
            "resets",
            "prompt",
            "ids",
            "factors",
        ):
            value = getattr(self, name)
            if value is not None and len(value) != len(self.x):
                raise DataError(f"{len(self.x)} rows of data but {len(value)} of {name}")
        if self.factors is not None and self.factors.shape[1:] != (len(self.factor_names),):
            raise DataError(
                f"factors of shape {tuple(self.factors.shape)} with {len(self.factor_names)} names"
            )

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, indices: Tensor, noise: torch.Generator | None = None) -> Batch:
        """The rows at ``indices`` (long, on the device of x) in model units.

        Args:
            indices: row numbers; they become ``Batch.ids``.
            noise: generator of new bits under dynamic binarization; None: the fixed bits of
                ``binarized()``, independent of the order and the batch.
        """
        packed = self.x.index_select(0, indices)
        label = _gather(self.label, indices)
        kind = self.schema.condition
        condition = _gather(self.condition, indices)
        if kind is not None and kind.kind == "label" and label is not None:
            condition = _one_hot(label, kind.size)
        return Batch(
            x=self._units(packed, noise),
            observed=_gather(self.observed, indices),
            condition=condition,
            label=label,
            target=_gather(self.target, indices),
            quantities=_gather(self.quantities, indices),
            outcomes=_gather(self.outcomes, indices),
            resets=_gather(self.resets, indices),
            prompt=_gather(self.prompt, indices),
            ids=indices,
        )

    def all(self) -> Batch:
        """All rows in one batch; for data that is small in model units."""
        return self.batch(torch.arange(len(self), device=self.x.device))

    def subset(self, indices: Tensor | Sequence[int] | np.ndarray[Any, Any]) -> Dataset:
        """The rows at ``indices``, in that order.

        Of rows in files, few are read into memory, and many are copied to further files.
        """
        rows = torch.as_tensor(indices, dtype=torch.long, device=self.x.device)
        ids = None if self.ids is None else tuple(self.ids[row] for row in rows.tolist())
        folder = None if len(rows) <= self._rows_in_memory else self.folder
        chosen: dict[str, Any] = {
            name: value.index_select(0, rows) if folder is None else gathered(value, rows, folder)
            for name, value in self._tensors.items()
        }
        return replace(self, **chosen, ids=ids, folder=folder)

    def thinned(self, most: int) -> Dataset:
        """At most ``most`` rows, evenly spaced; 0: all."""
        if not most or len(self) <= most:
            return self
        return self.subset(spread_rows(len(self), most))

    def in_memory(self) -> Dataset:
        """The rows; of rows in files, as many as a few copies of fit into memory, evenly spaced."""
        return self if self.folder is None else self.thinned(self._rows_in_memory)

    @property
    def _rows_in_memory(self) -> int:
        """The most rows in files that are read into memory at once."""
        return max(MOST_IN_MEMORY // max(self.schema.dimension, 1), 2)

    @property
    def missing_share(self) -> float:
        """The share of the cells that are missing."""
        if self.observed is None:
            return 0.0
        seen = sum(int(part.sum()) for part in self.observed.split(_ROWS))
        return 1 - seen / self.observed.numel()

    @property
    def labeled(self) -> Tensor:
        """Whether the class or the regression target of each row is known, (rows,) bool."""
        known = torch.zeros(len(self), dtype=torch.bool)
        if self.label is not None:
            known = known | (self.label.cpu() >= 0)
        return known if self.target is None else known | ~self.target.cpu().isnan()

    def hiding(self, rows: Tensor) -> Dataset:
        """The same rows with the classes and the regression targets at ``rows`` unknown."""
        label, target = self.label, self.target
        return replace(
            self,
            label=None if label is None else label.index_fill(0, rows.to(label.device), UNKNOWN),
            target=None if target is None else target.index_fill(0, rows.to(target.device), nan),
        )

    def split(self, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
        """Random split (training, validation) with ``fraction`` of the rows in validation.

        Each part has at least one row. Tiles of a picture, which overlap, stay in the same part,
        if there are pictures that make up the fraction to twice as much.

        Raises:
            DataError: fewer than two rows.
        """
        rows, held_out = self.split_rows(fraction, seed)
        return self.subset(rows), self.subset(held_out)

    def split_rows(self, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
        """The numbers of the rows of ``split``, increasing.

        Raises:
            DataError: fewer than two rows.
        """
        if len(self) < 2:
            raise DataError(f"{len(self)} sample(s) cannot be split in two; give more rows")
        count = min(max(1, round(fraction * len(self))), len(self) - 1)
        pictures, chosen = self._pictures_of_tiles(), None
        if pictures is not None:
            chosen = _whole_groups(pictures, count, torch.Generator().manual_seed(seed))
        if chosen is None:
            chosen = torch.zeros(len(self), dtype=torch.bool)
            chosen[shuffled(len(self), torch.Generator().manual_seed(seed))[:count]] = True
        return torch.nonzero(~chosen).flatten(), torch.nonzero(chosen).flatten()

    def _pictures_of_tiles(self) -> Tensor | None:
        """The picture of each tile, (rows,); None: rows are no tiles, or all of one picture."""
        tiles = tiles_in(self.ids) if self.ids and self.schema.data_kind.pictures else None
        if tiles is None:
            return None
        names = {tile.picture: None for tile in tiles}
        place = {name: number for number, name in enumerate(names)}
        return torch.tensor([place[tile.picture] for tile in tiles]) if len(names) > 1 else None

    def binarized(self, seed: int = BITS_SEED) -> Dataset:
        """The same rows with their bits fixed by seed and row content, packed as 0 and 1.

        Data that is already binary is returned unchanged.
        """
        if self.schema.binarize == "none":
            require_binary(self)
            return self
        top = self.schema.top_code
        threshold = self.schema.binarize == "threshold"
        bits = torch.empty_like(self.x, dtype=torch.uint8)
        # in parts, since bits are floats until they are packed
        for part, grey in zip(bits.split(_ROWS), self.x.split(_ROWS), strict=True):
            part.copy_(threshold_bits(grey, top) if threshold else keyed_bits(grey, top, seed))
        schema = replace(self.schema, binarize="none", levels=2)
        return replace(self, schema=schema, x=bits)

    @property
    def mask(self) -> Tensor:
        """The observed cells, bool, shape of x."""
        return torch.ones_like(self.x, dtype=torch.bool) if self.observed is None else self.observed

    @property
    def unseen_cells(self) -> Tensor:
        """The cells with values that the fit did not see, bool, (rows, columns of the schema)."""
        if self.unseen is not None:
            return self.unseen > 0
        return torch.zeros(len(self), len(self.schema.columns), dtype=torch.bool)

    @property
    def comparable(self) -> Tensor:
        """The observed cells whose values have a distance, (rows | 1, *event)."""
        metric = self.schema.metric.unsqueeze(0).to(self.x.device)
        if metric.shape[1:] != self.x.shape[1:]:  # histories longer than those of the fit
            metric = metric.new_zeros(1, *self.x.shape[1:])
        return metric if self.observed is None else metric & self.observed

    def log_jacobian(self, mass: bool) -> Tensor:
        """Nats, (rows,), that convert each row's log p from model units to original units."""
        found = list(self._log_jacobians(mass))
        return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)

    def mean_log_jacobian(self, mass: bool) -> float:
        """The mean of ``log_jacobian``, without a number for each row in memory."""
        return sum(float(part.sum()) for part in self._log_jacobians(mass)) / len(self)

    def _log_jacobians(self, mass: bool) -> Iterator[Tensor]:
        for start in range(0, len(self), _ROWS):
            rows = slice(start, start + _ROWS)
            observed = None if self.observed is None else self.observed[rows]
            yield self.schema.log_jacobian(self.x[rows], mass, observed)

    @property
    def bits_sha256(self) -> str:
        """SHA-256 of the rows' bits in order, which identifies the scored data.

        Raises:
            DataError: the data has grey values without fixed bits; see ``binarized``.
        """
        if self.schema.levels != 2 or self.schema.binarize != "none":
            raise DataError("only fixed bits have a hash; call binarized(seed) first")
        return bits_sha256(self.x)

    def with_labels(self, values: Any) -> Dataset:
        """The same rows with these labels; the class names are the distinct values.

        Raises:
            DataError: the number of labels is not that of the rows, or they are not classes.
        """
        label, names = encode_labels(values)
        return replace(self, label=label, schema=replace(self.schema, class_names=names))

    def with_targets(self, values: Any) -> Dataset:
        """The same rows with these regression targets, NaN if unknown.

        Raises:
            DataError: the number of targets is not that of the rows, or they do not vary.
        """
        target, scale = encode_targets(values)
        schema = replace(self.schema, target=scale, class_names=())
        return replace(self, label=None, target=target, schema=schema)

    def conditioned_on_label(self) -> Dataset:
        """The same rows for a conditional model p(x | y), with the one-hot class in each batch.

        Raises:
            DataError: there are no labels, or some are unknown.
        """
        self.require_classes()
        condition = Condition("label", len(self.schema.class_names))
        return replace(self, schema=replace(self.schema, condition=condition), condition=None)

    def require_classes(self) -> None:
        """Check that the class of every row is known.

        Raises:
            DataError: there are no labels, or some are unknown; the message has the row numbers.
        """
        if self.label is None or not self.schema.class_names:
            raise DataError("a model conditioned on the class needs labels, and the data has none")
        unknown = torch.nonzero(self.label < 0).flatten().tolist()
        if unknown:
            raise DataError(
                f"no class is known for {row_numbers(unknown)}, counted from 0: leave them out, or "
                "fit the model semi_supervised, which infers it"
            )

    def to(self, device: torch.device | str) -> Dataset:
        """The same rows held on another device, so that batches are gathered there."""
        tensors: dict[str, Any] = {n: value.to(device) for n, value in self._tensors.items()}
        moved = tensors["x"].device != self.x.device
        return replace(self, **tensors, folder=None if moved else self.folder)

    @property
    def _tensors(self) -> dict[str, Tensor]:
        """The fields that are tensors, with a row for each row of the data, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def _units(self, packed: Tensor, noise: torch.Generator | None) -> Tensor:
        if self.schema.binarize == "none":
            return self.schema.units(packed)
        if self.schema.binarize == "threshold":
            return threshold_bits(packed, self.schema.top_code)
        if noise is None:
            return keyed_bits(packed, self.schema.top_code)
        return drawn_bits(packed, self.schema.top_code, noise)


def joined(parts: Sequence[Dataset]) -> Dataset:
    """Concatenate the rows of all parts, with the schema of the first.

    Labels and conditions are kept if every part has them.
    """
    first, *rest = parts
    if not rest:
        return first

    def all_of(values: Sequence[Tensor | None]) -> Tensor | None:
        known = [value for value in values if value is not None]
        return torch.cat(known) if len(known) == len(values) else None

    masked = any(part.observed is not None for part in parts)
    new = any(part.unseen is not None for part in parts)
    far = any(part.beyond is not None for part in parts)
    ids = [part.ids for part in parts if part.ids is not None]
    return Dataset(
        first.schema,
        torch.cat([part.x for part in parts]),
        observed=torch.cat([part.mask for part in parts]) if masked else None,
        unseen=torch.cat([_distances(part) for part in parts]) if new else None,
        beyond=torch.cat([_beyond(part) for part in parts]) if far else None,
        label=all_of([part.label for part in parts]),
        target=all_of([part.target for part in parts]),
        quantities=all_of([part.quantities for part in parts]),
        condition=all_of([part.condition for part in parts]),
        ids=tuple(chain(*ids)) if len(ids) == len(parts) else None,
        source=first.source,
    )


def _distances(part: Dataset) -> Tensor:
    """``unseen``, or zeros."""
    return part.unseen_cells.float() if part.unseen is None else part.unseen


def _beyond(part: Dataset) -> Tensor:
    """``beyond``, or NaN."""
    if part.beyond is not None:
        return part.beyond
    return torch.full((len(part), len(part.schema.columns)), nan, dtype=torch.float64)


def require_binary(dataset: Dataset) -> None:
    """Raise an error for values other than 0 and 1, for likelihoods that are defined on bits.

    Raises:
        DataError: a value is neither 0 nor 1; the message names a row and a value.
    """
    if dataset.schema.binary:
        return
    units = dataset.schema.units(dataset.x)
    grey = ((units != 0) & (units != 1)).flatten(1)
    rows = torch.nonzero(grey.any(1)).flatten()
    if len(rows):
        row = int(rows[0])
        value = float(units[row].flatten()[grey[row]][0])
        raise DataError(
            f"this likelihood is for zeros and ones, and the data has other values (such as "
            f"{value:.3g} in row {row}, in model units): binarize='dynamic' or 'threshold', or use "
            "another likelihood"
        )


def _gather(values: Tensor | None, indices: Tensor) -> Tensor | None:
    return None if values is None else values.index_select(0, indices)


def _one_hot(label: Tensor, size: int) -> Tensor:
    """One-hot labels, (batch, size); torch's ``one_hot`` would synchronize with the device."""
    zeros = torch.zeros(len(label), size, device=label.device)
    return zeros.scatter_(1, label.unsqueeze(1), 1.0)


def spread_rows(rows: int, most: int) -> Tensor:
    """At most ``most`` row numbers, evenly spaced, (count,); 0: all."""
    if not most or rows <= most:
        return torch.arange(rows)
    # float32 ends past the last of more than 2^24 rows
    return torch.linspace(0, rows - 1, most, dtype=torch.float64).round().long()


def shuffled(rows: int, generator: torch.Generator) -> Tensor:
    """Row numbers in random order, (rows,) long, or int32 where it holds them: half the memory.

    Both types have the same order for a generator.
    """
    return torch.randperm(
        rows, generator=generator, dtype=torch.int32 if rows < 2**31 else torch.int64
    )


def _whole_groups(groups: Tensor, count: int, generator: torch.Generator) -> Tensor | None:
    """Mask of the rows of random groups, from ``count`` rows to twice as many; None: the groups
    are too large for this.

    Args:
        groups: the group of each row, from 0, (rows,).
        count: of rows.
        generator: draws the groups.
    """
    sizes = torch.bincount(groups).tolist()
    total, chosen, most = 0, [], min(2 * count, len(groups) - 1)
    for group in shuffled(len(sizes), generator).tolist():
        if total < count and total + sizes[group] <= most:
            total += sizes[group]
            chosen.append(group)
    return torch.isin(groups, torch.tensor(chosen)) if total >= count else None
