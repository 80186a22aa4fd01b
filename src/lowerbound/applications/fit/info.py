"""``lowerbound info``: print the content of a model folder and verify every hash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from math import prod
from pathlib import Path
from statistics import fmean
from typing import Any

from lowerbound import untrusted
from lowerbound.applications.common import fit_folder
from lowerbound.applications.common.application import OTHER_FILES, Report, Reporter
from lowerbound.applications.fit.requests import InfoRequest
from lowerbound.errors import ModelFolderError, counted
from lowerbound.fitting.gains import comparison, distortion, realism
from lowerbound.fitting.manifest import (
    AGENT,
    CONFIG,
    FILES,
    METRICS,
    SCHEMA,
    WEIGHTS,
    hashes,
    latents,
    parts,
    prior,
    rows,
    verify,
)

VOCABULARY = ("fields", "words", "book")  # of prompts, among the options of a prior


@dataclass(frozen=True)
class InfoReport(Report):
    """The content of a model folder.

    Attributes:
        model: the folder.
        kind: name of the model, such as vae.
        latents: the latents of a row in words, such as "8 latent numbers".
        parts: the kinds of parts that the model uses, such as network and prior.
        prior: name of the prior; "" if the model has none by name.
        options: options of the fit, every default resolved.
        rows: description of the rows in one line.
        data: the schema.
        weights: number of values in the weights file.
        bytes: size of the weights file.
        ended: how training ended; empty for a model without training.
        epochs, updates, seconds: duration of training, up to the last measurement.
        bound: bound on the validation rows, nats per row; None if there are none.
        sha256: verified hash of each hashed file.
        agent: newest record of an agent that acts by the model; None: it is not an agent's.
    """

    model: str
    kind: str
    latents: str
    parts: tuple[str, ...]
    prior: str
    options: Mapping[str, Any]
    rows: str
    data: Mapping[str, Any]
    weights: int
    bytes: int
    ended: str
    epochs: float
    updates: int
    seconds: float
    bound: float | None
    sha256: Mapping[str, str]
    agent: Mapping[str, Any] | None = None

    def text(self) -> str:
        lines = tuple(self._lines())
        width = max(10, *(len(name) for name, _ in lines))
        return "\n".join(f"{name:{width}} {value}" for name, value in lines)

    def _lines(self) -> Iterator[tuple[str, str]]:
        model = self.options["model"]
        condition = ", conditioned on the class" if model["conditional"] else ""
        yield "model", f"{self.kind}, {self.latents}{condition}"
        yield "data", self.rows
        if quantities := self.data.get("quantities"):
            yield "predicts", ", ".join(quantity["name"] for quantity in quantities)
        for part in dict.fromkeys((*self.parts, "prior")):
            if part == "prior":
                yield from _prior(self.prior, model, self.options.get("prior_fit"))
            else:
                yield part, _named(model[part], model[f"{part}_options"])
        yield "size", f"{self.weights:,} numbers, {self.bytes / 1e6:.2f} MB"
        yield from _refiner(model.get("refiner"), self.options.get("refiner_fit"))
        yield from _privacy(self.options.get("release"))
        yield from _protected(self.data.get("details", {}))
        if self.agent is not None:
            yield "agent", self._agent(self.agent)
        if self.updates:
            yield "training", f"{self.epochs:.1f} epochs, {self.updates:,} updates, {self._time()}"
        if self.ended:
            yield "ended", self.ended
        if self.bound is not None:
            former = ", before the prior was trained" if self.options.get("prior_fit") else ""
            rows = "on the rows held out for early stopping"
            yield "bound", f"{self.bound:.2f} nats per row{former}, {rows}"
        yield "verified", ", ".join(self.sha256)

    def _agent(self, record: Mapping[str, Any]) -> str:
        seen = self.data.get("details", {}).get("environment", {})  # PPO keeps a VAE of frames
        place = record.get("environment") or seen.get("name", "an environment")
        evaluated = f", mean return {fmean(record['sampled']):.3g}" if record["sampled"] else ""
        return f"{place}, {record['steps']:,} steps, {record['updates']:,} updates{evaluated}"

    def _time(self) -> str:
        return f"{self.seconds:.0f} s" if self.seconds < 120 else f"{self.seconds / 60:.1f} min"


def _protected(details: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was protected in the fitted rows, if the schema has a record of it."""
    if "protection" not in details:
        return
    from lowerbound.data.protection.record import Protection  # imports torch, as all data does

    protection = Protection.of(details)
    for number, sentence in enumerate(protection.sentences if protection is not None else ()):
        yield "" if number else "protected", sentence


def info(request: InfoRequest, reporter: Reporter) -> Report:
    """Report the content of a model folder or a compressed file.

    Raises:
        ModelFolderError: there is no model, or a file is missing, truncated or altered.
        BitstreamError: the compressed file is damaged.
    """
    folder = Path(request.model)
    if folder.suffix.lower() in OTHER_FILES and folder.is_file():
        described: Report = import_module(OTHER_FILES[folder.suffix.lower()]).described_file(folder)
        return described
    content = verify(folder)
    options, schema = (
        untrusted.parsed_mapping(content[name], str(folder / name), ModelFolderError)
        for name in (CONFIG, SCHEMA)
    )
    with untrusted.guarded(f"the description of the model in {folder}", ModelFolderError):
        report = _described(request.model, content, options, schema)
        report.text()  # it reads the options too
        return report


