"""The reader of untrusted bytes: regular files, JSON, tensors."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from lowerbound import untrusted
from lowerbound.data import load
from lowerbound.errors import DataError, ModelFolderError


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders here")
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.csv")
    for path in (tmp_path / "x.csv", Path("/dev/zero")):
        with pytest.raises(ModelFolderError, match="is not a regular file"):
            untrusted.content(path, ModelFolderError)
    with pytest.raises(DataError, match="is a pipe, a device or a socket"):
        load(str(tmp_path / "x.csv"))
    with pytest.raises(ModelFolderError, match="is not a regular file"):
        untrusted.content(tmp_path, ModelFolderError)


def test_large_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(11))
    with pytest.raises(DataError, match="has 11 bytes; at most 10"):
        untrusted.content(tmp_path / "x", DataError, 10)
    assert len(untrusted.content(tmp_path / "x", DataError, 11)) == 11


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' is there twice"),
        ('{"a": NaN}', "NaN is no number of JSON"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ('{"a": 1e999}', "1e999 is too large"),
        ("[" * 100 + "]" * 100, "more than 64 levels deep"),
        ("[" * 100_000 + "]" * 100_000, "more than 64 levels deep"),
        ("9" * 5_000, "Exceeds the limit"),
        ('{"a": 1', "Expecting"),
        ("", "Expecting value"),
    ],
)
def test_json_is_refused(text: str, said: str) -> None:
    with pytest.raises(DataError, match=f"the file is damaged: .*{said}"):
        untrusted.parsed(text, "the file", DataError)
    with pytest.raises(DataError):
        untrusted.parsed(b"\xff" + text.encode(), "the file", DataError)


def test_json_with_repeated_keys_takes_linear_time() -> None:
    keys = [f'"{number}": 0' for number in range(100_000)]
    began = time.process_time()
    with pytest.raises(DataError, match="the key '99999' is there twice"):
        untrusted.parsed("{" + ", ".join([*keys, keys[-1]]) + "}", "it", DataError)
    assert time.process_time() - began < 3


def test_json_is_read() -> None:
    values = {"a": [1, 2.5, None, True, "é"], "b": {"c": {}}}
    assert untrusted.parsed_mapping(json.dumps(values), "it", DataError) == values
    with pytest.raises(DataError, match="is not a JSON object"):
        untrusted.parsed_mapping("[1]", "it", DataError)


def test_tensors_fill_their_file() -> None:
    content = save({"a": torch.arange(6.0).reshape(2, 3)}, {"k": "v"})
    assert untrusted.declared(content, "it", DataError) == {"a": untrusted.Stored("F32", (2, 3))}
    assert untrusted.metadata(content, "it", DataError) == {"k": "v"}
    assert torch.equal(
        untrusted.tensors(content, "it", DataError)["a"], torch.arange(6.0).view(2, 3)
    )
    for broken in (content[:-1], content + b"x", content[:4], b""):
        with pytest.raises(DataError, match="is damaged"):
            untrusted.tensors(broken, "it", DataError)
    large = content.replace(b"[2,3]", b"[9,9]")
    with pytest.raises(DataError, match="are not that of the file"):
        untrusted.declared(large, "it", DataError)


def test_only_faults_of_the_content_are_converted() -> None:
    with (
        pytest.raises(DataError, match="it is damaged: 'a' is missing"),
        untrusted.guarded("it", DataError),
    ):
        dict[str, int]()["a"]
    with pytest.raises(DataError, match="wrong type or size"), untrusted.guarded("it", DataError):
        len(None)  # type: ignore[arg-type]
    for kind in (FileNotFoundError, UserWarning, NameError, ModelFolderError):
        with pytest.raises(kind), untrusted.guarded("it", DataError):
            raise kind("as it is")
