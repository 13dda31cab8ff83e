"""What happened in one forward pass: who attended to whom, what was eliminated and why, where the score lay."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ostrack.config import OSTrackConfig
from ostrack.decode import hann_window
from ostrack.explain.walk import decided
from ostrack.model import Prediction

if TYPE_CHECKING:
    from ostrack.explain.measures import Measures

__all__ = ["Elimination", "Inspection", "Quadrants", "as_array"]

Floats = NDArray[np.float32]
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Elimination:
    """One eliminating layer's decision.

    Attributes:
        layer: The block, counted from 0.
        places: ``(n,)`` raster places of the search tokens that entered it.
        scores: ``(n,)`` attention that the deciding template tokens pay them, averaged over those and the heads.
        kept: ``(k,)`` places of those that stay, by falling score.
        dropped: ``(n - k,)`` places of those that go, by falling score.
    """

    layer: int
    places: Places
    scores: Floats
    kept: Places
    dropped: Places

    def score_map(self, grid: int) -> Floats:
        """``(grid, grid)`` scores in raster order, nan where a token had gone before."""
        out = np.full(grid * grid, np.nan, np.float32)
        out[self.places] = self.scores
        return out.reshape(grid, grid)


@dataclass(frozen=True, eq=False)
class Quadrants:
    """One layer's attention, cut in four; search tokens in raster order, nan where they had gone before.

    A row is who attends, a column who is attended to: the rows of ``zz`` and ``zx`` together sum to 1, and so do
    those of ``xz`` and ``xx``.

    Attributes:
        zz: ``(heads, Nz, Nz)`` template to template.
        zx: ``(heads, Nz, Nx)`` template to search region.
        xz: ``(heads, Nx, Nz)`` search region to template.
        xx: ``(heads, Nx, Nx)`` search region to search region.
    """

    zz: Floats
    zx: Floats
    xz: Floats
    xx: Floats

    @property
    def full(self) -> Floats:
        """``(heads, Nz + Nx, Nz + Nx)`` put together again."""
        return np.concatenate([np.concatenate([self.zz, self.zx], 2), np.concatenate([self.xz, self.xx], 2)], 1)

    def mass(self) -> Floats:
        """``(heads, 4)`` share of a row's attention in zz, zx, xz, xx, mean over the rows that are there."""
        return np.stack([_row_mass(part) for part in (self.zz, self.zx, self.xz, self.xx)], 1)


def _row_mass(part: Floats) -> Floats:
    """``(heads,)`` mean sum of the rows of tokens that are still there."""
    there = ~np.isnan(part[0]).all(1)
    mass: Floats = np.nansum(part[:, there], 2).mean(1)
    return mass


