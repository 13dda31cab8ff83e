"""The page in a real browser: mouse, keys, fingers, a reload, two people, a camera."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
from browsing import (
    RED,
    address_of,
    bring,
    draw,
    expect,
    go_to,
    needs_browser,
    shown_box,
    to_screen,
    track_to_the_end,
)
from running_server import OCTETS, give_box, send_clip, wait_for

from moving_clips import moving_boxes

pytestmark = needs_browser

BOXES = moving_boxes(12)
# What the play button was called, one after the other; a short clip may be over before anybody asks.
CALLED = """() => {
  const play = document.getElementById("play");
  window.called = [];
  new MutationObserver(() => window.called.push(play.getAttribute("aria-label")))
    .observe(play, { attributeFilter: ["aria-label"] });
}"""


def test_from_a_video_to_corrected_boxes_in_a_file(app: Any, open_page: Any, clip: Path) -> None:
    page = open_page(address_of(app))
    bring(page, clip)
    draw(page, BOXES[0])
    expect(page.locator("#targets input")).to_have_value("Target 1")
    assert np.abs(np.array(shown_box(page)) - BOXES[0]).max() <= 1
    track_to_the_end(page)
    # Picture and box are of one frame, forwards and backwards.
    for frame in (11, 5, 0):
        go_to(page, frame)
        assert np.abs(np.array(page.evaluate(RED)) - BOXES[frame]).max() <= 1
        assert np.abs(np.array(shown_box(page)) - BOXES[frame]).max() <= 2
    # Drag the box by its inside: corrected at this frame, to be continued from it.
    go_to(page, 6)
    x, y = BOXES[6, :2] + BOXES[6, 2:] / 2
    page.mouse.move(*to_screen(page, x, y))
    page.mouse.down()
    page.mouse.move(*to_screen(page, x + 2, y + 2), steps=3)
    page.mouse.move(*to_screen(page, x + 4, y + 3), steps=3)
    page.mouse.up()
    expect(page.locator("#track")).to_have_text("Continue from frame 6")
    corrected = shown_box(page)
    track_to_the_end(page)
    page.click("#refine")
    expect(page.locator("#refine")).to_be_hidden()
    expect(page.locator("#track")).to_be_visible()
    expect(page.locator("#progress-text")).to_have_text("Everything is tracked.")
    page.locator("#targets input").fill("car")
    page.keyboard.press("Enter")
    expect(page.locator("#boxes .text")).to_contain_text("car")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV table").click()
    table = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    assert download.value.suggested_filename == "short tracks.csv"
    assert {row["id"] for row in table} == {"car"}
    assert [int(row["frame"]) for row in table] == list(range(12))
    assert [round(float(table[6][key])) for key in "xywh"] == corrected


def test_keys_do_everything(app: Any, open_page: Any, clip: Path) -> None:
    page = open_page(address_of(app))
    bring(page, clip)
    page.keyboard.press("n")
    expect(page.locator("#boxes .box")).to_be_focused()
    assert shown_box(page) == [65, 45, 30, 30]
    for keys in ("Shift+ArrowRight", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(keys)
    page.keyboard.press("Alt+Shift+ArrowRight")
    assert shown_box(page) == [74, 46, 40, 30]
    page.keyboard.press("Escape")
    expect(page.locator("#targets li")).to_have_count(1)
    page.keyboard.press("t")
    expect(page.locator("#progress-text")).to_have_text("Everything is tracked.")
    page.keyboard.press("End")
    expect(page.locator("#frame")).to_have_text("11")
    page.keyboard.press("Shift+ArrowLeft")
    expect(page.locator("#frame")).to_have_text("1")
    page.keyboard.press("[")
    expect(page.locator("#frame")).to_have_text("0")
    page.evaluate(CALLED)
    page.keyboard.press("Space")
    expect(page.locator("#frame")).to_have_text("11")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Play")
    assert page.evaluate("window.called") == ["Pause", "Play"]
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("Delete")
    expect(page.locator("#ask")).to_be_visible()
    page.get_by_role("button", name="Delete", exact=True).last.click()
    expect(page.locator("#targets li")).to_have_count(0)


def test_a_key_right_behind_a_closed_dialog_is_heard(app: Any, open_page: Any, clip: Path) -> None:
    page = open_page(address_of(app))
    bring(page, clip)
    page.keyboard.press("n")
    expect(page.locator("#boxes .box")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#targets li")).to_have_count(1)
    # The browser leaves the focus on the button that went with the dialog until it next draws the page.
    page.evaluate("""() => {
      const help = document.getElementById("help");
      document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "?", bubbles: true }));
      help.close();
      help.querySelector("button").dispatchEvent(new KeyboardEvent("keydown", { key: "Delete", bubbles: true }));
    }""")
    expect(page.locator("#targets li")).to_have_count(0)


def test_a_reload_in_mid_job_comes_back_to_it(app: Any, open_page: Any, long_clip: Path, slow_tracking: None) -> None:
    page = open_page(address_of(app))
    bring(page, long_clip, whole=False)
    draw(page, BOXES[0])
    page.click("#track")
    expect(page.locator("#progress-text")).to_contain_text(re.compile(r"Tracking: \d+ of 1000 frames"))
    page.reload()
    expect(page.locator("#crumb")).to_have_text("long.mp4")
    expect(page.locator("#progress-text")).to_contain_text(re.compile(r"Tracking: \d+ of 1000 frames"))
    expect(page.locator("#boxes .box")).to_have_count(1)
    # A box that is corrected meanwhile: tracking goes on, from there.
    go_to(page, 0)
    draw(page, (20, 20, 30, 30))
    expect(page.locator("#targets li")).to_have_count(2)
    expect(page.locator("#progress-text")).to_contain_text(re.compile(r"Tracking: \d+ of 1000 frames"))
    page.click("#stop")
    expect(page.locator("#progress-text")).to_have_text("Stopped. What was tracked is kept.")
    page.get_by_role("link", name="ostrack, all jobs").click()
    expect(page.locator("#job-list li").first).to_contain_text("long.mp4")
    expect(page.locator("#job-list li").first).to_contain_text("stopped")


def test_a_page_opens_where_one_was_or_where_the_first_target_comes_in(app: Any, open_page: Any, clip: Path) -> None:
    page = open_page(address_of(app))
    bring(page, clip)
    go_to(page, 7)
    draw(page, BOXES[7])
    expect(page.locator("#targets li")).to_have_count(1)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#frame")).to_have_text("8")
    page.reload()
    expect(page.locator("#frame")).to_have_text("8")
    stranger = open_page(page.url)
    expect(stranger.locator("#frame")).to_have_text("7")
    assert np.abs(np.array(shown_box(stranger)) - BOXES[7]).max() <= 1


def test_two_people_do_not_disturb_each_other_and_may_share_a_job(app: Any, open_page: Any, clip: Path) -> None:
    one, two = open_page(address_of(app)), open_page(address_of(app))
    bring(one, clip)
    bring(two, clip)
    assert one.url != two.url
    draw(one, BOXES[0])
    draw(two, (20, 20, 30, 30))
    one.click("#track")
    two.click("#track")
    for page in (one, two):
        expect(page.locator("#progress-text")).to_have_text("Everything is tracked.")
    go_to(one, 0)
    assert np.abs(np.array(shown_box(one)) - BOXES[0]).max() <= 1
    guest = open_page(one.url)
    expect(guest.locator("#targets li")).to_have_count(1)
    go_to(guest, 0)
    draw(guest, (10, 80, 20, 20))
    expect(one.locator("#targets li")).to_have_count(2)
    expect(two.locator("#targets li")).to_have_count(1)


def test_a_file_that_is_no_video_is_told(app: Any, open_page: Any, tmp_path: Path) -> None:
    page = open_page(address_of(app))
    bad = tmp_path / "letter.mp4"
    bad.write_text("Dear reader, this is no video.")
    expect(page.locator("#home")).to_be_visible()
    page.set_input_files("#pick", bad)
    expect(page.locator("#progress-text")).to_have_text("letter.mp4 is no video that can be read.")
    expect(page.locator("#track")).to_be_disabled()
    expect(page.locator("#advice")).to_have_text("")  # there is no picture to draw on
    expect(page.locator("#play")).to_be_hidden()
    (tmp_path / "empty.mp4").touch()
    quiet = open_page(address_of(app), quiet=False)  # Chromium logs refused requests as errors
    expect(quiet.locator("#home")).to_be_visible()
    quiet.set_input_files("#pick", tmp_path / "empty.mp4")
    expect(quiet.locator("#notices")).to_contain_text("The file is empty.")


def test_a_phone(app: Any, open_page: Any, clip: Path) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
    page = open_page(address_of(app), **phone)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    bring(page, clip)
    finger = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]})

    x, y, w, h = BOXES[0]
    # Asked for before: a finger that rests for half a second does something else.
    start, middle, end = (to_screen(page, x + part * w, y + part * h) for part in (0, 0.5, 1))
    touch("touchStart", start)
    touch("touchMove", middle)
    touch("touchMove", end)
    touch("touchEnd")
    expect(page.locator("#targets li")).to_have_count(1)
    assert np.abs(np.array(shown_box(page)) - BOXES[0]).max() <= 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for name in ("#play", "#back", "#forth", "#track"):
        place = page.locator(name).bounding_box()
        assert min(place["width"], place["height"]) >= 44, name
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= 390
    assert page.locator("#track").bounding_box()["y"] + 44 <= 844  # in reach without scrolling
    expect(page.locator("#frame")).to_be_visible()  # "Continue from frame ..." speaks of it
    speed = page.locator("#speed").bounding_box()
    assert speed["x"] + speed["width"] <= 390 - 16
    page.wait_for_timeout(600)  # the browser takes two touches in quick succession for one gesture
    page.locator("#track").tap()
    expect(page.locator("#progress-text")).to_have_text("Everything is tracked.")


def test_nothing_jumps_while_a_job_opens_and_runs(app: Any, open_page: Any, clip: Path) -> None:
    job = send_clip(app, clip)
    wait_for(app, job, "prepare")
    give_box(app, job, 1, 0, BOXES[0])
    page = open_page(address_of(app))
    page.context.add_init_script(
        "window.shifts = []; new PerformanceObserver((list) => list.getEntries().forEach((entry) => "
        "entry.hadRecentInput || window.shifts.push(entry.value))).observe({type: 'layout-shift', buffered: true})"
    )
    page.goto(f"{address_of(app)}#{job}")
    page.reload()
    expect(page.locator("#boxes .box")).to_have_count(1)
    page.keyboard.press("t")
    expect(page.locator("#progress-text")).to_have_text("Everything is tracked.")
    assert sum(page.evaluate("window.shifts")) < 0.1


def test_everything_that_can_be_used_has_a_name(app: Any, open_page: Any, clip: Path) -> None:
    page = open_page(address_of(app))
    bring(page, clip)
    draw(page, BOXES[0])
    expect(page.locator("#targets li")).to_have_count(1)
    for node in page.locator("button:visible, a:visible, input:visible, select:visible, [role=button]:visible").all():
        name = node.evaluate(
            "(node) => node.getAttribute('aria-label') || node.innerText || node.closest('label')?.innerText || ''"
        )
        assert name.strip(), node.evaluate("(node) => node.outerHTML")
    names = [press.get_attribute("aria-label") for press in page.locator("#targets button:visible").all()]
    assert names == ["Undo this box: Target 1", "Delete: Target 1"]
    order = []
    for _ in range(12):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id || document.activeElement.dataset.id || ''"))
    assert "play" in order
    assert "scrub" in order


def test_a_camera_is_followed(app: Any, open_page: Any) -> None:
    page = open_page(f"{address_of(app)}#camera", permissions=["camera"])
    page.click("#camera-start")
    expect(page.locator("#camera-hint")).to_be_visible()
    place = page.locator("#camera-boxes").bounding_box()
    page.mouse.move(place["x"] + 40, place["y"] + 40)
    page.mouse.down()
    page.mouse.move(place["x"] + 160, place["y"] + 150, steps=4)
    page.mouse.up()
    expect(page.locator("#camera-targets li")).to_have_count(1)
    expect(page.locator("#camera-boxes .box")).to_have_count(1)
    expect(page.locator("#camera-rate")).to_contain_text("pictures a second")
    page.locator("#camera-targets").get_by_role("button", name="Delete").click()
    expect(page.locator("#camera-targets li")).to_have_count(0)
    page.click("#camera-stop")
    expect(page.locator("#camera-busy")).to_have_text("The camera is off.")


def test_a_dropped_job_takes_its_pages_home(app: Any, open_page: Any, clip: Path) -> None:
    page = open_page(address_of(app), quiet=False)  # it may just be asking for something of the job
    bring(page, clip)
    job = page.url.partition("#")[2]
    assert app.delete(f"/api/jobs/{job}").status_code == 204
    expect(page.locator("#home")).to_be_visible()
    expect(page.locator("#notices")).to_contain_text("deleted")
    assert app.post("/api/jobs", content=b"", headers=OCTETS).status_code == 400
