"""What a fitted model is put to: each task a frozen Request, one function and a Report.

One line per application, read without importing any of them. A new one is its file and its line
here; the command line and every other face show it from then on.
"""

from lowerbound.applications.common.application import (
    APPLICATIONS,
    OTHER_FILES,
    Application,
    Listing,
    Report,
    Reporter,
    load,
)

__all__ = ["APPLICATIONS", "Application", "Listing", "Report", "Reporter", "load"]

_LISTINGS = {
    "demo": ("fit.demo", "the whole tour on digits that come along: no download"),
    "schema": ("fit.schema", "write down the kinds of a table's columns, for you to correct"),
    "fit": ("fit.fit", "fit a model to your data and write a model folder"),
    "evaluate": ("fit.evaluate", "measure in nats how good a model is on data"),
    "prior": (
        "generation.prior",
        "train a diffusion, flow or code prior on the latents of a model",
    ),
    "refiner": (
        "generation.refiner",
        "train a diffusion model that restores the detail of pictures",
    ),
    "edit": ("generation.edit", "give rows other attributes, such as a smile or no glasses"),
    "redraw": (
        "generation.redraw",
        "draw pictures anew near given ones, in whole or inside a mask",
    ),
    "predict-frames": ("generation.predict_frames", "predict the next frames of clips: a film"),
    "sample": ("generation.sample", "draw new rows: prior, then likelihood"),
    "encode": ("generation.codes", "turn data into latent codes"),
    "decode": ("generation.codes", "turn latent codes into data"),
    "reconstruct": ("generation.reconstruct", "encode and decode data, with its uncertainty"),
    "interpolate": (
        "generation.interpolate",
        "paths between rows in latent space: pictures, an animation or a table",
    ),
    "attributes": ("generation.attributes", "add and subtract attributes, such as a smile"),
    "arithmetic": ("generation.arithmetic", "latent arithmetic: A - B + C"),
    "mix": (
        "generation.mixing",
        "coarse levels or style of some rows, fine levels or class of others",
    ),
    "design": (
        "design.design",
        "search latent space for rows with a high score, and judge them truly",
    ),
    "imputer": ("restoration.imputer", "fit a model of a table that fills its missing cells"),
    "impute": ("restoration.impute", "fill missing cells, in-paint hidden pixels"),
    "denoise": ("restoration.denoise", "remove noise from pictures and rows"),
    "detect": ("anomaly.detect", "find odd rows, with p-values and explanations"),
    "classify": ("labels.classify", "predict the classes of rows, and suggest which to label next"),
    "predict": ("labels.predict", "predict a number for each row"),
    "audit": ("release.audit", "usefulness and privacy of a synthetic table, side by side"),
    "canaries": ("release.audit", "plant odd rows before training, for an audit to search for"),
    "compress": ("compression.compress", "write rows as a small file"),
    "decompress": ("compression.compress", "restore the rows of such a file"),
    "verify": ("compression.compress", "check such a file, and that it decompresses"),
    "compare": (
        "compression.compress",
        "compare bytes of a model with those of PNG, WebP, xz and so on",
    ),
    "synthesizer": (
        "release.synthesizer",
        "fit a model of a table that draws synthetic rows",
    ),
    "synthesize": (
        "release.synthesize",
        "write synthetic rows of a table, new ones or with given columns",
    ),
    "private-schema": (
        "release.private_schema",
        "measure ranges and categories of a table with noise",
    ),
    "private-table": (
        "release.private_table",
        "write synthetic rows of a table under differential privacy",
    ),
    "control collect": ("control.collect", "write episodes of an environment as clips"),
    "control train": ("control.train", "train an agent: in a world model, or by PPO"),
    "control evaluate": ("control.compare", "play episodes with a trained agent"),
    "control compare": ("control.compare", "compare trained agents at equal steps"),
    "control encode": ("control.video", "turn frames of clips into codes or states"),
    "control video": ("control.video", "film of truth, reconstruction, dream and error"),
    "export": ("interchange.export", "write a model for another program: diffusers, ONNX, torch"),
    "import": ("interchange.import_", "read an autoencoder of diffusers as a model"),
    "info": ("fit.info", "describe a model folder and verify its hashes"),
}
"""Command: (module in this package, the sentence in the list of commands)."""

for _name, (_module, _help) in _LISTINGS.items():
    APPLICATIONS.register(_name)(Listing(f"{__name__}.{_module}", _help))

OTHER_FILES[".lbz"] = f"{__name__}.compression.compressed_files"
