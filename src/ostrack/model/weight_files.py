"""Tensors out of weight files of any common kind, without running anything that a file says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ostrack.errors import CheckpointError
from ostrack.model.unpickling import StoredTensor, naming_damage, open_pickled

__all__ = ["is_safetensors", "read_weights"]

_NESTS = ("net", "model", "state_dict", "teacher")


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """State dict of a weight file, on the CPU.

    Args:
        path: Safetensors, or anything that ``torch.save`` wrote: a state dict, or one under ``net`` (the official
            trainer), ``model``, ``state_dict`` or ``teacher``. The kind is read from the content, not the name.

    Returns:
        Keys as stored to tensors.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file is of another kind, damaged, holds no state dict, or its pickle asks for code.
    """
    path = Path(path)
    if is_safetensors(path):
        try:
            return load_file(path)
        except SafetensorError as error:
            raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error
    if kind := _other_kind(path):
        raise CheckpointError(f"{path}: {kind}, not weights (expected .safetensors or a file of torch.save)")
    with naming_damage(path):
        stored = _state_dict(open_pickled(path), path)
        return {key: tensor.read() for key, tensor in stored.items()}


def is_safetensors(path: Path) -> bool:
    """Whether a file begins like safetensors: the length of a JSON header, then the header.

    Raises:
        FileNotFoundError: There is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weight file")
    with path.open("rb") as file:
        start = file.read(9)
    return path.suffix == ".safetensors" or start[8:] == b"{"


def _other_kind(path: Path) -> str:
    """What a file is when it plainly is not one of torch's; empty when it may be."""
    with path.open("rb") as file:
        start = file.read(256)
    if not start:
        return "an empty file"
    if path.suffix == ".onnx":
        return "an exported network (load the weights it was made from)"
    head = start.lstrip().lower()
    if head.startswith((b"<!doctype", b"<html")):
        return "a web page (a download that went wrong?)"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start):
        return "a text file"
    return ""


def _state_dict(content: object, path: Path) -> dict[str, StoredTensor]:
    while isinstance(content, Mapping):
        tensors = {str(key): value for key, value in content.items() if isinstance(value, StoredTensor)}
        if tensors:
            return tensors
        content = next((content[nest] for nest in _NESTS if nest in content), None)
    raise CheckpointError(f"{path}: no state dict (expected tensors by name, or such a dict under {', '.join(_NESTS)})")
