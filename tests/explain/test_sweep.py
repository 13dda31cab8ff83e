"""The laboratory: what it tries, that it goes on where it was stopped, and that its numbers fit together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from small_pairs import write_frames

from ostrack.boxes import iou_xywh
from ostrack.config import PRESETS
from ostrack.data.benchmarks import load_sequences
from ostrack.errors import EvaluationError, OutputError
from ostrack.explain import Axes, Extent, sweep
from ostrack.explain.laboratory import read_axes, run_sweep
from ostrack.explain.settings import settings_of
from ostrack.explain.sweep_page import finding, page, table_text
from ostrack.explain.walk import Walk, decided
from ostrack.model import OSTrack, save
from ostrack.model.two_stream import TwoStream
from ostrack.network import Network
from ostrack.profile import profile
from ostrack.tracker import Track, Tracker
from small_networks import lively, tiny

AXES = Axes(ratios=(0.9, 0.7, 0.3), layers=((1, 2), (0, 1)), queries=("center", "all"), masses=(0.9, 0.5))


def sequences(folder: Path, count: int = 2) -> Path:
    for number in range(count):
        write_frames(folder / f"clip{number}", 8, lookalikes=number)
    return folder


def test_one_axis_at_a_time_round_the_networks_own() -> None:
    config = PRESETS["vits14_224_ce_d6"]
    found = settings_of(config)
    assert [s.describe() for s in found if s.axis == "layers"] == [
        f"layers {a},{a + 1},{a + 2}; keep 0.7; center" for a in range(4)
    ]
    own = [s for s in found if s.config == config]
    assert {s.axis for s in own} == {"ratio", "layers", "query"}
    assert len({s.key for s in own}) == 1
    for setting in found:
        same = {"elimination_layers", "keep_ratios", "keep_mass", "elimination_query"}
        assert setting.config.model_dump(exclude=same) == config.model_dump(exclude=same)
    assert len({s.key for s in found}) == 1 + 6 + 3 + 4 + 5


def test_a_network_without_elimination_gets_the_official_place() -> None:
    found = settings_of(PRESETS["vitb_256"], Axes(ratios=(0.7,), layers=((3, 6, 9),), queries=(), masses=()))
    assert found[1].config == PRESETS["vitb_256_ce"]
    assert found[1].key == found[2].key


def test_a_sweep_measures_what_the_network_does(tmp_path: Path) -> None:
    config = tiny()
    net = lively(OSTrack(config))
    clips = list(load_sequences(sequences(tmp_path / "set"), "folder"))
    found = sweep(net, clips, tmp_path / "cache", axes=AXES, extent=Extent(4, 2))
    assert found.frames == 2 * 3
    by_label = {point.setting.label: point for point in found.points}
    assert by_label["none"].macs == profile(config.without_elimination()).macs
    assert by_label["keep 0.7"].macs == profile(config).macs
    assert by_label["keep 0.7"].full_macs == profile(config).full_macs
    assert by_label["keep 0.7"].kept == 32
    assert by_label["mass 0.5"].kept < by_label["mass 0.9"].kept < 64
    assert by_label["mass 0.5"].macs < by_label["mass 0.9"].macs < by_label["none"].macs
    # The own setting, by hand.
    boxes = []
    for clip in clips:
        walk = Walk(net, clip.frames[0], clip.boxes[0])
        rows = [clip.boxes[0]]
        for index in (2, 4, 6):
            look = walk.look(clip.frames[index])
            with torch.inference_mode():
                out = net(walk.template, look.search, walk.template_box)
            rows.append(np.array(walk.step(clip.frames[index], look.crop, decided(out)[0])))
        boxes.append(iou_xywh(np.stack(rows), clip.boxes[[0, 2, 4, 6]]))
    expected = np.mean([(row[:, None] > np.arange(21) / 20).mean() for row in boxes])
    assert by_label["keep 0.7"].success == pytest.approx(expected, abs=0.02)


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    net = lively(OSTrack(tiny()))
    clips = list(load_sequences(sequences(tmp_path / "set"), "folder"))
    cache = tmp_path / "cache"
    first = sweep(net, clips, cache, axes=AXES, extent=Extent(4, 2))
    files = sorted(cache.iterdir())
    assert len(files) == len({point.setting.key for point in first.points}) == 8
    stamps = [file.stat().st_mtime_ns for file in files]
    files[0].unlink()
    again = sweep(net, clips, cache, axes=AXES, extent=Extent(4, 2))
    assert sorted(cache.iterdir()) == files
    assert [file.stat().st_mtime_ns for file in files[1:]] == stamps[1:]
    assert [point.success for point in again.points] == [point.success for point in first.points]
    sweep(lively(OSTrack(tiny()), 1), clips, cache, axes=AXES, extent=Extent(4, 2))
    assert len(list(cache.iterdir())) == 16, "other weights are other results"
    for number in range(2):
        write_frames(tmp_path / "other" / f"clip{number}", 8, lookalikes=2 + number)
    other = list(load_sequences(tmp_path / "other", "folder"))
    sweep(net, other, cache, axes=AXES, extent=Extent(4, 2))
    assert len(list(cache.iterdir())) == 24, "a clip of the same name is another clip"
    other[0].boxes[0] += 1
    sweep(net, other, cache, axes=AXES, extent=Extent(4, 2))
    assert len(list(cache.iterdir())) == 32, "another first box leads elsewhere"
    files[1].write_text("{")
    with pytest.raises(EvaluationError, match="not a result of a sweep"):
        sweep(net, clips, cache, axes=AXES, extent=Extent(4, 2))


def test_a_killed_sweep_goes_on(tmp_path: Path) -> None:
    weights = save(tmp_path / "tiny.safetensors", lively(OSTrack(tiny())))
    folder, out = sequences(tmp_path / "set"), tmp_path / "out"
    command = [sys.executable, "-m", "ostrack", "explain", "sweep", str(folder), "--network", str(weights)]
    command += ["-o", str(out), "--frames", "8", "--every", "1", "--threads", "1", "--plot", str(tmp_path / "plot.svg")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ends = time.monotonic() + 300
    while not list((out / "settings").glob("*.json")):
        assert process.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = {file: file.stat().st_mtime_ns for file in (out / "settings").glob("*.json")}
    assert kept
    assert not (out / "sweep.json").exists()
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert all(file.stat().st_mtime_ns == stamp for file, stamp in kept.items())
    found = json.loads((out / "sweep.json").read_text())
    assert found["frames"] == 14
    assert {row["axis"] for row in found["settings"]} == {"none", "ratio", "layers", "query", "mass"}
    html = (out / "sweep.html").read_text()
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    assert (tmp_path / "plot.svg").read_text().startswith("<svg xmlns=")
    assert "of success (" in finished.stdout or "against eliminating nothing (" in finished.stdout


def test_the_report_tells_the_cheapest_that_loses_little(tmp_path: Path) -> None:
    net = lively(OSTrack(tiny()))
    found, paths = run_sweep(net, sequences(tmp_path / "set"), tmp_path / "out", name="tiny", axes=AXES, frames=4)
    assert {path.name for path in paths} == {"sweep.html", "sweep.json", "sweep.md", "sweep.svg"}
    full = found.points[0]
    fine = [p for p in found.points[1:] if p.report.against(full.report).difference.low >= -0.02 and p.macs < full.macs]
    told = finding(found)
    if fine:
        assert min(fine, key=lambda point: point.macs).setting.describe() in told
    else:
        assert told.startswith("No setting")
    assert table_text(found).count("\n") == len(found.points) + 2
    text = page(found)
    for point in found.points:
        assert point.setting.describe() in text


def test_axes_are_read_from_text() -> None:
    found = read_axes("0.5, 0.9", ["1,2"], "", "")
    assert found == Axes((0.5, 0.9), ((1, 2),), (), ())
    assert read_axes() == Axes()
    with pytest.raises(EvaluationError, match="--queries middle: expected some of center"):
        read_axes(queries="middle")
    with pytest.raises(EvaluationError, match=r"--ratios 0\.5;0\.9: expected numbers"):
        read_axes("0.5;0.9")
    for text in ("1,2.5", "1,inf", "-1"):
        with pytest.raises(EvaluationError, match=f"--layers {text}: .* expected whole numbers"):
            read_axes(layers=[text])


def test_what_cannot_be_swept_is_said(tmp_path: Path) -> None:
    folder = sequences(tmp_path / "set", 1)
    net = lively(OSTrack(tiny()))
    with pytest.raises(EvaluationError, match="a two-stream network eliminates nothing"):
        run_sweep(lively(TwoStream(tiny(), "correlation")), folder, tmp_path / "out")
    with pytest.raises(OutputError, match=r"plot\.png: the plot is written as \.svg"):
        run_sweep(net, folder, tmp_path / "out", plot=tmp_path / "plot.png")
    with pytest.raises(EvaluationError, match="none of the sequences Deer"):
        run_sweep(net, folder, tmp_path / "out", only={"Deer"})
    with pytest.raises(EvaluationError, match=r"keep 1\.5: keep_ratios=\(1\.5, 1\.5\) must lie in"):
        run_sweep(net, folder, tmp_path / "out", axes=Axes(ratios=(1.5,)))
    with pytest.raises(EvaluationError, match="fewer than two frames"):
        run_sweep(net, folder, tmp_path / "out", every=20)


def test_the_walk_is_the_tracker_without_recovery(tmp_path: Path) -> None:
    write_frames(tmp_path / "clip", 6)
    (clip,) = load_sequences(tmp_path, "folder")
    net = lively(OSTrack(tiny()))
    walk, tracker = Walk(net, clip.frames[0], clip.boxes[0]), Tracker(Network.from_module(net), recovery=False)
    tracker.init(clip.frames[0], clip.boxes[0])
    for index in range(1, 6):
        look = walk.look(clip.frames[index])
        with torch.inference_mode():
            found, score = decided(net(walk.template, look.search, walk.template_box))
        track = tracker.update(clip.frames[index])
        assert isinstance(track, Track)
        assert walk.step(clip.frames[index], look.crop, found) == pytest.approx(track.box, abs=1e-3)
        assert score == pytest.approx(track.score, abs=1e-5)