def _described(
    given: str, content: Mapping[str, bytes], options: dict[str, Any], schema: dict[str, Any]
) -> InfoReport:
    """The report of a verified folder."""
    folder = Path(given)
    kind, found = options["model"]["model"], parts(folder)
    used = _parts_of(kind) if found is None else found
    records, end = _training(folder)
    last = records[-1] if records else {}
    kept = [record["validation"] for record in records if record["updates"] == end.get("best")]
    if end.get("best") == 0:  # training found nothing better
        kept = [end.get("start")]
    return InfoReport(
        model=given,
        kind=kind,
        latents=latents(folder) or counted(options["model"]["latent_dim"], "latent number"),
        parts=used,
        prior=prior(folder) or (options["model"]["prior"] if "prior" in used else ""),
        options=options,
        rows=rows(folder) or _summary_of(schema),
        data=schema,
        weights=_count(content[WEIGHTS], folder),
        bytes=len(content[WEIGHTS]),
        ended=fit_folder.ending(folder),
        epochs=last.get("epoch", 0.0),
        updates=last.get("updates", 0),
        seconds=last.get("seconds", 0.0),
        bound=kept[-1] if kept else None,
        sha256={name: hashes(folder)[name] for name in FILES},
        agent=_agent(folder),
    )


def _agent(folder: Path) -> dict[str, Any] | None:
    """The newest record of an agent; None: there is none."""
    if not (folder / AGENT).is_file():
        return None
    lines = untrusted.text(folder / AGENT, ModelFolderError).splitlines()
    return untrusted.parsed_mapping(lines[-1], AGENT, ModelFolderError) if lines else None


def _summary_of(schema: Mapping[str, Any]) -> str:
    """The description of rows from the schema, for old folders; this imports torch."""
    from lowerbound.data.schema import Schema

    return Schema.from_mapping(schema).summary


def _parts_of(kind: str) -> tuple[str, ...]:
    """The kinds of parts of a model, for old folders; this imports torch."""
    from lowerbound.models.base import MODELS

    return MODELS[kind].uses if kind in MODELS else ()


def _named(name: str, options: Mapping[str, Any]) -> str:
    said = ", ".join(f"{key} {value}" for key, value in options.items())
    return f"{name} ({said})" if said else name


def _prior(
    name: str, model: Mapping[str, Any], fit: Mapping[str, Any] | None
) -> Iterator[tuple[str, str]]:
    """The prior, its prompts, and where it was trained on latents, its log p(z)."""
    if not name:
        return
    own = model["model_options"].get("prior_options") or model["prior_options"]
    others = {key: value for key, value in own.items() if key not in VOCABULARY}
    yield (
        "prior",
        _named(name, others) + (f", trained on latents of {fit['rows']:,} rows" if fit else ""),
    )
    prompts = [f"{field} ({len(values)} values)" for field, values in own.get("fields", {}).items()]
    prompts += [f"captions ({len(own['words'])} words)"] if own.get("words") else []
    if prompts:
        yield "given", ", ".join(prompts)
    if fit:
        yield "log p(z)", comparison(fit)


def _refiner(
    options: Mapping[str, Any] | None, fit: Mapping[str, Any] | None
) -> Iterator[tuple[str, str]]:
    """The refiner, and the distortion and realism of reconstructions with and without it."""
    if options is None:
        return
    trained = f", trained on {fit['rows']:,} pictures" if fit else ""
    yield "refiner", _named("diffusion", options) + trained
    if fit:
        yield "distortion", distortion(fit)
        yield "realism", realism(fit)


def _privacy(release: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """The guarantee of a private fit, by its release record."""
    if release is None:
        return
    facts = [f"epsilon {release['epsilon']:.4g}", f"delta {release['delta']:.3g}"]
    for name, word in (("rate", "q"), ("noise_multiplier", "sigma"), ("rho", "rho")):
        facts += [] if release[name] is None else [f"{word} {release[name]:.4g}"]
    facts += [] if release["updates"] is None else [f"{release['updates']:,} updates"]
    yield "privacy", f"{', '.join(facts)}; {release['mechanism']}"
    if release.get("charged"):
        yield "charged", "; ".join(release["charged"])
    yield "public", "; ".join(release["public"])
    yield "accountant", release["accountant"]
    yield "neighbors", release["neighbors"]
    yield "not claimed", "; ".join(release["not_claimed"])


def _training(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The records of training and its last line; empty if the file is missing or damaged."""
    try:
        lines = untrusted.text(folder / METRICS, ModelFolderError).splitlines()
        found = [untrusted.parsed_mapping(line, METRICS, ModelFolderError) for line in lines]
        *records, end = found
    except (OSError, ValueError):
        return [], {}
    return records, end


def _count(weights: bytes, folder: Path) -> int:
    """The number of values in a safetensors file."""
    stored = untrusted.declared(weights, str(folder / WEIGHTS), ModelFolderError)
    return sum(prod(each.shape) for each in stored.values())
