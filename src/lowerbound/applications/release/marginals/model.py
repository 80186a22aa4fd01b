"""A private model of a table: columns as codes, a tree of them, and its release record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound import durable, untrusted
from lowerbound._version import __version__
from lowerbound.applications.release.marginals.charged_schema import (
    ROUNDING,
    epsilon_of,
    rho_left,
    with_schema,
)
from lowerbound.applications.release.marginals.correction import (
    CorrectedTree,
    CorrectionFit,
    CorrectionOptions,
    noise_multiplier,
)
from lowerbound.applications.release.marginals.hub_tree import UNKNOWN, HubTree, Measuring
from lowerbound.applications.release.marginals.tree_fit import TreeFit, TreeOptions
from lowerbound.config import from_mapping, to_mapping
from lowerbound.data.arrays import Array
from lowerbound.data.columns.values import missing
from lowerbound.data.tables.text_form import TextForm
from lowerbound.errors import DataError, LowerboundError, ModelFolderError, OptionError
from lowerbound.training.private.declarations import Columns, Declarations
from lowerbound.training.private.engine import SeededRandomness, SystemRandomness
from lowerbound.training.private.grid import Grid
from lowerbound.training.private.options import warn_of_weak_guarantee
from lowerbound.training.private.record import GENERATOR, NOT_CLAIMED, ReleaseRecord

FORMAT = 1
NO_TARGET = Grid("", levels=("",))
SECRETS = "the noise is drawn from the system's entropy, and nothing of it is kept"


@dataclass(frozen=True, eq=False)
class MarginalModel:
    """A private model of a table.

    Attributes:
        hub: grid of the target, on which all other columns depend; one code if there is none.
        grids: of the other columns.
        tree: the distribution of the codes.
        release: what was spent and what is claimed.
        columns: names of all columns in the order of the table.
        corrected: the tree with a distribution of the target given all other columns that was
            fitted by itself (the hybrid); None: that of the tree.
        form: how the file of the rows writes them, in which drawn rows are written.
    """

    hub: Grid
    grids: tuple[Grid, ...]
    tree: HubTree
    release: ReleaseRecord
    columns: tuple[str, ...]
    corrected: CorrectedTree | None = None
    form: TextForm = field(default_factory=TextForm)

    def sample(self, rows: int, seed: int = 0) -> Any:
        """New rows, a pandas frame; they depend on nothing but the model and the seed.

        Raises:
            OptionError: ``rows`` is negative.
        """
        if rows < 0:
            raise OptionError(f"the number of rows must not be negative: {rows}")
        return self._drawn(np.full((rows, 1 + len(self.grids)), UNKNOWN), seed)

    def complete(self, frame: Any, seed: int = 0) -> Any:
        """The rows with their missing cells and columns drawn given the known cells.

        The draws are exact, except those of a hybrid given the target; see ``CorrectedTree``.

        Raises:
            DataError: a column is unknown, or a level was not declared.
        """
        codes = self._known(frame)
        drawn = self._drawn(codes, seed)
        for place, grid in enumerate(self._all):
            known = codes[:, place] != UNKNOWN
            if grid.name in frame.columns and known.any():
                given = frame[grid.name].reset_index(drop=True)
                drawn[grid.name] = given.where(known, drawn[grid.name])
        return drawn.set_axis(frame.index)

    def log_prob(self, frame: Any) -> Array:
        """Log p of the known cells of each row in nats, in units of the table, (rows,).

        It is exact; that of a hybrid is an estimate for rows with the target and without another
        cell. Levels and whole numbers have a mass, other numbers a density.
        """
        codes = self._known(frame)
        found = (self.corrected or self.tree).log_prob(codes)
        for place, grid in enumerate(self._all):
            known = codes[:, place] != UNKNOWN
            found = found - np.where(known, grid.log_widths()[codes[:, place]], 0.0)
        return found

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The pairs of columns whose tables were measured, besides those with the target."""
        names = [grid.name for grid in self.grids]
        edges = enumerate(self.tree.parents)
        return tuple((names[child], names[parent]) for child, parent in edges if parent >= 0)

    @property
    def _all(self) -> tuple[Grid, ...]:
        return (self.hub, *self.grids)

    def _known(self, frame: Any) -> Array:
        """Codes with ``UNKNOWN`` for missing cells and columns, (rows, 1 + variables)."""
        names = [grid.name for grid in self._all]
        odd = [str(name) for name in frame.columns if name not in names]
        if odd:
            raise DataError(f"the model has no column {odd[0]!r}; it has {', '.join(self.columns)}")
        codes = np.full((len(frame), len(names)), UNKNOWN)
        for place, grid in enumerate(self._all):
            if grid.name not in frame.columns:
                continue
            cells = frame[grid.name]
            present = ~missing(cells)
            grid.check_known(cells[present])
            codes[present, place] = grid.encode(cells[present])
        return codes

    def _drawn(self, codes: Array, seed: int) -> Any:
        import pandas as pd

        noise = np.random.default_rng(seed).random((len(codes), 1 + 3 * len(self.grids) + 1))
        if not self.hub.name:
            codes = codes.copy()
            codes[:, 0] = 0
        if self.corrected is None:
            drawn = self.tree.sample(codes, noise)
        else:
            drawn = self.corrected.sample(codes, noise, np.random.default_rng([seed, 1]))
        used = 1 + 2 * len(self.grids)
        series = {
            grid.name: grid.decode(drawn[:, place], noise[:, used + place])
            for place, grid in enumerate(self._all)
            if grid.name
        }
        return pd.DataFrame(series)[list(self.columns)]

    def save(self, path: Path) -> None:
        """Write one JSON file."""
        durable.write_text(
            durable.linked(Path(path)), json.dumps(self.to_mapping(), indent=1) + "\n"
        )

    @classmethod
    def load(cls, path: Path) -> MarginalModel:
        """Read the file of ``save``.

        Raises:
            ModelFolderError: it is not such a file.
        """
        try:
            values = untrusted.read_mapping(Path(path), ModelFolderError)
            with untrusted.guarded(str(path), ModelFolderError):
                return cls.from_mapping(values)
        except (OSError, LowerboundError) as error:
            raise ModelFolderError(f"{path} is not a private model of a table: {error}") from error

    def to_mapping(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "format": FORMAT,
            "lowerbound": __version__,
            "columns": list(self.columns),
            "hub": self.hub.to_mapping(),
            "grids": [grid.to_mapping() for grid in self.grids],
            "tree": self.tree.to_mapping(),
            **({} if self.corrected is None else {"correction": self.corrected.to_mapping()}),
            **({} if self.form.usual else {"form": to_mapping(self.form)}),
            "release": asdict(self.release),
        }

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> MarginalModel:
        """Read the values of ``to_mapping``.

        Raises:
            DataError: its parts do not fit each other.
        """
        hub = Grid.from_mapping(mapping["hub"])
        grids = tuple(Grid.from_mapping(grid) for grid in mapping["grids"])
        columns = tuple(map(str, mapping["columns"]))
        tree = HubTree.from_mapping(mapping["tree"])
        sizes = [len(tree.hub), *map(len, tree.groups)]
        if sizes != [grid.size for grid in (hub, *grids)]:
            raise DataError("its tables do not have the sizes of its columns")
        if sorted(columns) != sorted(grid.name for grid in (hub, *grids) if grid.name):
            raise DataError("its columns are not those of its tables")
        correction = mapping.get("correction")
        return cls(
            hub,
            grids,
            tree,
            from_mapping(ReleaseRecord, mapping["release"]),
            columns,
            None if correction is None else CorrectedTree.from_mapping(tree, correction),
            from_mapping(TextForm, mapping.get("form", {})),
        )


