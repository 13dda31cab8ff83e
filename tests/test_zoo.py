"""The catalogue of packaged networks and the check of their files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from ostrack import Network, Tracker, zoo
from ostrack.errors import NetworkError


def catalogue_of(folder: Path, *names: str, source: Path) -> None:
    """Lay out a folder as the package's own: one network under several names."""
    entries = []
    for name in names:
        content = source.read_bytes()
        (folder / f"{name}.onnx").write_bytes(content)
        weights = {"file": f"{name}.onnx", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        entries.append({"name": name, "onnx": weights, "licence": "MIT", "card": "Finds one colour.", "scores": {}})
    (folder / "catalogue.json").write_text(json.dumps({"format": 1, "networks": entries}))


@pytest.fixture
def folder(tmp_path: Path, blob_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    catalogue_of(tmp_path, "small", "large", source=blob_onnx)
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    return tmp_path


def test_the_packaged_catalogue_is_whole() -> None:
    for name in zoo.names():
        assert zoo.entry(name).card
        assert zoo.path(name, "onnx").is_file()
        if zoo.entry(name).safetensors is not None:
            assert zoo.path(name, "safetensors").is_file()
    if zoo.names():
        assert Network.load().name == str(zoo.path(zoo.default()))
    else:
        with pytest.raises(NetworkError, match="no network is packaged"):
            Tracker()


def test_the_first_network_is_the_default(folder: Path) -> None:
    assert zoo.names() == ["small", "large"]
    assert zoo.default() == "small"
    assert zoo.path("large") == folder / "large.onnx"
    assert Network.load().name == str(folder / "small.onnx")


def test_a_tracker_takes_names(folder: Path) -> None:
    frame = np.zeros((100, 120, 3), np.uint8)
    frame[40:60, 50:70, 1] = 255
    for tracker in (Tracker(), Tracker("large")):
        assert tracker.init(frame, (50, 40, 20, 20)).box == (50, 40, 20, 20)


def test_unknown_names_are_listed_against(folder: Path) -> None:
    with pytest.raises(NetworkError, match="no packaged network 'huge', there is small, large"):
        zoo.path("huge")
    with pytest.raises(FileNotFoundError, match=r"huge: neither a file nor a packaged network \(small, large\)"):
        Network.load("huge")
    with pytest.raises(NetworkError, match="small: no safetensors file is packaged"):
        zoo.path("small", "safetensors")
    with pytest.raises(NetworkError, match="kind 'pickle'"):
        zoo.path("small", "pickle")


def test_damaged_files_are_refused(folder: Path) -> None:
    file = folder / "small.onnx"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(NetworkError, match=rf"small\.onnx: damaged, {len(whole) - 1} bytes, expected {len(whole)}"):
        zoo.path("small")
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(NetworkError, match=r"small\.onnx: damaged, sha256"):
        zoo.path("small")
    file.unlink()
    with pytest.raises(NetworkError, match=r"small\.onnx: missing"):
        zoo.path("small")


def test_malformed_catalogues_name_the_key(folder: Path) -> None:
    file = folder / "catalogue.json"
    file.write_text(json.dumps({"format": 1, "networks": [{"name": "small"}]}))
    with pytest.raises(NetworkError, match=r"catalogue\.json: networks\.0\.onnx: Field required"):
        zoo.names()
    file.unlink()
    with pytest.raises(NetworkError, match=r"catalogue\.json: missing"):
        zoo.names()
