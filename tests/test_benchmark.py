"""Trackers side by side in processes of their own, those that fail among them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moving_clips import moving_boxes, write_clip
from ostrack.benchmark import Benchmark, BenchmarkError, Entry, Measurement, benchmark, installed, ours
from ostrack.benchmark_worker import Task, read_frames
from ostrack.errors import BoxError, SourceError
from ostrack.evaluate.peers import TrackerSpec

FRAMES = 6

PEERS = """
class Still:
    def init(self, image, box):
        print("a library that prints on standard output")
        self.box = box

    def update(self, image):
        return self.box


class Breaks(Still):
    def update(self, image):
        raise RuntimeError("out of luck")
"""


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    boxes = write_clip(path, FRAMES + 4)
    return Task("", str(path), tuple(boxes[2].tolist()), start=2, frames=FRAMES)


@pytest.fixture(scope="module")
def found(task: Task, blob_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    folder = tmp_path_factory.mktemp("peers")
    (folder / "neighbours.py").write_text(PEERS)
    entries = [
        *ours([str(blob_onnx)], ["onnx"], threads=[1]),
        Entry("three", TrackerSpec(str(blob_onnx)), 1, targets=3),
        Entry("still", TrackerSpec("neighbours:Still", search_path=(str(folder),))),
        Entry("breaks", TrackerSpec("neighbours:Breaks", search_path=(str(folder),))),
        Entry("absent", TrackerSpec("neighbours:Nobody", search_path=(str(folder),))),
        Entry("gone", TrackerSpec(str(folder / "gone.onnx")), 1),
    ]
    return benchmark(entries, task, rounds=2)


def row(found: Benchmark, label: str) -> Measurement:
    return next(row for row in found.rows if row.label == label)


def test_every_frame_of_every_round(found: Benchmark) -> None:
    for label in ("blob", "three", "still"):
        own = row(found, label)
        assert own.problem == ""
        assert [len(times) for times in own.rounds] == [FRAMES, FRAMES]
        assert 0 < min(own.milliseconds) <= own.median <= own.slow
        assert own.peak_mb is None or own.peak_mb > 10


def test_the_network_is_part_of_the_frame(found: Benchmark) -> None:
    own = row(found, "blob")
    assert own.runtime.startswith("onnxruntime")
    network = [time for times in own.network_rounds for time in times]
    assert all(0 < inner < whole for inner, whole in zip(network, own.milliseconds, strict=True))
    assert own.rest_median > 0
    assert row(found, "still").network_rounds == ((), ())


def test_trackers_follow_the_target(found: Benchmark) -> None:
    truth = moving_boxes(FRAMES + 4)
    assert row(found, "blob").box == pytest.approx(truth[2 + FRAMES], abs=2)
    assert row(found, "still").box == pytest.approx(truth[2])


def test_failures_are_told_and_keep_nobody_away(found: Benchmark) -> None:
    assert row(found, "breaks").problem == "RuntimeError: out of luck"
    assert "has no Nobody" in row(found, "absent").problem
    assert "gone.onnx: no such file" in row(found, "gone").problem
    text = found.markdown()
    assert "Not measured: breaks: RuntimeError: out of luck" in text
    assert text.count("\n| ") == 1 + len(found.rows)
    assert found.machine.cpu in text


def test_json(found: Benchmark) -> None:
    read = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    rows = {row["label"]: row for row in read["rows"]}
    assert rows["blob"]["frames"] == 2 * FRAMES
    assert rows["blob"]["fps"] == pytest.approx(1e3 / rows["blob"]["median_ms"])
    assert rows["three"]["targets"] == 3
    assert rows["breaks"]["median_ms"] is None
    assert rows["still"]["network_ms"] is None
    assert read["machine"]["libraries"]["numpy"] == np.__version__


def test_frames_are_fitted_into_a_canvas(task: Task) -> None:
    frames, boxes = read_frames(Task("", task.clip, task.box, start=2, frames=3, canvas=(640, 360), targets=2))
    assert [frame.shape for frame in frames] == [(360, 640, 3)] * 4
    # 160 x 120 grows threefold; what is left of the width stays black, and the red target lies in the grown box.
    assert not frames[0][:, 480:].any()
    x, y, w, h = np.round(boxes[0]).astype(int)
    assert boxes[0] == pytest.approx(3 * np.array(task.box))
    assert frames[0][y + 4 : y + h - 4, x + 4 : x + w - 4, 0].min() > 150
    assert boxes[1][2:] == pytest.approx(boxes[0][2:])
    assert np.abs(boxes[1] - boxes[0]).max() > 0


def test_a_short_clip_is_named(task: Task) -> None:
    with pytest.raises(SourceError, match=r"1 frames from frame 9 on, expected 2 or more"):
        read_frames(Task("", task.clip, task.box, start=9))


def test_a_task_travels_as_json(task: Task) -> None:
    full = Entry("x", TrackerSpec("a:B", (("size", "3"),), ("here",)), 2, 4).task(task)
    assert Task.from_json(full.to_json()).source == "a:B"
    assert Task.from_json(full.to_json()).options == (("size", "3"),)


def test_ours_is_every_network_in_every_runtime() -> None:
    entries = ours(["a.onnx", "small"], ["onnx", "torch"], ["float32"], [1, 2])
    assert len(entries) == 8
    assert {entry.label for entry in entries} == {"a", "small"}
    assert "onnx" in installed()


@pytest.mark.parametrize("network", ["small", "net.onnx", "net.safetensors"])
def test_a_file_is_left_to_the_runtimes_that_read_it(network: str) -> None:
    found = {dict(entry.spec.options)["runtime"] for entry in ours([network])}
    readers = {"small": {"onnx", "openvino", "torch"}, "net.onnx": {"onnx", "openvino"}, "net.safetensors": {"torch"}}
    assert found == readers[network] & set(installed())


def test_nothing_to_measure(task: Task) -> None:
    with pytest.raises(BenchmarkError, match="nothing to measure"):
        benchmark([], task)
    with pytest.raises(ValueError, match="rounds=0"):
        benchmark([Entry("x", TrackerSpec(""))], task, rounds=0)


def test_a_slip_in_what_all_trackers_share_is_told_once(task: Task, tmp_path: Path) -> None:
    entries = ours(["small"], ["onnx"], ["float32"])
    with pytest.raises(SourceError, match=r"none\.mp4: no such file"):
        benchmark(entries, replace(task, clip=str(tmp_path / "none.mp4")))
    with pytest.raises(BoxError, match=r"the target: .* outside the frame of 160 x 120"):
        benchmark(entries, replace(task, box=(500.0, 0.0, 9.0, 9.0)))
    with pytest.raises(BenchmarkError, match="runtime 'foo': expected 'onnx', 'openvino', 'torch'"):
        ours(["small"], ["foo"])
    with pytest.raises(BenchmarkError, match="precision 'int3': expected 'float32', 'bf16', 'fp16'"):
        ours(["small"], ["onnx"], ["int3"])
