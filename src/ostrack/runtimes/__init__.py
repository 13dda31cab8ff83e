"""What a network answers, and what every runtime behind it must do.

One small file each: :mod:`ostrack.runtimes.onnx` (the default), :mod:`ostrack.runtimes.openvino` and
:mod:`ostrack.runtimes.pytorch`; what the first two have in common is in :mod:`ostrack.runtimes.exported`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ostrack.config import OSTrackConfig

__all__ = ["FloatArray", "Maps", "Runtime", "token_width"]

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Maps:
    """What a network says about a batch of search crops. ``S`` is the search grid.

    Attributes:
        boxes: ``(B, 4)`` float32 cxcywh relative to the search crop, decoded at the peak of the unwindowed score.
        score: ``(B, S, S)`` float32 in (0, 1): how much each cell looks like the target's centre; None for the corner
            head, as are the next two.
        size: ``(B, 2, S, S)`` float32, width and height over the side of the crop.
        offset: ``(B, 2, S, S)`` float32, centre minus cell index, in cells.
        confidence: ``(B,)`` float32: the peak of ``score``, or what the corner head gives; None where a runtime of
            another kind gives none.
        eliminated: For each eliminating layer ``(B, n)`` int64, the search tokens it removed, in raster order of
            the grid's numbering.
    """

    boxes: FloatArray
    score: FloatArray | None = None
    size: FloatArray | None = None
    offset: FloatArray | None = None
    confidence: FloatArray | None = None
    eliminated: tuple[NDArray[np.int64], ...] = ()

    def __len__(self) -> int:
        """Number of search crops."""
        return len(self.boxes)


class Runtime(Protocol):
    """Something that runs one network; several threads may call it at once.

    Attributes:
        config: Architecture of the network.
        name: What to call it in messages: a path or a class.
        description: The runtime itself, its device and precision, for people.
        token_width: Width of a template token. What a token holds is the runtime's own affair.
    """

    config: OSTrackConfig
    name: str
    description: str
    token_width: int

    def embed(self, templates: FloatArray, template_boxes: FloatArray | None) -> FloatArray:
        """Tokens of checked templates; see :meth:`ostrack.network.Network.embed`."""
        ...

    def search(self, tokens: FloatArray, searches: FloatArray) -> Maps:
        """Run one batch of checked inputs; see :meth:`ostrack.network.Network.search`."""
        ...


def token_width(config: OSTrackConfig) -> int:
    """Width of a template token: the embedding, and for the query ``"box"`` its weight in the decision."""
    return config.embed_dim + int(config.elimination_query == "box" and bool(config.elimination_layers))
