"""Labelling and converting from the command line."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import ostrack.video
from moving_clips import moving_boxes, write_clip

TRUTH = moving_boxes(40).tolist()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_clip(path, 40)
    return path


def call(*arguments: object) -> int:
    from ostrack.cli import app

    try:
        app(list(map(str, arguments)), prog_name="ostrack")
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def test_annotate_writes_every_format_and_says_where_to_look(
    clip: Path, blob_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys.json"
    # The second key frame is wrong by far, so the passes cannot agree.
    keys.write_text(
        json.dumps({"cup": {"5": TRUTH[5], "35": [5, 90, 20, 20]}, "late": {"50": TRUTH[0], "20": TRUTH[20]}})
    )
    formats = ["csv", "json", "jsonl", "mot", "coco", "cvat", "yolo", "csv"]
    out = tmp_path / "labels"
    arguments = ["annotate", clip, "-k", keys, "-o", out, *(part for name in formats for part in ("-f", name))]
    assert call(*arguments, "--network", blob_onnx, "--threads", 1) == 1
    captured = capsys.readouterr()
    assert captured.err == f"warning: {clip}: has 40 frames; the key of target 'late' at frame 50 was left out\n"
    assert "labelled 80 boxes of 2 targets from 3 drawn ones" in captured.out
    assert "  look at frame " in captured.out
    names = {path.name for path in out.iterdir()}
    assert names == {
        "tracks.csv", "tracks.json", "tracks.jsonl", "tracks.txt", "seqinfo.ini", "tracks.coco.json", "tracks.xml",
        "tracks.yolo", "work",
    }  # fmt: skip
    for name in names - {"work"}:
        assert captured.out.count(f"  {out / name}\n") == 1
    assert "frameRate=25\nseqLength=40\nimWidth=160\nimHeight=120\n" in (out / "seqinfo.ini").read_text()
    with (out / "tracks.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 80
    keys.write_text(json.dumps({"late": {"20": TRUTH[20]}}))
    assert call(*arguments, "--network", blob_onnx, "--threads", 1, "--suggest", 0, "--strict") == 0
    assert "look at" not in capsys.readouterr().out


def test_tracks_are_converted(clip: Path, blob_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box = ",".join(f"{value:g}" for value in TRUTH[0])
    table = tmp_path / "t.csv"
    assert call("track", clip, "-b", f"cup={box}", "-s", table, "--network", blob_onnx, "--threads", 1) == 0
    for name in ("t.xml", "t.coco.json", "t.jsonl", "t.txt", "t.yolo"):
        assert call("tracks", "convert", table, tmp_path / name, "--source", clip) == 0
        assert (tmp_path / name).exists()
    assert "<size>40</size>" in (tmp_path / "t.xml").read_text()
    assert call("tracks", "convert", tmp_path / "t.jsonl", tmp_path / "again.csv", "--size", "160x120") == 0
    assert (tmp_path / "again.csv").read_text() == table.read_text()
    capsys.readouterr()
    lists = {name: tmp_path / f"{name}.csv" for name in ("-3", "1700000000", "1700000000000")}
    for name, path in lists.items():
        path.write_text(f"frame,id,x,y,w,h\n2,a,1,2,3,4\n{name},a,1,2,3,4\n")
    yolo = (tmp_path / "o.yolo", "--size", "160x120")
    wrong = [
        ("give the clip with --source", (table, tmp_path / "o.xml")),
        ("expected a size like 640x480", (table, tmp_path / "o.xml", "--size", "160")),
        ("expected a size like 640x480", (table, tmp_path / "o.xml", "--size", "160x0")),
        ("tracks are written as", (table, tmp_path / "o.avi", "--size", "160x120")),
        ("--fps 3 goes with --size", (table, tmp_path / "o.xml", "--source", clip, "--fps", "3")),
        ("is the file that is read", (table, table, "--size", "160x120")),
        ("none.csv: no such file", (tmp_path / "none.csv", tmp_path / "o.xml", "--size", "160x120")),
        ("line 3: expected a frame from 0 to 2147483647, got -3", (lists["-3"], *yolo)),
        ("line 3: expected a frame from 0 to 2147483647, got 1700000000000", (lists["1700000000000"], *yolo)),
        ("expected no gap over 1000000 frames, frame 1700000000 comes 1699999998 later", (lists["1700000000"], *yolo)),
        ("expected no gap over 1000000 frames", (lists["1700000000"], tmp_path / "o.yolo", "--source", clip)),
        ("tracks are read from", (tmp_path / "t.xml", tmp_path / "o.csv", "--size", "160x120")),
    ]
    for says, arguments in wrong:
        assert call("tracks", "convert", *arguments) == 2
        captured = capsys.readouterr()
        assert says in captured.err
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1


def test_mistakes_are_one_line(clip: Path, blob_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = tmp_path / "keys.json"
    out = ("-o", tmp_path / "labels", "--network", blob_onnx)
    texts = [
        ("{", "not JSON"),
        ("[]", "no key frames"),
        (
            '{"a": {"0": [1, 2, 3, -4]}}',
            "target 'a': the box at frame 0 is 1,2,3,-4: width and height must be positive",
        ),
        ('{"a": {"0": [1, 2, 3, 4], "0": null}}', "'0' is given twice"),
        ('{"a": {"0": [900, 2, 3, 4]}}', "target 'a', frame 0: "),
    ]
    for text, says in texts:
        keys.write_text(text)
        assert call("annotate", clip, "-k", keys, *out) == 2
        captured = capsys.readouterr()
        assert says in captured.err
        assert captured.err.count("\n") == 1
    keys.write_text(json.dumps({"a": {"0": TRUTH[0]}}))
    for arguments, says in (
        (("annotate", tmp_path / "none.mp4", "-k", keys, *out), "no such file"),
        (("annotate", "rtsp://127.0.0.1:1/x", "-k", keys, *out), "cannot be read"),
        (("annotate", clip, "-k", tmp_path / "none.json", *out), "none.json"),
        (("annotate", clip, "-k", keys, *out, "-f", "avi"), "format 'avi'"),
        (("annotate", clip, "-k", keys, *out, "--step", 0), "step must be 1"),
        (("annotate", clip, "-k", keys, *out, "--precision", "int4"), "precision 'int4'"),
        (("annotate", clip, "-k", keys, *out, "--runtime", "onnx", "--precision", "bf16"), "computes in float32"),
        (("annotate", clip, *out), "Missing option"),
        (("annotate", clip, "-k", keys, *out, "--suggest", -1), "greater than or equal to 0"),
    ):
        assert call(*arguments) == 2, arguments
        captured = capsys.readouterr()
        assert says in captured.err
        assert captured.err.count("\n") == 1


def test_images_are_written_for_the_frames_that_have_labels(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "t.csv"
    rows = [(3, "tracking"), (4, "lost"), (7, "tracking")]
    table.write_text("frame,id,x,y,w,h,state\n" + "".join(f"{n},a,10,20,30,40,{state}\n" for n, state in rows))
    for name, images in (("t.yolo", tmp_path / "t.yolo/images"), ("t.coco.json", tmp_path / "clip")):
        assert call("tracks", "convert", table, tmp_path / name, "--source", clip) == 0
        assert call("tracks", "images", tmp_path / name, "--source", clip) == 0
        found = {path.name: cv2.imread(str(path))[..., ::-1] for path in images.iterdir()}
        # Nobody knows what 4 shows, nor what the table says nothing of.
        assert sorted(found) == [f"{frame:06d}.jpg" for frame in (3, 7)]
        with ostrack.video.open_source(clip) as source:
            for frame in source:
                if (image := found.get(f"{frame.index:06d}.jpg")) is not None:
                    assert np.abs(frame.image.astype(int) - image).mean() < 6
    capsys.readouterr()
    table.write_text("frame,id,x,y,w,h\n0,a,1,2,3,4\n5000,a,1,2,3,4\n")
    assert call("tracks", "convert", table, tmp_path / "far.yolo", "--size", "160x120") == 0
    assert call("tracks", "images", tmp_path / "far.yolo", "--source", clip) == 2
    assert "has no frame 5000" in capsys.readouterr().err
    document = json.loads((tmp_path / "t.coco.json").read_text())
    for name in ("../out.jpg", "/out.jpg", "out.sh"):
        document["images"][0]["file_name"] = name
        (tmp_path / "odd.coco.json").write_text(json.dumps(document))
        assert call("tracks", "images", tmp_path / "odd.coco.json", "--source", clip) == 2
        assert "is no place for an image" in capsys.readouterr().err
    for wrong in (table, tmp_path):
        assert call("tracks", "images", wrong, "--source", clip) == 2
        assert "neither a .yolo folder nor a .coco.json file" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("annotate",), ("tracks",), ("tracks", "convert")])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys, atexit; from ostrack.cli import main\n"
        "atexit.register(lambda: print('LOADED', [m for m in ('cv2', 'av', 'numpy', 'torch') if m in sys.modules]))\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: ostrack")
    assert done.stdout.endswith("LOADED []\n")
