"""Labels made by trackers: on clips whose boxes are known, through the command and through what reads its folder."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from moving_clips import moving_boxes, picture
from ostrack.config import OSTrackConfig
from ostrack.data.annotations import clips, read_folder
from ostrack.errors import DataError
from ostrack.evaluate.peers import Estimate
from ostrack.train.recipe import DataRecipe
from ostrack.train.sources import open_sources

Floats = NDArray[np.float64]
TOOL = Path(__file__).resolve().parents[2] / "tools" / "pseudo_labels.py"
FRAMES = 12
TRUTH = moving_boxes(FRAMES * 4)[::4]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The tool as a module."""
    spec = importlib.util.spec_from_file_location("pseudo_labels", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["pseudo_labels"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with one clip of a red rectangle; its frames are numbered in sevens and listed backwards."""
    (tmp_path / "source" / "images").mkdir(parents=True)
    entries = []
    for index, box in enumerate(TRUTH):
        name = f"images/{index * 7:04}.png"
        cv2.imwrite(str(tmp_path / "source" / name), picture(box)[..., ::-1])
        entries.append({"image": name, "size": [160, 120], "boxes": [], "video": "red", "frame": index * 7})
    (tmp_path / "source" / "annotations.json").write_text(json.dumps(entries[::-1]))
    return tmp_path / "source"


def write_seeds(folder: Path, seeds: dict[str, Any], veto: tuple[str, ...] = ()) -> Path:
    file = folder / "seeds.json"
    file.write_text(json.dumps({"seeds": seeds, "veto": veto}))
    return file


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(TOOL), *map(str, arguments)], capture_output=True, text=True)


class Shifted:
    """Centre of mass of the light, some pixels beside."""

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def init(self, frame: NDArray[np.uint8], box: Floats) -> None:
        self.size = box[2:]

    def update(self, frame: NDArray[np.uint8]) -> Estimate:
        rows, columns = np.nonzero(frame.sum(-1))
        if not len(rows):
            return Estimate(np.full(4, np.nan))
        centre = np.array([columns.mean(), rows.mean()]) + 0.5
        return Estimate(np.concatenate([centre - self.size / 2 + self.shift, self.size]))


class Runaway:
    """Goes right by a third of the target in every frame, whatever the frames show."""

    def init(self, frame: NDArray[np.uint8], box: Floats) -> None:
        self.box = box.copy()

    def update(self, frame: NDArray[np.uint8]) -> Estimate:
        self.box[0] += self.box[2] / 3
        return Estimate(self.box.copy())


class Still:
    """Never moves."""

    def init(self, frame: NDArray[np.uint8], box: Floats) -> None:
        self.box = box

    def update(self, frame: NDArray[np.uint8]) -> Estimate:
        return Estimate(self.box)


def test_packaged_kind_of_network_labels_a_clip_that_training_reads(
    source: Path, tmp_path: Path, blob_onnx: Path
) -> None:
    seeds = write_seeds(tmp_path, {"red": [[21, *TRUTH[3], "blob"]]}, ("red/blob@35",))
    done = command(source, seeds, tmp_path / "out", "--tracker", blob_onnx)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("red/blob: 11 of 12 frames from 1 seed, mean agreement 0.9")
    assert done.stdout.splitlines()[-1].endswith("1 tracks, 11 boxes in 11 images")
    images = read_folder(tmp_path / "out")
    assert all(image.auto and image.path.is_file() for image in images)
    (clip,) = clips(images)
    assert clip.name == "out/red/blob"
    np.testing.assert_allclose(clip.boxes, np.delete(TRUTH, 5, 0), atol=2)
    recipe = DataRecipe.model_validate(
        {"root": tmp_path / "out", "clips": 1.0, "stills": 0.0, "composites": 0.0, "held_out_share": 0.0}
    )
    assert open_sources(recipe, OSTrackConfig().search_factor).report == ("clips: 1 clips",)


def test_what_does_not_come_home_is_left_out(tool: ModuleType) -> None:
    frames = [picture(box) for box in TRUTH]
    limits = tool.Limits(0.5, 0.6, 1)
    kept = tool.label_target([Shifted, Runaway], frames, {3: TRUTH[3]}, limits)
    np.testing.assert_allclose([kept[i].box for i in range(FRAMES)], TRUTH)
    alone = tool.label_target([Runaway], frames, {3: TRUTH[3]}, limits)
    assert list(alone) == [3]


def test_a_target_that_leaves_keeps_the_frames_before(tool: ModuleType) -> None:
    frames = [picture(box) if index < 8 else np.zeros((120, 160, 3), np.uint8) for index, box in enumerate(TRUTH)]
    kept = tool.label_target([Shifted], frames, {0: TRUTH[0]}, tool.Limits(0.5, 0.6, 1))
    assert list(kept) == list(range(8))


def test_trackers_must_agree(tool: ModuleType) -> None:
    frames = [picture(box) for box in TRUTH]
    apart = [lambda: Shifted(), lambda: Shifted(6.0)]
    seeds = {0: TRUTH[0]}
    strict = tool.label_target(apart, frames, seeds, tool.Limits(0.7, 0.3, 2))
    assert list(strict) == [0]
    torn = tool.label_target(apart, frames, seeds, tool.Limits(0.7, 0.3, 1))
    assert list(torn) == [0], "one of two is no majority"
    majority = tool.label_target([*apart, lambda: Shifted(1.0)], frames, seeds, tool.Limits(0.7, 0.3, 2))
    np.testing.assert_allclose([majority[i].box[:2] for i in range(1, FRAMES)], TRUTH[1:, :2] + 0.5)
    assert all(0.8 < label.agreement < 1 for index, label in majority.items() if index)


def test_every_frame_belongs_to_the_nearest_seed(tool: ModuleType) -> None:
    frames = [picture(box) for box in TRUTH[:8]]
    seeds = {1: np.array([10.0, 10, 20, 20]), 6: np.array([60.0, 50, 30, 20])}
    kept = tool.label_target([Still], frames, seeds, tool.Limits(0.5, 0.6, 1))
    assert [label.box[0] for label in kept.values()] == [10.0] * 4 + [60.0] * 4


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        ([8, 1, 2, 3, 4, "a"], "red/a: a seed on frame 8; the clip red has frames 0, 7, 14"),
        ([7, 1, 2, 0, 4, "a"], "red: seed 0 is [7, 1, 2, 0, 4, 'a'], expected [frame, x, y, w, h, track]"),
        ([7, 1, 2, 3], "expected [frame, x, y, w, h, track]"),
    ],
)
def test_bad_seeds_are_named_in_one_line(source: Path, tmp_path: Path, seed: list[object], message: str) -> None:
    done = command(source, write_seeds(tmp_path, {"red": [seed]}), tmp_path / "out", "--tracker", "opencv:mil")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\udcff", "not JSON"),
        ("[" * 100000, "not JSON"),
        ('{"seeds": {"red": null}}', "red: None, expected a list of seeds"),
        ('{"seeds": {}, "veto": "red/a"}', "veto is 'red/a', expected a list"),
    ],
)
def test_files_of_seeds_that_are_none(tool: ModuleType, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "seeds.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=message):
        tool.Seeds.read(file)


def test_a_file_in_place_of_the_folder_to_write(source: Path, tmp_path: Path) -> None:
    seeds = write_seeds(tmp_path, {"red": [[7, 1, 2, 30, 40]]})
    done = command(source, seeds, seeds)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_a_folder_in_use_and_an_impossible_need_are_refused(source: Path, tmp_path: Path) -> None:
    seeds = write_seeds(tmp_path, {"red": [[7, 1, 2, 30, 40]]})
    done = command(source, seeds, source)
    assert done.returncode == 2
    assert f"{source}: holds annotations.json already" in done.stderr
    done = command(source, seeds, tmp_path / "out", "--need", 2)
    assert done.returncode == 2
    assert "--need 2: expected 1 to 1" in done.stderr
