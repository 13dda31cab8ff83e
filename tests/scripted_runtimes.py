"""Runtimes that stand before a tracker instead of a file: one that counts, one that says what it is told to say."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostrack.config import OSTrackConfig
from ostrack.network import Network
from ostrack.runtimes import Maps


class Counted:
    """A network that notes how many rows each call has."""

    def __init__(self, network: Network) -> None:
        self.network, self.rows = network, []
        self.config, self.name, self.description = network.config, network.name, "counted"
        self.token_width = network.token_width
        self.metadata: dict[str, Any] = {}

    def embed(self, templates: Any, template_boxes: Any) -> Any:
        return self.network.embed(templates, template_boxes)

    def search(self, tokens: Any, searches: Any) -> Maps:
        self.rows.append(len(tokens))
        return self.network.search(tokens, searches)


class AnyAnswer:
    """A runtime that answers with given boxes and confidences, as a damaged or overflowing network might."""

    name = description = "any answer"
    token_width = 8

    def __init__(self) -> None:
        self.config = OSTrackConfig(
            template_size=32, search_size=64, embed_dim=8, depth=1, num_heads=1, head="mlp",
            elimination_layers=(), keep_ratios=(),
        )  # fmt: skip
        self.metadata: dict[str, Any] = {}
        self.answer: list[float] = []

    def embed(self, templates: Any, template_boxes: Any) -> NDArray[np.float32]:
        return np.zeros((len(templates), self.config.template_grid**2, 8), np.float32)

    def search(self, tokens: Any, searches: Any) -> Maps:
        assert np.isfinite(searches).all()
        rows = np.tile(np.array(self.answer, np.float32), (len(searches), 1))
        return Maps(rows[:, :4], confidence=rows[:, 4])
