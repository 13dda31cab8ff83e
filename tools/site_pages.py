"""What the documentation shows of other parts of the repository: model cards, contributing, measured tables.

MkDocs calls these functions (``hooks`` in ``mkdocs.yml``), so that nothing is copied by hand and no figure goes stale.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

__all__ = ["FOREIGN", "on_config", "on_files", "on_page_markdown", "repaired"]

ROOT = Path(__file__).resolve().parents[1]
CARDS = ROOT / "src" / "ostrack" / "zoo"
RESULTS = ROOT / "benchmarks" / "results"
FOREIGN = {"contributing.md": "CONTRIBUTING.md"}
"""Page of the site: file of the repository."""

_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<to>[^)#\s]+)(?P<part>#[^)\s]*)?\)")
_RESULTS = re.compile(r"<!-- results: (?P<file>[\w.-]+) -->")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every packaged network's card in front of what ``mkdocs.yml`` lists under "Networks"."""
    cards = [{f"Model card: {card.stem}": f"models/{card.name}"} for card in sorted(CARDS.glob("*.md"))]
    for section in config.nav or ():
        if "Networks" in section:
            listed = [entry for entry in section["Networks"] if entry not in cards]
            section["Networks"] = cards + listed
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that live elsewhere.

    Args:
        files: What MkDocs found under ``docs/``.
        config: The site's configuration.

    Returns:
        ``files`` with one page for each model card, and those of :data:`FOREIGN`.
    """
    for card in sorted(CARDS.glob("*.md")):
        text = card.read_text(encoding="utf-8")
        files.append(File.generated(config, f"models/{card.name}", content=text))
    for page, source in FOREIGN.items():
        text = repaired((ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the first table of a results file, and what it says below its tables, where a page names the file."""

    def table(match: re.Match[str]) -> str:
        path = RESULTS / match["file"]
        if not path.is_file():
            raise PluginError(f"{page.file.src_uri}: {match[0]}: there is no {path}")
        parts = path.read_text(encoding="utf-8").strip().split("\n\n")
        tables = [part for part in parts if part.startswith("|")]
        return "\n\n".join([*tables[:1], *(part for part in parts if not part.startswith("|"))])

    return _RESULTS.sub(table, markdown)


def repaired(text: str) -> str:
    """Links from the repository's root as links from ``docs/``; what the site does not hold becomes plain code.

    Args:
        text: Markdown of a file in the root.
    """

    def there(match: re.Match[str]) -> str:
        to, part = match["to"], match["part"] or ""
        if "://" in to:
            return match[0]
        if to.startswith("docs/") and to.endswith(".md"):
            return f"[{match['text']}]({to.removeprefix('docs/')}{part})"
        return f"{match['text']} (`{to}`)"

    return _LINK.sub(there, text)
