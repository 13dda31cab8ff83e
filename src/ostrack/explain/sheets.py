"""Sheets: elimination layer by layer, the four quadrants as maps, and every head's attention matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ostrack.explain.inspection import Inspection
from ostrack.explain.panels import (
    FOUND,
    TRUTH,
    Image,
    Tile,
    colour_bar,
    draw_box,
    fit,
    grid_of,
    heat,
    outline_tokens,
    picture,
    strike_out,
    viridis,
)

__all__ = ["elimination_sheet", "elimination_tile", "heads_sheet", "quadrant_sheet", "score_tiles"]

Box = NDArray[np.float64]

_SIDE = 224
_MATRIX = 120


def _boxes(image: Image, inspection: Inspection, truth: Box | None, thick: int = 2) -> Image:
    out = draw_box(image, inspection.box, FOUND, thick=thick)
    if truth is None or not np.isfinite(truth).all():
        return out
    return draw_box(out, truth, TRUTH, dashed=True, thick=thick)


def elimination_tile(
    inspection: Inspection, layer: int, truth: Box | None, side: int = _SIDE, by_layer: bool = True
) -> Image:
    """The search crop after a layer: tokens gone by then struck out, those that this layer drops in blue.

    Args:
        inspection: What happened.
        layer: The block, counted from 0.
        truth: ``(4,)`` cxcywh relative to the search crop, or None.
        side: Of the picture, pixels.
        by_layer: Tell this layer's tokens from earlier ones'.
    """
    gone = inspection.gone_after(layer)
    before = inspection.gone_after(layer - 1) if by_layer else gone
    return _boxes(strike_out(fit(picture(inspection.search), side), before, gone & ~before), inspection, truth)


def score_tiles(inspection: Inspection, truth: Box | None, side: int = _SIDE) -> list[Tile]:
    """Score map before and after the window, on one scale; nothing for heads without a map."""
    raw, windowed = inspection.score_map, inspection.windowed_map
    if raw is None or windowed is None:
        return []
    crop = fit(picture(inspection.search), side)
    tiles = []
    for name, values in (("score map", raw), ("score map x Hann window", windowed)):
        row, column = np.unravel_index(values.argmax(), values.shape)
        peak = f"peak {values.max():.2f} at column {column}, row {row}"
        image = _boxes(heat(crop, values, 0, 1), inspection, truth, 1)
        tiles.append(Tile(image, (name, peak), colour_bar(side, 0, 1, "score")))
    return tiles


def elimination_sheet(inspection: Inspection, truth: Box | None = None) -> Image:
    """The paper's figure and its reasons: what went at each layer, the attention that decided it, and the outcome.

    Args:
        inspection: What happened.
        truth: ``(4,)`` cxcywh relative to the search crop, drawn dashed; None where it is not known.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    template, search = (fit(picture(image), _SIDE) for image in (inspection.template, inspection.search))
    side = inspection.config.template_grid
    deciding = (inspection.query_weights > 0).reshape(side, side)
    shown = outline_tokens(template, deciding)
    if inspection.template_box is not None:
        shown = draw_box(shown, inspection.template_box, TRUTH, dashed=True)
    query = f"{inspection.config.elimination_query}: {int(deciding.sum())} of {deciding.size} tokens decide"
    first = [
        Tile(shown, ("template", query)),
        Tile(_boxes(search, inspection, truth), ("search region", f"{inspection.grid} x {inspection.grid} tokens")),
        *score_tiles(inspection, truth),
    ]
    rows = [("", first)]
    if inspection.eliminations:
        maps, masks = [], []
        for gone in inspection.eliminations:
            values = gone.score_map(inspection.grid)
            high = float(np.nanmax(values))
            kept = f"{len(gone.places)} -> {len(gone.kept)} tokens"
            image = _boxes(heat(search, values, 0, high), inspection, truth, 1)
            maps.append(Tile(image, (f"layer {gone.layer}",), colour_bar(_SIDE, 0, high, "attention")))
            masks.append(Tile(elimination_tile(inspection, gone.layer, truth), (f"after layer {gone.layer}", kept)))
        rows.append(("attention of the deciding template tokens, mean over heads", maps))
        rows.append(("eliminated so far (blue: by this layer)", masks))
    note = ["orange box: found" + ("" if truth is None else "; dashed white: ground truth")]
    note.append("layers are counted from 0; each heat map has a scale of its own; struck-out tokens are gone")
    return grid_of(rows, tuple(note))


