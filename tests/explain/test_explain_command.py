"""``ostrack explain`` over rendered clips: what it writes, and what it says when it cannot."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from small_pairs import write_frames

from ostrack.cli import app
from ostrack.explain import explain_clip
from ostrack.explain.clip import read_truth
from ostrack.explain.panels import strike_out
from ostrack.model import OSTrack, load, save
from small_networks import lively, tiny


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def ostrack(*arguments: str | Path) -> Done:
    """Run a command in this process: importing torch anew for each would take most of the time."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            app([str(argument) for argument in arguments], prog_name="ostrack")
        except SystemExit as ended:
            code = ended.code
    return Done(int(str(code or 0)), out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("weights") / "tiny.safetensors", lively(OSTrack(tiny())))


def test_a_clip_is_explained_by_one_command(tmp_path: Path, weights: Path) -> None:
    boxes = write_frames(tmp_path / "clip", 6)
    box = ",".join(f"{value:g}" for value in boxes[1])
    out = tmp_path / "out"
    done = ostrack(
        "explain", tmp_path / "clip/img", "--box", box, "--start", "1", "--frame", "3", "--frame", "5",
        "--truth", tmp_path / "clip/groundtruth.txt", "--network", weights, "-o", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = {path.name for path in out.iterdir()}
    sheets = {f"{name}_{frame:05d}.png" for name in ("elimination", "quadrants", "heads") for frame in (3, 5)}
    assert written == {"explain.json", "explain.txt", "explain.mp4"} | sheets
    found = json.loads((out / "explain.json").read_text())
    assert found["target"] == "ground truth"
    assert [row["frame"] for row in found["frames"]] == [2, 3, 4, 5]
    for row in found["frames"]:
        assert [layer["tokens"] for layer in row["layers"]] == [64, 64, 45, 32]
        # A network with random weights may leave the target behind, outside its crop: then there is no share.
        shares = [layer["target_lost"] for layer in row["layers"]]
        assert shares == sorted(shares) if shares[0] is not None else set(shares) == {None}
    with av.open(str(out / "explain.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 4
    assert (out / "explain.txt").read_text().splitlines()[0] in done.stdout
    sheet = cv2.imread(str(out / "elimination_00003.png"))
    # Two rows of tiles 224 wide: at least one column for each of two eliminating layers, over four tiles.
    assert sheet.shape[1] >= 4 * 224
    assert sheet.std() > 10


def test_two_pictures_are_explained(tmp_path: Path, weights: Path) -> None:
    boxes = write_frames(tmp_path / "clip", 3)
    box = ",".join(f"{value:g}" for value in boxes[0])
    first, second = (tmp_path / f"clip/img/0000{k}.png" for k in (1, 2))
    done = ostrack("explain", first, second, "--box", box, "--network", weights, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out/explain.json").read_text())["target"] == "found box"
    assert (tmp_path / "out/heads_00001.png").is_file()


def test_without_a_network_the_packaged_one_is_explained(tmp_path: Path) -> None:
    boxes = write_frames(tmp_path / "clip", 2)
    box = ",".join(f"{value:g}" for value in boxes[0])
    done = ostrack("explain", tmp_path / "clip/img", "--box", box, "--no-video", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "out/explain.json").read_text())["frames"]
    assert [layer["tokens"] for layer in row["layers"]] == [256, 256, 256, 180, 126, 89]
    assert not (tmp_path / "out/explain.mp4").exists()


def test_mistakes_are_told_in_one_line(tmp_path: Path, weights: Path) -> None:
    write_frames(tmp_path / "clip", 3)
    img, truth = tmp_path / "clip/img", tmp_path / "short.txt"
    truth.write_text("40,50,20,16\n41,51,20,16\n")
    cases = [
        ((img,), "give the target's box"),
        ((img, "--box", "1,2,3"), "expected x,y,w,h"),
        ((img, "--box", "40,50,20,16", "--frame", "9"), "no sheet of frame 9: its frames are 0 to 2"),
        ((img, "--box", "40,50,20,16", "--frame", "0"), "no sheet of frame 0: explained are frames from 1 on"),
        ((img, "--box", "40,50,20,16", "--max-frames", "0"), "max_frames 2 or more, got 0 and 0"),
        ((img, "--box", "40,50,20,16", "--start", "-1"), "start must be 0 or more"),
        ((img, "--truth", truth), "the ground truth has 2 rows, but there is a frame 2"),
        ((img / "00001.png", tmp_path / "none.png", "--box", "40,50,20,16"), "none.png: cannot be read"),
        ((tmp_path / "nothing.mp4", "--box", "40,50,20,16"), "no such file or folder"),
    ]
    for arguments, words in [*cases, ((img, "--box", "40,50,20,16", "--network", "big"), "neither a weight file")]:
        done = ostrack("explain", "--network", weights, "-o", tmp_path / "out", *arguments)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert words in done.stderr
    # Every mistake was noticed before there was anything to write.
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_run_that_cannot_begin_leaves_what_was_there(tmp_path: Path, weights: Path) -> None:
    write_frames(tmp_path / "clip", 3)
    out = tmp_path / "out"
    arguments = ("explain", tmp_path / "clip/img", "--network", weights, "-o", out)
    assert ostrack(*arguments, "--box", "40,50,20,16").returncode == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for box, words in (("900,900,20,16", "outside"), ("40,50,0,0", "positive")):
        done = ostrack(*arguments, "--box", box)
        assert done.returncode == 2
        assert words in done.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_frames_without_a_target_do_not_count(tmp_path: Path, weights: Path) -> None:
    boxes = write_frames(tmp_path / "clip", 5)
    boxes[3] = np.nan
    np.savetxt(tmp_path / "truth.txt", boxes, delimiter=",")
    truth = read_truth(tmp_path / "truth.txt")
    report = explain_clip(load(weights), tmp_path / "clip/img", None, tmp_path / "out", truth=truth, video=False)
    assert [frame for frame, _, _ in report.frames] == [1, 2, 4]
    assert report.by_truth


def test_dropped_tokens_are_struck_out_and_others_untouched() -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    before, now = np.zeros((8, 8), np.bool_), np.zeros((8, 8), np.bool_)
    before[0, 0], now[3, 4] = True, True
    out = strike_out(image, before, now).astype(int)
    cells = np.abs(out - image).reshape(8, 8, 8, 8, 3).max((1, 3, 4))
    assert set(zip(*np.nonzero(cells), strict=True)) == {(0, 0), (3, 4)}
    blue = (out[..., 2] - out[..., 0] > 100).reshape(8, 8, 8, 8).any((1, 3))
    plain = (image[..., 2].astype(int) - image[..., 0] > 100).reshape(8, 8, 8, 8).any((1, 3))
    assert blue[3, 4]
    assert not blue[0, 0]
    assert (blue == plain)[~(before | now)].all()
