"""``ostrack serve``: the web app."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from ostrack.cli.options import Network

__all__ = ["serve"]


def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="0.0.0.0 opens it to the network, then with a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0 takes a free one.")] = 8765,
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For jobs and files. [default: the user's data folder]")
    ] = None,
    folder: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="Whose videos visitors may choose. Repeat it.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Asked of visitors. [default: made up where one is needed]")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A host name this server is reached under. Repeat it.")
    ] = None,
    network: Network = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Videos tracked at a time. [default: one for two cores]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="CPU threads of each. [default: the cores, shared out]")
    ] = None,
    upload_gb: Annotated[float, typer.Option(metavar="GB", help="Largest upload.")] = 2.0,
    disk_gb: Annotated[float, typer.Option(metavar="GB", help="Most space for all jobs.")] = 20.0,
    memory_gb: Annotated[float, typer.Option(metavar="GB", help="Most memory of one working process.")] = 6.0,
    keep_days: Annotated[float, typer.Option(metavar="N", help="Jobs not opened for so long are deleted.")] = 30.0,
) -> None:
    """Serve the web app: draw boxes on a video in the browser, watch them being followed, take the results.

    Example: ostrack serve --folder ~/Videos
    """
    from ostrack.cli.extras import needs

    with needs("serve"):
        from ostrack.serve.launch import is_loopback, new_token
        from ostrack.serve.launch import serve as run
    from ostrack.machine import usable_cores
    from ostrack.serve.settings import Limits, Settings, default_data_folder

    cores = usable_cores()
    workers = max(1, cores // 2) if workers is None else workers
    threads = max(1, cores // workers) if threads is None else threads
    if not min(upload_gb, disk_gb, memory_gb, keep_days) > 0:
        raise ValueError("--upload-gb, --disk-gb, --memory-gb and --keep-days: expected more than 0")
    local = is_loopback(host)
    names = {name.lower() for name in allow_host or []}
    settings = Settings(
        data=(data or default_data_folder()).expanduser().resolve(),
        folders=tuple(path.expanduser().resolve() for path in folder or []),
        network=network,
        threads=threads,
        workers=workers,
        token=token if token is not None or local else new_token(),
        hosts=frozenset(names if local else {*names, host.lower(), socket.gethostname().lower()}),
        any_address=not local,
        limits=Limits(
            upload_bytes=int(upload_gb * 2**30),
            disk_bytes=int(disk_gb * 2**30),
            memory_bytes=int(memory_gb * 2**30),
            keep_days=keep_days,
        ),
    )
    run(settings, host, port)
