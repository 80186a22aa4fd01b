"""Rows as codes: posterior means and deviations, whitened codes, and discrete codes with their use.

For models and options for which no file of codes can be written, an error says so.

Draws from q(z | x) of a data set, made once and kept in a file: what a prior is trained on.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

from lowerbound import durable, untrusted
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys
from lowerbound.distributions.reparameterization import base_normal, draw, seeded
from lowerbound.errors import DataError, ModelFolderError, OptionError, UnsupportedError
from lowerbound.inference.passes import MEMORY, ChunkPlan, batches, collected, evaluation_mode
from lowerbound.models.base import Model
from lowerbound.models.heads import all_but_the_prior
from lowerbound.models.powers import Encodes, LearnsPrior, Quantizes, TakesCondition, require
from lowerbound.models.refinement import unrefined
from lowerbound.networks.processor import in_precision
from lowerbound.posteriors.vector_quantized import CodebookUse
from lowerbound.trace import Batch
from lowerbound.untrusted import folders

ROWS_AT_ONCE = 256
MOST_DRAWS = 8  # of a row that are kept
MOST_NUMBERS = 2**27  # of all latents that are kept
COLLAPSED = 0.01  # share of variance below which a latent number carries no information


@dataclass(frozen=True, eq=False)
class Latents:
    """Draws from q(z | x) of many rows.

    Attributes:
        z: (rows, draws, numbers); codes as whole numbers.
        prompt: what a conditional prior is given of each row, (rows, fields); None: nothing.
        sha256: of the model's weights and of the rows that were encoded.
        origin: "encoded", or "kept" where a file had them.
    """

    z: Tensor
    prompt: Tensor | None
    sha256: str
    origin: Literal["encoded", "kept"] = "encoded"

    def dataset(self) -> Dataset:
        """The same as rows to train on, (rows, draws * numbers)."""
        rows = self.z.flatten(1)
        schema = Schema(kind="vectors", event_shape=(rows.shape[1],), dtype="float32")
        return Dataset(schema, rows, prompt=self.prompt, source="latents")


def draw_latents(
    model: Model,
    dataset: Dataset,
    *,
    cache: Path | None = None,
    seed: int = 0,
    advance: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Latents:
    """Encode every row once.

    Args:
        model: one whose prior can be trained on latents.
        dataset: rows to encode; their prompts are kept beside the latents.
        cache: a file that keeps the latents; it is used again for the same weights and rows only.
            A file of others, or a damaged one, is replaced.
        seed: of the draws.
        advance: is called with the rows done and the number of all rows.
        say: is called with one sentence where a cache is not used, or cannot be written.

    Raises:
        UnsupportedError: the model has no prior that can be trained on latents.
    """
    learns = require(model, LearnsPrior, "train a prior on latents")
    # of all that decides the latents
    digest = hashlib.sha256(str(seed).encode())
    rest = list(all_but_the_prior(unrefined(model)).items())
    # the class is part of what is encoded only by a conditional model
    label = dataset.label if dataset.schema.condition is not None else None
    seen = {"x": dataset.x, "observed": dataset.observed}
    seen |= {"condition": dataset.condition, "label": label}
    for name, value in [*rest, *seen.items()]:
        if value is not None:
            digest.update(name.encode() + str(tuple(value.shape)).encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    sha256 = digest.hexdigest()
    kept = None if cache is None else _read(cache, sha256, say)
    if kept is not None:
        return Latents(kept, dataset.prompt, sha256, "kept")
    # q(z | x) needs no prompt, and the prior that the model still has may take none
    found = _encoded(learns, model, replace(dataset, prompt=None), seed, advance)
    if cache is not None:
        try:
            folders.make(cache.parent)
            durable.write_tensors(
                cache, {"z": found}, {"sha256": sha256, "content": _content(found)}
            )
        except OSError as error:
            say(f"the latents are not kept, because {cache} cannot be written ({error.strerror})")
    return Latents(found, dataset.prompt, sha256)


def refuse_collapsed(latents: Latents) -> None:
    """Refuse latents that carry no information on their rows: a prior would learn noise.

    Raises:
        OptionError: the rows explain almost no part of the variance of any latent number.
    """
    rows, draws = latents.z.shape[:2]
    if min(rows, draws) < 2:
        return  # one row has no spread to compare
    z = latents.z.double()
    noise = z.var(1).mean(0)
    explained = 1 - noise / (z.mean(1).var(0) + noise * (1 - 1 / draws)).clamp_min(1e-300)
    most = float(explained.max())
    if most < max(COLLAPSED, 3 / (draws * rows**0.5)):
        raise OptionError(
            f"the latents are collapsed: of the variance of a latent number at most "
            f"{max(most, 0.0):.1%} is due to the row, and the rest is noise of q(z | x), so z "
            "carries no information; fit the model again, by lowerbound fit, with a lower "
            "objective.beta, or with objective.free_bits"
        )


def _encoded(
    learns: LearnsPrior,
    model: Model,
    dataset: Dataset,
    seed: int,
    advance: Callable[[int, int], None],
) -> Tensor:
    """Draws of every row, (rows, draws, numbers), float32."""
    draws, parts = 0, []
    with seeded(seed), evaluation_mode(model):
        for part, batch in batches(dataset, model, ROWS_AT_ONCE):
            if not draws:
                numbers = learns.prior_latents(batch.rows(slice(0, 1)), 1).shape[2]
                draws = max(1, min(MOST_DRAWS, MOST_NUMBERS // (numbers * len(dataset))))
            z = learns.prior_latents(batch, draws)
            parts.append(z.movedim(0, 1).cpu().float())
            advance(part.stop, len(dataset))
    return torch.cat(parts)


def _read(path: Path, sha256: str, say: Callable[[str], None]) -> Tensor | None:
    """Kept latents; None where there are none, or of another model or of other rows."""
    if not path.exists():
        return None
    try:
        found = untrusted.content(path, ModelFolderError)
        facts = untrusted.metadata(found, str(path), ModelFolderError)
        z = untrusted.tensors(found, str(path), ModelFolderError).get("z", torch.empty(0))
    except (OSError, ModelFolderError):
        facts, z = {}, torch.empty(0)
    if facts.get("content") != _content(z):
        say(f"{path} is damaged: the rows are encoded again")
    elif facts.get("sha256") != sha256:
        say(f"{path} is of another model or of other rows: the rows are encoded again")
    else:
        return z
    return None


def _content(z: Tensor) -> str:
    """SHA-256 of the numbers, which safetensors does not check."""
    return hashlib.sha256(z.contiguous().numpy().tobytes()).hexdigest()


MOMENT_DRAWS = 64


def codebook_use(
    model: Model, dataset: Dataset, *, memory: int = MEMORY
) -> tuple[CodebookUse, ...]:
    """How the rows use each codebook, coarse to fine.

    Raises:
        UnsupportedError: the model has no codebook.
    """
    quantizes = require(model, Quantizes, "say how its codes are used")
    rows = quantized_rows(model, dataset, memory=memory)
    books = zip(_by_codebook(quantizes, rows), quantizes.codebook_sizes, strict=True)
    counts = [torch.bincount(codes.flatten(), minlength=size) for codes, size in books]
    return tuple(map(CodebookUse, counts))


def quantized_rows(model: Model, dataset: Dataset, *, memory: int = MEMORY) -> Tensor:
    """The codes of all rows, (rows, all places), int64: codebook after codebook.

    Raises:
        UnsupportedError: the model has no codebook.
    """
    model = in_precision(model, dataset.x.dtype)
    quantizes = require(model, Quantizes, "quantize")
    rows = ChunkPlan.of(model, dataset, memory=memory).rows

    def codes_of(_: slice, batch: Batch) -> list[Tensor]:
        return [torch.cat([codes.flatten(1) for codes in quantizes.quantize(batch)], 1)]

    return collected(model, dataset, rows, codes_of)[0]


def numbers_of(model: Quantizes) -> int:
    """The number of codes of a row."""
    return sum(map(math.prod, model.code_shapes))


def vectors_of(model: Quantizes, rows: Tensor) -> Tensor:
    """The input of ``decode`` for the codes of ``quantized_rows``, (rows, latent_dim).

    Raises:
        DataError: a number is not a code.
    """
    books = _by_codebook(model, rows)
    for codes, size in zip(books, model.codebook_sizes, strict=True):
        wrong = (codes != codes.round()) | (codes < 0) | (codes >= size)
        if bool(wrong.any()):
            raise DataError(
                f"{float(codes[wrong][0]):g} is no code: codes are whole numbers from 0 to "
                f"{size - 1}"
            )
    with torch.no_grad():
        return model.vectors([codes.long().unsqueeze(0) for codes in books])[0]


def _by_codebook(model: Quantizes, rows: Tensor) -> list[Tensor]:
    """Codes (rows, all places) of each codebook, (rows, *its places)."""
    parts = rows.split([math.prod(shape) for shape in model.code_shapes], 1)
    return [part.unflatten(1, shape) for part, shape in zip(parts, model.code_shapes, strict=True)]


def refuse_beside_rows(model: Model) -> None:
    """Raise UnsupportedError if coding a row takes more than its numbers.

    The file would also have to contain the row's class, or which of its cells are missing.
    """
    if any(isinstance(part, TakesCondition) and part.condition_dim for part in model.modules()):
        raise UnsupportedError(
            "a conditional model cannot compress: files do not hold classes; fit one without "
            "--conditional"
        )
    if model.inputs is not None:
        raise UnsupportedError(
            "a model of a table's columns, or of missing values, cannot compress: that takes "
            "pictures or numbers without gaps"
        )


def used_codebooks(requested: int | None, there: int) -> int:
    """The number of codebooks to use, the coarsest first; None: all.

    Raises:
        OptionError: the model has fewer.
    """
    if requested is not None and not 1 <= requested <= there:
        raise OptionError(f"codebooks is from 1 to the model's {there}, not {requested}")
    return requested or there


@dataclass(frozen=True)
class EncodedRows:
    """Moments of q(z | x) of each row.

    Attributes:
        mean: E_q[z], (rows, latent_dim), float64.
        deviation: standard deviation of q(z_j | x), (rows, latent_dim); zero for an autoencoder.
        normal: whether each q(z_j | x) is a normal distribution, so that the moments say all of it.
    """

    mean: Tensor
    deviation: Tensor
    normal: bool = True

    def __len__(self) -> int:
        return len(self.mean)


def encode_rows(model: Model, dataset: Dataset, *, memory: int = MEMORY) -> EncodedRows:
    """The codes of all rows, in bounded memory.

    Raises:
        UnsupportedError: the model has no encoder over one latent.
    """
    encodes, normal = require(model, Encodes, "encode"), list[bool]()

    @torch.no_grad()
    def measure(_: slice, batch: Batch) -> list[Tensor]:
        codes = codes_of(encodes.encode(batch), batch)
        normal.append(codes.normal)
        return [codes.mean, codes.deviation]

    rows = ChunkPlan.of(model, dataset, memory=memory).rows
    mean, deviation = collected(model, dataset, rows, measure, gradients=True)
    return EncodedRows(mean, deviation, all(normal))


def posteriors(
    model: Model, dataset: Dataset, *, memory: int = MEMORY
) -> Iterator[tuple[Batch, Distribution]]:
    """q(z | x) of the rows in order, chunk by chunk, batch shape (1, rows of the chunk)."""
    encodes = require(model, Encodes, "encode")
    for _, batch in batches(dataset, model, ChunkPlan.of(model, dataset, memory=memory).rows):
        with evaluation_mode(model, gradients=True), torch.no_grad():
            posterior = encodes.encode(batch)
        yield batch, posterior


def codes_of(posterior: Distribution, batch: Batch) -> EncodedRows:
    """The codes of one batch."""
    with torch.no_grad():
        mean, deviation = moments(posterior, batch)
    normal = base_normal(posterior) is not None or isinstance(posterior, MultivariateNormal)
    return EncodedRows(mean.double().cpu(), deviation.double().cpu(), normal)


def moments(posterior: Distribution, batch: Batch) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of q(z | x), (batch, latent_dim) each.

    Exact if the distribution has them, otherwise from draws keyed by the rows' content.
    """
    base = base_normal(posterior)
    if base is not None:
        return base.loc[0], base.scale.expand_as(base.loc)[0]
    try:
        return posterior.mean[0], posterior.stddev[0]
    except NotImplementedError:
        z = draw(posterior, MOMENT_DRAWS, KeyedNoise(row_keys(batch.filled)))
        return z.mean(0), z.std(0)


@dataclass(frozen=True)
class Whitening:
    r"""The affine map to codes of mean zero and unit covariance, c = L^{-1} (z - m), and back.

    Attributes:
        mean: m, (latent_dim,).
        factor: L with L L^T the covariance of the codes, lower triangular.
    """

    mean: Tensor
    factor: Tensor

    @classmethod
    def of(cls, codes: Tensor) -> Whitening:
        """Fitted to (rows, latent_dim); a ridge keeps directions without variance invertible."""
        codes = codes.double()
        mean = codes.mean(0)
        covariance = (codes - mean).T @ (codes - mean) / len(codes)
        ridge = 1e-8 * torch.diagonal(covariance).mean().clamp_min(1e-12)
        identity = torch.eye(len(mean), dtype=torch.float64)
        return cls(mean, torch.linalg.cholesky(covariance + ridge * identity))

    def whiten(self, codes: Tensor) -> Tensor:
        """(rows, latent_dim) to white codes."""
        centered = (codes.double() - self.mean).T
        white: Tensor = torch.linalg.solve_triangular(self.factor, centered, upper=False).T
        return white

    def color(self, white: Tensor) -> Tensor:
        """White codes back to (rows, latent_dim)."""
        return white @ self.factor.T + self.mean
