"""Reports and the commands that make them, from outside: files, numbers in them, one-line errors."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from moving_sequences import toy_set

from ostrack.errors import EvaluationError
from ostrack.evaluate import TrackerSpec, run, study, write_study
from ostrack.evaluate.files import read_run, write_boxes, write_column
from ostrack.evaluate.filmstrips import filmstrip, first_loss, pick_frames
from ostrack.evaluate.plots import Line, dot_plot, line_plot, sparkline
from ostrack.evaluate.report import markdown, worst_strips
from ostrack.evaluate.vot import SKIPPED

HERE = str(Path(__file__).parent)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory):
    folder, clips = tmp_path_factory.mktemp("study"), toy_set(4)
    for name in ("Brightest", "Still"):
        run(clips, TrackerSpec(f"contract_trackers:{name}", (), (HERE,)), folder / name)
    found = study({"Still": folder / "Still", "<Bright>": folder / "Brightest"}, clips, "lasot", "toy & co")
    return found, clips, folder


class Checker(HTMLParser):
    """Fails on tags that are not closed in order, and keeps what the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.count: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.links += [value or "" for key, value in attrs if key in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_best_first_and_speeds(compared) -> None:
    found, _, _ = compared
    assert list(found.reports) == ["<Bright>", "Still"]
    assert found.first.op75 == 1
    assert all(speed > 0 for speed in found.fps.values())
    pair = found.pairs()["<Bright>", "Still"]
    assert pair.difference.value == pytest.approx(found.first.success - found.reports["Still"].success)
    still = found.reports["Still"].values("success")
    assert found.worst(1) == [found.first.sequences[int(np.argmin(still))]]


def test_page_is_one_sound_file(compared, tmp_path: Path) -> None:
    found, clips, _ = compared
    files = write_study(found, tmp_path, worst_strips(found, clips, 2))
    text = files["html"].read_text()
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert all(link.startswith("data:image/jpeg;base64,") for link in checker.links)
    assert len(checker.links) == checker.count["img"] >= 8
    assert "<Bright>" not in text
    assert "&lt;Bright&gt;" in text
    assert "toy &amp; co" in text
    assert text.count('class="plot"') == 3
    assert text.count("<figure>") == 2
    assert f"{found.first.success:.3f}" in text


def test_json_and_markdown_hold_the_same_figures(compared, tmp_path: Path) -> None:
    found, _, _ = compared
    files = write_study(found, tmp_path)
    plain = json.loads(files["json"].read_text())
    for name, report in found.reports.items():
        assert plain["trackers"][name]["scores"]["success"] == pytest.approx(report.success)
        assert re.search(rf"\| {re.escape(name)} \| {report.success:.3f} \[", files["md"].read_text())
    assert plain["pairs"][0]["wins"] + plain["pairs"][0]["ties"] + plain["pairs"][0]["losses"] == 4
    assert "| clip3 |" in files["md"].read_text()
    assert "| clip3 |" not in markdown(found, sequences=False)


def test_every_protocol_has_a_page(compared, tmp_path: Path) -> None:
    _, clips, folder = compared
    for protocol in ("otb", "got10k", "trackingnet", "presence"):
        found = study({"a": folder / "Still", "b": folder / "Brightest"}, clips, protocol)
        checker = Checker()
        checker.feed(write_study(found, tmp_path / protocol)["html"].read_text())
        assert checker.open == []
    spec = TrackerSpec("contract_trackers:Still", (), (HERE,))
    run(clips, spec, tmp_path / "vot", supervised=True)
    found = study({"still": tmp_path / "vot"}, clips, "vot")
    assert "expected overlap" in write_study(found, tmp_path / "page")["html"].read_text()
    assert worst_strips(found, clips) == []


def test_frames_that_supervision_skips_do_not_make_a_tracker_fast(compared, tmp_path: Path) -> None:
    _, clips, _ = compared
    folder = tmp_path / "vot"
    run(clips, TrackerSpec("contract_trackers:Slow", (), (HERE,)), folder, supervised=True)
    assert any((read_run(path).codes == SKIPPED).any() for path in folder.rglob("*_001.txt"))
    assert study({"slow": folder}, clips, "vot").fps["slow"] < 100


def test_losses_and_the_frames_that_show_them() -> None:
    overlap = np.full(100, 0.8)
    assert first_loss(overlap) is None
    overlap[20:25] = 0
    assert first_loss(overlap) is None
    overlap[40:52] = 0.05
    overlap[45] = np.nan
    assert first_loss(overlap) == 40
    overlap[:] = 0.8
    overlap[97:] = 0
    assert first_loss(overlap) == 97
    assert pick_frames(100, None, 5) == (0, 25, 50, 74, 99)
    frames = pick_frames(400, 200)
    assert frames[0] == 0
    assert frames[-1] == 399
    assert 200 in frames
    assert pick_frames(3, 1) == (0, 1, 2)


def test_filmstrip_shows_every_box_in_its_colour() -> None:
    clip = toy_set(1)[0]
    away = clip.boxes + np.array([40, 30, 0, 0])
    strip = filmstrip(clip, {"a": clip.boxes, "b": away}, quality=95)
    assert strip.lost == {"a": None, "b": 0}
    assert strip.overlaps["a"] == pytest.approx(1)
    image = cv2.imdecode(np.frombuffer(strip.pictures[-1], np.uint8), cv2.IMREAD_COLOR).astype(int)
    for colour in ("#0072b2", "#d55e00"):
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        assert (np.abs(image[..., ::-1] - rgb).sum(-1) < 60).sum() > 30


def test_plots_survive_odd_input() -> None:
    x = np.linspace(0, 1, 5)
    nothing = np.full(5, np.nan)
    for y in (x, nothing, np.zeros(5)):
        svg = line_plot("t<", "x", "y", [Line("a&b", x, y)], None)
        assert svg.startswith("<svg")
        assert "nan" not in svg
        assert "t&lt;" in svg
    assert "nan" not in dot_plot("t", ["r"], {"a": [np.nan], "b": [0.5]}, "x")
    assert "nan" not in sparkline([nothing], [0, 4], np.ones(5, dtype=bool))


def test_a_long_name_leaves_room_for_the_curves() -> None:
    x = np.linspace(0, 1, 5)
    svg = line_plot("t", "x", "y", [Line(f"{'long' * 20} [0.123]", x, x)])
    width = re.search(r'width="([\d.]+)" height="[\d.]+" class="legend"', svg)
    assert width
    assert float(width[1]) < 250
    key = re.search(r'class="key">([^<]*)', svg)
    assert key
    assert key[1].startswith("longlong")
    assert key[1].endswith("[0.123]")


def write_set(root: Path) -> None:
    """Clips in the plain folder layout."""
    for clip in toy_set(3):
        (root / clip.name / "img").mkdir(parents=True)
        for index in range(len(clip)):
            cv2.imwrite(str(root / clip.name / f"img/{index:05d}.png"), clip.frames[index][..., ::-1])
        np.savetxt(root / clip.name / "groundtruth.txt", clip.boxes, fmt="%g", delimiter=",")


def ostrack(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from ostrack.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_commands(tmp_path: Path) -> None:
    write_set(tmp_path / "set")
    tracker = ("--tracker", "contract_trackers:Brightest", "--path", HERE)
    done = ostrack("evaluate", "set", *tracker, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| Brightest |" in done.stdout
    results = tmp_path / "results/folder/Brightest"
    assert (results / "report.html").is_file()
    again = ostrack("evaluate", "set", *tracker, cwd=tmp_path)
    assert "0 sequences run, 3 kept" in again.stderr
    still = ("--tracker", "contract_trackers:Still", "--path", HERE, "-o", "other")
    whole = ostrack("evaluate", "set", *still, "--truncated", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert (tmp_path / "whole/clip0.txt").is_file()
    both = ostrack("compare", str(results), "still=other", "--on", "set", "-o", "page", "--worst", "1", cwd=tmp_path)
    assert both.returncode == 0, both.stderr
    assert set(json.loads((tmp_path / "page/report.json").read_text())["trackers"]) == {"Brightest", "still"}
    (results / "clip1.txt").write_text("1,2,3,4\n1 2 3 4\n")
    broken = ostrack("compare", str(results), "--on", "set", cwd=tmp_path)
    assert broken.returncode == 2, broken.stderr
    assert re.fullmatch(r"error: .*clip1.txt:2: expected x, y, w, h with commas between them.*\n", broken.stderr)
    failing = ostrack("evaluate", "set", "-t", "contract_trackers:AlwaysRaises", "--path", HERE, cwd=tmp_path)
    assert failing.returncode == 1, failing.stderr
    assert "failed clip0: ArithmeticError: never" in failing.stderr
    slip = ostrack("evaluate", "set", *tracker, "--protocol", "otp", "-o", "slip", cwd=tmp_path)
    assert slip.returncode == 2
    assert slip.stderr.startswith("error: unknown protocol 'otp'; choose one of otb, ")
    assert not (tmp_path / "slip").exists(), "refused before anything is tracked"
    no_server = ostrack("evaluate", "set", *tracker, "--submit", "a.zip", cwd=tmp_path)
    assert no_server.returncode == 2, no_server.stderr
    assert "folder has no server" in no_server.stderr


def test_what_a_set_lacks_is_told(tmp_path: Path) -> None:
    write_set(tmp_path / "set")
    next((tmp_path / "set" / "clip1").glob("groundtruth.*")).unlink()
    tracker = ("--tracker", "contract_trackers:Brightest", "--path", HERE)
    done = ostrack("evaluate", "set", *tracker, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "note: left out 1 without labels: clip1" in done.stderr
    both = ostrack("compare", "results/folder/Brightest", "--on", "set", cwd=tmp_path)
    assert "note: left out 1 without labels: clip1" in both.stderr
    dtb = tmp_path / "dtb"
    shutil.copytree(tmp_path / "set" / "clip0", dtb / "Animal1")
    (dtb / "Animal1" / "groundtruth.txt").rename(dtb / "Animal1" / "groundtruth_rect.txt")
    part = ostrack("evaluate", "dtb", *tracker, cwd=tmp_path)
    assert part.returncode == 0, part.stderr
    assert "note: left out 69 of the published list, not here: " in part.stderr
    one = ostrack("evaluate", "dtb", *tracker, "--sequences", "Animal1", cwd=tmp_path)
    assert "note: " not in one.stderr, "a choice of the user's"


def test_got10k_test_set_is_packed_not_scored(tmp_path: Path) -> None:
    names = []
    for number, clip in enumerate(toy_set(2), 1):
        names.append(f"GOT-10k_Test_{number:06d}")
        folder = tmp_path / "got/test" / names[-1]
        folder.mkdir(parents=True)
        for index in range(len(clip)):
            cv2.imwrite(str(folder / f"{index + 1:08d}.jpg"), clip.frames[index][..., ::-1])
        np.savetxt(folder / "groundtruth.txt", clip.boxes[:1] + 1, fmt="%.4f", delimiter=",")
    (tmp_path / "got/test/list.txt").write_text("\n".join(names) + "\n")
    tracker = ("--tracker", "contract_trackers:Brightest", "--path", HERE)
    done = ostrack("evaluate", "got", "--split", "test", *tracker, "--submit", "got.zip", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "nothing to score" in done.stderr
    with zipfile.ZipFile(tmp_path / "got.zip") as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == set(names)


def test_vot_ini(tmp_path: Path) -> None:
    for name in ("one", "two", "one"):
        done = ostrack("vot", "--tracker", "opencv:mil", "--ini", "trackers.ini", "--name", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    text = (tmp_path / "trackers.ini").read_text()
    assert [line for line in text.splitlines() if line.startswith("[")] == ["[two]", "[one]"]
    (tmp_path / "trackers.ini").write_text("nothing here\n")
    bad = ostrack("vot", "--ini", "trackers.ini", "--name", "one", "--tracker", "opencv:mil", cwd=tmp_path)
    assert bad.returncode == 2, bad.stderr
    assert "trackers.ini:1: expected a [tracker]" in bad.stderr


def test_nothing_to_compare() -> None:
    with pytest.raises(EvaluationError, match="0 folders of results"):
        study({}, toy_set(1), "otb")


def test_a_low_confidence_says_absent(tmp_path: Path) -> None:
    clips = toy_set(2)
    for clip in clips:
        clip.boxes[4:7] = np.nan
    sure = {clip.name: np.where(np.isnan(clip.boxes[:, 0]), 0.3, 0.8) for clip in clips}
    sure["clip1"][8] = 0.45
    for name, row in sure.items():
        write_boxes(tmp_path / "theirs" / f"{name}.txt", np.tile([5.0, 5, 20, 20], (len(row), 1)))
        write_column(tmp_path / "theirs" / f"{name}_score.txt", row)
        write_boxes(tmp_path / "silent" / f"{name}.txt", np.tile([5.0, 5, 20, 20], (len(row), 1)))
    folders = {"theirs": tmp_path / "theirs", "silent": tmp_path / "silent"}
    found = study(folders, clips, "presence")
    assert found.reports["theirs"].scores["recall"] == 1
    assert found.reports["theirs"].scores["precision"] == pytest.approx(6 / 7)
    assert found.reports["silent"].scores["recall"] == 0
    assert "confidence below 0.5" in markdown(found)
    lower = study(folders, clips, "presence", absent_below=0.4)
    assert lower.reports["theirs"].scores["f"] == 1
