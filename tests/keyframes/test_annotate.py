"""A whole clip from a few boxes, with a real network and clips whose truth is known."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import ostrack
from moving_clips import RED, encode, moving_boxes, picture, write_clip
from ostrack.boxes import iou_xywh
from ostrack.errors import BoxError, OutputError, SourceError
from ostrack.keyframes import annotate_segments
from ostrack.network import Network
from ostrack.recovery import Recovery
from ostrack.results import Result
from ostrack.tracker import Tracker
from ostrack.video import SourceWarning, open_clip
from scripted_runtimes import AnyAnswer

FRAMES = 90
TRUTH = moving_boxes(FRAMES)
BLUE = (30, 60, 220)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_clip(path, FRAMES)
    return path


@pytest.fixture(scope="module")
def tracker(blob_onnx: Path) -> Tracker:
    return Tracker(blob_onnx, threads=1)


def box(frame: int) -> tuple[float, ...]:
    return tuple(TRUTH[frame].tolist())


def test_every_frame_is_labelled_and_key_frames_are_exact(clip: Path, tracker: Tracker) -> None:
    # Drawn by hand, so off the true place by a little, which must survive.
    keys = {20: (box(20)[0] + 0.5, *box(20)[1:]), 70: box(70)}
    seen: list[tuple[int, int | None]] = []
    result = ostrack.annotate(
        clip, {"cup": keys}, tracker=tracker, step=15, progress=lambda done, total: seen.append((done, total))
    )
    track = result.targets["cup"]
    assert track.frames.tolist() == list(range(FRAMES))
    np.testing.assert_allclose(track.times, np.arange(FRAMES) / 25, atol=1e-6)
    assert np.flatnonzero(track.keyframes).tolist() == [20, 70]
    assert track.boxes[20].tolist() == list(keys[20])
    assert track.boxes[70].tolist() == list(keys[70])
    assert track.scores[[20, 70]].tolist() == [1, 1]
    assert iou_xywh(track.boxes, TRUTH).min() > 0.75
    assert set(track.states) <= {"tracking", "uncertain"}
    assert np.isfinite(track.agreement[21:70]).all()
    assert np.isnan(track.agreement[:20]).all()
    assert np.isnan(track.agreement[71:]).all()
    assert (result.media.frames, result.media.size, result.media.fps) == (FRAMES, (160, 120), 25)
    # 20 frames to the front, 49 between twice, 19 to the end.
    assert seen[-1] == (20 + 2 * 49 + 19, 20 + 2 * 49 + 19)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_absence_is_honoured_and_no_pass_crosses_it(clip: Path, tracker: Tracker) -> None:
    keys: dict[int, Any] = {0: None, 10: box(10), 30: None, 60: box(60), 80: None}
    track = ostrack.annotate(clip, {7: keys}, tracker=tracker).targets[7]
    assert track.frames.tolist() == [*range(10, 30), *range(60, 80)]
    assert np.isnan(track.agreement).all()


def two_passes_that_disagree(path: Path, turn: int = 15) -> None:
    """A blue rectangle that is red from frame ``turn`` on, and a red one that was blue before: both passes drift."""

    def image(frame: int) -> Any:
        canvas = np.zeros((120, 160, 3), np.uint8)
        first, second = (BLUE, RED) if frame < turn else (RED, BLUE)
        canvas[20:50, 20:50] = first
        canvas[60:90, 50:80] = second
        return canvas

    encode(path, (image(frame) for frame in range(80)))


def test_frames_on_which_the_passes_disagree_are_doubtful_and_named_first(tmp_path: Path, tracker: Tracker) -> None:
    two_passes_that_disagree(tmp_path / "swap.mp4")
    # The person says that the target is the upper left rectangle throughout: the passes, which go by colour, part.
    keys = {0: (20, 20, 30, 30), 79: (20, 20, 30, 30)}
    result = ostrack.annotate(tmp_path / "swap.mp4", {"it": keys}, tracker=tracker)
    track = result.targets["it"]
    apart = track.agreement < 0.5
    assert apart.sum() >= 10
    assert (track.states[apart] == "uncertain").all()
    assert (track.states[~apart & ~np.isnan(track.agreement)] != "uncertain").all()
    found = result.suggest(3)
    assert found[0].first <= found[0].frame <= found[0].last
    assert apart[found[0].frame]
    assert "overlap by 0.0" in found[0].reason
    corrected = ostrack.annotate(
        tmp_path / "swap.mp4", {"it": keys | {found[0].frame: (20, 20, 30, 30)}}, tracker=tracker
    )
    before, after = ((iou_xywh(run.targets["it"].boxes, [20, 20, 30, 30]) > 0.5).sum() for run in (result, corrected))
    assert after >= before + 15


def test_one_key_frame_more_tracks_only_what_touches_it(clip: Path, tracker: Tracker, tmp_path: Path) -> None:
    # Four key frames, so that one more between the second and the third leaves two stretches alone.
    keys = {frame: box(frame) for frame in (0, 30, 60, 89)}
    first = ostrack.annotate(clip, {"cup": keys}, tracker=tracker, work=tmp_path, step=10)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    counted = Counted(tracker)
    second = ostrack.annotate(clip, {"cup": keys | {45: box(45)}}, tracker=counted, work=tmp_path, step=10)
    # Two passes of 14 frames away from the new one; towards it, those of before are long enough.
    assert counted.updates == 2 * 14
    assert {path: path.stat().st_mtime_ns for path in files} == files
    for frame in (*range(31), *range(60, 90)):
        assert second.targets["cup"].boxes[frame].tolist() == first.targets["cup"].boxes[frame].tolist()


class Counted(Tracker):
    """A tracker that counts its updates."""

    def __init__(self, other: Tracker, **options: Any) -> None:
        super().__init__(other.network, **options)
        self.updates = 0

    def update(self, frame: Any) -> Any:
        self.updates += 1
        return super().update(frame)


class StoppedError(Exception):
    pass


def test_a_run_that_was_stopped_goes_on_and_comes_out_the_same(clip: Path, tracker: Tracker, tmp_path: Path) -> None:
    keys = {"a": {5: box(5), 60: box(60)}, "b": {30: box(30)}}
    whole = ostrack.annotate(clip, keys, tracker=tracker, step=10)

    def stop(done: int, total: int | None) -> None:
        if done == 100:
            raise StoppedError

    with pytest.raises(StoppedError):
        list(annotate_segments(clip, keys, tracker=tracker, work=tmp_path, step=10, progress=stop))
    counted = Counted(tracker)
    again = ostrack.annotate(clip, keys, tracker=counted, work=tmp_path, step=10)
    total = 5 + 2 * 54 + 29 + 30 + 59
    assert total - 100 <= counted.updates <= total - 100 + 10
    assert_same(whole, again)


def assert_same(a: Result, b: Result) -> None:
    assert list(a.targets) == list(b.targets)
    for id, track in a.targets.items():
        for name in ("frames", "boxes", "scores", "keyframes", "agreement"):
            np.testing.assert_array_equal(getattr(track, name), getattr(b.targets[id], name), err_msg=f"{id} {name}")
        assert track.states.tolist() == b.targets[id].states.tolist()


def test_a_target_that_is_gone_is_given_up_however_short_the_steps(blob_onnx: Path, tmp_path: Path) -> None:
    gone = np.zeros((120, 160, 3), np.uint8)
    encode(tmp_path / "gone.mp4", (picture(TRUTH[frame]) if frame < 10 else gone for frame in range(40)))
    # Its mean confidence needs more frames to fall so low than a step has.
    tracker = Tracker(blob_onnx, threads=1, recovery=Recovery(despair=0.15, patience=8))
    states = {}
    for step, work in ((100, None), (3, tmp_path / "work"), (3, tmp_path / "work")):
        result = ostrack.annotate(tmp_path / "gone.mp4", {"it": {0: box(0)}}, tracker=tracker, step=step, work=work)
        states[step] = result.targets["it"].states.tolist()
        assert states[step][9] == "tracking"
        assert states[step].index("lost") == states[100].index("lost")
        # Steps that were finished by half are gone on with from what they left.
        for path in sorted(tmp_path.glob("work/*.npz"))[::2]:
            path.unlink()


def test_steps_that_a_crash_left_broken_are_made_again(clip: Path, tracker: Tracker, tmp_path: Path) -> None:
    keys = {"a": {0: box(0), 40: box(40)}}
    whole = ostrack.annotate(clip, keys, tracker=tracker, work=tmp_path, step=10)
    for number, path in enumerate(sorted(tmp_path.iterdir())):
        data = path.read_bytes()
        path.write_bytes((b"", data[: len(data) // 2], b"nonsense")[number % 3])
    assert_same(whole, ostrack.annotate(clip, keys, tracker=tracker, work=tmp_path, step=10))


def test_another_network_or_another_clip_finds_nothing_of_this_one(
    clip: Path, tracker: Tracker, tmp_path: Path
) -> None:
    keys = {"a": {0: box(0)}}
    ostrack.annotate(clip, keys, tracker=tracker, work=tmp_path)
    files = len(list(tmp_path.iterdir()))
    ostrack.annotate(clip, keys, tracker=Tracker(tracker.network, search_factor=3.0), work=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2 * files
    other = tmp_path.parent / "other.mp4"
    write_clip(other, FRAMES)
    ostrack.annotate(other, keys, tracker=tracker, work=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3 * files


def test_another_runtime_finds_nothing_of_this_one(clip: Path, tracker: Tracker, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    ostrack.annotate(clip, {"a": {80: box(80)}}, tracker=tracker, work=tmp_path)
    files = len(list(tmp_path.iterdir()))
    other = Tracker(tracker.network.name, "openvino")
    ostrack.annotate(clip, {"a": {80: box(80)}}, tracker=other, work=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2 * files


def images_of(folder: Path, count: int = 20, shift: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), np.roll(picture(TRUTH[number]), shift, 1)[..., ::-1])
    return folder


def test_steps_that_were_kept_tell_the_times_of_this_run(tracker: Tracker, tmp_path: Path) -> None:
    images, keys = images_of(tmp_path / "images"), {"a": {0: box(0), 15: box(15)}}
    for fps in (10, 20):
        counted = Counted(tracker)
        result = ostrack.annotate(images, keys, tracker=counted, work=tmp_path / "work", fps=fps)
        assert counted.updates == (0 if fps == 20 else 14 + 14 + 4)
        np.testing.assert_allclose(result.targets["a"].times, np.arange(20) / fps)


def test_images_written_anew_are_tracked_anew_and_results_beside_them_are_none(
    tracker: Tracker, tmp_path: Path
) -> None:
    images, keys = images_of(tmp_path / "images"), {"a": {0: box(0)}}
    first = ostrack.annotate(images, keys, tracker=tracker, save_to=images)
    counted = Counted(tracker)
    assert_same(first, ostrack.annotate(images, keys, tracker=counted, save_to=images))
    assert counted.updates == 0
    # The same names, as of a clip that was cut into images a second time.
    images_of(images, shift=3)
    for path in images.glob("*.png"):
        os.utime(path, (10**9, 10**9))
    second = ostrack.annotate(images, keys, tracker=counted, save_to=images)
    assert counted.updates == 19
    np.testing.assert_allclose(second.targets["a"].boxes[19, 0] - first.targets["a"].boxes[19, 0], 3, atol=0.3)


def test_steps_of_a_tracker_with_other_options_are_not_taken(tracker: Tracker, tmp_path: Path) -> None:
    images, keys = images_of(tmp_path / "images"), {"a": {0: box(0)}}
    every: list[dict[str, Any]] = [{}, {"exclusion": True}, {"window": 0.5}, {"recovery": True}, {"search_factor": 3.0}]
    for options in every:
        counted = Counted(tracker, **options)
        for updates in (19, 0):
            counted.updates = 0
            ostrack.annotate(images, keys, tracker=counted, work=tmp_path / "work")
            assert counted.updates == updates, options


def test_networks_without_a_file_are_told_apart(clip: Path, tmp_path: Path) -> None:
    widths = []
    for side in (0.2, 0.3, 0.2):
        runtime = AnyAnswer()
        runtime.answer = [0.5, 0.5, side, side, 0.9]
        counted = Counted(Tracker(Network(runtime)))
        result = ostrack.annotate(clip, {"a": {80: box(80)}}, tracker=counted, work=tmp_path)
        widths.append(result.targets["a"].boxes[81, 2])
    assert widths[0] == widths[2] != widths[1]
    assert counted.updates == 0


def test_the_second_template_lives_on_from_step_to_step(blob_onnx: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(40):
        canvas = np.zeros((120, 160, 3), np.uint8)
        # It turns from red to orange, in which the first template doubts it, and a later view does not.
        canvas[40:64, 30 + number : 60 + number] = (255, min(4 * number, 60) if number < 20 else 80, 0)
        cv2.imwrite(str(images / f"{number}.png"), canvas[..., ::-1])
    policy = Recovery(refresh=4, sure=0.45)
    found = {}
    for name, refresh, step, work in (
        ("never", 0, 100, None), ("whole", 4, 100, None), ("steps", 4, 6, tmp_path / "work"),
        ("resumed", 4, 6, tmp_path / "work"),
    ):  # fmt: skip
        follower = Tracker(blob_onnx, threads=1, recovery=replace(policy, refresh=refresh))
        result = ostrack.annotate(images, {"it": {0: (30, 40, 30, 24)}}, tracker=follower, step=step, work=work)
        found[name] = result.targets["it"].confidences
        for path in sorted(tmp_path.glob("work/*.npz"))[::2]:
            path.unlink()
    assert (found["whole"][22:] > found["never"][22:] + 0.1).all()
    np.testing.assert_array_equal(found["steps"], found["whole"])
    np.testing.assert_array_equal(found["resumed"], found["whole"])


def test_the_file_of_key_frames_is_not_written_over(clip: Path, tracker: Tracker, tmp_path: Path) -> None:
    keys = tmp_path / "tracks.json"
    keys.write_text(json.dumps({"cup": {"0": box(0)}}))
    with pytest.raises(OutputError, match=r"tracks\.json: is the file that the key frames are read from"):
        ostrack.annotate(clip, keys, tracker=tracker, save_to=tmp_path, formats=["csv", "json"])
    assert json.loads(keys.read_text()) == {"cup": {"0": list(box(0))}}


def test_pieces_hold_each_label_once(clip: Path, tracker: Tracker) -> None:
    keys = [
        {"id": "a", "frame": 10, "box": box(10), "label": "thing"},
        {"id": "b", "frame": 0, "box": box(0)},
        {"id": "a", "frame": 11, "box": box(11)},
        {"id": "a", "frame": 50, "box": box(50)},
    ]
    pieces = list(annotate_segments(open_clip(clip), keys, tracker=tracker, step=20))
    for id in ("a", "b"):
        frames = [label.frame for piece in pieces if piece.id == id for label in piece.labels]
        assert sorted(frames) == list(range(FRAMES))
    for piece in pieces:
        assert [label.frame for label in piece.labels] == list(range(piece.first, piece.last + 1))
        assert len(piece.times) == len(piece.labels) <= 20
    result = ostrack.annotate(clip, keys, tracker=tracker)
    assert {id: track.label for id, track in result.targets.items()} == {"a": "thing", "b": "b"}


def test_keys_behind_the_end_are_told_of_and_the_rest_is_done(clip: Path, tracker: Tracker) -> None:
    keys: dict[str, Any] = {"cup": {0: box(0), 500: box(1)}, "never": {90: box(1)}}
    result = ostrack.annotate(clip, keys, tracker=tracker)
    assert len(result.targets["cup"]) == FRAMES
    assert len(result.targets["never"]) == 0
    assert result.problems == (
        f"{clip}: has 90 frames; the key of target 'cup' at frame 500 was left out",
        f"{clip}: has 90 frames; the key of target 'never' at frame 90 was left out",
    )
    with pytest.warns(SourceWarning, match="'never' at frame 90"):
        list(annotate_segments(clip, keys, tracker=tracker))


WRONG: list[tuple[Any, str]] = [
    ({}, "no key frames"),
    ({"cup": {}}, "no key frames"),
    ("keys", "No such file"),
    (7, "are a int"),
    ({"cup": [1, 2, 3, 4]}, "'cup' is"),
    ({"cup": {0: (1, 2, 3)}}, "'cup': the box at frame 0 is .* expected four numbers"),
    ({"cup": {5: (10, 10, -3, 4)}}, "'cup': the box at frame 5 .* must be positive"),
    ({"cup": {0: (float("nan"), 10, 3, 4)}}, "not finite"),
    ({"cup": {-1: (10, 10, 3, 4)}}, "frame -1, expected a whole number"),
    ({"cup": {"soon": (10, 10, 3, 4)}}, "frame 'soon', expected a whole number"),
    ({"cup": {1.5: (10, 10, 3, 4)}}, "frame 1.5, expected a whole number"),
    ({"cup": {0: None}}, "'cup' has no box in any frame"),
    ({"": {0: (1, 1, 9, 9)}}, "id is ''"),
    ({1: {0: (1, 1, 9, 9)}, "1": {0: (1, 1, 9, 9)}}, "one id in writing: 1, '1'"),
    ({"cup": {0: (500, 10, 3, 4)}}, "'cup', frame 0: .* outside the frame"),
    ({"cup": {900: (10, 10, 3, 4)}}, "no box belongs to any of them"),
    ({True: {0: (10, 10, 3, 4)}}, "id is True"),
    ([{"id": "a", "frame": 0}], "key frame number 0"),
    ([{"id": "a", "frame": 0, "box": None, "x": 1}], "key frame number 0"),
    ([{"id": "a", "frame": 0, "box": (1, 1, 9, 9)}] * 2, "'a': frame 0 is given twice"),
    (
        [{"id": "a", "frame": n, "box": (1, 1, 9, 9), "label": str(n)} for n in (0, 1)],
        "its label is '1' at frame 1",
    ),
]


@pytest.mark.parametrize(("keys", "says"), WRONG)
def test_key_frames_that_cannot_be_used(clip: Path, tracker: Tracker, keys: Any, says: str) -> None:
    with pytest.raises((BoxError, FileNotFoundError), match=says) as caught:
        ostrack.annotate(clip, keys, tracker=tracker)
    assert "\n" not in str(caught.value)


def test_other_mistakes(clip: Path, tracker: Tracker, tmp_path: Path) -> None:
    keys = {"cup": {0: box(0)}}
    with pytest.raises(ValueError, match="step must be 1"):
        ostrack.annotate(clip, keys, tracker=tracker, step=0)
    with pytest.raises(ValueError, match="takes no options, got threads"):
        annotate_segments(clip, keys, tracker=tracker, threads=1)
    with pytest.raises(OutputError, match="format 'avi'"):
        ostrack.annotate(clip, keys, tracker=tracker, save_to=tmp_path, formats=["avi"])
    with pytest.raises(SourceError, match="no such file"):
        ostrack.annotate(tmp_path / "none.mp4", keys, tracker=tracker)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file: cannot be made"):
        ostrack.annotate(clip, keys, tracker=tracker, save_to=tmp_path / "file")


def test_an_unreadable_image_has_no_label_and_costs_nothing_else(tracker: Tracker, tmp_path: Path) -> None:
    for number in range(30):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(TRUTH[number])[..., ::-1])
    (tmp_path / "13.png").write_bytes(b"broken")
    result = ostrack.annotate(tmp_path, {"cup": {5: box(5), 25: box(25)}}, tracker=tracker, step=4)
    assert result.targets["cup"].frames.tolist() == [frame for frame in range(30) if frame != 13]
    assert "frame 13 was passed over" in result.problems[0]
    with pytest.raises(SourceError, match="frame 13, a key of target 'cup', cannot be read"):
        ostrack.annotate(tmp_path, {"cup": {13: box(13)}}, tracker=tracker)


RUN = """
import sys, ostrack
clip, keys, network, out = sys.argv[1:]
result = ostrack.annotate(clip, keys, network=network, threads=1, save_to=out, formats=["csv", "yolo"], step=50)
print(result.interrupted, len(result.targets["it"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_signals_leave_what_is_finished(blob_onnx: Path, tmp_path: Path) -> None:
    write_clip(tmp_path / "long.mp4", 3000, size=(64, 48), crf=30)
    boxes = moving_boxes(3000, (64, 48))
    (tmp_path / "keys.json").write_text(
        '{"it": {"0": %s, "2999": %s}}' % (boxes[0].tolist(), boxes[2999].tolist())  # noqa: UP031  (braces of JSON)
    )
    command = [sys.executable, "-c", RUN, *(str(tmp_path / name) for name in ("long.mp4", "keys.json"))]
    command += [str(blob_onnx), str(tmp_path / "out")]
    work = tmp_path / "out" / "work"
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
    wait_for(lambda: work.is_dir() and len(list(work.glob("*.npz"))) >= 5, process)
    process.kill()
    process.communicate(timeout=300)
    kept = len(list(work.glob("*.npz")))
    assert 5 <= kept < 120
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    wait_for(lambda: len(list(work.glob("*.npz"))) >= kept + 65, process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=300)
    rows = (tmp_path / "out" / "tracks.csv").read_text().splitlines()
    assert out.split() == ["True", str(len(rows) - 1)]
    assert 1 < len(rows) < 3001
    assert (tmp_path / "out" / "tracks.yolo" / "labels" / "002998.txt").read_text().startswith("0 0.")


def wait_for(condition: Any, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    for _ in itertools.count():
        if condition():
            return
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


MEMORY = """
import resource, sys
import ostrack
clip, network, last = sys.argv[1:]
ostrack.annotate(clip, {0: {0: (128, 96, 48, 48), int(last): (128, 96, 48, 48)}}, network=network, threads=1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads kibibytes")
def test_memory_is_bounded_by_the_buffer_not_by_the_clip(tmp_path: Path, blob_onnx: Path) -> None:
    peaks = []
    for frames in (200, 800):
        path = tmp_path / f"{frames}.mp4"
        write_clip(path, frames, size=(320, 240), crf=30)
        command = [sys.executable, "-c", MEMORY, str(path), str(blob_onnx), str(frames - 1)]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] - peaks[0] < 16  # the 600 further frames would take 69 MB as they are decoded, 138 as RGB
