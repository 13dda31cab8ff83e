"""The TraX entry point against the real client."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from moving_sequences import moving

trax = pytest.importorskip("trax")
client = pytest.importorskip("trax.client")

SERVE = "from ostrack.evaluate.peers import TrackerSpec; from ostrack.evaluate.trax import serve_trax; serve_trax({})"


@contextmanager
def connected(spec: str) -> Iterator[client.Client]:
    command = [sys.executable, "-c", SERVE.format(spec)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        try:
            streams = (process.stdin.fileno(), process.stdout.fileno())
            found = client.Client(stream=streams, timeout=180, log=lambda line: None)
            yield found
            found.quit()
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()


def bounds(answer: list) -> np.ndarray:
    return np.array([region.bounds() for region, _ in answer])


def test_one_target_by_path(tmp_path: Path, blob_onnx: Path) -> None:
    clip = moving("clip", 8, seed=1)
    paths = [str(tmp_path / f"{i}.png") for i in range(8)]
    for index, path in enumerate(paths):
        cv2.imwrite(path, clip.frames[index][..., ::-1])
    with connected(f"TrackerSpec({str(blob_onnx)!r})") as vot:
        assert vot.tracker_name == "blob"
        assert {"rectangle", "polygon", "mask"} <= set(vot.region_formats)
        start = trax.Rectangle.create(*clip.boxes[0])
        vot.initialize({"color": trax.FileImage.create(paths[0])}, [(start, {})], {})
        for index in range(1, 8):
            answer, _ = vot.frame({"color": trax.FileImage.create(paths[index])}, objects=[])
            np.testing.assert_allclose(bounds(answer)[0], clip.boxes[index], atol=1.5)
            assert 0 < float(answer[0][1]["confidence"]) <= 1


def test_several_targets_from_memory_as_polygon_and_mask(blob_onnx: Path) -> None:
    left, right = moving("left", 5, seed=0), moving("right", 5, seed=2)
    frames = [np.concatenate([left.frames[i], right.frames[i]], 1) for i in range(5)]
    offset = left.frames[0].shape[1]
    x, y, w, h = left.boxes[0]
    polygon = trax.Polygon.create([(x, y), (x + w, y), (x + w, y + h), (x, y + h)])
    mask = np.ones(right.boxes[0, [3, 2]].astype(int), np.uint8)
    corner = right.boxes[0, :2].astype(int) + np.array([offset, 0])
    with connected(f"TrackerSpec({str(blob_onnx)!r})") as vot:
        image = {"color": trax.MemoryImage.create(frames[0])}
        answer, _ = vot.initialize(image, [(polygon, {}), (trax.Mask.create(mask, *corner.tolist()), {})], {})
        assert len(answer) == 2
        for index in range(1, 5):
            answer, _ = vot.frame({"color": trax.MemoryImage.create(frames[index])}, objects=[])
            expected = np.stack([left.boxes[index], right.boxes[index] + [offset, 0, 0, 0]])
            np.testing.assert_allclose(bounds(answer), expected, atol=1.5)


def test_options_are_the_runners(blob_onnx: Path) -> None:
    # One that the network takes, and one that nobody knows.
    with connected(f"TrackerSpec({str(blob_onnx)!r}, (('strict', 'true'), ('window', '0.5')))") as vot:
        assert vot.tracker_name == "blob"
    code = SERVE.format(f"TrackerSpec({str(blob_onnx)!r}, (('wind', '0.5'),))")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100)
    assert "EvaluationError: tracker blob: got an unexpected keyword argument 'wind'" in ended.stderr


def test_a_class_of_the_users(tmp_path: Path) -> None:
    clip = moving("clip", 4)
    here = str(Path(__file__).parent)
    ok, blob = cv2.imencode(".png", clip.frames[1][..., ::-1])
    assert ok
    with connected(f"TrackerSpec('contract_trackers:Brightest', (), ({here!r},))") as vot:
        start = trax.Rectangle.create(*clip.boxes[0])
        vot.initialize({"color": trax.MemoryImage.create(clip.frames[0])}, [(start, {})], {})
        answer, _ = vot.frame({"color": trax.BufferImage.create(blob.tobytes())}, objects=[])
        np.testing.assert_allclose(bounds(answer)[0], clip.boxes[1], atol=0.01)
        assert "confidence" not in answer[0][1]


@pytest.mark.parametrize("sent", [b"", b"hello\n"])
def test_a_client_that_is_none_is_told_in_one_line(sent: bytes, blob_onnx: Path) -> None:
    command = [sys.executable, "-m", "ostrack", "vot", "--tracker", str(blob_onnx)]
    done = subprocess.run(command, input=sent, capture_output=True, check=False, timeout=180)
    assert done.returncode == 2
    last = done.stderr.decode().splitlines()[-1]
    assert last.startswith("error: the TraX client went away (")
    assert b"Traceback" not in done.stderr
