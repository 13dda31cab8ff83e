"""Learning what a score is worth: on frames whose odds are known, on real pictures of rectangles, and the drawing."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ostrack.calibration import features
from ostrack.data.benchmarks import load_sequences
from ostrack.errors import DataError
from ostrack.evaluate.reliability import Observations, learn, observe, paint_over
from ostrack.evaluate.reliability_plot import reliability_svg
from ostrack.network import Network

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))


def frames_with_known_odds(clips: int, informative_motion: bool) -> tuple[Observations, Any]:
    rng = np.random.default_rng(4)
    count = 80 * clips
    score, window, rival = rng.uniform(0.05, 0.95, count), rng.uniform(0.3, 1, count), rng.uniform(0.01, 0.3, count)
    evidence = features(score, score * window, rival)
    truth = 1 / (1 + np.exp(-(2 * evidence[:, 0] + (4 if informative_motion else 0) * (evidence[:, 1] + 0.5))))
    right = rng.random(count) < truth
    clip = np.repeat(np.arange(clips), 80)
    return Observations(evidence, right, right | (clip % 2 == 0), clip, tuple(map(str, range(clips)))), truth


@pytest.mark.parametrize("informative", [False, True])
def test_confidence_on_unseen_clips_is_what_the_odds_are(informative: bool) -> None:
    seen, truth = frames_with_known_odds(12, informative)
    found = learn(seen)
    assert np.abs(found.confidence - truth).mean() < 0.04
    assert found.calibration.error < 0.05
    assert found.calibration.error < found.raw_error
    assert (found.calibration.weights[1] != 0) is informative
    assert (found.calibration.clips, found.calibration.frames) == (12, 960)
    assert f"expected calibration error {found.calibration.error:.3f} on clips left out" in found.text()


def test_one_sided_frames_teach_nothing() -> None:
    seen, _ = frames_with_known_odds(4, False)
    with pytest.raises(DataError, match="0 of 320 boxes are wrong, in 0 of 4 clips"):
        learn(Observations(seen.evidence, np.ones(320, bool), seen.present, seen.clip, seen.names))


def test_right_boxes_of_one_clip_only_cannot_be_judged() -> None:
    seen, _ = frames_with_known_odds(4, False)
    right = seen.clip == 2
    with pytest.raises(DataError, match="80 of 320 boxes are right, in 1 of 4 clips; expected some in 3 clips or more"):
        learn(Observations(seen.evidence, right, seen.present, seen.clip, seen.names))


def test_what_is_painted_over_is_gone_and_the_rest_stays() -> None:
    frame = np.full((60, 80, 3), 90, np.uint8)
    frame[20:40, 30:60] = (250, 10, 10)
    bare = paint_over(frame, np.array([30.0, 20, 30, 20]))
    assert np.abs(bare.astype(int) - 90).max() <= 10
    assert (frame[20:40, 30:60] == (250, 10, 10)).all()
    corner = paint_over(frame, np.array([70.0, 50, 30, 30]))
    assert np.array_equal(corner[:45], frame[:45])


def write_clips(folder: Path, count: int, frames: int = 9) -> Path:
    for number in range(count):
        images = folder / f"clip{number}" / "img"
        images.mkdir(parents=True)
        lines = []
        for index in range(frames):
            picture, x, y = np.zeros((120, 160, 3), np.uint8), 30 + 4 * index, 40 + number
            picture[y : y + 24, x : x + 30] = COLOURS[number % len(COLOURS)][::-1]
            assert cv2.imwrite(str(images / f"{index + 1:05d}.png"), picture)
            lines.append(f"{x},{y},30,24\n")
        (folder / f"clip{number}" / "groundtruth.txt").write_text("".join(lines))
    return folder


def test_a_network_is_watched_with_and_without_its_target(blob_onnx: Path, tmp_path: Path) -> None:
    clips = list(load_sequences(write_clips(tmp_path, 4)))
    done: list[tuple[int, int]] = []
    seen = observe(Network.load(blob_onnx, threads=1), clips, lambda now, total: done.append((now, total)))
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    # 8 frames followed, 5 painted over, 5 of each of three others.
    assert np.bincount(seen.clip).tolist() == [8 + 5 + 15] * 4
    assert seen.present.sum() == 4 * 8
    # A network that sees colours is right wherever its colour is, and nowhere else.
    assert np.array_equal(seen.right, seen.present)
    found = learn(seen)
    # Of four clips one is left out each time, and yellow is half red: sure, but not very.
    assert found.confidence[seen.right].mean() > 0.6
    assert found.confidence[~seen.right].mean() < 0.4


def test_two_clips_are_too_few(blob_onnx: Path, tmp_path: Path) -> None:
    clips = list(load_sequences(write_clips(tmp_path, 2)))
    with pytest.raises(DataError, match="2 clips: a calibration needs at least 3"):
        observe(Network.load(blob_onnx, threads=1), clips)


def test_the_diagram_stands_on_its_own() -> None:
    rng = np.random.default_rng(0)
    sure = rng.random(500)
    drawn = reliability_svg(sure, rng.random(500) < sure, "a & b <c>")
    root = ET.fromstring(drawn)  # noqa: S314 - our own text
    space = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{space}text").text == "a & b <c>"  # type: ignore[union-attr]  # a failure says so
    circles = root.findall(f"{space}circle")
    assert len(circles) == 10
    across = [float(circle.get("cx", "nan")) for circle in circles]
    down = [float(circle.get("cy", "nan")) for circle in circles]
    assert across == sorted(across)
    assert np.corrcoef(across, down)[0, 1] < -0.95
    with pytest.raises(ValueError, match="expected two of the same length"):
        reliability_svg([], [], "")
