"""Batches dealt to threads: every number of rows, in order, and equal to rows that come alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock

import numpy as np
import pytest

from ostrack.errors import NetworkError
from ostrack.network import Network
from ostrack.runtimes import FloatArray
from ostrack.runtimes.lanes import Lanes

Run = Callable[[Mapping[str, FloatArray]], dict[str, FloatArray]]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8, 19])
def test_each_row_is_run_once_and_comes_back_in_its_place(count: int, rows: int) -> None:
    guard, alone, together = Lock(), [], []

    def lane(number: int, feed: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        with guard:
            alone.append((number, len(feed["a"])))
        return {"sum": feed["a"] + feed["b"]}

    def all_threads(feed: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        together.append(len(feed["a"]))
        return {"sum": feed["a"] + feed["b"]}

    a = np.arange(rows, dtype=np.float32)
    found = Lanes(count, lane, all_threads).run({"a": a, "b": 10 * a})
    np.testing.assert_array_equal(found["sum"], 11 * a)
    assert sum(size for _, size in alone) + sum(together) == rows
    assert all(size <= 2 for _, size in alone)
    if count > 1:
        # No lane has more to do than another; what cannot be shared evenly is run by all threads.
        work = [sum(size for number, size in alone if number == lane) for lane in range(count)]
        assert len(set(work)) == 1
        assert sum(together) == rows % count


def test_what_fails_in_a_lane_is_raised() -> None:
    def lane(number: int, feed: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        raise NetworkError(f"lane {number} of {len(feed)} failed")

    with pytest.raises(NetworkError, match="failed"):
        Lanes(2, lane, dict).run({"a": np.zeros(4, np.float32)})


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_many_targets_get_the_answers_they_get_alone(runtime: str, blob_onnx: Path) -> None:
    pytest.importorskip("onnxruntime" if runtime == "onnx" else runtime)
    network = Network.load(blob_onnx, runtime, threads=2)
    config, rng = network.config, np.random.default_rng(0)
    shapes = (7, 3, config.template_size, config.template_size), (7, 3, config.search_size, config.search_size)
    templates, searches = (rng.standard_normal(shape, dtype=np.float32) for shape in shapes)
    tokens = network.embed(templates, np.full((7, 4), 0.5, np.float32))
    found = network.search(tokens, searches)
    assert len(found) == 7
    for row in range(7):
        alone = network.search(tokens[row : row + 1], searches[row : row + 1])
        # 1e-4 px of a search crop.
        np.testing.assert_allclose(found.boxes[row], alone.boxes[0], atol=1e-4 / config.search_size, rtol=0)
        assert found.score is not None
        assert alone.score is not None
        np.testing.assert_allclose(found.score[row], alone.score[0], atol=1e-5)
