"""The networks that travel with the package: their catalogue, and their files checked before use.

``catalogue.json`` beside this file lists them; the files lie beside it too. Any folder laid out the same way is a
:class:`Catalogue`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ostrack.errors import NetworkError

__all__ = ["FOLDER", "Catalogue", "Entry", "WeightFile", "default", "entry", "names", "path"]

FOLDER = Path(__file__).parent

_checked: set[tuple[Path, int, int]] = set()


class WeightFile(BaseModel):
    """One file of a network.

    Attributes:
        file: Name within the catalogue's folder.
        sha256: Hexadecimal digest of its content.
        bytes: Its size.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    sha256: str
    bytes: int


class Entry(BaseModel):
    """One packaged network.

    Attributes:
        name: What the user calls it by.
        onnx: The exported network.
        safetensors: The torch weights it was exported from, where they are packaged.
        licence: Licence of the weights, and any limit on their use.
        card: Where they come from and what they were trained on, in a few sentences.
        scores: Measured figures by name, such as ``{"sequences success AUC": 0.6}``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    onnx: WeightFile
    safetensors: WeightFile | None = None
    licence: str
    card: str
    scores: dict[str, float] = {}


class Catalogue(BaseModel):
    """The networks of one folder; the first is the default.

    Attributes:
        format: Version of the file's layout.
        networks: The entries.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    networks: tuple[Entry, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Catalogue:
        """Read ``catalogue.json`` of a folder.

        Raises:
            NetworkError: It is missing or malformed.
        """
        file = folder / "catalogue.json"
        try:
            return cls.model_validate_json(file.read_bytes())
        except FileNotFoundError as error:
            raise NetworkError(f"{file}: missing, the installation is incomplete") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise NetworkError(f"{file}: {where}: {first['msg']}") from error

    def entry(self, name: str) -> Entry:
        """The entry of a name.

        Raises:
            NetworkError: There is none.
        """
        for found in self.networks:
            if found.name == name:
                return found
        raise NetworkError(
            f"no packaged network {name!r}, there is {', '.join(e.name for e in self.networks) or 'none'}"
        )


def names() -> list[str]:
    """Names of the packaged networks, the default first."""
    return [found.name for found in Catalogue.read(FOLDER).networks]


def default() -> str:
    """Name of the network used where none is given.

    Raises:
        NetworkError: None is packaged.
    """
    found = names()
    if not found:
        raise NetworkError("no network is packaged with this version; give the path of an .onnx or weight file")
    return found[0]


def entry(name: str) -> Entry:
    """What the catalogue says about a network.

    Raises:
        NetworkError: There is none of that name.
    """
    return Catalogue.read(FOLDER).entry(name)


def path(name: str, kind: str = "onnx") -> Path:
    """File of a packaged network, verified against the catalogue once per process.

    Args:
        name: A name of :func:`names`.
        kind: ``"onnx"`` or ``"safetensors"``.

    Raises:
        NetworkError: Unknown name, no file of that kind, or the file is missing or damaged.
    """
    if kind not in ("onnx", "safetensors"):
        raise NetworkError(f"kind {kind!r}: expected 'onnx' or 'safetensors'")
    found = entry(name)
    weights = found.onnx if kind == "onnx" else found.safetensors
    if weights is None:
        raise NetworkError(f"{name}: no {kind} file is packaged, only onnx")
    file = FOLDER / weights.file
    if not file.is_file():
        raise NetworkError(f"{file}: missing, the installation is incomplete")
    stat = file.stat()
    key = (file, stat.st_size, stat.st_mtime_ns)
    if key not in _checked:
        if stat.st_size != weights.bytes:
            raise NetworkError(f"{file}: damaged, {stat.st_size} bytes, expected {weights.bytes}; reinstall ostrack")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if digest != weights.sha256:
            raise NetworkError(f"{file}: damaged, sha256 {digest}, expected {weights.sha256}; reinstall ostrack")
        _checked.add(key)
    return file
