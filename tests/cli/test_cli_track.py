"""The command line from outside: real processes, real files, real signals."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moving_clips import decode, moving_boxes, write_clip

BOX = ",".join(f"{value:g}" for value in moving_boxes(1)[0])


def ostrack(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ostrack", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, **options)  # type: ignore[call-overload]  # options vary


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_clip(path, 30)
    return path


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "long.mp4"
    write_clip(path, 6000, size=(64, 48), crf=30)
    return path


def test_track_writes_video_and_boxes(clip: Path, blob_onnx: Path, tmp_path: Path) -> None:
    done = ostrack(
        "track", clip, "--box", BOX, "-o", tmp_path / "out.mp4", "--save", tmp_path / "t.csv", "-s",
        tmp_path / "mot.txt", "--sheet", tmp_path / "s.png", "--network", blob_onnx, "--threads", 1,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "tracked 30 frames" in done.stdout
    assert "mean score" in done.stdout
    with (tmp_path / "t.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 30
    assert len(decode(tmp_path / "out.mp4")) == 30
    assert len((tmp_path / "mot.txt").read_text().splitlines()) == 30
    assert (tmp_path / "s.png").stat().st_size > 0


def test_several_targets_from_options_or_a_file(clip: Path, blob_onnx: Path, tmp_path: Path) -> None:
    common = ("track", clip, "--network", blob_onnx, "--threads", 1, "--start", 3, "--max-frames", 4)
    done = ostrack(*common, "-b", f"cup={BOX}", "-b", "-5,10,30,30", "-s", tmp_path / "a.jsonl")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [(line["frame"], line["id"]) for line in lines] == [(n, i) for n in (3, 4, 5, 6) for i in ("cup", 1)]
    (tmp_path / "boxes.json").write_text(json.dumps({"cup": [80, 40, 24, 24], "dog": [10, 10.5, 20, 20]}))
    done = ostrack(*common, "--boxes", tmp_path / "boxes.json", "-s", tmp_path / "b.json")
    assert done.returncode == 0, done.stderr
    assert [line["id"] for line in json.loads((tmp_path / "b.json").read_text())] == ["cup", "dog"] * 4


def errors(clip: Path, network: Path, folder: Path) -> list[tuple[str, tuple[object, ...]]]:
    save = ("-s", folder / "t.csv")
    good = ("--network", network, "--threads", 1, *save)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("no video\n" * 50)
    (folder / "images").mkdir()
    (folder / "boxes.json").write_text('{"cup": [1, 2, 3]}')
    (folder / "broken.json").write_text("{")
    (folder / "net.onnx").write_bytes(b"nonsense")
    return [
        ("nothing to write", (clip, "-b", BOX)),
        ("give the target's box", (clip, *good)),
        ("expected x,y,w,h", (clip, "-b", "1,2,3", *good)),
        ("expected x,y,w,h", (clip, "-b", "a,b,c,d", *good)),
        ("given twice", (clip, "-b", f"a={BOX}", "-b", f"a={BOX}", *good)),
        ("must be positive", (clip, "-b", "10,10,-4,5", *good)),
        ("must be positive", (clip, "-b", "10,10,0,5", *good)),
        ("outside the frame", (clip, "-b", "900,10,20,20", *good)),
        ("not finite", (clip, "-b", "nan,10,20,20", *good)),
        ("not both", (clip, "-b", BOX, "--boxes", folder / "boxes.json", *good)),
        ("'cup' is [1, 2, 3], expected", (clip, "--boxes", folder / "boxes.json", *good)),
        ("not JSON", (clip, "--boxes", folder / "broken.json", *good)),
        ("none.json: No such file", (clip, "--boxes", folder / "none.json", *good)),
        ("none.mp4: no such file", (folder / "none.mp4", "-b", BOX, *good)),
        ("empty.mp4: the file is empty", (folder / "empty.mp4", "-b", BOX, *good)),
        ("text.mp4: cannot be read as a video", (folder / "text.mp4", "-b", BOX, *good)),
        ("images: no images", (folder / "images", "-b", BOX, *good)),
        ("cannot start at frame 99", (clip, "-b", BOX, "--start", 99, *good)),
        ("start must be 0 or more", (clip, "-b", BOX, "--start", -1, *good)),
        ("there is no folder", (clip, "-b", BOX, *good, "-o", folder / "x" / "out.mp4")),
        ("net.onnx: not a readable ONNX file", (clip, "-b", BOX, *save, "--network", folder / "net.onnx")),
        ("none.onnx", (clip, "-b", BOX, *save, "--network", folder / "none.onnx")),
        ("runtime 'tpu'", (clip, "-b", BOX, *good, "--runtime", "tpu")),
        ("threads=0", (clip, "-b", BOX, *save, "--network", network, "--threads", 0)),
    ]


def test_errors_are_one_line_and_exit_with_2(
    clip: Path, blob_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from ostrack.cli import app

    for says, arguments in errors(clip, blob_onnx, tmp_path):
        # In this process, as 24 starts of Python would take half a minute; one real process follows below.
        with pytest.raises(SystemExit) as left:
            app(["track", *map(str, arguments)], prog_name="ostrack")
        captured = capsys.readouterr()
        assert left.value.code == 2, (says, captured)
        assert captured.out == "", says
        assert captured.err.startswith("error: "), captured.err
        assert captured.err.count("\n") == 1, captured.err
        assert says in captured.err, (says, captured.err)
        assert not (tmp_path / "t.csv").exists(), says


def test_a_real_process_ends_with_2_and_the_whole_story_is_to_be_had(tmp_path: Path) -> None:
    arguments = ("track", tmp_path / "none.mp4", "-b", BOX, "-s", tmp_path / "t.csv", "--network", "none.onnx")
    done = ostrack(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {tmp_path / 'none.mp4'}: no such file or folder\n"
    told = ostrack(*arguments, env={**os.environ, "OSTRACK_TRACEBACK": "1"})
    assert told.returncode == 1, told.stderr
    assert "Traceback" in told.stderr


@pytest.mark.parametrize(
    ("says", "arguments"),
    [
        ("(see ostrack --help)", ("trakc",)),
        ("--bocks", ("--bocks",)),
        ("--bocks", ("track", "x", "--bocks", "1")),
        ("'SOURCE' (see ostrack track --help)", ("track",)),
        ("'--start'", ("track", "x", "--start", "soon")),
        ("'--box' requires an argument", ("track", "x", "--box")),
        ("(see ostrack data --help)", ("data", "chekc")),
    ],
)
def test_unknown_commands_and_options_are_told_in_one_line(
    says: str, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    from ostrack.cli import app

    with pytest.raises(SystemExit) as left:
        app(list(arguments), prog_name="ostrack")
    captured = capsys.readouterr()
    assert (left.value.code, captured.out) == (2, "")
    assert captured.err.startswith("error: ")
    assert says in captured.err
    assert captured.err.count("\n") == 1, captured.err


def test_a_damaged_source_ends_with_1_and_keeps_what_there_was(blob_onnx: Path, tmp_path: Path) -> None:
    write_clip(tmp_path / "whole.mp4", 60)
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 3 // 4])
    done = ostrack("track", tmp_path / "cut.mp4", "-b", BOX, "-s", tmp_path / "t.csv", "--network", blob_onnx)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"warning: {tmp_path / 'cut.mp4'}: broke off at frame ")
    assert done.stderr.count("\n") == 1
    assert len((tmp_path / "t.csv").read_text().splitlines()) > 10


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_ends_with_2(clip: Path, blob_onnx: Path, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").symlink_to("/dev/full")
    arguments = ("-s", tmp_path / "t.jsonl", "-s", tmp_path / "good.csv", "-o", tmp_path / "out.mp4")
    done = ostrack("track", clip, "-b", BOX, *arguments, "--network", blob_onnx, "--threads", 1)
    assert done.returncode == 2, done.stderr
    assert done.stderr == f"error: {tmp_path / 't.jsonl'}: cannot write frame 0 (No space left on device)\n"


LIMITED = """
import resource, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from ostrack.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits file sizes with the resource module")
@pytest.mark.parametrize("name", ["t.csv", "t.json"])
def test_a_disk_that_fills_up_in_the_middle(long_clip: Path, blob_onnx: Path, tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", LIMITED, "40000", "track", str(long_clip), "-b", "26,19,10,10"]
    command += ["-s", str(tmp_path / name), "--network", str(blob_onnx), "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: {tmp_path / name}: cannot write frame ")
    assert done.stderr.count("\n") == 1
    kept = int(done.stderr.split("the ")[1].split()[0])
    text = (tmp_path / name).read_text()
    assert kept > 100
    if name == "t.csv":
        assert text.endswith("\n")
        assert len(text.splitlines()) == kept + 1
    else:
        assert len(json.loads(text)) == kept


def _lines(path: Path) -> int:
    """Whole lines of a file so far; it comes and goes once while it is tried whether it can be written."""
    try:
        return path.read_text(encoding="utf-8").count("\n")
    except FileNotFoundError:
        return 0


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"])
def test_signals_in_mid_run(long_clip: Path, blob_onnx: Path, tmp_path: Path, number: str) -> None:
    table, video = tmp_path / "t.csv", tmp_path / "out.mp4"
    command = [sys.executable, "-m", "ostrack", "track", str(long_clip), "-b", "26,19,10,10", "-s", str(table)]
    command += ["-s", str(tmp_path / "t.json"), "-o", str(video), "--network", str(blob_onnx), "--threads", "1"]
    # Under nohup it would be ignored, here and in the processes begun here.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGHUP, before)
    deadline = time.monotonic() + 300
    while _lines(table) <= 200:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(getattr(signal, number))
    out, err = process.communicate(timeout=300)
    text = table.read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert 200 <= len(rows) < 6000
    assert [int(row["frame"]) for row in rows] == list(range(len(rows)))
    assert text.endswith("\n")
    assert all(None not in row.values() for row in rows)
    assert abs(len(json.loads((tmp_path / "t.json").read_text())) - len(rows)) <= 1
    if number == "SIGKILL":
        assert process.returncode == -signal.SIGKILL
        assert len(decode(video)) >= 50
    else:
        assert (process.returncode, err) == (130, "")
        assert f"interrupted after {len(rows)} frames" in out
        assert len(decode(video)) == len(rows)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' file names are text")
@pytest.mark.parametrize("name", ["кружка.mp4", os.fsdecode(b"caf\xe9.mp4")], ids=["letters", "bytes"])
def test_names_that_cannot_be_printed_are_no_error(clip: Path, blob_onnx: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(clip.read_bytes())
    arguments = ("track", tmp_path / name, "-b", BOX, "--network", blob_onnx, "--threads", 1, "--max-frames", 3)
    saves = [part for kind in ("t.csv", "t.xml", "t.coco.json") for part in ("-s", tmp_path / kind)]
    done = ostrack(*arguments, *saves, "-o", tmp_path / "o.mp4", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "tracked 3 frames" in done.stdout
    assert len(json.loads((tmp_path / "t.coco.json").read_text(encoding="utf-8"))["annotations"]) == 3
    assert "<source>" in (tmp_path / "t.xml").read_text(encoding="utf-8")


def test_a_reader_that_leaves_early_is_no_error_of_ours() -> None:
    command = [sys.executable, "-m", "ostrack", "--help"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.wait(300)
    process.stderr.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_progress_with_the_time_left_shows_on_a_terminal_only(long_clip: Path, blob_onnx: Path, tmp_path: Path) -> None:
    import pty

    master, slave = pty.openpty()
    command = [sys.executable, "-m", "ostrack", "track", str(long_clip), "-b", "26,19,10,10", "--max-frames", "1200"]
    command += ["-s", str(tmp_path / "t.csv"), "--network", str(blob_onnx), "--threads", "1"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=slave, env=environment)
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break  # Linux says so when the other side has closed
        if not part:
            break
        shown += part
    assert process.wait(300) == 0
    assert process.stdout is not None
    process.stdout.close()
    os.close(master)
    assert b"/1200 frames" in shown
    assert b"ETA" in shown


def test_a_path_that_looks_like_markup_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from ostrack.cli.progress import progress_line

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    with progress_line("tracking a[/b]/clip [dQw4].mp4") as progress:
        assert progress is not None
        progress(1, 2)
    assert "a[/b]/clip [dQw4].mp4" in shown.getvalue()
