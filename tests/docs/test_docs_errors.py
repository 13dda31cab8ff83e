"""The page of error messages quotes what the package says: every quoted text occurs in its source."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
_ROW = re.compile(r"^\| `(?P<quote>[^`]+)` \|", re.MULTILINE)
# What stands for a name or number of the user's.
ANY = "…"


def quotes() -> list[str]:
    """The first column of the page's tables."""
    return _ROW.findall(PAGE.read_text(encoding="utf-8"))


@cache
def templates() -> tuple[str, ...]:
    """Every text of the package, each value that is filled in as ``…``; nested ones on their own too."""
    found = set()
    for path in (ROOT / "src" / "ostrack").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else ANY for part in node.values)
                found.add("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return tuple(found)


@pytest.mark.parametrize("quote", quotes())
def test_quoted_errors_occur_in_the_source(quote: str) -> None:
    assert len(quote.replace(ANY, "").split()) >= 2, "too short to say where it comes from"
    assert any(quote in template for template in templates())


def test_every_row_is_a_quote() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    heads = [line for line in rows if line.startswith(("| error |", "| --- |"))]
    assert len(quotes()) == len(rows) - len(heads) > 40


def test_a_changed_text_is_noticed() -> None:
    assert not any("…: wholly beside the frame of … x …" in template for template in templates())
