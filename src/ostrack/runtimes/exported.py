"""What an exported file promises: its metadata, its inputs and outputs, and its two paths.

``metadata_props["ostrack"]`` is JSON ``{"format": 2, "config": {...}}`` with the fields of
:class:`ostrack.config.OSTrackConfig`; other keys beside them mean nothing here. The graph has two paths with no input
in common:

* ``template`` (and ``template_box`` where the config asks for it) to ``embedding``, once for each target;
* ``template_tokens``, which is such an embedding, and ``search`` to the maps, for every frame.

A runtime that cannot run one path alone feeds zeros to the other. Files of format 1 have one path, from ``template``
and ``search`` to the maps; there the "tokens" are the template itself, see :func:`pack`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from pydantic import ValidationError

from ostrack.config import OSTrackConfig
from ostrack.errors import NetworkError
from ostrack.runtimes import FloatArray, Maps, token_width

__all__ = [
    "EMBEDDING",
    "METADATA_FORMAT",
    "METADATA_KEY",
    "Exported",
    "Port",
    "failure",
    "maps",
    "output_names",
    "pack",
    "properties",
    "unpack",
]

METADATA_KEY = "ostrack"
METADATA_FORMAT = 2
EMBEDDING = "embedding"
# As onnxruntime, OpenVINO and C++ say it, in lower case.
_NO_MEMORY = ("bad_alloc", "failed to allocate memory", "cannot allocate memory", "not enough memory")


@dataclass(frozen=True)
class Port:
    """An input of a graph, as its runtime describes it.

    Attributes:
        dtype: ``"float32"`` is what all of them must be.
        shape: Its dimensions; None or a name where one is free.
    """

    dtype: str
    shape: tuple[int | str | None, ...]


@dataclass(frozen=True)
class Exported:
    """What a file says about itself.

    Attributes:
        config: Architecture of the network.
        format: Layout of its inputs, 1 or 2.
        metadata: Everything in the metadata, ``config`` included.
    """

    config: OSTrackConfig
    format: int
    metadata: dict[str, Any]

    @classmethod
    def read(cls, name: str, properties: Mapping[str, str]) -> Exported:
        """Read the metadata.

        Args:
            name: The file, for messages.
            properties: Metadata of the ONNX model.

        Raises:
            NetworkError: There is none of ours, or not of a format that this version reads.
        """
        metadata = _metadata(name, properties)
        try:
            config = OSTrackConfig.model_validate(metadata["config"])
        except ValidationError as error:
            first = error.errors()[0]
            what = " ".join([*map(str, first["loc"]), first["msg"].removeprefix("Value error, ")])
            raise NetworkError(f"{name}: config in metadata {METADATA_KEY!r}: {what}") from error
        return cls(config, metadata["format"], metadata)

    @property
    def arithmetic(self) -> str:
        """``"int8"`` where most of the graph was quantised, else ``"float32"``."""
        return str(self.metadata.get("arithmetic", "float32"))

    @property
    def token_width(self) -> int:
        """Width of a row of template tokens."""
        config = self.config
        if self.format == 1:
            return 3 * config.patch_size**2 + 4
        return token_width(config)

    def inputs(self) -> dict[str, list[int]]:
        """Inputs of the graph, in order, with their shapes behind the batch."""
        config = self.config
        images = {
            "template": [3, config.template_size, config.template_size],
            "search": [3, config.search_size, config.search_size],
        }
        box = {"template_box": [4]} if config.needs_template_box else {}
        if self.format == 1:
            return images | box
        tokens = {"template_tokens": [config.template_grid**2, self.token_width], "search": images["search"]}
        return {"template": images["template"]} | box | tokens

    def check(self, name: str, inputs: Mapping[str, Port], outputs: Iterable[str]) -> None:
        """Refuse a graph whose inputs and outputs are not those its config promises.

        Raises:
            NetworkError: One line that says which, what was found and what was expected.
        """
        expected = self.inputs()
        if set(inputs) != set(expected):
            raise NetworkError(f"{name}: inputs {_listed(inputs)}, expected {_listed(expected)}")
        for key, port in inputs.items():
            shape = list(port.shape)
            if port.dtype != "float32" or shape[1:] != expected[key]:
                found = f"{port.dtype} {shape}"
                raise NetworkError(f"{name}: input {key} is {found}, expected float32 B x {expected[key]}")
            if isinstance(shape[0], int):
                raise NetworkError(f"{name}: input {key} has a fixed batch of {shape[0]}, expected a free one")
        outputs = list(outputs)
        needed = output_names(self.config) + ((EMBEDDING,) if self.format > 1 else ())
        if missing := [key for key in needed if key not in outputs]:
            raise NetworkError(f"{name}: outputs {_listed(outputs)}, expected also {_listed(missing)}")


def failure(name: str, what: str, error: Exception, reason: str, rows: int = 0) -> NetworkError:
    """A program's error in one line; of one that ran out of memory, that and no more.

    Args:
        name: The network.
        what: What went wrong, for all other errors.
        error: What the program raised.
        reason: What of its text is for people.
        rows: Targets in the call; 0 while the network is loaded.
    """
    if any(sign in str(error).lower() for sign in _NO_MEMORY):
        asked = f"for {rows} target{'s' if rows > 1 else ''} in one frame" if rows else "to load it"
        return NetworkError(f"{name}: not enough memory {asked}")
    return NetworkError(f"{name}: {what}: {reason}")


def output_names(config: OSTrackConfig) -> tuple[str, ...]:
    """Outputs of the search path that a file must have; others are not read."""
    head = ("boxes", "score") if config.head == "corner" else ("score_map", "size_map", "offset_map", "boxes")
    return head + tuple(f"eliminated_{i}" for i in range(len(config.elimination_layers)))


def maps(found: Mapping[str, Any]) -> Maps:
    """Named outputs of the search path in the form that every runtime answers in."""
    score = found.get("score_map")
    if score is not None:
        score = score[:, 0]
    layers = sum(name.startswith("eliminated_") for name in found)
    return Maps(
        boxes=found["boxes"],
        score=score,
        size=found.get("size_map"),
        offset=found.get("offset_map"),
        confidence=found.get("score") if score is None else score.max((1, 2)),
        eliminated=tuple(found[f"eliminated_{i}"] for i in range(layers)),
    )


def pack(config: OSTrackConfig, templates: FloatArray, template_boxes: FloatArray | None) -> FloatArray:
    """Templates and their boxes in the form of tokens, for files of format 1.

    Returns:
        ``(B, Nz, 3 p p + 4)``: the pixels, dealt out in order, and the box (zeros where there is none) in every row.
    """
    batch, rows = len(templates), config.template_grid**2
    boxes = np.zeros((batch, 4), np.float32) if template_boxes is None else template_boxes
    boxes = np.broadcast_to(boxes[:, None], (batch, rows, 4))
    return np.concatenate([templates.reshape(batch, rows, -1), boxes], 2)


def unpack(config: OSTrackConfig, tokens: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The templates ``(B, 3, Hz, Wz)`` and boxes ``(B, 4)`` that :func:`pack` was given."""
    side = config.template_size
    return tokens[..., :-4].reshape(len(tokens), 3, side, side), np.ascontiguousarray(tokens[:, 0, -4:])


