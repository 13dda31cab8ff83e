"""Options that several commands have: one name and one sentence for the same thing everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Clip", "ClipBox", "Device", "Network", "Precision", "Rate", "Runtime", "Strict", "Threads"]

Network = Annotated[
    str | None,
    typer.Option("--network", metavar="NAME|FILE", help="Packaged or own network. [default: the packaged one]"),
]
Runtime = Annotated[str, typer.Option("--runtime", metavar="NAME", help="What runs it: onnx, openvino, torch or auto.")]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="cpu, cuda, or another that the runtime knows.")]
Precision = Annotated[
    str,
    typer.Option("--precision", metavar="NAME", help="float32; bf16 and fp16 where runtime and device have them."),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Fail when a device does, instead of going on with the processor.")
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", help="CPU threads of the network. [default: all cores]")
]
Rate = Annotated[
    float | None,
    typer.Option("--fps", metavar="F", help="Frame rate where the source states none. [default: 25]"),
]
Clip = Annotated[
    Path | None, typer.Option("--clip", metavar="FILE", help="Clip to follow a target in. [default: the demo clip]")
]
ClipBox = Annotated[
    str | None,
    typer.Option("--box", metavar="X,Y,W,H", help="Target in the clip's first frame; goes with --clip."),
]
