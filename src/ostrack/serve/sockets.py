"""WebSockets: news of a job, and a browser's camera."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from ostrack.serve.camera import HEADER
from ostrack.serve.messages import CameraCommand
from ostrack.serve.runner import worker_command, worker_environment
from ostrack.serve.workspace import Workspace

__all__ = ["build_sockets"]

_LOG = logging.getLogger("ostrack.serve")
_MOST_BYTES = 4 * 2**20
_PATIENCE_S = 60.0
_PING_S = 20.0


def build_sockets(space: Workspace) -> APIRouter:
    """The WebSocket routes under ``/api``."""
    router = APIRouter(prefix="/api")
    cameras: set[WebSocket] = set()

    @router.websocket("/jobs/{job}/live")
    async def live(socket: WebSocket, job: str) -> None:
        """The job's state at once and whenever it changes, and rows of tracks as they are found."""
        await socket.accept()
        queue = space.hub.watch(job)
        try:
            found = await run_in_threadpool(space.jobs.get, job)
            if found is None:
                await socket.send_json({"type": "gone"})
                return
            await socket.send_json({"type": "job", "job": await run_in_threadpool(space.view, found)})
            await _pass_on(socket, queue)
        except WebSocketDisconnect:
            return
        finally:
            space.hub.leave(job, queue)

    @router.websocket("/camera")
    async def camera(socket: WebSocket) -> None:
        """Pictures in, boxes out: each binary message is a JPEG, each text a command about the last picture."""
        await socket.accept()
        if len(cameras) >= space.settings.limits.cameras:
            await socket.send_json({"error": "All places for cameras are taken. Try again later."})
            await socket.close()
            return
        cameras.add(socket)
        try:
            await _follow_camera(socket, space)
        except WebSocketDisconnect:
            return
        finally:
            cameras.discard(socket)

    return router


async def _pass_on(socket: WebSocket, queue: asyncio.Queue[str | None]) -> None:
    """Send what comes, until the watcher leaves or falls behind."""

    async def listen() -> None:
        while True:
            await socket.receive_text()

    listening = asyncio.create_task(listen())
    try:
        while True:
            waiting = asyncio.create_task(queue.get())
            await asyncio.wait({waiting, listening}, timeout=_PING_S, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                waiting.cancel()
                return
            if not waiting.done():
                waiting.cancel()
                await socket.send_text('{"type": "alive"}')
                continue
            text = waiting.result()
            if text is None:
                await socket.close(1013)
                return
            await socket.send_text(text)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def _follow_camera(socket: WebSocket, space: Workspace) -> None:
    settings = space.settings
    process = await asyncio.create_subprocess_exec(
        *worker_command(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=settings.data,
        env=worker_environment(settings.threads),
        limit=_MOST_BYTES,
    )
    try:
        limits = {"memory": settings.limits.memory_bytes, "cpu": settings.limits.cpu_s, "file": 0}
        request = {"kind": "camera", "network": settings.network, "threads": settings.threads, "limits": limits}
        await _send(process, json.dumps(request).encode() + b"\n")
        said = await _hear(process, {"ready"})
        await socket.send_json({"ready": True} if said["event"] == "ready" else {"error": said["message"]})
        while said["event"] != "failed":
            kind, data = await _next_message(socket)
            if kind is None:
                await socket.send_json({"error": data.decode(), "rows": []})
                continue
            await _send(process, HEADER.pack(kind, len(data)) + data)
            said = await _hear(process, {"camera"})
            answer: dict[str, Any] = {"rows": said.get("rows", [])}
            if said.get("message"):
                answer["error"] = said["message"]
            await socket.send_json(answer)
        await socket.close()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _next_message(socket: WebSocket) -> tuple[bytes | None, bytes]:
    """A picture or a checked command; without a kind, why it was refused."""
    message = await asyncio.wait_for(socket.receive(), _PATIENCE_S * 10)
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    data = message.get("bytes")
    if data is not None:
        return (b"F", data) if len(data) <= _MOST_BYTES else (None, b"The picture is too large.")
    try:
        command = CameraCommand.model_validate_json(message.get("text") or "")
    except ValidationError:
        return None, b"That was no box."
    return b"J", command.model_dump_json().encode()


async def _send(process: asyncio.subprocess.Process, data: bytes) -> None:
    if process.stdin is None:
        raise RuntimeError("a working process was started without a way in")
    try:
        process.stdin.write(data)
        await process.stdin.drain()
    except OSError:
        _LOG.warning("a camera's working process is gone")


async def _hear(process: asyncio.subprocess.Process, wanted: set[str]) -> dict[str, Any]:
    """The next report of a kind, or one of failure."""
    if process.stdout is None:
        raise RuntimeError("a working process was started without a way out")
    while True:
        try:
            line = await asyncio.wait_for(process.stdout.readline(), _PATIENCE_S)
        except asyncio.TimeoutError:
            line = b""
        if not line:
            return {"event": "failed", "message": "Tracking broke down. Start the camera again."}
        said: dict[str, Any] = json.loads(line)
        if said["event"] in wanted or said["event"] == "failed":
            return said
