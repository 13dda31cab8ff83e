"""Official checkpoints to files of our own, with proof that nothing was lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ostrack.config import OSTrackConfig
from ostrack.errors import CheckpointError
from ostrack.model.checkpoint import assign, load, read_metadata, save, stored_kind
from ostrack.model.kinds import new_network
from ostrack.model.official import UNUSED_KEYS, checked_config, infer_config
from ostrack.model.weight_files import is_safetensors, read_weights

__all__ = ["ConversionReport", "convert"]


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion wrote.

    Attributes:
        source: The file read.
        out: The file written.
        config: The network's configuration: read from the tensors, the official defaults, and the overrides.
        tensors: Tensors written.
        parameters: Numbers in them that training changes.
        left_out: Keys of the source that no network of this kind reads.
        half: Whether floats are stored in 16 bits.
        max_difference: Largest difference of any number after reading the written file back; 0 without ``half``.
    """

    source: Path
    out: Path
    config: OSTrackConfig
    tensors: int
    parameters: int
    left_out: list[str]
    half: bool
    max_difference: float

    def text(self) -> str:
        """A few lines for people."""
        config = self.config
        layers = ", ".join(f"{i} ({r:g})" for i, r in zip(config.elimination_layers, config.keep_ratios, strict=True))
        stored = "16-bit" if self.half else "32-bit"
        return "\n".join([
            f"{self.source} -> {self.out} ({self.out.stat().st_size / 1e6:.1f} MB, {stored} floats)",
            f"  network      {config.embed_dim} channels, {config.depth} blocks, {config.num_heads} heads, patch "
            f"{config.patch_size}, {config.head} head",
            f"  weights      {self.parameters / 1e6:.2f} M parameters in {self.tensors} tensors",
            f"  crops        template {config.template_size} (factor {config.template_factor:g}), "
            f"search {config.search_size} (factor {config.search_factor:g})",
            f"  elimination  {'after blocks (keep ratio): ' + layers if layers else 'none'}"
            f"{', query ' + config.elimination_query if layers else ''}",
            f"  left out     {', '.join(self.left_out) or 'nothing'}",
            f"  read back    largest difference {self.max_difference:g}",
        ])  # fmt: skip


def convert(
    source: str | Path, out: str | Path, *, overrides: Mapping[str, str] | None = None, half: bool = False
) -> ConversionReport:
    """Write an official checkpoint (or a file of our own) as a file of our own.

    Args:
        source: Official ``.pth.tar``, or any weight file with its key names.
        out: Target, ``.safetensors``.
        overrides: Fields of :class:`~ostrack.config.OSTrackConfig` as text, for what the tensors do not tell:
            ``{"num_heads": "3", "elimination_layers": "3,6,9", "keep_ratios": "0.8,0.8,0.8"}``; ``""`` empties a list.
        half: Store floats in 16 bits.

    Returns:
        What was written; the file was read back and compared.

    Raises:
        FileNotFoundError: There is no such source.
        CheckpointError: The source cannot be read or does not make the network.
        ValueError: An override that no configuration knows, or another ending than ``.safetensors``.
    """
    source, out = Path(source), Path(out)
    known = _parsed(overrides or {})
    head = read_metadata(source) if is_safetensors(source) else {}
    state = {key.removeprefix("module."): tensor for key, tensor in read_weights(source).items()}
    if "config" in head:
        config = checked_config({**head["config"], **known}, source)
    else:
        config = infer_config(state, source, known)
    net = new_network(config, stored_kind(head, source)).eval()
    assign(net, state, source)
    extra = {key: value for key, value in head.items() if key not in ("format", "config")}
    save(out, net, extra | {"converted_from": source.name}, half=half)
    before, after = net.state_dict(), load(out).state_dict()
    difference = max(float((after[key].double() - tensor.double()).abs().max()) for key, tensor in before.items())
    if difference > 0 and not half:
        raise CheckpointError(f"{out}: reads back with a difference of {difference:g} where none may be")
    return ConversionReport(
        source=source,
        out=out,
        config=config,
        tensors=len(before),
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        left_out=sorted(UNUSED_KEYS & set(state)),
        half=half,
        max_difference=difference,
    )


def _parsed(overrides: Mapping[str, str]) -> dict[str, Any]:
    parsed: dict[str, Any] = {}
    for key, text in overrides.items():
        field = OSTrackConfig.model_fields.get(key)
        if field is None:
            raise ValueError(
                f"{key}: no field of the configuration (those are {', '.join(OSTrackConfig.model_fields)})"
            )
        if isinstance(field.default, tuple):
            parsed[key] = tuple(yaml.safe_load(part) for part in text.strip("[]() ").split(",") if part.strip())
        else:
            parsed[key] = yaml.safe_load(text)
    return parsed
