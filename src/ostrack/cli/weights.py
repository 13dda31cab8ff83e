"""``ostrack convert`` and ``ostrack export``: weight files from one form into another."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from ostrack.cli.boxes import parse_box
from ostrack.cli.extras import needs
from ostrack.cli.progress import progress_line

if TYPE_CHECKING:
    from ostrack.export_crops import Crops

__all__ = ["convert", "export"]

_PAIRS = 64


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="OFFICIAL", help="Official checkpoint (OSTrack_ep0300.pth.tar), or one of ours.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Target, .safetensors.")],
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="What the tensors do not tell, as in num_heads=3. Repeat it."),
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Store 16-bit floats.")] = False,
) -> None:
    """Turn an official checkpoint into a safetensors file."""
    overrides: dict[str, str] = {}
    for text in override or ():
        key, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set {text}: expected KEY=VALUE")
        overrides[key.strip()] = value.strip()
    with needs("export"):
        from ostrack.model import convert as run

        report = run(source, out, overrides=overrides, half=half)
    print(report.text())


def export(
    weights: Annotated[
        Path,
        typer.Argument(
            metavar="WEIGHTS",
            help="A .safetensors file of ours or an official checkpoint; with --int8 also an exported .onnx file.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Target, .onnx.")],
    half: Annotated[bool, typer.Option("--half", help="Store 16-bit floats; it still computes in 32.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Compute in int8, calibrated on --calibrate.")] = False,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER|CLIP",
            help="For --int8: labelled clips, or a clip with --box. Repeat it. Not what you will evaluate on.",
        ),
    ] = None,
    box: Annotated[
        str | None, typer.Option(metavar="X,Y,W,H", help="For a clip without labels: the target in its first frame.")
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(metavar="N", min=8, help="For --int8: pairs of crops to calibrate and compare on. [default: 64]"),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="For --int8: CPU threads. [default: all cores]")
    ] = None,
) -> None:
    """Export a network to ONNX and check it against torch; with --int8, against itself in float32."""
    if int8 != bool(calibrate):
        raise typer.BadParameter("--int8 and --calibrate FOLDER|CLIP belong together")
    only = {"--box": box, "--pairs": pairs, "--threads": threads}
    if not int8 and (given := [name for name, value in only.items() if value is not None]):
        raise typer.BadParameter(f"{' and '.join(given)}: for --int8 only, with --calibrate FOLDER|CLIP")
    # Before the float32 network is exported, which takes a minute.
    _check_calibration(calibrate or [], box)
    if weights.suffix == ".onnx" and not int8:
        raise typer.BadParameter(f"{weights} is exported already; give weights, or --int8 and --calibrate")
    with needs("export"):
        from ostrack.quantize import quantize

        if not int8:
            from ostrack.export import export_onnx

            print(export_onnx(weights, out, half_storage=half).text())
            return
        with TemporaryDirectory() as folder:
            exported = weights
            if weights.suffix != ".onnx":
                from ostrack.export import export_onnx

                exported = Path(folder) / "float32.onnx"
                export_onnx(weights, exported, half_storage=half)
            with progress_line("quantising") as progress:
                crops = _calibration_crops(exported, calibrate or [], box, pairs or _PAIRS, threads)
                report = quantize(exported, out, crops, threads=threads, progress=progress)
    print(report.text())


def _check_calibration(sources: list[Path], box: str | None) -> None:
    """Refuse what cannot give crops as far as names tell.

    Raises:
        BoxError: The box is none.
        FileNotFoundError: A folder or clip is not there.
    """
    if box is not None:
        parse_box(box)
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(f"{source}: no such file or folder")
        if box is None and not source.is_dir():
            raise typer.BadParameter(f"--calibrate {source}: a clip without labels needs --box x,y,w,h")


def _calibration_crops(network: Path, sources: list[Path], box: str | None, pairs: int, threads: int | None) -> Crops:
    """Crops of labelled folders, and of clips followed from a box."""
    import numpy as np

    from ostrack.export_crops import Crops, followed, labelled, labelled_clips
    from ostrack.network import Network
    from ostrack.video import open_source

    opened = Network.load(network, "onnx", threads=threads)
    share = -(-pairs // len(sources))
    parts = []
    for source in sources:
        if box is None:
            parts.append(labelled(opened.config, labelled_clips(source), share))
            continue
        with open_source(str(source)) as clip:
            seen = followed(opened, (frame.image for frame in islice(clip, 4 * share)), parse_box(box)[1])
        parts.append(seen[np.linspace(0, len(seen) - 1, min(share, len(seen))).astype(np.int64)])
    return Crops.joined(parts)
