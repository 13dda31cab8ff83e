"""Fenced blocks of Markdown pages, what is said about testing them, and how they are run.

A comment right above a block says what the test may not do: ``<!-- test: skip, REASON -->`` leaves it out,
``<!-- test: short, REASON -->`` runs it with the replacements of :mod:`shortened`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RUN = ("sh", "bash", "python")
"""Languages that are executed."""
READ = ("yaml", "json", "text", "console")
"""Languages that are only read."""

_BLOCK = re.compile(
    r"(?:^[ ]*<!-- test: (?P<mark>[^>]*?) -->\n\s*?)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w*)[ ]*\n(?P<code>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_MARK = re.compile(r"(?P<how>skip|short), (?P<reason>\S.{5,})")
_INSTALL = re.compile(r"^pip install .*$", re.MULTILINE)
_EXTRA = re.compile(r"(?:ostrack|\.)\[([\w,]+)\]")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: File name below the root, as in ``docs/start.md``.
        line: Where its code begins, from 1.
        language: As written; empty where nothing is.
        code: Without indentation.
        how: ``"run"``, ``"short"``, ``"skip"``; ``"read"`` for what is no program.
        reason: Why not as it stands.
    """

    page: str
    line: int
    language: str
    code: str
    how: str
    reason: str = ""

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """README and every page of the site's folder."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order.

    Raises:
        ValueError: A mark that says neither skip nor short, or gives no reason.
    """
    text, name = page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix()
    found = []
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("code")) + 1
        how, reason = "run" if match["language"] in RUN else "read", ""
        if match["mark"] is not None:
            mark = _MARK.fullmatch(match["mark"].strip())
            if mark is None:
                raise ValueError(f"{name}:{line}: '{match['mark']}': expected 'skip, REASON' or 'short, REASON'")
            how, reason = mark["how"], mark["reason"]
        found.append(Block(name, line, match["language"], textwrap.dedent(match["code"]), how, reason))
    return found


def extras_of(code: str) -> set[str]:
    """Extras that the ``pip install`` lines of a block name."""
    return {extra for line in _INSTALL.findall(code) for names in _EXTRA.findall(line) for extra in names.split(",")}


def run_shell(block: Block, code: str, folder: Path) -> None:
    """Run a block through bash, with ``ostrack`` and ``python`` on PATH; installing is left out, ``make`` only plans.

    Raises:
        AssertionError: A command failed; shows all that was said.
    """
    code = re.sub(r"^make ", f"make -n -C '{ROOT}' ", _INSTALL.sub("", code), flags=re.MULTILINE)
    code = re.sub(r"^python (benchmarks|tools)/", rf"python '{ROOT}'/\1/", code, flags=re.MULTILINE)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{block.place}: exit code {done.returncode}\n{code}\n{done.stdout}\n{done.stderr}"


def run_python(block: Block, code: str, names: dict[str, Any]) -> None:
    """Run a block in this process, in the current folder, with the names that earlier blocks of its page left."""
    padded = "\n" * (block.line - 1) + code
    exec(compile(padded, block.page, "exec"), names)  # noqa: S102 - the documentation's own code
