"""The page in a real browser where answers come late, in another order, or not at all."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from browsing import address_of, bring, draw, expect, go_to, needs_browser, shown_box, track_to_the_end, until
from running_server import client_of, give_box, running, send_clip, track, wait_for

from moving_clips import moving_boxes
from ostrack.serve.desk import Desk

pytestmark = needs_browser

BOXES = moving_boxes(12)


@contextmanager
def held() -> Iterator[Event]:
    """Boxes that are given take effect only when the block ends; the event says that one has come."""
    came, over = Event(), Event()
    put = Desk.put_keyframe

    def late(desk: Desk, *given: Any) -> Any:
        came.set()
        assert over.wait(60)
        return put(desk, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Desk, "put_keyframe", late)
        try:
            yield came
        finally:
            over.set()


def keyframes(app: Any, page: Any) -> dict[int, list[float]]:
    """What the server knows of the first target of the job that a page shows."""
    job = page.url.partition("#")[2]
    return {given["frame"]: given["box"] for given in app.get(f"/api/jobs/{job}").json()["targets"][0]["keyframes"]}


def test_news_that_comes_late_takes_nothing_back(app: Any, open_page: Any, clip: Path) -> None:
    page = open_page(address_of(app))
    sockets, heard = [], []

    def between(socket: Any) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda text: (heard.append(text), socket.send(text)))
        sockets.append(socket)

    page.route_web_socket(re.compile("/live$"), between)
    bring(page, clip)
    draw(page, BOXES[0])
    expect(page.locator("#targets li")).to_have_count(1)
    old = next(text for text in reversed(heard) if re.search(r'"targets": ?\[\]', text))
    sockets[-1].send(old)
    page.wait_for_timeout(500)
    assert page.locator("#targets li").count() == 1
    assert page.locator("#boxes .box").count() == 1


def test_the_first_page_tells_when_the_server_is_away(app: Any, open_page: Any) -> None:
    page = open_page(address_of(app), quiet=False)
    expect(page.locator("#home")).to_be_visible()
    expect(page.locator("#link-state")).to_be_hidden()
    page.route("**/api/jobs", lambda route: route.abort())
    expect(page.locator("#link-state")).to_have_text("Connection lost, trying again")
    page.unroute("**/api/jobs")
    expect(page.locator("#link-state")).to_be_hidden()


@pytest.mark.slow
def test_a_server_that_dies_and_comes_back(open_page: Any, tmp_path: Path, blob_onnx: Path, long_clip: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    data = tmp_path / "data"
    with running(data, blob_onnx, "--port", port) as server:
        page = open_page(server.address, quiet=False)
        bring(page, long_clip)
        draw(page, BOXES[0])
        page.click("#track")
        expect(page.locator("#progress-text")).to_contain_text(re.compile(r"Tracking: \d+ of 1000 frames"))
        server.kill()
        expect(page.locator("#link-state")).to_have_text("Connection lost, trying again")
    with running(data, blob_onnx, "--port", port) as server:
        expect(page.locator("#link-state")).to_be_hidden()
        expect(page.locator("#progress-text")).to_have_text("Everything is tracked.")
        page.keyboard.press("End")
        expect(page.locator("#frame")).to_have_text("999")
        expect(page.locator("#boxes .box")).to_have_count(1)
        with client_of(server) as client:
            assert len(client.get(f"/api/jobs/{page.url.partition('#')[2]}/tracks").json()["rows"]) == 1000


def test_tracking_waits_for_a_box_that_is_on_its_way(app: Any, open_page: Any, clip: Path) -> None:
    page = open_page(address_of(app))
    bring(page, clip)
    page.keyboard.press("n")
    expect(page.locator("#boxes .box")).to_be_focused()
    with held() as came:
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Escape")
        page.keyboard.press("t")
        until(page, came.is_set)
        page.wait_for_timeout(300)  # for what must not overtake the box
    expect(page.locator("#progress-text")).to_have_text("Everything is tracked.")
    assert keyframes(app, page) == {0: [66, 45, 30, 30]}


def test_a_box_on_its_way_is_where_it_was_left(app: Any, open_page: Any, clip: Path) -> None:
    page = open_page(address_of(app))
    bring(page, clip)
    page.keyboard.press("n")
    expect(page.locator("#boxes .box")).to_be_focused()
    with held() as came:
        page.keyboard.press("ArrowRight")
        until(page, came.is_set)
        page.keyboard.press("ArrowRight")
        assert shown_box(page) == [67, 45, 30, 30]
    page.keyboard.press("Escape")
    until(page, lambda: keyframes(app, page) == {0: [67, 45, 30, 30]})
    assert shown_box(page) == [67, 45, 30, 30]


def test_a_box_moved_by_keys_stays_at_its_frame(app: Any, open_page: Any, clip: Path) -> None:
    page = open_page(address_of(app))
    bring(page, clip)
    page.keyboard.press("n")
    expect(page.locator("#boxes .box")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    expect(page.locator("#frame")).to_have_text("11")
    until(page, lambda: keyframes(app, page) == {0: [66, 45, 30, 30]})


def test_boxes_drawn_in_quick_succession_are_targets_of_their_own(app: Any, open_page: Any, clip: Path) -> None:
    page = open_page(address_of(app))
    bring(page, clip)
    with held() as came:
        draw(page, (10, 10, 30, 30))
        draw(page, (50, 10, 30, 30))
        until(page, came.is_set)
    expect(page.locator("#targets li")).to_have_count(2)
    track_to_the_end(page)


def test_tracks_that_come_while_all_of_them_are_on_their_way_stay(app: Any, open_page: Any, clip: Path) -> None:
    job = send_clip(app, clip)
    wait_for(app, job, "prepare")
    give_box(app, job, 1, 0, BOXES[0])
    page = open_page(address_of(app))
    late: list[Any] = []
    page.route("**/tracks", lambda route: late.append((route, route.fetch())))
    page.goto(f"{address_of(app)}#{job}")
    until(page, lambda: late)
    expect(page.locator("#boxes .box")).to_have_count(1)
    track(app, job)
    expect(page.locator("#progress-text")).to_have_text("Everything is tracked.")
    ((route, response),) = late
    assert response.json() == {"rows": []}
    with page.expect_response("**/tracks"):
        route.fulfill(response=response)
    go_to(page, 7)
    assert np.abs(np.array(shown_box(page)) - BOXES[7]).max() <= 2


# A visitor who thinks about it before the camera is allowed.
ASKED = """() => {
  const { mediaDevices } = navigator;
  const ask = mediaDevices.getUserMedia.bind(mediaDevices);
  mediaDevices.getUserMedia = (wanted) => new Promise((allowed) => {
    window.allow = async () => {
      window.stream = await ask(wanted);
      allowed(window.stream);
    };
  });
}"""


def test_a_camera_that_is_allowed_too_late_stays_off(app: Any, open_page: Any) -> None:
    page = open_page(f"{address_of(app)}#camera", permissions=["camera"])
    page.evaluate(ASKED)
    page.click("#camera-start")
    page.get_by_role("link", name="ostrack, all jobs").click()
    expect(page.locator("#home")).to_be_visible()
    page.evaluate("window.allow()")
    until(page, lambda: page.evaluate("window.stream.getTracks().every((track) => track.readyState === 'ended')"))
