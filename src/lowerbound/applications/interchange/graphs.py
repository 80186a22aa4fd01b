"""Write encoder and decoder as graphs that run without lowerbound: ONNX, torch.export.

::

    encoder   x (rows, *event), [observed], [condition] ──> mean, deviation of q(z | x)
    decoder   z (rows, latent_dim), [condition]         ──> mean of p(x | z)

x is in model units, and so is the mean of p(x | z). The file ``schema.json`` beside the graphs says
what these units are.

Operations of the package that ONNX lacks are written in operations that it has, also in float64.
"""

from __future__ import annotations

import json
import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lowerbound import durable
from lowerbound.applications.common.application import Report
from lowerbound.applications.common.files import fill_folder, others_files
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import MissingExtraError, UnsupportedError
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.manifest import SCHEMA
from lowerbound.inference.codes import moments
from lowerbound.models.base import Model
from lowerbound.models.powers import Decodes, Encodes, require
from lowerbound.trace import Batch

ROWS = 5  # of the comparison

Inputs = Mapping[str, Tensor]


def cholesky(matrix: Tensor, *, upper: bool = False, check_errors: bool = False) -> Any:
    """The factor L of A = L L^T, and zeros for "no error".

    Args:
        matrix: A, symmetric and positive definite, (rows, d, d).
        upper, check_errors: False, as the package calls it.
    """
    columns = []
    for j in range(matrix.shape[-1]):
        column = matrix[..., j] / matrix[..., j, j, None].sqrt()
        column = torch.cat((torch.zeros_like(column[..., :j]), column[..., j:]), -1)
        matrix = matrix - column.unsqueeze(-1) * column.unsqueeze(-2)
        columns.append(column)
    return torch.stack(columns, -1), torch.zeros_like(matrix[..., 0, 0], dtype=torch.int32)


