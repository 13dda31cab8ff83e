"""``ostrack evaluate``, ``ostrack compare`` and ``ostrack vot``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ostrack.cli.progress import progress_line

if TYPE_CHECKING:
    from ostrack.data.benchmarks import SequenceSet
    from ostrack.data.sequence import Sequence
    from ostrack.evaluate import TrackerSpec

__all__ = ["compare", "evaluate", "vot"]

_Tracker = Annotated[
    str,
    typer.Option(
        "--tracker",
        "-t",
        metavar="NAME",
        help="Packaged network, .onnx or weight file, module:Class, or opencv:mil and the like; ours if not given.",
    ),
]
_Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="For the tracker, as device=cuda; may be given several times."),
]
_Paths = Annotated[
    list[str] | None,
    typer.Option("--path", metavar="FOLDER", help="Where to look for module:Class; the working folder always counts."),
]
_Kind = Annotated[str, typer.Option("--kind", help="Kind of data set, as lasot or folder; auto recognises it.")]
_Split = Annotated[str, typer.Option("--split", help="Part of it, as test or val.")]
_Protocol = Annotated[str, typer.Option("--protocol", help="Protocol; the one of the benchmark if not given.")]
_Only = Annotated[str, typer.Option("--sequences", metavar="A,B,...", help="Only these sequences.")]
_Below = Annotated[
    float, typer.Option("--absent-below", min=0, max=1, help="Confidence that says absent; for presence.")
]
_Strips = Annotated[int, typer.Option("--worst", min=0, help="Filmstrips of so many of the worst sequences.")]


def _spec(tracker: str, options: list[str] | None, paths: list[str] | None) -> TrackerSpec:
    from ostrack.evaluate import TrackerSpec

    pairs = []
    for text in options or []:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise typer.BadParameter(f"--option {text}: expected KEY=VALUE")
        pairs.append((key, value))
    return TrackerSpec(tracker, tuple(pairs), (*(paths or []), str(Path.cwd())))


def _chosen(found: SequenceSet, only: str) -> list[Sequence]:
    """The sequences asked for, all of them read."""
    wanted = [name for name in only.split(",") if name]
    if wanted:
        return [found[name] for name in wanted]
    # A figure over part of a benchmark is no figure of the benchmark.
    for names, what in ((found.missing, "of the published list, not here"), (found.unlabelled, "without labels")):
        if names:
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            print(f"note: left out {len(names)} {what}: {shown}", file=sys.stderr)
    return list(found)


def evaluate(
    benchmark: Annotated[Path, typer.Argument(metavar="BENCHMARK", help="Folder, zip archive or LMDB of the set.")],
    tracker: _Tracker = "",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Results; results/SET/TRACKER if not given.")
    ] = None,
    kind: _Kind = "auto",
    split: _Split = "",
    protocol: _Protocol = "",
    only: _Only = "",
    engine: Annotated[str, typer.Option("--engine", help="local or ray.")] = "local",
    workers: Annotated[int, typer.Option("--workers", "-j", min=1, help="Processes, or tasks on the cluster.")] = 1,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Sequences that share a call of the network.")] = 1,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads of each worker.")] = None,
    option: _Options = None,
    path: _Paths = None,
    worst: _Strips = 6,
    absent_below: _Below = 0.5,
    submit: Annotated[
        Path | None, typer.Option("--submit", metavar="FILE.zip", help="Pack for GOT-10k's or TrackingNet's server.")
    ] = None,
    truncated: Annotated[
        Path | None, typer.Option("--truncated", metavar="FOLDER", help="Also write whole numbers, tab-separated.")
    ] = None,
) -> None:
    """Run a tracker over a benchmark, score it and write a report; run again after an interruption, it goes on."""
    from ostrack.data.benchmarks import load_sequences
    from ostrack.errors import EvaluationError
    from ostrack.evaluate import protocol_for, run, study, write_study
    from ostrack.evaluate.protocols import check_protocol
    from ostrack.evaluate.report import markdown, worst_strips
    from ostrack.evaluate.submit import SUBMISSIONS, write_truncated

    spec = _spec(tracker, option, path)
    found = load_sequences(benchmark, kind, split)
    if submit is not None and found.kind not in SUBMISSIONS:
        raise EvaluationError(f"--submit: {found.kind} has no server; {', '.join(SUBMISSIONS)} have")
    protocol = protocol or protocol_for(found.kind)
    check_protocol(protocol)  # here, not after hours of tracking
    sequences = _chosen(found, only)
    folder = out or Path("results") / "-".join(filter(None, (found.kind, split))) / spec.label
    with progress_line(spec.label) as progress:
        summary = run(
            sequences, spec, folder, engine=engine, workers=workers, batch=batch, threads=threads,
            supervised=protocol == "vot", progress=progress,
        )  # fmt: skip
    print(f"{folder}: {summary}", file=sys.stderr)
    for name, message in summary.failed.items():
        print(f"failed {name}: {message}", file=sys.stderr)
    if summary.failed:
        print(
            f"{len(summary.failed)} of {len(sequences)} sequences failed; run again to try them anew", file=sys.stderr
        )
        raise typer.Exit(1)
    lengths = {sequence.name: len(sequence) for sequence in sequences}
    if submit is not None:
        print(f"wrote {SUBMISSIONS[found.kind](folder, lengths, submit)}", file=sys.stderr)
    if truncated is not None:
        write_truncated(folder, lengths, truncated)
    if not any(sequence.visible[1:].any() for sequence in sequences):
        print(f"{found.kind} keeps its labels: nothing to score here", file=sys.stderr)
        return
    scored = study({spec.label: folder}, sequences, protocol, found.kind, absent_below=absent_below)
    files = write_study(scored, folder, worst_strips(scored, sequences, worst))
    print(markdown(scored, sequences=False))
    print(f"wrote {files['html']}", file=sys.stderr)


def compare(
    results: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS...", help="Folders of results, each of one tracker; NAME=FOLDER too."),
    ],
    benchmark: Annotated[Path, typer.Option("--on", metavar="BENCHMARK", help="The set, for labels and frames.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the report goes.")] = Path("report"),
    kind: _Kind = "auto",
    split: _Split = "",
    protocol: _Protocol = "",
    only: _Only = "",
    worst: _Strips = 6,
    absent_below: _Below = 0.5,
    title: Annotated[str, typer.Option("--title", help="Headline of the page.")] = "",
) -> None:
    """Put trackers side by side: tables with intervals, plots, attributes, worst sequences; Markdown, JSON and HTML."""
    from ostrack.data.benchmarks import load_sequences
    from ostrack.errors import EvaluationError
    from ostrack.evaluate import protocol_for, study, write_study
    from ostrack.evaluate.report import markdown, worst_strips

    folders: dict[str, Path] = {}
    for entry in results:
        name, sign, folder = str(entry).partition("=")
        label, place = (name, Path(folder)) if sign and not entry.exists() else (entry.resolve().name, entry)
        if label in folders:
            raise EvaluationError(f"two results are called {label!r}; name them: NAME={place}")
        folders[label] = place
    found = load_sequences(benchmark, kind, split)
    sequences = _chosen(found, only)
    protocol = protocol or protocol_for(found.kind)
    scored = study(folders, sequences, protocol, found.kind, absent_below=absent_below)
    files = write_study(scored, out, worst_strips(scored, sequences, worst), title)
    print(markdown(scored, sequences=False))
    print("wrote " + ", ".join(map(str, files.values())), file=sys.stderr)


def vot(
    tracker: _Tracker = "",
    option: _Options = None,
    path: _Paths = None,
    ini: Annotated[
        Path | None, typer.Option("--ini", metavar="trackers.ini", help="Add the tracker to this file and end.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Its name in that file.")] = "",
) -> None:
    """Answer the VOT toolkit (TraX on standard input and output), or write its trackers.ini."""
    from ostrack.evaluate.submit import add_to_ini
    from ostrack.evaluate.trax import serve_trax

    spec = _spec(tracker, option, path)
    if ini is not None:
        add_to_ini(ini, spec, name or None)
        print(f"wrote {ini}", file=sys.stderr)
        return
    serve_trax(spec)
