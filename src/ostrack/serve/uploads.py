"""A visitor's file on its way to disk: counted while it comes, given up when it is too large or stops coming."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import IO

from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from ostrack.serve.workspace import Workspace

__all__ = ["display_name", "in_words", "receive_file"]

_PIECE = 2**20
_LOOK = 64 * 2**20
_PATIENCE_S = 60.0
_NO_ROOM = "The server has no room left for this file. Delete old jobs, then try again."


async def receive_file(space: Workspace, job: str, chunks: AsyncIterator[bytes], stated: int | None) -> int:
    """Write an upload into a new job's folder.

    Args:
        space: Where.
        job: Id of the job to be; its folder is made, and removed again if the upload fails.
        chunks: The body.
        stated: Its length as the request states it, if it does.

    Returns:
        Its length in bytes.

    Raises:
        HTTPException: Too large, no room, empty, or it stopped coming.
    """
    most = space.settings.limits.upload_bytes
    room = await run_in_threadpool(space.room)
    if stated is not None and stated > most:
        raise HTTPException(413, f"The file has {in_words(stated)}; up to {in_words(most)} are taken here.")
    if (stated or 0) > room or room == 0:
        raise HTTPException(507, _NO_ROOM)
    folder = space.folder_of(job)
    folder.mkdir(mode=0o700)
    with ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            with (folder / "source").open("wb") as file:
                size = await _write(file, chunks, most, space)
        except OSError as error:
            raise HTTPException(507, f"The server cannot write the file ({error.strerror}).") from error
        except ClientDisconnect as error:
            raise HTTPException(400, "The upload broke off.") from error
        if size == 0:
            raise HTTPException(400, "The file is empty.")
        if await run_in_threadpool(space.room) == 0:
            raise HTTPException(507, _NO_ROOM)
        undo.pop_all()
    return size


async def _write(file: IO[bytes], chunks: AsyncIterator[bytes], most: int, space: Workspace) -> int:
    size, piece, looked = 0, bytearray(), 0
    while True:
        try:
            chunk = await asyncio.wait_for(anext(chunks, None), _PATIENCE_S)
        except asyncio.TimeoutError:
            raise HTTPException(408, "The upload stopped coming.") from None
        piece += chunk or b""
        size += len(chunk or b"")
        if size > most:
            raise HTTPException(413, f"The file is larger than the {in_words(most)} that are taken here.")
        if len(piece) >= _PIECE or chunk is None:
            await run_in_threadpool(file.write, bytes(piece))
            piece.clear()
        if size - looked >= _LOOK:
            # Others upload at the same time: what was free at the start need not be any more.
            looked = size
            if await run_in_threadpool(space.room) == 0:
                raise HTTPException(507, _NO_ROOM)
        if chunk is None:
            return size


def in_words(size: int) -> str:
    """Bytes for people."""
    for unit, name in ((2**30, "GB"), (2**20, "MB"), (2**10, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"


def display_name(name: str) -> str:
    """A visitor's name for a file as it is shown: its last part, without control characters, of bounded length."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(letter for letter in last if letter.isprintable()).strip()[:120] or "video"
