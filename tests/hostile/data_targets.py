"""Data of more kinds, whose parts a stranger may write by hand: codes, clips, shards, workbooks."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.hostile import containers
from tests.hostile.mutations import changed_bytes, changed_cells
from tests.hostile.targets import MODELS, Generator, Reader, reading, target

one_of = containers.one_of
CACHE = "XDG_CACHE_HOME"


# arrays ------------------------------------------------------------------------------------------


@target
def codes(place: Path, rng: Generator) -> Reader:
    """Codes of rows, as ``lowerbound decode`` takes them."""
    from lowerbound.applications.common.application import Silent, load
    from lowerbound.applications.generation.requests import DecodeRequest

    fitted, named = _coded()[int(rng.integers(len(_coded())))]
    suffix = str(one_of((".npz", ".npz", ".csv", ".parquet"), rng))
    path = place / f"z{suffix}"
    if suffix == ".npz":
        path.write_bytes(containers.changed_arrays(named, rng))
    elif suffix == ".csv":
        path.write_bytes(changed_cells(_as_table(named).to_csv(index=False).encode(), rng))
    else:
        _as_table(named).to_parquet(path)
        path.write_bytes(changed_bytes(path.read_bytes(), rng))
    request = DecodeRequest(model="", codes=str(path), output=str(place / "x.npz"))
    return lambda: load("decode")(request, Silent(), fitted)


@target
def frame_clips(place: Path, rng: Generator) -> Reader:
    """Frames of episodes, with actions and rewards."""
    from lowerbound.data import read_frame_clips

    path = place / "x.npz"
    path.write_bytes(containers.changed_arrays(_episodes(), rng))
    return lambda: read_frame_clips(path)


@target
def sequences(place: Path, rng: Generator) -> Reader:
    """Windows of such frames."""
    from lowerbound.data import load
    from lowerbound.data.sequences.windows import Windows

    path, length = place / "x.npz", int(rng.integers(1, 5))
    path.write_bytes(containers.changed_arrays(_episodes(), rng))
    return lambda: load(str(path), windows=Windows(length, length))


# sound -------------------------------------------------------------------------------------------


@target
def clips(place: Path, rng: Generator) -> Reader:
    """A folder of clips, one of which is changed, as rows or as spectrograms."""
    from lowerbound.data import load

    intact = one_of(_waves(), rng)
    (folder := place / "clips" / "a").mkdir(parents=True)
    (folder / "0.wav").write_bytes(intact)
    (folder / "1.wav").write_bytes(containers.changed_chunks(intact, rng))
    spectrograms = bool(rng.random() < 0.3)
    return lambda: load(str(place / "clips"), spectrograms=spectrograms)


# shards ------------------------------------------------------------------------------------------


@target
def shards(place: Path, rng: Generator) -> Reader:
    """A tar file of pictures: long names, extended headers, sparse files; packed or not."""
    from lowerbound.data import load

    content = containers.changed_tar(one_of(_shards(), rng), rng)
    if rng.random() < 0.2:
        path = place / "x.tar.gz"
        path.write_bytes(changed_bytes(gzip.compress(content, 1), rng))
    else:
        path = place / "x.tar"
        path.write_bytes(content)

    def read() -> object:
        with mock.patch.dict(os.environ, {CACHE: str(place / "cache")}):
            return load(str(path))

    return read


# tables ------------------------------------------------------------------------------------------


@target
def workbook_parts(place: Path, rng: Generator) -> Reader:
    """A workbook of Excel, made by hand."""
    path = place / "x.xlsx"
    path.write_bytes(containers.changed_archive(_excel(), rng, containers.changed_xml))
    return reading(path)


@target
def open_document(place: Path, rng: Generator) -> Reader:
    """A workbook of LibreOffice, made by hand."""
    path = place / "x.ods"
    path.write_bytes(containers.changed_archive(_open_document(), rng, containers.changed_xml))
    return reading(path)


@target
def nested_parquet(place: Path, rng: Generator) -> Reader:
    """Columns of lists, mappings, dictionaries and other rare types; some of them, or bytes."""
    path = place / "x.parquet"
    if rng.random() < 0.5:
        path.write_bytes(changed_bytes(one_of(_nested_files(), rng), rng))
    else:
        path.write_bytes(_rare_table(rng))
    return reading(path)


# intact content ----------------------------------------------------------------------------------


@cache
def _coded() -> list[tuple[Any, dict[str, Any]]]:
    """Fitted models, and codes for each: numbers, with classes, and codes of a book."""
    from lowerbound.fitting.folder import read
    from lowerbound.inference.codes import numbers_of
    from lowerbound.models import Quantizes

    found = []
    for name in ("table", "conditional", "codes"):
        fitted = read(MODELS / name, "cpu")
        model: Any = fitted.model
        quantizes = isinstance(model, Quantizes)
        width = numbers_of(model) if quantizes else model.latent_dim
        z = np.zeros((5, width), np.int64) if quantizes else np.ones((5, width), np.float32)
        named: dict[str, Any] = {"id": np.arange(5).astype(str), "z": z}
        if fitted.options.model.conditional:
            named["label"] = np.array([fitted.schema.class_names[0]] * 5)
        found.append((fitted, named))
    return found


def _as_table(named: dict[str, Any]) -> Any:
    import pandas as pd

    columns = {f"z{i + 1}": column for i, column in enumerate(named["z"].T)}
    return pd.DataFrame({**{k: v for k, v in named.items() if k != "z"}, **columns})


@cache
def _episodes() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "frames": rng.integers(0, 256, (24, 4, 4)).astype(np.uint8),
        "episode": np.repeat([0, 1, 2], 8),
        "action": rng.integers(0, 3, 24),
        "reward": rng.normal(size=24),
        "terminated": np.arange(24) % 8 == 7,
        "action_classes": np.array(3),
    }


@cache
def _waves() -> list[bytes]:
    rng = np.random.default_rng(0)
    floats = rng.uniform(-0.5, 0.5, 600)
    whole = (floats * 2**15).astype("<i2").tobytes()
    return [
        containers.wave_file(whole, 1, 16),
        containers.wave_file(whole, 1, 16, channels=2),
        containers.wave_file(whole, 1, 8),
        containers.wave_file(whole, 1, 24),
        containers.wave_file(floats.astype("<f4").tobytes(), 3, 32),
        containers.wave_file(floats.astype("<f8").tobytes(), 3, 64),
    ]


@cache
def _shards() -> list[bytes]:
    """In three forms of tar files, with names too long for a header, and one with sparse files."""
    found = [
        _shard(form) for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    ]
    return [*found, _sparse_shard()]


def _shard(form: int, change: Callable[[tarfile.TarInfo, int], None] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for number in range(3):
            folder = "" if form == tarfile.USTAR_FORMAT else f"{'long' * 30}/"
            for suffix, content in (("png", _picture(number)), ("cls", b"a")):
                member = tarfile.TarInfo(f"{folder}{number:03}.{suffix}")
                member.size = len(content)
                if form == tarfile.PAX_FORMAT:
                    member.pax_headers = {"comment": "é" * 40, "mtime": "1.5"}
                if change is not None:
                    change(member, number)
                archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "000.png"
        archive.addfile(link)
    return out.getvalue()


def _sparse_shard() -> bytes:
    """Pictures as sparse files without a hole, in the form 0.0 of extended headers."""

    def sparse(member: tarfile.TarInfo, number: int) -> None:
        size = str(member.size)
        member.pax_headers = {
            **member.pax_headers,
            "GNU.sparse.size": size,
            "GNU.sparse.numblocks": "1",
            "GNU.sparse.offset": "0",
            "GNU.sparse.numbytes": size,
        }

    return _shard(tarfile.PAX_FORMAT, sparse)


@cache
def _picture(number: int) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (5, 4)).astype(np.uint8)
    Image.fromarray(pixels).save(out, "png")
    return out.getvalue()


RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
SHEETS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OASIS = "urn:oasis:names:tc:opendocument:xmlns"
XML = '<?xml version="1.0" encoding="UTF-8"?>'


@cache
def _excel() -> dict[str, bytes]:
    """Numbers, shared and own texts, dates, truths, an error, a formula and merged cells."""
    rows = [
        f'<row r="{n}"><c r="A{n}"><v>{n * 1.5}</v></c><c r="B{n}" t="s"><v>{n % 2 + 3}</v></c>'
        f'<c r="C{n}" s="1"><v>{44000 + n}</v></c><c r="D{n}" t="b"><v>{n % 2}</v></c>'
        f'<c r="E{n}" t="inlineStr"><is><t>{"ab"[n % 2]}</t></is></c>'
        f'<c r="F{n}"><f>A{n}*2</f><v>{n * 3}</v></c></row>'
        for n in range(2, 9)
    ]
    names = "".join(
        f'<c r="{column}1" t="s"><v>{place}</v></c>'
        if place < 3
        else f'<c r="{column}1" t="inlineStr"><is><t>{column}</t></is></c>'
        for place, column in enumerate("ABCDEF")
    )
    office = f"{RELATIONS}/officeDocument"
    types = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" '
        f'ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="{types}'
        '.sheet.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" '
        f'Type="{office}" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{SHEETS}" xmlns:r="{RELATIONS}"><workbookPr/><sheets>'
        '<sheet name="one" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="r2" Type="{RELATIONS}/sharedStrings" Target="sharedStrings.xml"/>'
        f'<Relationship Id="r3" Type="{RELATIONS}/styles" Target="styles.xml"/></Relationships>',
        "xl/sharedStrings.xml": f'<sst xmlns="{SHEETS}" count="5" uniqueCount="5"><si><t>A</t></si>'
        "<si><t>B</t></si><si><t>C</t></si><si><r><t>x</t></r></si><si><t>y</t></si></sst>",
        "xl/styles.xml": f'<styleSheet xmlns="{SHEETS}"><numFmts count="1"><numFmt numFmtId="164" '
        'formatCode="yyyy-mm-dd"/></numFmts><cellXfs count="2"><xf numFmtId="0"/>'
        '<xf numFmtId="164"/></cellXfs></styleSheet>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{SHEETS}"><dimension ref="A1:F8"/>'
        f'<sheetData><row r="1">{names}</row>{"".join(rows)}</sheetData><mergeCells count="1">'
        '<mergeCell ref="A20:B21"/></mergeCells></worksheet>',
    }
    return {name: (XML + text).encode() for name, text in parts.items()}


@cache
def _open_document() -> dict[str, bytes]:
    def cell(kind: str, value: str, text: str) -> str:
        told = f'office:value-type="{kind}" {value}'
        return f"<table:table-cell {told}><text:p>{text}</text:p></table:table-cell>"

    names = "".join(cell("string", "", name) for name in "abcd")
    rows = "".join(
        "<table:table-row>"
        + cell("float", f'office:value="{n * 1.5}"', f"{n * 1.5}")
        + cell("string", "", "xy"[n % 2])
        + cell("date", f'office:date-value="2020-01-0{n + 1}"', f"0{n + 1}.01.20")
        + cell("boolean", f'office:boolean-value="{("true", "false")[n % 2]}"', "?")
        + '<table:table-cell table:number-columns-repeated="2"/></table:table-row>'
        for n in range(7)
    )
    spaces = " ".join(f'xmlns:{name}="{OASIS}:{name}:1.0"' for name in ("office", "table", "text"))
    content = (
        f"{XML}<office:document-content {spaces}><office:body><office:spreadsheet><table:table "
        f'table:name="one"><table:table-column table:number-columns-repeated="4"/><table:table-row>'
        f'{names}</table:table-row>{rows}<table:table-row table:number-rows-repeated="3">'
        '<table:table-cell table:number-columns-repeated="4"/></table:table-row></table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = (
        f'{XML}<manifest:manifest xmlns:manifest="{OASIS}:manifest:1.0"><manifest:file-entry '
        f'manifest:full-path="/" manifest:media-type="{kind}"/></manifest:manifest>'
    )
    return {
        "mimetype": kind.encode(),
        "META-INF/manifest.xml": manifest.encode(),
        "content.xml": content.encode(),
    }


@cache
def _rare_columns() -> dict[str, Any]:
    """A column of each rare type, 12 rows long."""
    import pyarrow as pa

    whole = list(range(12))
    few = [["a", "b", None][i % 3] for i in whole]
    made = {
        "list": pa.array([[i] * (i % 3) for i in whole]),
        "large_list": pa.array([[str(i)] for i in whole], pa.large_list(pa.string())),
        "fixed_list": pa.array([[i, i] for i in whole], pa.list_(pa.int8(), 2)),
        "struct": pa.array([{"x": i, "y": {"z": str(i)}} for i in whole]),
        "map": pa.array([[("k", i)] for i in whole], pa.map_(pa.string(), pa.int64())),
        "dictionary": pa.array(few).dictionary_encode(),
        "numbers": pa.array([i % 4 for i in whole]).dictionary_encode(),
        "large_text": pa.array(few, pa.large_string()),
        "bytes": pa.array([b"\xff\0", b"a", None] * 4),
        "large_bytes": pa.array([b"a", b"", None] * 4, pa.large_binary()),
        "fixed_bytes": pa.array([b"ab"] * 12, pa.binary(2)),
        "decimal": pa.array(whole, pa.decimal128(20, 4)),
        "large_decimal": pa.array(whole, pa.decimal256(60, 2)),
        "half": pa.array(np.arange(12, dtype=np.float16)),
        "time": pa.array(whole, pa.time64("us")),
        "short_time": pa.array(whole, pa.time32("s")),
        "duration": pa.array(whole, pa.duration("ms")),
        "zoned": pa.array(whole, pa.timestamp("us", "Europe/Berlin")),
        "far": pa.array([2**60 + i for i in whole], pa.timestamp("ms")),
        "day": pa.array(whole, pa.date32()),
        "unsigned": pa.array([2**64 - 1 - i for i in whole], pa.uint64()),
        "null": pa.nulls(12),
        "truth": pa.array([True, False, None] * 4),
        "plain": pa.array([i * 0.5 for i in whole]),
    }
    return dict(made)


def _rare_table(rng: Generator) -> bytes:
    """Some columns, in any order, with missing cells, odd names, few rows or a name twice."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = _rare_columns()
    chosen = [str(name) for name in rng.choice(list(columns), int(rng.integers(0, 6)), False)]
    rows = int(one_of((0, 1, 2, 12, 12, 12), rng))
    arrays = [_with_gaps(columns[name], rng).slice(0, rows) for name in chosen]
    if rng.random() < 0.2 and chosen:
        odd = ("", " ", "a.b", "é", "\0", "list", "=x", "a" * 3_000)
        chosen[int(rng.integers(len(chosen)))] = str(one_of(odd, rng))
    out = io.BytesIO()
    packing = str(one_of(("snappy", "none", "zstd", "gzip"), rng))
    table = pa.Table.from_arrays(arrays, names=chosen)
    groups = int(rng.integers(1, 13))
    pq.write_table(table, out, compression=packing, row_group_size=groups)
    return out.getvalue()


def _with_gaps(column: Any, rng: Generator) -> Any:
    import pyarrow as pa

    how = rng.random()
    if how < 0.6:
        return column
    if how < 0.7:
        return pa.nulls(len(column), column.type)
    return column.take(pa.array([i if rng.random() < 0.7 else None for i in range(len(column))]))


@cache
def _nested_files() -> list[bytes]:
    """Small files, so that a changed byte is often one of the footer; lists and mappings in cells
    are refused, and the first file is read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found, kinds = [], ("dictionary", "list", "struct", "map", "decimal")
    for name in kinds:
        out = io.BytesIO()
        pq.write_table(pa.table({each: _rare_columns()[each] for each in (name, "plain")}), out)
        found.append(out.getvalue())
    return found
