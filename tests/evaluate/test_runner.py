"""The runner from outside: what is in the folder, what is run again, what a failure does to the rest."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from moving_sequences import moving, toy_set

from ostrack.errors import EvaluationError, OSTrackError
from ostrack.evaluate import TrackerSpec, run, score, truth_of
from ostrack.evaluate.batching import SharedRuntime
from ostrack.evaluate.engines import Job, run_here
from ostrack.evaluate.files import read_results, read_run
from ostrack.network import Network
from ostrack.tracker import Tracker

HERE = (str(Path(__file__).parent),)


def spec(name: str, **options: str) -> TrackerSpec:
    return TrackerSpec(f"contract_trackers:{name}", tuple(options.items()), HERE)


def lengths(sequences: list) -> dict[str, int]:
    return {seq.name: len(seq) for seq in sequences}


def test_results_score_as_the_tracker_does(tmp_path: Path) -> None:
    clips = toy_set()
    summary = run(clips, spec("Brightest"), tmp_path)
    assert (len(summary.done), summary.failed, summary.kept) == (4, {}, ())
    assert summary.frames == sum(lengths(clips).values())
    results = read_results(tmp_path, lengths(clips))
    assert score(results, truth_of(clips), "ostrack").op75 == 1
    shifted = run(clips, spec("Brightest", shift="9"), tmp_path / "shifted")
    assert score(read_results(shifted.folder, lengths(clips)), truth_of(clips), "ostrack").op75 < 0.2
    times = np.loadtxt(tmp_path / "clip1_time.txt")
    assert times.shape == (len(clips[1]),)
    assert (times > 0).all()
    assert not list(tmp_path.glob(".*"))


def test_files_are_in_the_benchmarks_own_pixels(tmp_path: Path) -> None:
    clip = moving("one", first_pixel=1)
    run([clip], spec("Brightest"), tmp_path)
    rows = read_results(tmp_path, {"one": len(clip)})["one"]
    np.testing.assert_allclose(rows[0], clip.boxes[0] + [1, 1, 0, 0])
    np.testing.assert_allclose(rows, truth_of([clip]).boxes["one"], atol=1e-3)


def test_finished_sequences_are_kept_and_half_written_ones_redone(tmp_path: Path) -> None:
    clips = toy_set()
    run(clips, spec("Still"), tmp_path)
    before = {name: (tmp_path / f"{name}.txt").stat().st_mtime_ns for name in lengths(clips)}
    half = (tmp_path / "clip2.txt").read_text().splitlines(keepends=True)[:5]
    (tmp_path / "clip2.txt").write_text("".join(half))
    (tmp_path / "clip3.txt").unlink()
    summary = run(clips, spec("Still"), tmp_path)
    assert sorted(summary.done) == ["clip2", "clip3"]
    assert summary.kept == ("clip0", "clip1")
    after = {name: (tmp_path / f"{name}.txt").stat().st_mtime_ns for name in lengths(clips)}
    assert [name for name in before if before[name] == after[name]] == ["clip0", "clip1"]
    assert run(clips, spec("Still"), tmp_path).done == ()


def test_results_of_another_sets_clip_are_not_kept(tmp_path: Path) -> None:
    one, other = moving("clip0", 12, seed=0), moving("clip0", 12, seed=1)
    run([one], spec("Brightest"), tmp_path)
    assert run([other], spec("Brightest"), tmp_path).done == ("clip0",)
    np.testing.assert_allclose(read_results(tmp_path, {"clip0": 12})["clip0"], other.boxes, atol=1e-3)
    assert run([other], spec("Brightest"), tmp_path).kept == ("clip0",)


def test_another_tracker_does_not_write_into_the_folder(tmp_path: Path, blob_onnx: Path) -> None:
    clips = toy_set(1)
    run(clips, spec("Still"), tmp_path)
    with pytest.raises(EvaluationError, match="holds results of another run"):
        run(clips, spec("Brightest"), tmp_path)
    copy = tmp_path / "net.onnx"
    copy.write_bytes(blob_onnx.read_bytes())
    run(clips, str(copy), tmp_path / "ours")
    told = json.loads((tmp_path / "ours/run.json").read_text())
    assert len(told["tracker"]["sha256"]) == 64
    # What a speed of these results is worth: the processor and the libraries, as everywhere.
    assert told["machine"]["libraries"].keys() >= {"numpy", "onnxruntime"}
    copy.write_bytes(blob_onnx.read_bytes() + b"\n")
    with pytest.raises(EvaluationError, match=r"another run \(net.onnx, with other weights\)"):
        run(clips, str(copy), tmp_path / "ours")


def test_a_first_try_that_failed_claims_no_folder(tmp_path: Path, blob_onnx: Path) -> None:
    clips = toy_set(1)

    def on(device: str) -> TrackerSpec:
        return TrackerSpec(str(blob_onnx), (("device", device),))

    with pytest.raises(OSTrackError, match="foo"):
        run(clips, on("foo"), tmp_path)
    assert run(clips, on("cpu"), tmp_path).done == ("clip0",)
    with pytest.raises(EvaluationError, match=r"another run \(.*\.onnx, option device cpu, not foo\)"):
        run(clips, on("foo"), tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("RaisesOnWide", "ArithmeticError: no idea where it is"),
        ("NanOnWide", r"clip1: the tracker answered \[1.0, 2.0, nan, 4.0\] at frame 1"),
        ("NegativeOnWide", r"clip1: the tracker answered \[1.0, 2.0, -3.0, 4.0\] at frame 1"),
        ("WordsOnWide", "must return x, y, w, h; got 'over there'"),
    ],
)
def test_a_failure_is_reported_and_the_rest_is_kept(tmp_path: Path, name: str, message: str) -> None:
    clips = toy_set(wide="clip1")
    summary = run(clips, spec(name), tmp_path)
    assert list(summary.failed) == ["clip1"]
    assert "\n" not in summary.failed["clip1"]
    assert re.search(message, summary.failed["clip1"])
    assert sorted(summary.done) == ["clip0", "clip2", "clip3"]
    assert "Traceback" in (tmp_path / "clip1_error.txt").read_text()
    assert not (tmp_path / "clip1.txt").exists()
    assert run(clips, spec(name), tmp_path).failed.keys() == {"clip1"}


def test_an_error_file_goes_when_the_sequence_succeeds(tmp_path: Path) -> None:
    run(toy_set(2, wide="clip1"), spec("RaisesOnWide"), tmp_path)
    assert (tmp_path / "clip1_error.txt").exists()
    assert run(toy_set(2), spec("RaisesOnWide"), tmp_path).failed == {}
    assert not (tmp_path / "clip1_error.txt").exists()


def test_progress_counts_every_frame(tmp_path: Path) -> None:
    clips, seen = toy_set(), []
    run(clips, spec("Still"), tmp_path, progress=lambda done, total: seen.append((done, total)))
    total = sum(lengths(clips).values())
    assert seen == [(i + 1, total) for i in range(total)]


def test_two_processes_give_what_one_does(tmp_path: Path) -> None:
    clips, seen = toy_set(3), []
    one = run(clips, spec("Brightest"), tmp_path / "one")
    two = run(
        clips, spec("Brightest"), tmp_path / "two", workers=2, progress=lambda done, total: seen.append((done, total))
    )
    assert sorted(one.done) == sorted(two.done)
    for name in one.done:
        assert (one.folder / f"{name}.txt").read_text() == (two.folder / f"{name}.txt").read_text()
    assert seen[-1] == (two.frames, two.frames)


def test_a_process_that_dies_takes_no_other_sequence_with_it(tmp_path: Path) -> None:
    clips = toy_set(4, wide="clip1")
    summary = run(clips, spec("DiesOnWide"), tmp_path, workers=2)
    assert sorted(summary.done) == ["clip0", "clip2", "clip3"]
    assert "process died" in summary.failed["clip1"]


def test_a_batch_is_one_call_of_the_network_and_changes_nothing(tmp_path: Path, blob_onnx: Path) -> None:
    clips = [moving(f"clip{i}", 12, seed=i) for i in range(4)]
    alone = run(clips, str(blob_onnx), tmp_path / "alone")
    batch = run(clips, str(blob_onnx), tmp_path / "batch", batch=4)
    assert sorted(batch.done) == sorted(alone.done)
    for name, rows in read_results(batch.folder, lengths(clips)).items():
        np.testing.assert_allclose(rows, read_results(alone.folder, lengths(clips))[name], atol=2e-3)
    assert score(read_results(batch.folder, lengths(clips)), truth_of(clips), "ostrack").op75 == 1
    scores = np.loadtxt(batch.folder / "clip0_score.txt")
    assert scores[0] == 1
    assert ((scores > 0) & (scores <= 1)).all()


def test_the_shared_network_sees_full_batches(blob_onnx: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    from ostrack.evaluate.follow import follow
    from ostrack.evaluate.peers import open_tracker

    shared = SharedRuntime(Network.load(blob_onnx))
    make = open_tracker(TrackerSpec(str(blob_onnx)), Network(shared))
    clips = [moving(f"clip{i}", 9, seed=i) for i in range(3)]

    together = Barrier(3, timeout=60)

    def one(clip):
        with shared.member():
            together.wait()
            return follow(make(), clip)

    with ThreadPoolExecutor(3) as pool:
        followed = list(pool.map(one, clips))
    assert all(len(item.boxes) == 9 for item in followed)
    assert (shared.rows, shared.calls) == (3 * 8, 8)


def test_a_broken_sequence_leaves_its_batch(tmp_path: Path, blob_onnx: Path) -> None:
    clips = [moving(f"clip{i}", 12, seed=i) for i in range(3)]
    clips[1].boxes[0] = [500, 500, 20, 20]
    summary = run(clips, str(blob_onnx), tmp_path, batch=3)
    assert list(summary.failed) == ["clip1"]
    assert sorted(summary.done) == ["clip0", "clip2"]


def test_ours_is_the_bare_tracker(tmp_path: Path, blob_onnx: Path) -> None:
    clip = moving("clip", 15, seed=2)
    run([clip], str(blob_onnx), tmp_path)
    tracker = Tracker(blob_onnx)
    boxes = [tracker.init(clip.frames[0], clip.boxes[0]).box]
    boxes += [tracker.update(clip.frames[i]).box for i in range(1, len(clip))]
    np.testing.assert_allclose(read_results(tmp_path, {"clip": 15})["clip"], boxes, atol=1e-4)


def test_supervised_run_restarts_after_failures(tmp_path: Path) -> None:
    clip = moving("clip", 80, width=300, height=200, seed=4)
    summary = run([clip], spec("Still"), tmp_path, supervised=True)
    assert summary.failed == {}
    found = read_run(tmp_path / "baseline/clip/clip_001.txt")
    failures = np.flatnonzero(found.codes == 2)
    starts = np.flatnonzero(found.codes == 1)
    assert len(failures) > 1
    assert starts.tolist() == [0, *(failures + 5)[: len(starts) - 1].tolist()]
    report = score({"clip": found}, [clip], "vot")
    assert report.failures == len(failures)
    perfect = run([clip], spec("Brightest"), tmp_path / "b", supervised=True)
    report = score({"clip": read_run(perfect.folder / "baseline/clip/clip_001.txt")}, [clip], "vot")
    assert report.failures == 0
    assert report.accuracy == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("contract_trackers:Missing", {}, "has no Missing"),
        ("no_such_module:Tracker", {}, "cannot import no_such_module"),
        ("contract_trackers:NoUpdate", {}, r"NoUpdate has no method update"),
        ("opencv:nothing", {}, "OpenCV tracker 'nothing' is unknown; this OpenCV .* has mil"),
        ("opencv:nano", {}, r"needs the option backbone=FILE"),
        ("opencv:mil", {"speed": "3"}, "has no option 'speed'"),
    ],
)
def test_trackers_that_are_none(tmp_path: Path, source: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        run(toy_set(1), TrackerSpec(source, tuple(options.items()), HERE), tmp_path)


def test_opencv_tracker_by_name(tmp_path: Path) -> None:
    clip = moving("clip", 6, seed=1)
    assert run([clip], "opencv:mil", tmp_path).failed == {}
    rows = read_results(tmp_path, {"clip": 6})["clip"]
    assert (rows[0] == clip.boxes[0]).all()
    assert (rows[:, 2:] == clip.boxes[0, 2:]).all()


def test_bad_arguments(tmp_path: Path, blob_onnx: Path) -> None:
    clips = toy_set(1)
    with pytest.raises(EvaluationError, match="unknown engine 'cloud'; choose one of local, ray"):
        run(clips, spec("Still"), tmp_path, engine="cloud")
    with pytest.raises(EvaluationError, match="must be 1 or more"):
        run(clips, spec("Still"), tmp_path, workers=0)
    with pytest.raises(EvaluationError, match="share a name"):
        run([*clips, *clips], spec("Still"), tmp_path)
    with pytest.raises(EvaluationError, match="only networks of this package run in batches"):
        list(run_here(Job(spec("Still"), tuple(toy_set(2)), batch=2)))
    with pytest.raises(EvaluationError, match="unexpected keyword argument 'colour'"):
        run(clips, TrackerSpec(str(blob_onnx), (("colour", "red"),)), tmp_path / "b")
    nothing = moving("x")
    nothing.visible[0], nothing.boxes[0] = False, np.nan
    assert run([nothing], spec("Still"), tmp_path / "c").failed == {"x": "x: frame 0 has no box to start from"}
