"""A new codec is one class: commands use it without knowing of it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lowerbound.applications.common.application import Reporter
from lowerbound.applications.compression import container, header
from lowerbound.applications.compression.codec import (
    CODECS,
    Codec,
    CodecRate,
    CompareReport,
    CompressReport,
    Output,
)
from lowerbound.applications.compression.container import Container
from lowerbound.applications.compression.lossless import Progress
from lowerbound.applications.compression.requests import (
    CodecRequest,
    CompareRequest,
    CompressRequest,
    output_file,
)
from lowerbound.data import load
from lowerbound.fitting import Fitted
from lowerbound.models import ProbabilisticPrincipalComponents
from tests.cli.conftest import Run, fitted

pytest.importorskip("constriction", reason="pip install 'lowerbound[compress]'")
KIND = "deflated"


class DeflatedRows(Codec):
    """Rows in model units as zlib makes them smaller; the model is not asked."""

    takes = "rows by pca"

    def serves(self, request: CodecRequest, fitted: Fitted) -> bool:
        return isinstance(fitted.model, ProbabilisticPrincipalComponents)

    def write(self, request: CompressRequest, fitted: Fitted, reporter: Reporter) -> CompressReport:
        path, x = output_file(request), rows(request, fitted)
        chunk = (zlib.compress(x.tobytes()), zlib.crc32(x.tobytes()))
        container.write(path, KIND, bytes(8), x.shape, b"", [chunk])
        return CompressReport.of([path], x.nbytes, f"{len(x)} rows", "few", [], rows=len(x))

    def decode(self, file: Container, folder: Path, progress: Progress | None) -> np.ndarray:
        content = zlib.decompress(file.payload(0))
        file.check_symbols(0, content)
        return np.frombuffer(content, np.float32).reshape(file.header.shape)

    def decompress(
        self, file: Container, folder: Path, output: Output, progress: Progress | None
    ) -> tuple[int, Sequence[str]]:
        x = self.decode(file, folder, progress)
        np.save(output.path, x)
        return len(x), [str(output.path)]

    def compare(self, request: CompareRequest, fitted: Fitted, reporter: Reporter) -> CompareReport:
        size = len(zlib.compress(rows(request, fitted).tobytes()))
        rate = CodecRate("lowerbound", size, {"how": "one file"}, "one file")
        return CompareReport({"sizes": [rate.to_mapping()]}, (rate.words,))


def rows(request: CodecRequest, fitted: Fitted) -> np.ndarray:
    return load(request.source, schema=fitted.schema).all().filled.float().numpy()


@pytest.fixture
def model(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(CODECS._parts, KIND, DeflatedRows)
    monkeypatch.setattr(header, "KINDS", {**header.KINDS, KIND: 200})
    return fitted(pictures, tmp_path / "pca", "--model", "pca")


def test_every_command_takes_it(run: Run, model: Path, pictures: Path, tmp_path: Path) -> None:
    file, back = tmp_path / "x.lbz", tmp_path / "x.npy"
    report = run("compress", model, pictures, "-o", file, "--json").object
    assert (report["rows"], report["bytes"]) == (60, file.stat().st_size)
    assert run("info", file, "--json").object["kind"] == KIND
    assert run("verify", file, "--model", model, "--json").object["decoded"] is True
    assert run("decompress", model, file, "-o", back, "--json").object["files"] == [str(back)]
    assert np.load(back).shape == (60, 1, 6, 5)
    (own,) = run("compare", model, pictures, "--json").object["sizes"]
    assert own == {"codec": "lowerbound", "bytes": own["bytes"], "how": "one file"}


@pytest.mark.parametrize("words", [("--part", "test"), ("--codebooks", "2"), ("--quality", "9")])
def test_options_that_it_does_not_take_are_refused(
    run: Run, model: Path, pictures: Path, tmp_path: Path, words: tuple[str, str]
) -> None:
    refused = run("compress", model, pictures, "-o", tmp_path / "x.lbz", *words)
    assert refused.code == 2
    assert f"this is rows by pca: leave {words[0]} out" in refused.err


def test_without_it_the_model_is_refused_by_what_there_is(
    run: Run, model: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(CODECS._parts, KIND)
    refused = run("compress", model, pictures, "-o", tmp_path / "x.lbz")
    assert refused.code == 2
    for codec in CODECS:
        assert CODECS[codec].takes in refused.err


def test_every_kind_of_file_has_a_codec() -> None:
    assert set(CODECS) == set(header.KINDS)
