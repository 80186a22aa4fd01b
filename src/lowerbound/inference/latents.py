"""Draws from q(z | x) of a data set, made once and kept in a file: what a prior is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from lowerbound import durable, untrusted
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Schema
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import ModelFolderError, OptionError
from lowerbound.inference.passes import batches, evaluation_mode
from lowerbound.models.base import Model
from lowerbound.models.heads import all_but_the_prior
from lowerbound.models.powers import LearnsPrior, require
from lowerbound.models.refinement import unrefined
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
    sha256 = _sha256(model, dataset, seed)
    kept = None if cache is None else _read(cache, sha256, say)
    if kept is not None:
        return Latents(kept, dataset.prompt, sha256, "kept")
    # q(z | x) needs no prompt, and the prior that the model still has may take none
    found = _encoded(learns, model, replace(dataset, prompt=None), seed, advance)
    if cache is not None:
        _keep(cache, found, sha256, say)
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


def _sha256(model: Model, dataset: Dataset, seed: int) -> str:
    """Of all that decides the latents."""
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
    return digest.hexdigest()


def _keep(path: Path, z: Tensor, sha256: str, say: Callable[[str], None]) -> None:
    try:
        folders.make(path.parent)
        durable.write_tensors(path, {"z": z}, {"sha256": sha256, "content": _content(z)})
    except OSError as error:
        say(f"the latents are not kept, because {path} cannot be written ({error.strerror})")


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
