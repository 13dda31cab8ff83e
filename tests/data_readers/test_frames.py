"""Frames out of image files and videos, in RGB, with errors that name the file."""

from __future__ import annotations

import pickle
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from dataset_trees import jpeg, stored_as, write
from numpy.typing import NDArray

from moving_clips import write_clip
from ostrack.data import frames as frames_module
from ostrack.data.benchmarks.collection import images_in
from ostrack.data.frames import StoredFrames, VideoFrames
from ostrack.data.images import read_rgb
from ostrack.data.sequence import ArrayFrames, Sequence, polygon_to_xywh
from ostrack.data.storage import FolderStorage, Storage
from ostrack.errors import DataError
from ostrack.video import open_source


@pytest.mark.parametrize("form", ["folder", "zip", "lmdb"])
def test_images_are_rgb(form: str, tmp_path: Path) -> None:
    storage = stored_as(form, write(tmp_path / "set", {"a/1.jpg": jpeg(180)}))
    frames = StoredFrames(storage, ("a/1.jpg",))
    image = frames[0]
    assert image.shape == (12, 16, 3)
    assert image.dtype == np.uint8
    assert abs(int(image[..., 0].mean()) - 180) < 5
    assert image[..., 1:].mean() < 5
    assert frames.name(0).endswith("a/1.jpg")


@pytest.mark.parametrize("blob", [b"", b"not an image", jpeg(1)[:40]])
def test_a_broken_image_is_named(blob: bytes, tmp_path: Path) -> None:
    frames = StoredFrames(FolderStorage(write(tmp_path, {"ok.jpg": jpeg(100), "bad.jpg": blob})), ("ok.jpg", "bad.jpg"))
    assert frames[0].any()
    with pytest.raises(DataError, match=r"bad\.jpg: not an image that can be decoded"):
        frames[1]


@pytest.mark.parametrize(
    "order",
    [
        ["1.jpg", "2.jpg", "10.jpg", "11.jpg"],
        ["img000009.jpg", "img000010.jpg", "img000011.png"],
        ["frame9.jpg", "frame10.jpg"],
        ["1_10.jpg", "10_1.jpg"],
        ["a2.jpg", "b1.jpg"],
    ],
)
def test_images_come_in_the_order_of_their_numbers(order: list[str], tmp_path: Path) -> None:
    storage = FolderStorage(write(tmp_path, {f"f/{name}": jpeg() for name in order} | {"f/notes.txt": ""}))
    assert images_in(storage, "f") == [f"f/{name}" for name in order]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames that get brighter by 6 each, a key frame every 12."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"g": "12"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(40):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 6 * index, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_video_frames_in_any_order(form: str, video: Path) -> None:
    frames = VideoFrames(stored_as(form, video.parent), "clip.mp4")
    assert len(frames) == 40
    # Forward steps, jumps back and ahead, and the ends.
    for index in (0, 1, 2, 17, 16, 39, 0, 25, 26, -1):
        assert abs(float(frames[index].mean()) - 6 * (index % 40)) < 4, index
    with pytest.raises(IndexError, match="frame 40 of 40"):
        frames[40]
    assert len(pickle.loads(pickle.dumps(frames))) == 40  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        # AVI has no time stamps of pictures; with pictures that lean on later ones, players must guess.
        ("a.avi", "mpeg4", {"bf": "2", "g": "12"}),
        ("b.avi", "libx264", {"bf": "3", "g": "12"}),
        ("c.mpg", "mpeg2video", {"bf": "2", "g": "12"}),
        ("d.mkv", "libx264", {"bf": "3", "g": "12"}),
        ("e.mp4", "libx264", {"bf": "3", "g": "12"}),
        # Holds pictures that are never shown.
        ("f.webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good", "g": "12"}),
    ],
)
def test_frames_are_numbered_as_they_are_shown(name: str, codec: str, options: dict[str, str], tmp_path: Path) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg cannot write {codec}")
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(30):
            picture = np.full((48, 64, 3), 8 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    with open_source(tmp_path / name) as source:
        shown = [float(frame.image.mean()) for frame in source]
    frames = VideoFrames(FolderStorage(tmp_path), name)
    assert len(frames) == len(shown) == 30
    for index in (0, 1, 2, 7, 3, 29, 15, 16, 17, 5, 0, 28, 29):
        assert float(frames[index].mean()) == pytest.approx(shown[index], abs=0.5), index
        assert shown[index] == pytest.approx(8 * index, abs=5)


def test_what_was_filmed_on_its_side_stands_upright_as_for_the_tracker(tmp_path: Path) -> None:
    one = 1 << 16
    write_clip(tmp_path / "phone.mp4", frames=5, matrix=(0, one, 0, -one, 0, 0, 0, 0, 1 << 30))
    with open_source(tmp_path / "phone.mp4") as source:
        shown = [frame.image for frame in source]
    frames = VideoFrames(FolderStorage(tmp_path), "phone.mp4")
    assert frames[0].shape == (160, 120, 3)
    for index in (0, 4, 2):
        np.testing.assert_array_equal(frames[index], shown[index])


def test_a_broken_video_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"clip.mp4": b"nothing of the kind"})
    with pytest.raises(DataError, match=r"clip\.mp4: not a video that can be read"):
        len(VideoFrames(FolderStorage(tmp_path), "clip.mp4"))


