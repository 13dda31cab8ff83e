"""Candidate elimination of the packaged network on real sequences: the figures and the plot of docs/explain.md.

    python benchmarks/sweep.py [FOLDER] [--network NAME_OR_PATH] [--frames 40] [--every 2] [--threads N]

``FOLDER`` holds labelled sequences. Writes ``benchmarks/results/elimination.{json,md}``, the whole report as
``out/sweep/sweep.html``, the plot as ``docs/images/elimination-sweep.svg``, and puts the finding and the table between
the marks in ``docs/explain.md``. Settings measured before are kept in ``out/sweep/settings`` and not repeated, their
times included: what was measured while the machine did other things must be removed there before times are published.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from ostrack.errors import OSTrackError
from ostrack.explain.laboratory import run_sweep
from ostrack.explain.networks import named_network
from ostrack.explain.sweep_page import finding, table_text

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("OSTRACK_SHARED", ROOT / "../shared")).resolve()
RESULTS = ROOT / "benchmarks/results"
DOCUMENT = ROOT / "docs/explain.md"
BEGIN, END = "<!-- sweep: begin -->", "<!-- sweep: end -->"


def put(text: str, document: Path) -> None:
    """Replace what stands between the marks of a document."""
    whole = document.read_text(encoding="utf-8")
    before, found, rest = whole.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise SystemExit(f"{document}: the marks {BEGIN} and {END} are missing")
    document.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=SHARED / "sequences")
    parser.add_argument("--network", default=None)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--every", type=int, default=2)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--out", type=Path, default=ROOT / "out/sweep")
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    start, told = time.monotonic(), 0.0

    def progress(done: int, total: int | None) -> None:
        nonlocal told
        now = time.monotonic()
        if total and now - told > 10:
            told = now
            print(f"{done} of {total} frames, {now - start:.0f} s", file=sys.stderr, flush=True)

    plot = args.document.parent / "images/elimination-sweep.svg"
    try:
        net, name = named_network(args.network, args.threads)
        found, paths = run_sweep(
            net, args.folder, args.out, name=name, frames=args.frames, every=args.every, plot=plot, progress=progress
        )
    except (OSTrackError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    args.results.mkdir(parents=True, exist_ok=True)
    for kind in ("json", "md"):
        shutil.copyfile(args.out / f"sweep.{kind}", args.results / f"elimination.{kind}")
    where = f"`python benchmarks/sweep.py`; {found.machine}; {found.threads} threads."
    picture = "![Success over multiply-adds, a line for each way of eliminating](images/elimination-sweep.svg)"
    put(f"{finding(found)}\n\n{picture}\n\n{table_text(found)}\n{where}\n", args.document)
    print(finding(found))
    for path in [*paths, args.results / "elimination.json", args.results / "elimination.md", args.document]:
        print(f"  {path}")


if __name__ == "__main__":
    main()