def fit_marginals(
    frame: Any,
    declared: Columns | Declarations,
    epsilon: float,
    delta: float | None = None,
    target: str | None = None,
    options: TreeOptions | None = None,
    *,
    hybrid: CorrectionOptions | None = None,
    secure_noise: bool = False,
    public: str = "the declared columns",
) -> MarginalModel:
    """Fit a private model to a table.

    Args:
        frame: a pandas frame.
        declared: for each column its kind, and its ``levels`` or ``low`` and ``high``, which are
            public; see ``lowerbound.data.tables.declared``. Other columns are left out. Or
            declarations that ``measure_schema`` measured, whose rho the guarantee then includes.
        epsilon, delta: of the guarantee; delta is 1 / rows^1.5 by default.
        target: the column whose relation to all others is measured first; None: none.
        options: how the privacy of the tables is divided.
        hybrid: how a part of the privacy buys the distribution of the target given all other
            columns, by noisy gradients; None: no part.
        secure_noise: noise from the system's cryptographic generator.
        public: what is public, in words, for the record.

    Raises:
        DataError: a column is missing, or a declaration is wrong.
        OptionError: epsilon, delta or the target is wrong, or the declarations have spent all.
    """
    given = Declarations.of(declared)
    columns = given.columns
    if not len(frame):
        raise DataError("there are no rows to fit")
    if target is None and hybrid is not None:
        raise OptionError("a hybrid needs a target: give the column that others predict")
    if target is not None and target not in columns:
        raise OptionError(f"the target {target!r} is not among the declared columns")
    if target is not None and len(columns) == 1:
        raise OptionError(f"{target!r} is the only column, and not a target of others: name none")
    delta = len(frame) ** -1.5 if delta is None else delta
    rho = rho_left(epsilon, delta, given.measured)
    warn_of_weak_guarantee(epsilon, delta, len(frame))
    frame = given.admitted(frame)
    hub = NO_TARGET if target is None else Grid.of(target, columns[target])
    grids = tuple(Grid.of(name, said) for name, said in columns.items() if name != target)
    first = hub.encode(frame[hub.name]) if hub.name else np.zeros(len(frame), dtype=np.int64)
    codes = np.column_stack([first, *(grid.encode(frame[grid.name]) for grid in grids)])
    measuring = Measuring(codes, SystemRandomness() if secure_noise else SeededRandomness())
    sizes, ordered = [hub.size, *(g.size for g in grids)], [g.ordered for g in grids]
    spent = 0.0 if hybrid is None else rho * hybrid.share
    tree = TreeFit(measuring, sizes, ordered, rho - spent, options or TreeOptions()).tree()
    corrected = None
    if hybrid is not None:
        corrected = CorrectionFit(measuring, tree, spent, hybrid).corrected(len(frame))
    assert measuring.rho <= rho * (1 + ROUNDING)
    record = _record(measuring.made, rho, delta, len(frame), public, secure_noise)
    record = record if hybrid is None else _with_gradients(record, spent, hybrid)
    record = with_schema(record, given.measured, public).with_copied(given)
    return MarginalModel(hub, grids, tree, record, tuple(columns), corrected)