def search_feed(config: OSTrackConfig, format: int, tokens: FloatArray, searches: FloatArray) -> dict[str, FloatArray]:
    """Inputs of the searching path by name, for a file of this format."""
    if format > 1:
        return {"template_tokens": tokens, "search": searches}
    templates, boxes = unpack(config, tokens)
    feed = {"template": templates, "search": searches}
    return feed | {"template_box": boxes} if config.needs_template_box else feed


def properties(path: Path) -> dict[str, str]:
    """Metadata of an ONNX file, read without a runtime and without reading the weights.

    Only the outermost fields of the file are walked (a protocol buffer: tag, length, content); metadata is field 14,
    key and value its fields 1 and 2. Empty for a file that is no such thing: who loads it will say so.
    """
    found = {}
    try:
        with path.open("rb") as file:
            for field, content in _fields(file, 14):
                if field == 14:
                    entry = dict(_fields(io.BytesIO(content)))
                    found[entry[1].decode()] = entry.get(2, b"").decode()
    except (_NotAMessageError, KeyError, UnicodeDecodeError):
        return {}
    return found


class _NotAMessageError(Exception):
    """The bytes are no protocol buffer."""


def _fields(file: IO[bytes], wanted: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Number and content of each field with a length; of fields that are not wanted the content is passed over."""
    while (tag := _varint(file)) is not None:
        field, kind = tag >> 3, tag & 7
        if kind == 0:
            _varint(file)
        elif kind in (1, 5):
            file.seek(8 if kind == 1 else 4, io.SEEK_CUR)
        elif kind == 2 and (length := _varint(file)) is not None:
            if wanted in (None, field):
                yield field, file.read(length)
            else:
                file.seek(length, io.SEEK_CUR)
        else:
            raise _NotAMessageError


def _varint(file: IO[bytes]) -> int | None:
    """A number of seven bits a byte, lowest first; None at the end of the file."""
    value, shift = 0, 0
    while byte := file.read(1):
        value |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            return value
        if shift > 63:
            raise _NotAMessageError
    return None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "(none)"


def _metadata(name: str, properties: Mapping[str, str]) -> dict[str, Any]:
    if METADATA_KEY not in properties:
        found = _listed(sorted(properties))
        raise NetworkError(f"{name}: metadata keys {found}, expected {METADATA_KEY!r}; write it with `ostrack export`")
    try:
        metadata = json.loads(properties[METADATA_KEY])
    except json.JSONDecodeError as error:
        raise NetworkError(f"{name}: metadata {METADATA_KEY!r} is not JSON: {error}") from error
    if not isinstance(metadata, dict) or not isinstance(metadata.get("config"), dict):
        raise NetworkError(f"{name}: metadata {METADATA_KEY!r} holds no object 'config'")
    if metadata.get("format") not in range(1, METADATA_FORMAT + 1):
        raise NetworkError(f"{name}: format {metadata.get('format')!r}, this version reads 1 to {METADATA_FORMAT}")
    return metadata
