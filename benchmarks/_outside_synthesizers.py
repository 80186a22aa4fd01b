"""Synthesizers and reports of SDV, run by a Python of their own: their licence is not ours.

    python _outside_synthesizers.py synthesize SPEC
    python _outside_synthesizers.py score SPEC

SPEC is a JSON file. Both commands read ``rows`` (Parquet) with the columns ``columns``, name to
"numerical" or "categorical", and print one line of JSON.

- synthesize: fits ``method`` with ``options`` on the rows, writes ``count`` synthetic rows to
  ``made``, prints seconds. Everything that is not in ``options`` is the library's default.
- score: prints the overall scores of sdmetrics' QualityReport and DiagnosticReport of ``made``.

Nothing of lowerbound is imported here.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

Spec = dict[str, Any]
TABLE = "table"


def seconds(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What some work answers, and its seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    answer = work()
    return answer, {
        "wall": time.perf_counter() - wall,
        "processor": time.process_time() - processor,
    }


def metadata(columns: dict[str, str]) -> dict[str, Any]:
    """One table's columns in the form of both libraries."""
    described = {name: {"sdtype": kind} for name, kind in columns.items()}
    return {"tables": {TABLE: {"columns": described}}}


def synthesize(spec: Spec) -> dict[str, Any]:
    """Fit a method and write the rows that it draws."""
    import numpy as np
    import sdv
    import torch
    from sdv.metadata import Metadata
    from sdv.single_table import CTGANSynthesizer, GaussianCopulaSynthesizer, TVAESynthesizer

    methods = {
        "tvae": TVAESynthesizer,
        "ctgan": CTGANSynthesizer,
        "gaussian_copula": GaussianCopulaSynthesizer,
    }
    torch.set_num_threads(1)
    torch.manual_seed(spec["seed"])
    np.random.seed(spec["seed"])  # noqa: NPY002 - sdv draws from it
    rows = pd.read_parquet(spec["rows"])
    described = Metadata.load_from_dict(metadata(spec["columns"]))
    model = methods[spec["method"]](described, **spec["options"])
    _, fitting = seconds(lambda: model.fit({TABLE: rows}))
    made, sampling = seconds(lambda: model.sample(spec["count"]))
    made[TABLE].to_parquet(spec["made"])
    return {"fit": fitting, "sample": sampling, "library": f"sdv {sdv.__version__}"}


def score(spec: Spec) -> dict[str, Any]:
    """Overall scores of two reports."""
    import sdmetrics
    from sdmetrics.reports import DiagnosticReport, QualityReport

    real, made = ({TABLE: pd.read_parquet(spec[part])} for part in ("rows", "made"))
    found: dict[str, Any] = {"library": f"sdmetrics {sdmetrics.__version__}"}
    for name, report in (("quality", QualityReport()), ("diagnostic", DiagnosticReport())):
        report.generate(real, made, metadata(spec["columns"]), verbose=False)
        found[name] = report.get_score()
    return found


def main() -> None:
    warnings.simplefilter("ignore")
    command, place = sys.argv[1:]
    spec = json.loads(Path(place).read_text(encoding="utf-8"))
    print(json.dumps({"synthesize": synthesize, "score": score}[command](spec)))


if __name__ == "__main__":
    main()
