"""Conditions of rows: classes, by name for users and one-hot for models, and prompts.

A prompt is that of a row of data, or one that a user types for a conditional prior.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import reduce
from pathlib import Path

import torch
from torch import Tensor

from lowerbound.applications.common.form import PromptOptions
from lowerbound.data.dataset import Dataset
from lowerbound.data.prompts import (
    Prompts,
    captions_in_file,
    prompts_in_file,
    prompts_of_classes,
    prompts_of_factors,
)
from lowerbound.data.vocabulary import PhraseBook, PromptVocabulary
from lowerbound.errors import OptionError, unknown
from lowerbound.fitting.fitted import Fitted
from lowerbound.models.powers import Classifies

DATA, NAMES, PHRASES = "data", "names", ".json"


def with_prompts(options: PromptOptions, dataset: Dataset) -> Dataset:
    """The rows with the prompts that the options name; unchanged if they name none.

    Raises:
        DataError: the data has no such attributes, or the file is of other rows.
        OptionError: an attribute is unknown, or options exclude each other.
    """
    prompts = attribute_prompts(options, dataset)
    if prompts is not None:
        prompts = prompts.varied()
    if _makes_captions(options):
        assert prompts is not None  # those of the data, if no others are named
        return prompts.said_by(_phrases(options.captions, prompts.vocabulary)).on(dataset)
    if not options.captions:
        return dataset if prompts is None else prompts.on(dataset)
    texts = captions_in_file(Path(options.captions), dataset.ids, len(dataset))
    found = Prompts.of_captions(texts) if prompts is None else prompts.with_captions(texts)
    return found.on(dataset)


def _makes_captions(options: PromptOptions) -> bool:
    """Whether captions are made from attributes, and not read from a file."""
    return options.captions == NAMES or Path(options.captions).suffix == PHRASES


def attribute_prompts(options: PromptOptions, dataset: Dataset) -> Prompts | None:
    """The class and the attributes of each row; None if the options name neither.

    Captions that are made from attributes take those of the data if no others are named.
    """
    source = options.attributes or (DATA if _makes_captions(options) and not options.label else "")
    found: list[Prompts] = []
    if options.label:
        found.append(prompts_of_classes(dataset))
    if source == DATA:
        found.append(prompts_of_factors(dataset).only(options.only))
    elif source:
        path = Path(source)
        found.append(prompts_in_file(path, dataset.ids, len(dataset), options.only))
    if options.only and not source:
        raise OptionError("--only chooses among --attributes: give both")
    return reduce(Prompts.beside, found) if found else None


def _phrases(name: str, vocabulary: PromptVocabulary) -> PhraseBook:
    return PhraseBook.of_names(vocabulary) if name == NAMES else PhraseBook.read(Path(name))


def typed_values(
    words: Sequence[str], flag: str = "--given", form: str = "ATTRIBUTE=VALUE, such as mouth=smile"
) -> dict[str, str]:
    """Values by attribute, or by column, from ATTRIBUTE=VALUE.

    Raises:
        OptionError: a word is not of that form, or names an attribute twice.
    """
    values: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (equals and name.strip() and value.strip()):
            raise OptionError(f"{flag} takes {form}, not {word!r}")
        if name.strip() in values:
            raise OptionError(f"{flag} {name.strip()} is given twice")
        values[name.strip()] = value.strip()
    return values


def prompt_of(fitted: Fitted, given: Mapping[str, object], text: str, rows: int) -> Tensor | None:
    """The prompt of rows to be sampled, (rows, codes); None if there is none.

    Args:
        fitted: the model.
        given: values by attribute.
        text: a caption.
        rows: how many.

    Raises:
        OptionError: the prior takes no such prompt, or a name is unknown; the message suggests the
            nearest.
    """
    if not given and not text:
        return None
    return fitted.options.model.prompts.prompt(given, text).expand(rows, -1)


def one_hot(fitted: Fitted, label: Tensor | None) -> Tensor | None:
    """The condition of each row, (rows, classes); None for a model that is not conditional.

    Raises:
        OptionError: a conditional model gets no class, or another model gets one.
    """
    names = fitted.schema.class_names
    if not fitted.options.model.conditional:
        if label is not None and isinstance(fitted.model, Classifies):
            raise OptionError("the codes hold the class already: leave --label out")
        if label is not None:
            raise OptionError(
                "this model is not conditional: leave --label out, or fit one with --conditional"
            )
        return None
    if label is None:
        raise OptionError(f"this conditional model needs a class, one of: {', '.join(names)}")
    return _one_hot(label, len(names))


def class_condition(fitted: Fitted, label: Tensor | None) -> Tensor | None:
    """The condition of rows to be sampled, (rows, classes).

    A model with the class among its latents also takes classes; None then means y ~ p(y).
    """
    if not isinstance(fitted.model, Classifies):
        return one_hot(fitted, label)
    return None if label is None else _one_hot(label, fitted.model.classes)


def _one_hot(label: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(label, classes).to(torch.get_default_dtype())


def label_indices(fitted: Fitted, labels: Sequence[str]) -> Tensor:
    """Class indices of class names, (rows,); "3.0" is the class "3".

    Raises:
        OptionError: a name is not a class; the message suggests the nearest one. Or the label of
            the model is a number.
    """
    names = fitted.schema.class_names
    if labels and fitted.schema.target is not None:
        raise OptionError(
            "the label of this model is a number, and --label takes a class: leave it out; in "
            "Python, sample(y=...) takes numbers"
        )
    return torch.tensor([_index(label, names) for label in labels], dtype=torch.long)


def _index(label: str, names: Sequence[str]) -> int:
    """The index of a class: of its name, or of a name that is the same number."""
    if label in names:
        return names.index(label)
    with suppress(ValueError):
        whole = f"{float(label):.0f}"
        if whole in names and float(whole) == float(label):
            return names.index(whole)
    raise unknown("class", label, names)


def label_names(dataset: Dataset) -> tuple[str, ...] | None:
    """The class of each row by name, "" where unknown; None if no row has a class."""
    if dataset.label is None:
        return None
    names = (*dataset.schema.class_names, "")  # index -1 is the last
    return tuple(names[index] for index in dataset.label.tolist())


def class_column(fitted: Fitted, label: Tensor | None) -> dict[str, list[str]]:
    """The column with the class of each row; none without classes."""
    if label is None:
        return {}
    names = fitted.schema.class_names
    return {fitted.schema.label_column or "label": [names[index] for index in label.tolist()]}
