"""A network to look into, by packaged name or weight file."""

from __future__ import annotations

from pathlib import Path

import torch

from ostrack import zoo
from ostrack.errors import NetworkError
from ostrack.model import OSTrack, load

__all__ = ["named_network"]


def named_network(source: str | None, threads: int | None = None) -> tuple[OSTrack, str]:
    """Load a network.

    Args:
        source: Packaged name or a weight file that :func:`ostrack.model.load` reads; the packaged default where None.
        threads: CPU threads of torch in this process; left alone where None.

    Returns:
        The network in evaluation mode, and what to call it.

    Raises:
        FileNotFoundError: Neither a packaged name nor a file.
        CheckpointError: The file cannot be loaded.
        NetworkError: Fewer than one thread, or nothing is packaged.
    """
    if threads is not None:
        if threads < 1:
            raise NetworkError(f"threads={threads}: expected 1 or more")
        torch.set_num_threads(threads)
    name = zoo.default() if source is None else source
    packaged = zoo.names()
    if name in packaged:
        return load(zoo.path(name, "safetensors")), name
    path = Path(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"{name}: neither a weight file nor a packaged network ({', '.join(packaged) or 'none'})"
        )
    return load(path), path.stem