def solve_triangular(
    factor: Tensor, values: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """X with L X = B, by forward substitution.

    Args:
        factor: L, lower triangular, (rows, d, d).
        values: B, (rows, d, columns).
        upper, unitriangular: False, as the package calls it.
        left: True.
    """
    solved: list[Tensor] = []
    for i in range(factor.shape[-1]):
        rest = values[..., i, :]
        for k, row in enumerate(solved):
            rest = rest - factor[..., i, k, None] * row
        solved.append(rest / factor[..., i, i, None])
    return torch.stack(solved, -2)


def atanh(values: Tensor) -> Tensor:
    """(log(1 + x) - log(1 - x)) / 2."""
    return (torch.log(1 + values) - torch.log(1 - values)) / 2


DECOMPOSITIONS: Mapping[Any, Callable[..., Any]] = {
    torch.ops.aten.atanh.default: atanh,
    torch.ops.aten.linalg_cholesky_ex.default: cholesky,
    torch.ops.aten.linalg_solve_triangular.default: solve_triangular,
}


@dataclass(frozen=True)
class GraphReport(Report):
    """Encoder and decoder were written as graphs.

    Attributes:
        folder: the folder written.
        files: its files.
        inputs: names of the inputs of each graph.
        difference: the largest difference between the outputs of the graphs and of this model, for
            a few random rows, as a share of the largest output or of 1 if that is larger.
    """

    folder: str
    files: tuple[str, ...]
    inputs: Mapping[str, tuple[str, ...]]
    difference: float

    def text(self) -> str:
        graphs = [f"{name}({', '.join(names)})" for name, names in self.inputs.items()]
        return (
            f"{', '.join(graphs)} in {self.folder}: the graphs give the same numbers within "
            f"{self.difference:.0e}\nrows are in model units, which {SCHEMA} describes"
        )


class EncoderGraph(nn.Module):
    """Mean and standard deviation of q(z | x), (rows, latent_dim) each."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self.outputs = ("mean", "deviation")

    def forward(
        self, x: Tensor, observed: Tensor | None = None, condition: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        batch = Batch(x, observed=observed, condition=condition)
        return moments(require(self.model, Encodes, "be exported").encode(batch), batch)


class DecoderGraph(nn.Module):
    """Mean of p(x | z), (rows, *event)."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self.outputs = ("mean",)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor]:
        model = require(self.model, Decodes, "be exported")
        return (model.decode(z.unsqueeze(0), condition).mean.squeeze(0),)


Graph = EncoderGraph | DecoderGraph


class GraphFormat(ABC):
    """A format of graphs."""

    suffix: ClassVar[str]

    @abstractmethod
    def write(self, program: Any, graph: Graph, inputs: Inputs, path: Path) -> None:
        """Write an exported program."""

    @abstractmethod
    def run(self, path: Path, inputs: Inputs) -> list[Tensor]:
        """The outputs of the file for these inputs."""


class TorchExport(GraphFormat):
    """The archive of ``torch.export.save``, which ``torch.export.load`` reads."""

    suffix = ".pt2"

    def write(self, program: Any, graph: Graph, inputs: Inputs, path: Path) -> None:
        torch.export.save(program, str(path))

    def run(self, path: Path, inputs: Inputs) -> list[Tensor]:
        return list(torch.export.load(str(path)).module()(**inputs))


class ONNX(GraphFormat):
    """The Open Neural Network Exchange; needs the extra ``onnx``."""

    suffix = ".onnx"

    def __init__(self) -> None:
        """Import the libraries, so that a missing one is found before any work.

        Raises:
            MissingExtraError: one is not installed.
        """
        try:
            import onnxruntime
            import onnxscript  # noqa: F401, which torch.onnx imports
        except ImportError as error:
            raise MissingExtraError(error.name or "onnxruntime", "onnx") from error
        self._runtime: Any = onnxruntime

    def write(self, program: Any, graph: Graph, inputs: Inputs, path: Path) -> None:
        made = torch.onnx.export(
            program.run_decompositions(DECOMPOSITIONS),
            dynamo=True,
            input_names=list(inputs),
            output_names=list(graph.outputs),
            external_data=False,
            verbose=False,
        )
        assert made is not None
        made.save(str(path))

    def run(self, path: Path, inputs: Inputs) -> list[Tensor]:
        session = self._runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        arrays = {name: value.numpy() for name, value in inputs.items()}
        return [torch.from_numpy(output) for output in session.run(None, arrays)]


@torch.no_grad()
def export_graphs(folder: Path, fitted: Fitted, form: GraphFormat) -> GraphReport:
    """Write both graphs and the schema, run the graphs, and compare the numbers.

    Raises:
        UnsupportedError: the model has no encoder or no decoder of one step, or an operation that
            the format does not have.
        DataError: the folder contains other files.
    """
    encoder, decoder = EncoderGraph(fitted.model).eval(), DecoderGraph(fitted.model).eval()
    x, z = _inputs(fitted)
    parts: dict[str, tuple[Graph, Inputs]] = {"encoder": (encoder, x), "decoder": (decoder, z)}
    files = [*(name + form.suffix for name in parts), SCHEMA]
    refuse_others_files(folder, set(files))
    differences = list[float]()

    def write(made: Path) -> list[str]:
        for name, (graph, inputs) in parts.items():
            path = made / (name + form.suffix)
            _write(graph, inputs, path, form)
            pairs = zip(graph(**inputs), form.run(path, inputs), strict=True)
            differences.extend(_difference(ours, theirs) for ours, theirs in pairs)
        schema = json.dumps(fitted.schema.to_mapping(), indent=2, allow_nan=False)
        durable.write_text(made / SCHEMA, schema + "\n")
        return [str(made / file) for file in files]

    fill_folder(folder, write, note=False, whole=True)
    names = {name: tuple(inputs) for name, (_, inputs) in parts.items()}
    return GraphReport(str(folder), tuple(files), names, max(differences))


def refuse_others_files(folder: Path, own: set[str]) -> None:
    """Raise an error for a folder with other files than those of an earlier export."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    if folder.exists() and (others := names - own):
        raise others_files(folder, min(others))


def _inputs(fitted: Fitted) -> tuple[Inputs, Inputs]:
    """A few random rows and their latents, as inputs of encoder and decoder."""
    model, schema = fitted.model, fitted.schema
    require(model, Encodes, "be exported")
    decodes = require(model, Decodes, "be exported")
    condition: dict[str, Tensor] = {}
    if fitted.options.model.conditional:
        assert schema.condition is not None
        condition["condition"] = torch.eye(schema.condition.size)[[0] * ROWS]
    with seeded(0):
        z = torch.randn(ROWS, decodes.latent_dim)
        x = decodes.decode(z.unsqueeze(0), condition.get("condition")).sample()[0].float()
        observed = torch.rand_like(x) < 0.8
    mask = {} if model.inputs is None else {"observed": observed}
    return {"x": x, **mask, **condition}, {"z": z, **condition}


def _difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / ours.abs().max().clamp_min(1))


def _write(graph: Graph, inputs: Inputs, path: Path, form: GraphFormat) -> None:
    """Trace the graph, for any number of rows, and write it."""
    shapes = {name: {0: torch.export.Dim("rows")} for name in inputs}
    try:
        with _quiet():
            program = torch.export.export(graph, (), dict(inputs), dynamic_shapes=shapes)
            form.write(program, graph, inputs, path)
    except Exception as error:  # the exporters of torch raise errors of many classes
        reason = str(error).strip().partition("\n")[0][:200]
        raise UnsupportedError(
            f"this model has no form as {form.suffix}: torch cannot export an operation of its "
            f"networks ({reason}); fit a model by lowerbound fit with --network mlp or "
            "convolutional"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what the exporters of torch say about their own parts."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
