"""The state of a detector besides its model, as one safetensors file in the model folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save

from lowerbound import durable, untrusted
from lowerbound.applications.anomaly.broken import NormalDependencies
from lowerbound.applications.anomaly.conformal import ConformalCalibration, raised
from lowerbound.applications.anomaly.neighbors import InputSpace
from lowerbound.applications.anomaly.reference import (
    AMONG_ANOMALIES,
    OF_CODES,
    OF_PICTURES,
    Reference,
    Votes,
)
from lowerbound.applications.anomaly.surfaces import KINDS, ChannelFit, Surface, UpperTail
from lowerbound.config import from_mapping, to_mapping
from lowerbound.data.arrays import Array
from lowerbound.errors import ModelFolderError
from lowerbound.fitting.manifest import DETECTOR, MODEL, WEIGHTS, check_belongs, hashes
from lowerbound.inference.shares import Shares
from lowerbound.untrusted import folders

FORMAT = 1

_OF_TAIL = ("values", "surprise")
_OF_REFERENCE = ("places", "shift", "scale", "directions")
_OF_CHANNEL = ("kinds", "location", "deviation", "floor")
_OF_PLACES = ("tails", "pixels")
_OF_INPUTS = ("skewed", "unit", "mean", "deviation", "rows", "whitening")
_EARLIER = {
    ("bound", "reconstruction", "latent"): OF_CODES,
    ("bound", "reconstruction"): OF_PICTURES,
    ("bound", "latent"): AMONG_ANOMALIES,
}
"""Votes by the components that an earlier version wrote."""


@dataclass(frozen=True)
class DetectorState:
    """The numbers that score, classify and explain a row, besides the model.

    Attributes:
        reference: scores and decoded positions of normal rows.
        calibration: scores that set the threshold.
        usual: the average shares of a row.
        offset: minus the threshold.
    """

    reference: Reference
    calibration: ConformalCalibration
    usual: Shares
    offset: float


@folders.closing
def write_state(folder: Path, state: DetectorState, parameters: Mapping[str, Any]) -> None:
    """Write the file into a model folder atomically."""
    reference = state.reference
    arrays = {name: getattr(reference, name) for name in _OF_REFERENCE}
    if reference.inputs is not None:
        arrays |= {f"inputs.{field}": getattr(reference.inputs, field) for field in _OF_INPUTS}
    if reference.costs is not None:
        arrays["costs"] = reference.costs
    arrays |= {"calibration": state.calibration.scores}
    arrays |= {"usual": state.usual.features.numpy(), "usual_rate": state.usual.rate.numpy()}
    numbers = {}
    for name, tail in reference.tails.items():
        arrays |= {f"{name}.{field}": getattr(tail, field) for field in _OF_TAIL}
        numbers[name] = [tail.center, tail.spread, tail.excess]
    said = {
        "format": FORMAT,
        "offset": state.offset,
        "neighbors": reference.neighbors,
        "weights": dict(reference.votes.weights),
        "inputs": reference.votes.inputs,
        "shape": list(reference.votes.shape),
        "tails": numbers,
        "gaps": reference.usual is not None,
        "unit_free": reference.unit_free,
        "parameters": {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in parameters.items()
        },
    }
    if reference.dependencies is not None:
        said["dependencies"] = to_mapping(reference.dependencies)
    if reference.surface is not None:
        surface_arrays, said["surface"] = _of_surface(reference.surface)
        arrays |= surface_arrays
    whole = {name: np.ascontiguousarray(array, np.float64) for name, array in arrays.items()}
    facts = {"detector": json.dumps(said), MODEL: hashes(folder)[WEIGHTS]}
    durable.write_bytes(folder / DETECTOR, save(whole, metadata=facts))


def _of_surface(surface: Surface) -> tuple[dict[str, Array], list[dict[str, Any]]]:
    """(arrays, numbers at each resolution)."""
    arrays: dict[str, Array] = {}
    said: list[dict[str, Any]] = []
    each = zip(surface.fits, surface.tails, surface.pixels, strict=True)
    for place, (fits, *tails) in enumerate(each):
        for channel, fit in enumerate(fits):
            for field in _OF_CHANNEL:
                arrays[f"surface.{place}.{channel}.{field}"] = getattr(fit, field).numpy()
        numbers: dict[str, Any] = {"channels": len(fits)}
        for name, found in zip(_OF_PLACES, tails, strict=True):
            for kind, tail in found.items():
                key = f"surface.{place}.{name}.{kind}"
                arrays |= {f"{key}.{field}": getattr(tail, field) for field in _OF_TAIL}
                numbers[f"{name}.{kind}"] = [tail.center, tail.spread, tail.excess]
        said.append(numbers)
    return arrays, said


def _surface(
    said: Sequence[Mapping[str, Any]], shape: tuple[int, ...], arrays: Mapping[str, Array]
) -> Surface:
    def tail(place: int, name: str) -> UpperTail:
        key = f"surface.{place}.{name}"
        values, surprise = (arrays[f"{key}.{field}"] for field in _OF_TAIL)
        return UpperTail(values, surprise, *said[place][name])

    def fit(key: str) -> ChannelFit:
        return ChannelFit(
            *(torch.from_numpy(arrays[f"{key}.{field}"]).float() for field in _OF_CHANNEL)
        )

    places = range(len(said))
    fits = [
        tuple(fit(f"surface.{place}.{c}") for c in range(said[place]["channels"]))
        for place in places
    ]
    tails, pixels = (
        tuple({kind: tail(place, f"{name}.{kind}") for kind in KINDS} for place in places)
        for name in _OF_PLACES
    )
    return Surface(shape, tuple(fits), tails, pixels)


@folders.closing
def read_state(folder: Path) -> tuple[DetectorState, dict[str, Any]]:
    """Read the state and the parameters of a detector from a model folder.

    Raises:
        ModelFolderError: there is no such file, it cannot be read, or it belongs to another model.
    """
    path = folder / DETECTOR
    if not path.exists():
        raise ModelFolderError(
            f"{folder} holds a model and no detector: use VAE.load, or lowerbound detect, which "
            "takes any model"
        )
    try:
        found = untrusted.content(path, ModelFolderError)
        facts = untrusted.metadata(found, str(path), ModelFolderError)
        with untrusted.guarded(str(path), ModelFolderError):
            said = untrusted.parsed_mapping(facts["detector"], str(path), ModelFolderError)
            tensors = untrusted.tensors(found, str(path), ModelFolderError)
            arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
            state, parameters = _state(said, arrays), dict(said["parameters"])
    except ModelFolderError as error:
        raise ModelFolderError(
            f"{path} is damaged, or was written by another version: {error}; fit the detector again"
        ) from error
    check_belongs(path, facts.get(MODEL))
    return state, parameters


def _state(said: Mapping[str, Any], arrays: Mapping[str, Array]) -> DetectorState:
    tails = {
        name: UpperTail(arrays[f"{name}.values"], arrays[f"{name}.surprise"], *numbers)
        for name, numbers in said["tails"].items()
    }
    fields = {name: arrays[name] for name in _OF_REFERENCE}
    if "combined" in said:
        votes = _EARLIER[tuple(said["combined"])]
    else:
        votes = Votes(dict(said["weights"]), said["inputs"], tuple(said.get("shape", ())))
    inputs = None
    if "inputs.rows" in arrays:
        # an earlier version: logarithms of 1 plus the number itself
        known = {"inputs.unit": np.ones_like(arrays["inputs.skewed"]), **arrays}
        inputs = InputSpace(**{field: known[f"inputs.{field}"] for field in _OF_INPUTS})
    reference = Reference(
        tails=tails,
        neighbors=said["neighbors"],
        votes=votes,
        inputs=inputs,
        costs=arrays.get("costs"),
        usual=arrays["usual"].reshape(-1) if said.get("gaps") else None,
        surface=_surface(said["surface"], votes.shape, arrays) if "surface" in said else None,
        unit_free=bool(said.get("unit_free")),
        dependencies=(
            from_mapping(NormalDependencies, said["dependencies"])
            if "dependencies" in said
            else None
        ),
        **fields,
    )
    usual = Shares(torch.from_numpy(arrays["usual"]), torch.from_numpy(arrays["usual_rate"]))
    calibration, offset = ConformalCalibration(arrays["calibration"]), said["offset"]
    if -offset in calibration.scores:  # an earlier version: rounding could exceed it
        offset = -raised(-offset)
    return DetectorState(reference, calibration, usual, offset)
