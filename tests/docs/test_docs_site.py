"""The site builds without a warning, holds every page, and asks nothing of the network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
# A page may be wider than a phone only within tables and code, which scroll by themselves.
PHONE = {"width": 390, "height": 844}
_LINK = re.compile(r"\]\((?P<to>[^)#\s]+)[^)]*\)")

pytest.importorskip("material", reason="needs the extra docs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_every_page_is_in_the_site(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        assert (site / page.relative_to(DOCS).with_suffix(".html")).is_file()
    for card in (ROOT / "src" / "ostrack" / "zoo").glob("*.md"):
        built = (site / "models" / f"{card.stem}.html").read_text(encoding="utf-8")
        assert f'href="models/{card.stem}.html"' in (site / "index.html").read_text(encoding="utf-8")
        assert "Known weaknesses" in built


def test_measured_tables_are_those_of_the_results(site: Path) -> None:
    results = (ROOT / "benchmarks" / "results" / "sequences.md").read_text(encoding="utf-8")
    row = next(line for line in results.splitlines() if line.startswith("| small |"))
    page = (site / "comparison.html").read_text(encoding="utf-8")
    for cell in filter(None, map(str.strip, row.split("|"))):
        assert f"{cell}</td>" in page


def test_pictures_are_small() -> None:
    pictures = [path for path in (DOCS / "images").iterdir() if path.suffix == ".png"]
    assert pictures
    assert all(path.stat().st_size < 150_000 for path in pictures)


def test_links_out_of_the_readme_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        for to in _LINK.findall(page.read_text(encoding="utf-8")):
            assert "://" in to or (ROOT / to).exists(), f"{page.name}: {to}"


def test_the_picture_of_the_house_names_every_room() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rooms = [path for path in (ROOT / "src" / "ostrack").iterdir() if not path.name.startswith(("_", "py.typed"))]
    names = [f"`{path.name}/`" if path.is_dir() else f"`{path.name}`" for path in rooms]
    assert not [name for name in names if name not in text]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
def test_pages_need_no_network_and_fit_a_phone(site: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    asked: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=120_000)
        page = browser.new_page(viewport=PHONE)
        page.set_default_timeout(120_000)
        page.on("request", lambda request: asked.append(request.url))
        for built in sorted(site.rglob("*.html")):
            page.goto(built.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], built.name
        browser.close()
    assert len(asked) > 20
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