@dataclass(frozen=True, eq=False)
class Inspection:
    """What happened in one forward pass on one pair of crops. ``S`` is the side of the search grid.

    Attributes:
        config: Of the network.
        template: ``(3, Hz, Wz)`` float32 as the network took it: normalised RGB.
        search: ``(3, Hx, Wx)`` float32 likewise.
        template_box: ``(4,)`` cxcywh of the target relative to the template crop; None where it was not given.
        prediction: The network's own answer, a batch of one.
        eliminations: One for each eliminating layer.
        query_weights: ``(Nz,)`` weights of the template tokens whose attention decides; they sum to 1. For networks
            that eliminate nothing, those that would decide.
    """

    config: OSTrackConfig
    template: Floats
    search: Floats
    template_box: NDArray[np.float64] | None
    prediction: Prediction
    eliminations: tuple[Elimination, ...]
    query_weights: Floats
    _heads: tuple[tuple[tuple[Tensor, Tensor], ...], ...]

    @property
    def grid(self) -> int:
        """Search tokens per side."""
        return self.config.search_grid

    @property
    def depth(self) -> int:
        """Layers."""
        return len(self._heads)

    def places(self, layer: int) -> Places:
        """``(n,)`` raster places of the search tokens that enter a layer, in the order the network holds them."""
        for gone in reversed(self.eliminations):
            if gone.layer < self._checked(layer):
                return gone.kept
        return np.arange(self.grid**2)

    def attention(self, layer: int) -> Floats:
        """Attention of one layer, computed when called.

        Args:
            layer: The block, counted from 0.

        Returns:
            ``(heads, Nz + n, Nz + n)``, every row a distribution; template tokens first, then the search tokens of
            :meth:`places`. Two-stream networks have zeros between template and search region.
        """
        parts = [
            (q.float() @ k.float().mT * q.shape[-1] ** -0.5).softmax(-1) for q, k in self._heads[self._checked(layer)]
        ]
        if len(parts) == 1:
            return as_array(parts[0])
        heads, sizes = parts[0].shape[0], [part.shape[1] for part in parts]
        out = np.zeros((heads, sum(sizes), sum(sizes)), np.float32)
        out[:, : sizes[0], : sizes[0]], out[:, sizes[0] :, sizes[0] :] = as_array(parts[0]), as_array(parts[1])
        return out

    def quadrants(self, layer: int) -> Quadrants:
        """The four quadrants of :meth:`attention`, in raster order."""
        attention, places = self.attention(layer), self.places(layer)
        heads, count, total = attention.shape[0], self.config.template_grid**2, self.grid**2
        zx = np.full((heads, count, total), np.nan, np.float32)
        xz = np.full((heads, total, count), np.nan, np.float32)
        xx = np.full((heads, total, total), np.nan, np.float32)
        zx[:, :, places], xz[:, places] = attention[:, :count, count:], attention[:, count:, :count]
        xx[:, places[:, None], places] = attention[:, count:, count:]
        return Quadrants(attention[:, :count, :count], zx, xz, xx)

    @cached_property
    def quadrant_mass(self) -> Floats:
        """``(layers, heads, 4)`` share of a row's attention in zz, zx, xz, xx, mean over rows."""
        return np.stack([self.quadrants(layer).mass() for layer in range(self.depth)])

    @cached_property
    def deciding_attention(self) -> Floats:
        """``(layers, S, S)`` attention of the deciding template tokens to each search token, mean over heads.

        In eliminating layers this is what decided; nan where a token had gone before.
        """
        rows = [np.tensordot(self.query_weights, self.quadrants(layer).zx.mean(0), 1) for layer in range(self.depth)]
        return np.stack(rows).reshape(-1, self.grid, self.grid)

    def gone_after(self, layer: int) -> NDArray[np.bool_]:
        """``(S, S)`` search tokens eliminated by this layer or an earlier one."""
        out = np.zeros(self.grid**2, np.bool_)
        for gone in self.eliminations:
            if gone.layer <= layer:
                out[gone.dropped] = True
        return out.reshape(self.grid, self.grid)

    @cached_property
    def score_map(self) -> Floats | None:
        """``(S, S)`` score before the window; None for heads without one."""
        found = self.prediction.score_map
        return None if found is None else as_array(found[0, 0])

    @cached_property
    def windowed_map(self) -> Floats | None:
        """``(S, S)`` score times the Hann window, whose peak the tracker takes."""
        return None if self.score_map is None else self.score_map * hann_window(self.grid)

    @cached_property
    def box(self) -> NDArray[np.float64]:
        """``(4,)`` cxcywh relative to the search crop, where the tracker would say the target is."""
        return decided(self.prediction)[0]

    def measure(self, box: NDArray[np.float64] | None = None) -> Measures:
        """Numbers about a target: what of it was dropped, and how much attention it got.

        Args:
            box: ``(4,)`` cxcywh of the target relative to the search crop; the predicted one where None.
        """
        from ostrack.explain.measures import measure

        return measure(self, self.box if box is None else np.asarray(box, dtype=np.float64))

    def sheet(self, truth: NDArray[np.float64] | None = None) -> NDArray[np.uint8]:
        """Elimination in one picture; see :func:`ostrack.explain.sheets.elimination_sheet`."""
        from ostrack.explain.sheets import elimination_sheet

        return elimination_sheet(self, truth)

    def _checked(self, layer: int) -> int:
        if not 0 <= layer < self.depth:
            raise ValueError(f"layer {layer}: this network has layers 0 to {self.depth - 1}")
        return layer


def as_array(tensor: Tensor) -> Floats:
    """Any tensor as float32 on the CPU."""
    array: NDArray[Any] = tensor.detach().float().cpu().numpy()
    return array