def quadrant_sheet(inspection: Inspection, layers: list[int] | None = None) -> Image:
    """Where attention goes in the four quadrants, mean over heads: from the deciding tokens and from the found cell.

    Rows: template to template, template to search (from the deciding template tokens); search to template, search to
    search (from the search token in the middle of the found box). One column for each layer.

    Args:
        inspection: What happened.
        layers: Columns; all where None.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    columns = list(range(inspection.depth)) if layers is None else layers
    side = 150
    template, search = (fit(picture(image), side) for image in (inspection.template, inspection.search))
    small, grid = inspection.config.template_grid, inspection.grid
    cell = np.clip((inspection.box[:2] * grid).astype(int), 0, grid - 1)
    place = int(cell[1] * grid + cell[0])
    here = np.zeros((grid, grid), np.bool_)
    here[cell[1], cell[0]] = True
    deciding = (inspection.query_weights > 0).reshape(small, small)
    titles = (
        "template -> template (from the framed tokens)",
        "template -> search region (from the framed template tokens)",
        "search region -> template (from the framed search token)",
        "search region -> search region (from the framed token)",
    )
    tiles: list[list[Tile]] = [[], [], [], []]
    for layer in columns:
        parts, mass = inspection.quadrants(layer), inspection.quadrant_mass[layer].mean(0)
        rows = (
            (np.tensordot(inspection.query_weights, parts.zz.mean(0), 1).reshape(small, small), template, deciding),
            (np.tensordot(inspection.query_weights, parts.zx.mean(0), 1).reshape(grid, grid), search, None),
            (parts.xz.mean(0)[place].reshape(small, small), template, None),
            (parts.xx.mean(0)[place].reshape(grid, grid), search, here),
        )
        for number, (values, image, frame) in enumerate(rows):
            known = bool(np.isfinite(values).any())
            high = float(np.nanmax(values)) if known else 0.0
            drawn = heat(image, values, 0, high)
            drawn = drawn if frame is None else outline_tokens(drawn, frame)
            caption = (f"layer {layer}", f"mean mass {mass[number]:.2f}" if known else "token is gone")
            tiles[number].append(Tile(drawn, caption, colour_bar(side, 0, high)))
    note = (
        "mean mass: share of a row's attention that falls into this quadrant, over all its rows and heads "
        "(z>z + z>x = 1, x>z + x>x = 1)",
        "mean over heads; each map has a scale of its own; struck-out tokens were eliminated before",
    )
    return grid_of(list(zip(titles, tiles, strict=True)), note)


def heads_sheet(inspection: Inspection) -> Image:
    """Every head's attention matrix, one row of matrices for each layer, all on one logarithmic scale.

    Rows of a matrix are who attends, columns who is attended to; template tokens come first, white lines part the
    quadrants, and tokens eliminated before are grey.

    Returns:
        ``(H, W, 3)`` uint8 RGB.
    """
    count = inspection.config.template_grid**2
    share = count / (count + inspection.grid**2)
    low, high = -4.0, -1.0
    rows = []
    for layer in range(inspection.depth):
        full, mass = inspection.quadrants(layer).full, inspection.quadrant_mass[layer]
        tiles = []
        for head, matrix in enumerate(full):
            image = viridis(np.log10(np.maximum(matrix, 1e-12)), low, high)
            image[np.isnan(matrix)] = (150, 156, 163)
            image = fit(image, _MATRIX)
            cut = round(share * _MATRIX)
            image[cut], image[:, cut] = 255, 255
            zx, xz = mass[head, 1], mass[head, 2]
            tiles.append(Tile(image, (f"head {head}", f"z>x {zx:.2f} x>z {xz:.2f}")))
        rows.append((f"layer {layer}", tiles))
    bar = Tile(colour_bar(2 * _MATRIX, low, high, "log10 of attention"), ())
    rows.append(("", [bar]))
    note = (
        "a row attends, a column is attended to; template tokens first; white lines part zz, zx / xz, xx; grey: gone",
        "z>x: share of the template's attention that goes to the search region; x>z the other way round",
    )
    return grid_of(rows, note)
