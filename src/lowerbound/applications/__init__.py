"""What a fitted model is put to: each task a frozen Request, one function and a Report.

One line per application, read without importing any of them. A new one is its file and its line
here; the command line and every other face show it from then on.
"""

from lowerbound.applications.base import APPLICATIONS, Application, Listing, Report, Reporter, load

__all__ = ["APPLICATIONS", "Application", "Listing", "Report", "Reporter", "load"]

APPLICATIONS.register("demo")(
    Listing(
        "lowerbound.applications.fit.demo", "the whole tour on digits that are at hand: no network"
    )
)
APPLICATIONS.register("schema")(
    Listing(
        "lowerbound.applications.fit.columns", "say what a table's columns hold, for you to correct"
    )
)
APPLICATIONS.register("fit")(
    Listing("lowerbound.applications.fit.fit", "fit a model to your data and write a model folder")
)
APPLICATIONS.register("evaluate")(
    Listing("lowerbound.applications.evaluate.evaluate", "say in nats how good a model is on data")
)
APPLICATIONS.register("sample")(
    Listing(
        "lowerbound.applications.generation.generation", "draw new rows: prior, then likelihood"
    )
)
APPLICATIONS.register("encode")(
    Listing("lowerbound.applications.generation.generation", "turn data into latent codes")
)
APPLICATIONS.register("decode")(
    Listing("lowerbound.applications.generation.generation", "turn latent codes into data")
)
APPLICATIONS.register("reconstruct")(
    Listing(
        "lowerbound.applications.generation.generation",
        "encode and decode data, with its uncertainty",
    )
)
APPLICATIONS.register("interpolate")(
    Listing(
        "lowerbound.applications.latent_space.paths",
        "walk from row to row: pictures, a film, or a table",
    )
)
APPLICATIONS.register("attributes")(
    Listing(
        "lowerbound.applications.latent_space.attributes",
        "add and subtract what labels tell: a smile",
    )
)
APPLICATIONS.register("arithmetic")(
    Listing("lowerbound.applications.latent_space.arithmetic", "reckon with codes: A - B + C")
)
APPLICATIONS.register("mix")(
    Listing(
        "lowerbound.applications.latent_space.mixing",
        "coarse levels or style of some rows, fine levels or class of others",
    )
)
APPLICATIONS.register("impute")(
    Listing(
        "lowerbound.applications.restoration.imputation",
        "fill missing cells, in-paint hidden pixels",
    )
)
APPLICATIONS.register("denoise")(
    Listing("lowerbound.applications.restoration.denoising", "take the noise off pictures and rows")
)
APPLICATIONS.register("detect")(
    Listing("lowerbound.applications.anomaly.detect", "find the odd rows, say how odd and why")
)
APPLICATIONS.register("classify")(
    Listing(
        "lowerbound.applications.labels.classify",
        "name the classes of rows, and which to label next",
    )
)
APPLICATIONS.register("predict")(
    Listing("lowerbound.applications.labels.predict", "predict a measurement of every row")
)
APPLICATIONS.register("compress")(
    Listing("lowerbound.applications.compression.compress", "write rows as a small file")
)
APPLICATIONS.register("decompress")(
    Listing("lowerbound.applications.compression.compress", "read such a file: the same rows")
)
APPLICATIONS.register("verify")(
    Listing(
        "lowerbound.applications.compression.compress",
        "check such a file, and that it decompresses",
    )
)
APPLICATIONS.register("compare")(
    Listing(
        "lowerbound.applications.compression.compress",
        "bytes of a model beside those of PNG, WebP, xz and so on",
    )
)
APPLICATIONS.register("info")(
    Listing(
        "lowerbound.applications.fit.info", "say what a model folder holds, its hashes verified"
    )
)
