"""Objects of still images, and parts of them, as template and target alike."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ostrack.data.annotations import AnnotatedImage
from ostrack.data.sequence import ArrayFrames, LabelledImage
from ostrack.data.stills import ObjectPairs, StillPairs
from ostrack.errors import DataError


def _image(name: str, sizes: list[float]) -> LabelledImage:
    boxes = np.array([[i, 0, size, size] for i, size in enumerate(sizes)], dtype=np.float64).reshape(-1, 4)
    frame: NDArray[np.uint8] = np.zeros((4, 4, 3), np.uint8)
    return LabelledImage(name, ArrayFrames([frame]), boxes, ("",) * len(sizes), lambda _: None)


def test_every_object_is_drawn_equally_often_and_small_ones_can_be_refused() -> None:
    images = [_image("a", [60.0]), _image("b", [70.0, 80.0, 10.0])]
    source, rng = ObjectPairs(images), np.random.default_rng(0)
    pairs = [source.draw(rng) for _ in range(2000)]
    assert all(pair.template_box == pair.search_box for pair in pairs)
    counts = Counter(pair.search_box[2] for pair in pairs)
    assert set(counts) == {60.0, 70.0, 80.0, 10.0}
    assert all(count == pytest.approx(500, abs=90) for count in counts.values())
    only_small = ObjectPairs([_image("b", [10.0])], min_side=50)
    with pytest.raises(DataError, match="b: box 0,0,10,10; expected sides of at least 50"):
        only_small.draw(rng)


def _annotated(path: Path, pixels: NDArray[np.uint8]) -> AnnotatedImage:
    assert cv2.imwrite(str(path), pixels)
    box = (20.0, 10.0, 60.0, 40.0)
    return AnnotatedImage(path, (100, 80), (box,), (1,), None, "test")


def test_parts_lie_within_their_object_and_are_as_frequent_as_asked(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (80, 100, 3)).astype(np.uint8)
    source = StillPairs([_annotated(tmp_path / "noise.png", noise)], min_side=12, parts=0.5)
    rng = np.random.default_rng(0)
    pairs = [source.draw(rng) for _ in range(400)]
    parts = np.array([pair.search_box for pair in pairs if pair.search_box != (20, 10, 60, 40)])
    assert all(pair.template_box == pair.search_box for pair in pairs)
    assert len(parts) == pytest.approx(200, abs=40)
    x, y, w, h = parts.T
    assert ((x >= 20) & (y >= 10) & (x + w <= 80) & (y + h <= 50)).all()
    assert ((w <= 48) & (h <= 32) & (w >= 21) & (h >= 14)).all()


def test_no_part_is_taken_of_a_plain_object(tmp_path: Path) -> None:
    plain = _annotated(tmp_path / "plain.png", np.full((80, 100, 3), 90, np.uint8))
    source, rng = StillPairs([plain], parts=1.0), np.random.default_rng(0)
    assert all(source.draw(rng).search_box == plain.boxes[0] for _ in range(20))
