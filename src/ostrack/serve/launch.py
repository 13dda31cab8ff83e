"""Start the server: an address, a token where one is needed, and uvicorn."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from ostrack.errors import OSTrackError
from ostrack.network import Network
from ostrack.serve.app import create_app
from ostrack.serve.settings import Settings

__all__ = ["bind", "http_server", "is_loopback", "new_token", "serve"]

_LEAST_TOKEN = 12


def new_token() -> str:
    """A token that cannot be guessed."""
    return secrets.token_urlsafe(24)


def bind(host: str, port: int) -> socket.socket:
    """Take an address.

    Raises:
        OSTrackError: It is taken, or not this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        number = error.errno if isinstance(error, OSError) else None
        # Python adds the address to the reason of this one, which is told already.
        reason = os.strerror(number) if number is not None and number > 0 else error
        raise OSTrackError(f"cannot listen on {host} port {port} ({reason}); choose another with --port") from error


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    return host in ("localhost", "::1") or host.startswith("127.")


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until interrupted.

    Raises:
        OSTrackError: The address, the network, a folder or the data folder cannot be used.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    if settings.token is not None and len(settings.token) < _LEAST_TOKEN:
        raise OSTrackError(f"--token has {len(settings.token)} letters, expected {_LEAST_TOKEN} or more")
    if settings.token is None and not is_loopback(host):
        raise OSTrackError(f"{host} can be reached by others, so a token is needed")
    for folder in settings.folders:
        if not Path(folder).is_dir():
            raise OSTrackError(f"--folder {folder}: no such folder")
    Network.load(settings.network, threads=settings.threads)  # better now than with the first visitor
    listening = bind(host, port)
    app = create_app(settings)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listening.getsockname()[1]}/"
    print(f"ostrack serve: {address}{f'?token={settings.token}' if settings.token else ''}")
    print(f"  data in {settings.data}; Ctrl-C ends", flush=True)
    http_server(app).run(sockets=[listening])


def http_server(app: FastAPI) -> uvicorn.Server:
    """The server of an application, not yet running."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws_max_size=8 * 2**20,
            timeout_graceful_shutdown=3,
            limit_concurrency=500,
        )
    )
