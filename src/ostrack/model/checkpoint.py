"""Networks in and out of files: ours are safetensors with the configuration inside; official ones are read too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ostrack.config import OSTrackConfig, TrackerKind
from ostrack.errors import CheckpointError, OutputError
from ostrack.model.backbone import LoadReport, initialise_backbone
from ostrack.model.kinds import kind_of, new_network
from ostrack.model.official import UNUSED_KEYS, checked_config, infer_config
from ostrack.model.ostrack import OSTrack
from ostrack.model.weight_files import is_safetensors, read_weights
from ostrack.whole import draft_of

__all__ = ["LoadReport", "assign", "initialise_backbone", "load", "read_metadata", "save", "stored_kind"]

_KEY = "ostrack"
_FORMAT = 1


def save(path: str | Path, net: OSTrack, extra: Mapping[str, Any] | None = None, half: bool = False) -> Path:
    """Write a network: weights, and its kind and configuration in the file's metadata.

    The file appears whole or not at all.

    Args:
        path: Target, ``.safetensors``.
        net: The network, on any device.
        extra: More JSON to keep beside the configuration, such as how it was trained.
        half: Store floats in 16 bits: half the size, each weight moved by at most 0.05 % of itself (or 3e-8).

    Returns:
        ``path``.

    Raises:
        CheckpointError: ``half`` and a weight that 16 bits cannot hold; the key is named.
        OutputError: The disk is full or the folder not writable; a file that was there stays.
        ValueError: Another file ending, or ``extra`` says otherwise under a key of ours.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: weights are written as .safetensors")
    head: dict[str, Any] = {
        "format": _FORMAT, "config": net.config.model_dump(mode="json"), "tracker": kind_of(net),
    }  # fmt: skip
    if clash := sorted(key for key, value in head.items() if key in (extra or {}) and (extra or {})[key] != value):
        raise ValueError(f"extra must not contain {', '.join(clash)}")
    state = {key: _stored(key, tensor, half) for key, tensor in net.state_dict().items()}
    metadata = {_KEY: json.dumps(head | dict(extra or {}))}
    with draft_of(path, folders=True) as draft:
        draft.touch()
        # safetensors makes files that only their owner can read; ours follow the umask like any other.
        mode = draft.stat().st_mode
        try:
            save_file(state, draft, metadata=metadata)
        except SafetensorError as error:
            raise OutputError(f"{path}: cannot be written ({error})") from error
        draft.chmod(mode)
    return path


def load(path: str | Path, config: OSTrackConfig | None = None) -> OSTrack:
    """Read a network, in float32 on the CPU and in evaluation mode.

    Ours carry their configuration and kind: a two-stream baseline comes back as one. For official checkpoints
    (``.pth.tar``, or their key names in any kind of file) the sizes are read from the tensors and the rest follows the
    official configurations, see :func:`~ostrack.model.official.infer_config`. No code in the file is run.

    Args:
        path: A file of :func:`save`, or an official checkpoint.
        config: Replaces all of that: for narrow networks, whose number of heads the tensors do not tell, or for
            other elimination layers, keep ratios, queries and crop factors than the file's or the official ones.

    Returns:
        The network.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file cannot be read, asks for code, or a tensor is missing, left over or of another
            shape than the configuration's; the first such key is named.
    """
    path = Path(path)
    head = read_metadata(path) if is_safetensors(path) else {}
    state = {key.removeprefix("module."): tensor for key, tensor in read_weights(path).items()}
    if config is None:
        config = checked_config(head["config"], path) if "config" in head else infer_config(state, path)
    net = new_network(config, stored_kind(head, path))
    assign(net, state, path)
    return net.eval()


def read_metadata(path: str | Path) -> dict[str, Any]:
    """Configuration and extra entries of one of our files; empty for safetensors of other makers.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: Not a safetensors file, or written by a later version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weight file")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error
    if text is None:
        return {}
    try:
        head = json.loads(text)
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: metadata entry {_KEY!r} is not JSON ({error})") from error
    if not isinstance(head, dict) or head.get("format") != _FORMAT or not isinstance(head.get("config"), dict):
        raise CheckpointError(f"{path}: not format {_FORMAT} with a configuration; a newer version may read it")
    return head


def stored_kind(head: Mapping[str, Any], path: Path) -> TrackerKind:
    """Kind of the network that a file's metadata are of; one stream where they do not say.

    Raises:
        CheckpointError: A kind that this version does not know.
    """
    kind, known = head.get("tracker", "one_stream"), get_args(TrackerKind)
    if kind not in known:
        raise CheckpointError(f"{path}: a network of kind {kind!r}, expected one of {', '.join(known)}")
    return cast(TrackerKind, kind)


def assign(net: OSTrack, state: Mapping[str, Tensor], path: Path) -> None:
    """Copy a state dict into a network, every key and shape checked.

    Raises:
        CheckpointError: Names the first key that is missing, left over or of another shape.
    """
    target = net.state_dict()
    for key, place in target.items():
        if key not in state:
            raise CheckpointError(f"{path}: {key} is missing, expected shape {tuple(place.shape)}")
        if state[key].shape != place.shape:
            raise CheckpointError(f"{path}: {key} has shape {tuple(state[key].shape)}, expected {tuple(place.shape)}")
    if left := [key for key in state if key not in target and key not in UNUSED_KEYS]:
        raise CheckpointError(f"{path}: {left[0]} has no place in this network ({len(left)} such keys)")
    net.load_state_dict({key: state[key].to(place.dtype) for key, place in target.items()})


def _stored(key: str, tensor: Tensor, half: bool) -> Tensor:
    # A copy: safetensors refuses tensors that share memory or are strided.
    tensor = tensor.detach().to("cpu", copy=True).contiguous()
    if not half or not tensor.is_floating_point():
        return tensor
    short = tensor.to(torch.float16)
    if not torch.equal(short.isfinite(), tensor.isfinite()):
        raise CheckpointError(f"{key}: a weight of {tensor.abs().max():g} does not fit 16 bits; save with half=False")
    return short
