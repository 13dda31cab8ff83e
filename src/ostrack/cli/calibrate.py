"""``ostrack calibrate``: teach a network's file what its scores are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ostrack.cli.extras import needs
from ostrack.cli.options import Threads
from ostrack.errors import NetworkError, OutputError

__all__ = ["calibrate"]


def calibrate(
    network: Annotated[Path, typer.Argument(metavar="FILE", help="Network of yours, .onnx or .safetensors.")],
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER...", help="Labelled clips it was not trained on: NAME/img, groundtruth.txt."),
    ],
    diagram: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the reliability diagram, .svg.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure only; leave the file as it is.")] = False,
    threads: Threads = None,
) -> None:
    """Learn from labelled clips how likely a box is right, and write that into the network's file.

    A file beside it of the same name and the other kind (.onnx, .safetensors) gets the same calibration.
    """
    if network.suffix not in (".onnx", ".safetensors"):
        raise NetworkError(
            f"{network}: expected a file that ends in .onnx or .safetensors; packaged networks have theirs"
        )
    if diagram is not None and diagram.suffix.lower() != ".svg":
        raise OutputError(f"{diagram}: the diagram is written as .svg")
    if diagram is not None and not diagram.parent.is_dir():
        raise OutputError(f"{diagram}: cannot be written (there is no folder {diagram.parent})")
    if not network.is_file():
        raise FileNotFoundError(f"{network}: no such file")
    twins = [network.with_suffix(kind) for kind in (".onnx", ".safetensors")]
    with needs("export"):
        from ostrack.calibration import write_calibration
        from ostrack.cli.progress import progress_line
        from ostrack.data.benchmarks import load_sequences
        from ostrack.evaluate.reliability import error_of, learn, observe
        from ostrack.evaluate.reliability_plot import reliability_svg
        from ostrack.network import Network

        opened = Network.load(network, threads=threads)
        clips = [clip for folder in folders for clip in load_sequences(folder)]
        with progress_line(f"calibrating on {len(clips)} clips") as progress:
            seen = observe(opened, clips, progress)
        found = learn(seen)
        print(found.text())
        if opened.calibration is not None:
            print(f"the calibration that the file has: error {error_of(opened.calibration, seen):.3f} on these clips")
        if diagram is not None:
            drawn = reliability_svg(found.confidence, found.right, f"{network.stem}, clips left out")
            try:
                diagram.write_text(drawn, encoding="utf-8")
            except OSError as error:
                raise OutputError(f"{diagram}: cannot be written ({error.strerror})") from error
            print(f"  {diagram}")
        if not dry_run:
            for twin in twins:
                if twin.is_file():
                    write_calibration(twin, found.calibration)
                    print(f"  {twin}")
