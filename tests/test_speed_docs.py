"""The page on speed: its Python runs as it stands, its commands on fewer frames and in one runtime."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ostrack.demo import demo_clip
from ostrack.errors import SourceError

PAGE = (Path(__file__).resolve().parents[1] / "docs/speed.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return found


@pytest.fixture(autouse=True)
def _clip() -> None:
    try:
        demo_clip()
    except SourceError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_the_python_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks("python"):
        exec(compile(block, "docs/speed.md", "exec"), {})  # noqa: S102  # what the page tells readers to run
    told = capsys.readouterr().out
    assert "21.5 G multiply-adds, 22.6 G with those of the attention" in told
    assert "[256, 256, 256, 180, 180, 180, 126, 126, 126, 89, 89, 89]" in told
    assert "whole frame" in told


@pytest.mark.slow
def test_the_commands_of_the_page() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("ostrack ")]
    assert len(lines) == 4
    for line in lines:
        fewer = ["--frames", "2"]
        if line.startswith("ostrack benchmark"):
            fewer += ["--rounds", "1", *([] if "--runtime" in line else ["--runtime", "onnx"])]
        command = [sys.executable, "-m", *line.split(), *fewer]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
        assert (done.returncode, done.stderr) == (0, ""), line
        assert "small" in done.stdout
