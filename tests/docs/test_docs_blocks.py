"""Every command and every program of README and documentation runs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from blocks import READ, ROOT, RUN, Block, blocks_of, extras_of, pages, run_python, run_shell
from scene import NAMES, SETTINGS
from shortened import SHORTENED

from mjpeg_camera import Camera, mjpeg_camera

ALL = {page.relative_to(ROOT).as_posix(): blocks_of(page) for page in pages()}
PROGRAMS = {name: [block for block in blocks if block.language in RUN] for name, blocks in ALL.items()}
# A page whose own test looks at what its commands print, too.
ELSEWHERE = {"docs/speed.md": "tests/test_speed_docs.py"}
# Pages whose commands track, export or train for about half a minute in all.
SLOW = {"docs/annotate.md", "docs/own-data.md", "docs/training.md"}
# At most this share of all programs may be left out.
MOST_SKIPPED = 0.1


@pytest.fixture(scope="module")
def camera() -> Iterator[str]:
    """Address of a camera that plays a dozen frames to whoever connects."""
    with mjpeg_camera(Camera(lives=[12], sizes=[(640, 272)])) as found:
        yield found.address


def _page(name: str) -> object:
    return pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name


@pytest.mark.parametrize("name", [_page(name) for name, blocks in PROGRAMS.items() if blocks and name not in ELSEWHERE])
def test_programs_of_a_page_run(
    name: str, camera: str, blob_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for prepare in SETTINGS.get(name, ()):
        prepare(tmp_path)
    shutil.copy(blob_onnx, tmp_path / "my.onnx")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    names = NAMES[name]() if name in NAMES else {}
    names["__name__"] = "a_page"
    for block in PROGRAMS[name]:
        code = _shortened(block).replace("CAMERA", camera)
        if block.how == "skip":
            continue
        if block.language == "python":
            run_python(block, code, names)
        else:
            run_shell(block, code, tmp_path)


def _shortened(block: Block) -> str:
    code = block.code
    for old, new in SHORTENED.get(block.page, ()) if block.how == "short" else ():
        code = code.replace(old, new)
    return code


def test_little_is_left_out_and_always_with_a_reason() -> None:
    programs = [block for blocks in PROGRAMS.values() for block in blocks]
    skipped = [block for block in programs if block.how == "skip"]
    assert all(block.reason for block in programs if block.how in ("skip", "short"))
    assert len(skipped) <= MOST_SKIPPED * len(programs), [block.place for block in skipped]


@pytest.mark.parametrize("name", SHORTENED)
def test_replacements_replace_something(name: str) -> None:
    short = [block for block in PROGRAMS[name] if block.how == "short"]
    for old, _ in SHORTENED[name]:
        assert any(old in block.code for block in short), f"{name}: nothing marked short holds {old!r}"
    for block in short:
        assert _shortened(block) != block.code, f"{block.place}: marked short, runs in full"


@pytest.mark.parametrize("name", ALL)
def test_languages_are_named_and_data_is_well_formed(name: str) -> None:
    for block in ALL[name]:
        assert block.language in (*RUN, *READ), f"{block.place}: language {block.language!r}"
        if block.language == "json":
            json.loads(block.code)
        elif block.language == "yaml":
            assert isinstance(yaml.safe_load(block.code), dict), block.place


@pytest.mark.parametrize("name", ALL)
def test_commands_are_in_blocks_that_run(name: str) -> None:
    """Indented text is for output; what is typed stands in a fenced block."""
    text = (ROOT / name).read_text(encoding="utf-8")
    outside = re.sub(r"^[ ]*```.*?^[ ]*```", "", text, flags=re.MULTILINE | re.DOTALL)
    typed = re.findall(r"^ {4,}(?:ostrack|pip|python|torchrun|make|import) .*$", outside, flags=re.MULTILINE)
    assert not typed


@pytest.mark.parametrize(("name", "test"), ELSEWHERE.items())
def test_pages_that_run_elsewhere_do(name: str, test: str) -> None:
    assert name in ALL
    assert name in (ROOT / test).read_text(encoding="utf-8")


def test_extras_that_are_named_exist() -> None:
    known = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE))
    texts = [page.read_text(encoding="utf-8") for page in pages()]
    named = {extra for text in texts for extra in extras_of("\n".join(re.findall(r"pip install [^`\n]+", text)))}
    assert {"train", "export"} <= named <= known


@pytest.mark.parametrize("name", ALL)
def test_files_that_are_named_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for path in re.findall(r"\b(?:benchmarks|tools|tests|src/ostrack)/[\w/]+\.(?:py|md|yaml|json)\b", text):
        made = path.startswith("benchmarks/results/")
        assert made or (ROOT / path).is_file(), f"{name}: {path}"