def _record(
    tables: int, rho: float, delta: float, rows: int, public: str, secure_noise: bool
) -> ReleaseRecord:
    """The record of rho as it was planned.

    How much of it the choice of pairs needs depends on the rows, so that a guarantee of less would
    hold for these rows alone.
    """
    return ReleaseRecord(
        mechanism=f"{tables} count tables with Gaussian noise, pairs of columns chosen by "
        "the exponential mechanism",
        epsilon=epsilon_of(rho, delta),
        delta=delta,
        rows=rows,
        rho=rho,
        accountant=f"lowerbound {__version__}, zero-concentrated differential privacy",
        seeds=SECRETS,
        public=(public,),
        not_claimed=NOT_CLAIMED if secure_noise else (*NOT_CLAIMED, GENERATOR),
    )


def _with_gradients(record: ReleaseRecord, rho: float, options: CorrectionOptions) -> ReleaseRecord:
    """The record of the tables and of the gradients, whose rho it contains already."""
    assert record.rho is not None
    return replace(
        record,
        mechanism=f"{record.mechanism} (rho {record.rho - rho:.4g}); then {options.updates} sums "
        f"of clipped gradients of the target given the other columns, with Gaussian noise (rho "
        f"{rho:.4g}); the rho of both add",
        rate=1.0,
        noise_multiplier=noise_multiplier(rho, options.updates),
        updates=options.updates,
        clip=options.clip,
    )
