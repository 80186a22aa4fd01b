"""Prompts for conditional priors: those of the rows of data, and the one that a user types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from torch import Tensor

from lowerbound.config import option
from lowerbound.data.dataset import Dataset
from lowerbound.data.prompts.attribute_files import captions_in_file, prompts_in_file
from lowerbound.data.prompts.captions import PhraseBook
from lowerbound.data.prompts.prompts import Prompts, prompts_of_classes, prompts_of_factors
from lowerbound.data.prompts.vocabulary import PromptVocabulary
from lowerbound.errors import OptionError
from lowerbound.fitting import Fitted

DATA, NAMES, PHRASES = "data", "names", ".json"


@dataclass(frozen=True)
class PromptOptions:
    """What a conditional prior is given of each row."""

    label: bool = option(False, "the class of each row is known to the prior")
    attributes: str = option(
        "",
        "attributes of each row are known to the prior: a csv or parquet file with a column for "
        "each attribute and a row for each row of the data, in its order or with a column of its "
        "names; or 'data', if the .npz data holds factors",
        metavar="FILE",
    )
    only: tuple[str, ...] = option(
        (), "use this attribute and no other; repeatable", metavar="NAME"
    )
    captions: str = option(
        "",
        "the prior learns to read captions: a .txt, csv or parquet file with one for each row; or "
        "a .json file of phrases, with which captions are made from the attributes; or 'names', "
        "for captions made from the names of the attributes",
        metavar="FILE",
    )


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
