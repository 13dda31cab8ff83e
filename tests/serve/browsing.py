"""The page in a real browser, as tests use it: visitors of their own, videos brought, boxes drawn and read."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")

PATIENCE_MS = 180_000
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
# Where the red rectangle of the clip is on the canvas: centre and size in pixels of the picture.
RED = """() => {
  const canvas = document.getElementById("picture");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const found = { x: [], y: [] };
  for (let i = 0; i < data.length; i += 4) {
    if (data[i] > 110) { found.x.push((i / 4) % canvas.width); found.y.push(Math.floor(i / 4 / canvas.width)); }
  }
  const low = (all) => all.reduce((a, b) => Math.min(a, b)), high = (all) => all.reduce((a, b) => Math.max(a, b));
  const [x, y] = [low(found.x), low(found.y)];
  return [x, y, high(found.x) - x + 1, high(found.y) - y + 1];
}"""


expect = playwright.expect
expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser."""
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *CAMERA], timeout=PATIENCE_MS)
        yield opened
        opened.close()


@contextmanager
def visitors(browser: Any) -> Iterator[Callable[..., Any]]:
    """Make pages, each of a visitor of its own; whatever they complain about fails the test."""
    contexts, complaints = [], []

    def make(address: str, quiet: bool = True, **options: Any) -> Any:
        home = address.partition("#")[0]
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if quiet:
            page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on(
            "request",
            lambda asked: complaints.append(asked.url) if not asked.url.startswith((home, "blob:", "ws:")) else None,
        )
        page.goto(address)
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


def address_of(client: Any) -> str:
    """Where a browser finds a client's server."""
    return str(client.base_url).rstrip("/") + "/"


def bring(page: Any, clip: Path, whole: bool = True) -> None:
    """Upload by the file field and wait for the first picture, and for all the others where they are needed."""
    expect(page.locator("#home")).to_be_visible()
    page.set_input_files("#pick", clip)
    expect(page.locator("#hint")).to_have_text("Drag a box round what you want to follow")
    expect(page.locator("#busy")).to_be_hidden()
    if whole:
        expect(page.locator("#progress-text")).to_have_text("Draw a box on the picture first.")


def to_screen(page: Any, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the 160 x 120 video is on the screen."""
    place = page.locator("#boxes").bounding_box()
    return place["x"] + x / 160 * place["width"], place["y"] + y / 120 * place["height"]


def draw(page: Any, box: Any) -> None:
    """Drag a box with the mouse."""
    x, y, w, h = box
    page.mouse.move(*to_screen(page, x, y))
    page.mouse.down()
    page.mouse.move(*to_screen(page, x + w / 2, y + h / 2))
    page.mouse.move(*to_screen(page, x + w, y + h))
    page.mouse.up()


def shown_box(page: Any, number: int = 0) -> list[int]:
    """The box as the page tells it to screen readers."""
    label = page.locator("#boxes .box").nth(number).get_attribute("aria-label")
    return [int(value) for value in re.findall(r"(?:left|top|width|height) (-?\d+)", label)]


def go_to(page: Any, frame: int) -> None:
    """Step to a frame of a job that is open."""
    expect(page.locator("#busy")).to_be_hidden()  # until then 0 is shown as the frame where there is none
    page.keyboard.press("Home")
    expect(page.locator("#frame")).to_have_text("0")
    for step in range(1, frame + 1):
        page.keyboard.press("ArrowRight")
        expect(page.locator("#frame")).to_have_text(str(step))


def track_to_the_end(page: Any) -> None:
    """Press the button and wait."""
    page.click("#track")
    expect(page.locator("#progress-text")).to_have_text("Everything is tracked.")


def until(page: Any, condition: Callable[[], Any]) -> None:
    """Wait for what no locator tells, while the page and its routes go on."""
    ends = time.monotonic() + PATIENCE_MS / 1000
    while not condition():
        assert time.monotonic() < ends
        page.wait_for_timeout(20)