def _avi(path: Path) -> bytes:
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "XXCAFEXX"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * index, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path.read_bytes()


def test_a_title_that_is_no_utf_8_is_no_obstacle(tmp_path: Path) -> None:
    blob = _avi(tmp_path / "clip.avi")
    assert blob.count(b"XXCAFEXX") == 1
    write(tmp_path, {"clip.avi": blob.replace(b"XXCAFEXX", b"Caf\xe9 \xe9t\xe9")})
    assert len(VideoFrames(FolderStorage(tmp_path), "clip.avi")) == 12
    with open_source(tmp_path / "clip.avi") as opened:
        assert sum(1 for _ in opened.frames()) == 12


def test_a_codec_without_a_decoder_is_named(tmp_path: Path) -> None:
    blob = _avi(tmp_path / "clip.avi")
    assert b"FMP4" in blob
    write(tmp_path, {"clip.avi": blob.replace(b"FMP4", b"zzzz")})
    with pytest.raises(DataError, match=r"clip\.avi: not a video that can be read: no decoder for its codec"):
        len(VideoFrames(FolderStorage(tmp_path), "clip.avi"))


def _boxes(count: int) -> NDArray[np.float64]:
    return np.tile(np.array([1.0, 2.0, 3.0, 4.0]), (count, 1))


def test_a_sequence_is_checked() -> None:
    frames = ArrayFrames([np.zeros((4, 4, 3), np.uint8)] * 3)
    seen = np.ones(3, dtype=bool)
    assert len(Sequence("s", frames, _boxes(3), seen)) == 3
    with pytest.raises(DataError, match=r"s: 3 frames need boxes of shape \(3, 4\), got \(2, 4\)"):
        Sequence("s", frames, _boxes(2), seen)
    with pytest.raises(DataError, match=r"s: 3 frames need cover of shape \(3,\), got \(4,\)"):
        Sequence("s", frames, _boxes(3), seen, cover=np.ones(4))
    boxes = _boxes(3)
    boxes[1] = np.nan
    with pytest.raises(DataError, match="s: frame 1 is marked visible but has no box"):
        Sequence("s", frames, boxes, seen)


def test_boxes_of_polygons() -> None:
    square = [10, 0, 20, 10, 10, 20, 0, 10]  # on its corner, side sqrt(200)
    np.testing.assert_allclose(polygon_to_xywh(square), [0, 0, 20, 20])
    side = np.sqrt(200) + 1
    np.testing.assert_allclose(polygon_to_xywh(square, keep_area=True), [10 - side / 2, 10 - side / 2, side, side])
    upright = np.array([[3, 4, 13, 4, 13, 24, 3, 24], [np.nan] * 8])
    np.testing.assert_allclose(polygon_to_xywh(upright), [[3, 4, 10, 20], [np.nan] * 4])


def test_a_header_that_claims_too_many_pixels_is_a_broken_image(tmp_path: Path) -> None:
    blob = bytearray(jpeg(1))
    size = blob.index(b"\xff\xc0") + 5
    blob[size : size + 4] = b"\xff\xdc" * 2
    root = write(tmp_path, {"bad.jpg": bytes(blob)})
    with pytest.raises(DataError, match=r"bad\.jpg: not an image that can be decoded"):
        StoredFrames(FolderStorage(root), ("bad.jpg",))[0]
    with pytest.raises(DataError, match=r"bad\.jpg: not an image that can be decoded"):
        read_rgb(root / "bad.jpg")


def test_videos_read_side_by_side_stay_open(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight clips of one batch, frame by frame in turn: each is opened once, however few readers a thread keeps."""
    opened: list[str] = []

    class Counted(frames_module._Reader):
        def __init__(self, storage: Storage, key: str) -> None:
            opened.append(key)
            super().__init__(storage, key)

    monkeypatch.setattr(frames_module, "_Reader", Counted)
    for number in range(8):
        shutil.copy(video, tmp_path / f"{number}.mp4")
    storage = FolderStorage(tmp_path)
    turn = threading.Barrier(8)

    def follow(number: int) -> list[float]:
        clip = VideoFrames(storage, f"{number}.mp4")
        seen = []
        for index in range(4):
            turn.wait(60)
            seen.append(float(clip[index].mean()))
        return seen

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(follow, range(8)))
    assert all(found == seen[0] for found in seen)
    assert len(opened) == 8
