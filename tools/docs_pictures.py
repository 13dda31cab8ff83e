"""Draw the pictures of the documentation anew, from the packaged network on the demo clip, into ``docs/images/``.

    python tools/docs_pictures.py [--app]

Worth doing whenever another network is packaged. They are stored small. ``--app`` draws the web app alone, which needs
Playwright and a Chromium on ``PATH``.
"""

from __future__ import annotations

import argparse
import io
import itertools
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from ostrack import zoo
from ostrack.demo import BOX, FRAMES, START, demo_clip
from ostrack.explain.clip import Explained, explain_frames
from ostrack.explain.sheets import elimination_sheet, quadrant_sheet
from ostrack.model import load
from ostrack.video import VideoSink, open_source, track

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
FRAME = START + 39
"""Far behind the fence, beside another car: the case that the pictures are about."""
COLOURS = 64
LAYERS = [0, 2, 3, 5]
CLIP_WIDTH = 640


def explained(frame: int) -> Explained:
    """Follow the car up to a frame and look inside there."""
    net = load(zoo.path(zoo.names()[0], "safetensors"))
    with open_source(demo_clip()) as source:
        pictures = ((each.index, each.image) for each in source.frames(START))
        for found in explain_frames(net, pictures, BOX):
            if found.frame == frame:
                return found
    raise SystemExit(f"the clip ends before frame {frame}")


def strip() -> Image.Image:
    """Six frames of the demo with their boxes."""
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder) / "frames.mp4"
        track(demo_clip(), box=BOX, start=START, max_frames=FRAMES, save_video=frames)
        with open_source(frames) as source:
            drawn = [Image.fromarray(frame.image) for frame in source.frames(0)]
    width, height = drawn[0].width * 3 // 5, drawn[0].height * 3 // 5
    sheet = Image.new("RGB", (3 * width, 2 * height))
    for place in range(6):
        small = drawn[round(place * (len(drawn) - 1) / 5)].resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(small, (place % 3 * width, place // 3 * height))
    return sheet


def app() -> Image.Image:
    """The web app while somebody looks at what was tracked."""
    from playwright.sync_api import Page, expect, sync_playwright

    def draw(page: Page) -> None:
        place = page.locator("#boxes").bounding_box()
        assert place is not None, "the page shows no picture"
        scale, (x, y, w, h) = place["width"] / CLIP_WIDTH, BOX
        page.mouse.move(place["x"] + x * scale, place["y"] + y * scale)
        page.mouse.down()
        page.mouse.move(place["x"] + (x + w / 2) * scale, place["y"] + (y + h / 2) * scale)
        page.mouse.move(place["x"] + (x + w) * scale, place["y"] + (y + h) * scale)
        page.mouse.up()

    expect.set_options(timeout=120_000)
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "street.mp4"
        # The shot alone: the app opens a video at its first frame.
        with open_source(demo_clip()) as source, VideoSink(clip, 25) as sink:
            for frame in itertools.islice(source.frames(START), FRAMES):
                sink.write(frame.image, (frame.index - START) / 25)
        command = [sys.executable, "-m", "ostrack", "serve", "--port", "0", "--data", f"{folder}/data"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None, "it was asked for"
            address = re.search(r"http://\S+", server.stdout.readline())
            assert address is not None, "the server did not start"
            with sync_playwright() as started:
                window = started.chromium.launch(executable_path=browser, args=["--no-sandbox"])
                page = window.new_page(viewport={"width": 1280, "height": 800})
                page.goto(address[0])
                page.set_input_files("#pick", clip)
                expect(page.locator("#hint")).to_have_text("Drag a box round what you want to follow")
                expect(page.locator("#busy")).to_be_hidden()
                draw(page)
                page.locator("#targets input").fill("car")
                page.keyboard.press("Enter")
                page.click("#track")
                expect(page.locator("#progress-text")).to_have_text("Everything is tracked.")
                page.locator("#scrub").fill(str(FRAMES - 12))
                expect(page.locator("#frame")).to_have_text(str(FRAMES - 12))
                shot = page.screenshot()
                window.close()
        finally:
            server.terminate()
            server.wait(timeout=60)
    return Image.open(io.BytesIO(shot)).convert("RGB")


def keep(name: str, picture: Image.Image) -> None:
    """Store a drawing with few colours, a photograph as JPEG, and tell its size."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / name
    if path.suffix == ".jpg":
        picture.save(path, quality=80, optimize=True)
    else:
        picture.quantize(COLOURS, kmeans=5, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {picture.width} x {picture.height}, {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Write the pictures and tell their sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--app", action="store_true", help="the web app alone")
    if parser.parse_args().app:
        keep("app.jpg", app())
        return
    keep("demo.jpg", strip())
    found = explained(FRAME)
    keep("elimination.png", Image.fromarray(elimination_sheet(found.inspection)))
    keep("quadrants.png", Image.fromarray(quadrant_sheet(found.inspection, LAYERS)))


if __name__ == "__main__":
    main()
