"""The page about looking inside runs as written, and the benchmark fills its place for figures."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_pairs import write_frames

from ostrack.model import OSTrack, save
from small_networks import lively, tiny

ROOT = Path(__file__).resolve().parents[2]


def test_the_python_of_the_page_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/explain.md").read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:3] == ["[76, 54, 37]", "(6, 153, 153)", "(6, 64, 256)"]


def test_the_benchmark_puts_its_finding_into_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_frames(tmp_path / "set/clip", 4)
    weights = save(tmp_path / "tiny.safetensors", lively(OSTrack(tiny())))
    page = tmp_path / "docs/explain.md"
    page.parent.mkdir()
    shutil.copyfile(ROOT / "docs/explain.md", page)
    before = page.read_text(encoding="utf-8")
    command = [ROOT / "benchmarks/sweep.py", tmp_path / "set", "--network", weights, "--frames", "2", "--every", "1"]
    command += ["--out", tmp_path / "out", "--document", page, "--results", tmp_path / "results"]
    monkeypatch.setattr(sys, "argv", [*map(str, command)])
    for _ in range(2):
        runpy.run_path(str(command[0]), run_name="__main__")
    after = page.read_text(encoding="utf-8")
    head, rest = after.split("<!-- sweep: begin -->")
    assert before.startswith(head)
    assert rest.count("| keep ratio |") == 6
    assert rest.count("images/elimination-sweep.svg") == 1
    assert (page.parent / "images/elimination-sweep.svg").is_file()
    assert len(json.loads((tmp_path / "results/elimination.json").read_text())["settings"]) > 15
