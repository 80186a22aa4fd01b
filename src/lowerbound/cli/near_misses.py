"""What an unknown command or option may have meant: by its meaning, by parts, by its spelling."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from lowerbound.applications import APPLICATIONS
from lowerbound.applications.form import Entry

LISTS_PARTS = "fit"  # the command whose help lists the registered parts
FAMILIES = ("model", "network", "likelihood", "prior", "posterior", "objective")  # of these parts
MOST_PARTS = 3  # that a message names
NEAR, NEAREST = 0.7, 0.8  # likeness of spellings; the two dashes alone are a part of it
DEVICES: Mapping[str, str] = {  # what --device takes, by words that may be typed instead
    **dict.fromkeys(("gpu", "cuda"), "cuda"),
    **dict.fromkeys(("cpu", "processor"), "cpu"),
    **dict.fromkeys(("mps", "metal"), "mps"),
    **dict.fromkeys(("accelerator", "devices", "device"), "auto"),
}

# Words of the field that spelling does not lead from to the name here.
COMMANDS: Mapping[str, str] = {
    **dict.fromkeys(("train", "learn", "build"), "fit"),
    **dict.fromkeys(("generate", "draw"), "sample"),
    **dict.fromkeys(("eval", "test", "score", "measure"), "evaluate"),
    **dict.fromkeys(("embed", "transform", "codes"), "encode"),
    **dict.fromkeys(("recon", "rebuild", "autoencode"), "reconstruct"),
    **dict.fromkeys(("anomaly", "anomalies", "outliers"), "detect"),
    **dict.fromkeys(("fill", "inpaint", "complete"), "impute"),
    **dict.fromkeys(("zip", "pack"), "compress"),
    **dict.fromkeys(("unzip", "unpack"), "decompress"),
    **dict.fromkeys(("show", "describe", "inspect", "summary"), "info"),
    **dict.fromkeys(("morph", "walk", "traverse"), "interpolate"),
    **dict.fromkeys(("regress", "forecast"), "predict"),
}
OPTIONS: Mapping[str, str] = {
    **dict.fromkeys(("lr", "rate", "step_size"), "learning_rate"),
    **dict.fromkeys(("latents", "z", "z_dim", "zdim", "z_size", "code_size", "dim"), "latent_dim"),
    **dict.fromkeys(("bs", "minibatch"), "batch_size"),
    **dict.fromkeys(("target", "y", "class", "labels"), "label"),
    **dict.fromkeys(("arch", "architecture", "encoder", "decoder"), "network"),
    **dict.fromkeys(("kl_weight", "kl"), "beta"),
    **dict.fromkeys(("n", "count", "num"), "number"),
    **dict.fromkeys(("k", "iwae"), "samples"),
    **dict.fromkeys(("loss",), "objective"),
    **dict.fromkeys(("val", "dev", "validation_split"), "validation"),
    **dict.fromkeys(("holdout", "test_size", "test_split"), "test"),
    **dict.fromkeys(("early_stopping",), "patience"),
    **dict.fromkeys(("force", "replace"), "overwrite"),
    **dict.fromkeys(("continue", "restart"), "resume"),
    **dict.fromkeys(("jobs", "workers", "num_workers", "cores"), "threads"),
    **dict.fromkeys(("random_state",), "seed"),
    **dict.fromkeys(("size", "resolution"), "image_size"),
    **dict.fromkeys(("time_limit", "max_time"), "minutes"),
    **dict.fromkeys(("steps", "iterations"), "updates"),
    **dict.fromkeys(("units",), "hidden"),
}


def meant_command(word: str) -> str:
    """What to do instead of the unknown command ``word``."""
    known = COMMANDS.get(word.lower())
    if known is None and (found := _listed_parts(word.lower())):
        return found
    close = [known] if known else difflib.get_close_matches(word, list(APPLICATIONS), 1, 0.5)
    return f"did you mean: lowerbound {close[0]}?" if close else "see lowerbound --help"


def _listed_parts(word: str) -> str:
    """Where the parts are listed whose family is ``word``, such as models; "" if it is none."""
    family = word.removesuffix("s")
    if family not in FAMILIES:  # other words need not wait for torch
        return ""
    from lowerbound.cli.forms import form_of

    form = {entry.name: entry for entry in form_of(LISTS_PARTS)}
    return (
        f"lowerbound {LISTS_PARTS} --help-all lists what {form[family].flag} takes: "
        f"{', '.join(form[family].choices)}"
    )


def meant_option(
    word: str, words: Sequence[str], form: Sequence[Entry], flags: Sequence[str]
) -> str:
    """What to do instead of the unknown option ``word``; "" if nothing is near it.

    Args:
        word: the option, with its value if one follows after "=".
        words: all words after the command.
        form: the entries of the command.
        flags: all flags of the command.
    """
    flag, equals, value = word.partition("=")
    name = flag.lstrip("-").replace("-", "_").lower()
    if name in DEVICES:
        if "--device" not in flags:
            return "this command computes on the processor"
        return f"did you mean --device {DEVICES[name]}?"
    settings = _settings(form)
    meant = OPTIONS.get(name, "")
    by_name = {entry.flag.removeprefix("--").replace("-", "_"): entry.flag for entry in form}
    if meant in by_name:
        return f"did you mean {by_name[meant]}?"
    for setting in (name, meant):
        if setting in settings:
            return _as_setting(settings[setting], value if equals else _after(word, words))
    for known, cutoff in ((flags, NEAREST), (list(settings), NEAREST), (flags, NEAR)):
        if close := difflib.get_close_matches(flag if known is flags else name, known, 1, cutoff):
            if known is flags:
                return f"did you mean {close[0]}?"
            return _as_setting(settings[close[0]], value if equals else _after(word, words))
    return ""


def _settings(form: Sequence[Entry]) -> dict[str, dict[str, list[str]]]:
    """The options of parts: name -> {what is typed after --set: the parts that have it}."""
    found: dict[str, dict[str, list[str]]] = {}
    for entry in form:
        if entry.part_options is None:
            continue
        for family, parts in entry.part_options().items():
            for part, names in parts.items():
                for name in names:
                    typed = f"{entry.flag} {family}.{name}" if family else f"{entry.flag} {name}"
                    found.setdefault(name, {}).setdefault(typed, []).append(part)
    return found


def _as_setting(found: Mapping[str, Sequence[str]], value: str) -> str:
    """The settings that an option may have meant, with the parts that have it."""
    shown = [
        f"{typed}={value}" + (f" (of {', '.join(parts)})" if len(parts) <= MOST_PARTS else "")
        for typed, parts in found.items()
    ]
    return f"did you mean {' or '.join(shown[:MOST_PARTS])}?"


def _after(word: str, words: Sequence[str]) -> str:
    """The value that follows an option."""
    following = words[words.index(word) + 1 :] if word in words else ()
    return following[0] if following and not following[0].startswith("--") else "VALUE"
