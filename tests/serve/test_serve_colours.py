"""Words can be read on their grounds, light and dark: contrast by WCAG 2, level AA."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ostrack.serve

CSS = (Path(ostrack.serve.__file__).parent / "static" / "app.css").read_text(encoding="utf-8")


def variables(dark: bool) -> dict[str, str]:
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    assert len(blocks) == 2
    text = blocks[0] + (blocks[1] if dark else "")
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", text))


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_measure() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(
    ("words", "ground", "least"),
    [
        *((words, ground, 4.5) for words in ("ink", "soft", "danger") for ground in ("ground", "panel", "lane")),
        ("accent-ink", "accent", 4.5),
        ("accent-ink", "accent-over", 4.5),
        ("ground", "ink", 4.5),
        ("accent", "ground", 3.0),  # the focus ring and the scrubber
        ("firm", "ground", 3.0),  # borders of what can be pressed
        ("firm", "panel", 3.0),
    ],
)
def test_contrast(dark: bool, words: str, ground: str, least: float) -> None:
    found = variables(dark)
    assert contrast(found[words], found[ground]) >= least
