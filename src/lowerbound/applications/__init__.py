"""What a fitted model is put to: each task a frozen Request, one function and a Report.

One line per application, read without importing any of them. A new one is its file, its request and
its line here; the command line and every other face show it from then on.
"""

import re

from lowerbound.applications.common.application import (
    APPLICATIONS,
    OTHER_FILES,
    Application,
    Listing,
    Report,
    Reporter,
    load,
    request_of,
)

__all__ = ["APPLICATIONS", "Application", "Listing", "Report", "Reporter", "load", "request_of"]

_LISTINGS = {
    "demo": ("fit.demo:DemoRequest", "the whole tour on digits that come along: no download"),
    "schema": (
        "fit.schema:SchemaRequest",
        "write down the kinds of a table's columns, for you to correct",
    ),
    "fit": ("fit.fit:FitRequest", "fit a model to your data and write a model folder"),
    "evaluate": ("fit.evaluate:EvaluateRequest", "measure in nats how good a model is on data"),
    "prior": (
        "generation.prior:PriorRequest",
        "train a diffusion, flow or code prior on the latents of a model",
    ),
    "refiner": (
        "generation.refiner:RefinerRequest",
        "train a diffusion model that restores the detail of pictures",
    ),
    "edit": (
        "generation.edit:EditRequest",
        "give rows other attributes, such as a smile or no glasses",
    ),
    "redraw": (
        "generation.redraw:RedrawRequest",
        "draw pictures anew near given ones, in whole or inside a mask",
    ),
    "predict-frames": (
        "generation.predict_frames:FramesRequest",
        "predict the next frames of clips: a film",
    ),
    "sample": ("generation.sample:SampleRequest", "draw new rows: prior, then likelihood"),
    "encode": ("generation.codes:EncodeRequest", "turn data into latent codes"),
    "decode": ("generation.codes:DecodeRequest", "turn latent codes into data"),
    "reconstruct": (
        "generation.reconstruct:ReconstructRequest",
        "encode and decode data, with its uncertainty",
    ),
    "interpolate": (
        "generation.interpolate:InterpolateRequest",
        "paths between rows in latent space: pictures, an animation or a table",
    ),
    "attributes": (
        "generation.attributes:AttributesRequest",
        "add and subtract attributes, such as a smile",
    ),
    "arithmetic": ("generation.arithmetic:ArithmeticRequest", "latent arithmetic: A - B + C"),
    "mix": (
        "generation.mixing:MixRequest",
        "coarse levels or style of some rows, fine levels or class of others",
    ),
    "design": (
        "design.design:DesignRequest",
        "search latent space for rows with a high score, and judge them truly",
    ),
    "imputer": (
        "restoration.imputer:ImputerRequest",
        "fit a model of a table that fills its missing cells",
    ),
    "impute": ("restoration.impute:ImputeRequest", "fill missing cells, in-paint hidden pixels"),
    "denoise": ("restoration.denoise:DenoiseRequest", "remove noise from pictures and rows"),
    "detect": ("anomaly.detect:DetectRequest", "find odd rows, with p-values and explanations"),
    "classify": (
        "labels.classify:ClassifyRequest",
        "predict the classes of rows, and suggest which to label next",
    ),
    "predict": ("labels.predict:PredictRequest", "predict a number for each row"),
    "audit": (
        "release.audit:AuditRequest",
        "usefulness and privacy of a synthetic table, side by side",
    ),
    "canaries": (
        "release.audit:CanariesRequest",
        "plant odd rows before training, for an audit to search for",
    ),
    "compress": ("compression.compress:CompressRequest", "write rows as a small file"),
    "decompress": ("compression.compress:DecompressRequest", "restore the rows of such a file"),
    "verify": ("compression.compress:VerifyRequest", "check such a file, and that it decompresses"),
    "compare": (
        "compression.compress:CompareRequest",
        "compare bytes of a model with those of PNG, WebP, xz and so on",
    ),
    "synthesizer": (
        "release.synthesizer:SynthesizerRequest",
        "fit a model of a table that draws synthetic rows",
    ),
    "synthesize": (
        "release.synthesize:SynthesizeRequest",
        "write synthetic rows of a table, new ones or with given columns",
    ),
    "private-schema": (
        "release.private_schema:PrivateSchemaRequest",
        "measure ranges and categories of a table with noise",
    ),
    "private-table": (
        "release.private_table:PrivateTableRequest",
        "write synthetic rows of a table under differential privacy",
    ),
    "control collect": (
        "control.collect:CollectRequest",
        "write episodes of an environment as clips",
    ),
    "control train": (
        "control.train:TrainAgentRequest",
        "train an agent: in a world model, or by PPO",
    ),
    "control evaluate": (
        "control.compare:EvaluateAgentRequest",
        "play episodes with a trained agent",
    ),
    "control compare": (
        "control.compare:CompareAgentsRequest",
        "compare trained agents at equal steps",
    ),
    "control encode": (
        "control.video:EncodeClipsRequest",
        "turn frames of clips into codes or states",
    ),
    "control video": (
        "control.video:VideoRequest",
        "film of truth, reconstruction, dream and error",
    ),
    "export": (
        "interchange.export:ExportRequest",
        "write a model for another program: diffusers, ONNX, torch",
    ),
    "import": ("interchange.import_:ImportRequest", "read an autoencoder of diffusers as a model"),
    "info": ("fit.info:InfoRequest", "describe a model folder and verify its hashes"),
}
"""Command: (module in this package, and the request, which is in ``requests`` beside it; the
sentence in the list of commands)."""

for _name, (_place, _help) in _LISTINGS.items():
    _room, _module, _request = re.split("[.:]", _place)
    _room = f"{__name__}.{_room}"
    _listing = Listing(f"{_room}.{_module}", f"{_room}.requests.{_request}", _help)
    APPLICATIONS.register(_name)(_listing)

OTHER_FILES[".lbz"] = f"{__name__}.compression.compressed_files"
