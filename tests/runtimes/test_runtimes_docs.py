"""The page on runtimes: its commands exist with the options that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ostrack.cli import app

pytest.importorskip("torch")
pytest.importorskip("onnx")

PAGE = (Path(__file__).resolve().parents[2] / "docs/runtimes.md").read_text(encoding="utf-8")


def test_the_commands_of_the_page_name_what_they_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands = [line for line in PAGE.splitlines() if line.startswith("ostrack ")]
    assert len(commands) == 2
    for command in commands:
        found = CliRunner().invoke(app, command.split()[1:])
        assert found.exit_code == 2
        assert re.search(r"error: (FOLDER|clip\.mp4|net\.(safetensors|onnx)): no such (weight )?file", found.output)
