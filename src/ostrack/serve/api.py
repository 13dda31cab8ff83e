"""The HTTP interface: jobs, their pictures, boxes, tracks and files. Described by itself at ``/api/openapi.json``."""

from __future__ import annotations

import re
import struct
from pathlib import PurePath
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from ostrack.serve.desk import Desk, file_id
from ostrack.serve.jobs import new_id
from ostrack.serve.messages import (
    BoxGiven,
    Export,
    FileInFolder,
    Format,
    FromFolder,
    JobLine,
    JobView,
    Named,
    Problem,
    TracksView,
)
from ostrack.serve.uploads import display_name, receive_file
from ostrack.serve.workspace import EXPORTS

__all__ = ["build_router"]

JobId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{16}$")]
TargetId = Annotated[int, Path(ge=0, le=9999)]
FrameIndex = Annotated[int, Path(ge=0, le=10_000_000)]

_FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
_MOST_FRAMES_AT_ONCE = 64


def build_router(desk: Desk) -> APIRouter:
    """The routes under ``/api``."""
    space = desk.space
    problems: dict[int | str, dict[str, Any]] = {
        code: {"model": Problem} for code in (400, 401, 403, 404, 409, 413, 421, 422)
    }
    router = APIRouter(prefix="/api", responses=problems)
    binary = {"schema": {"type": "string", "format": "binary"}}
    pictures: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": binary}}}

    @router.get("/limits")
    def limits() -> dict[str, int | bool]:
        """What the server takes."""
        allowed = space.settings.limits
        folder = bool(space.settings.folders)
        return {"upload_bytes": allowed.upload_bytes, "frames": allowed.frames, "folder": folder}

    @router.get("/formats")
    def formats() -> list[dict[str, str]]:
        """What tracks can be exported as."""
        return [{"format": key, "file": file, "label": label} for key, (file, label, _) in EXPORTS.items()]

    @router.get("/folder")
    def folder() -> list[FileInFolder]:
        """Videos on the server that may be chosen."""
        return desk.listing()

    @router.post(
        "/jobs",
        status_code=201,
        response_model=JobView,
        responses={408: {"model": Problem}, 503: {"model": Problem}, 507: {"model": Problem}},
        openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": binary}}},
    )
    async def upload(request: Request, name: Annotated[str, Query(max_length=1000)] = "video") -> dict[str, Any]:
        """Send a video as the body of the request; it is looked at right away."""
        await run_in_threadpool(desk.check_room_for_a_job)
        stated = request.headers.get("content-length", "")
        id = new_id()
        size = await receive_file(space, id, request.stream(), int(stated) if re.fullmatch(r"\d+", stated) else None)
        return await run_in_threadpool(desk.enter, id, display_name(name), size)

    @router.post(
        "/jobs/from-folder",
        status_code=201,
        response_model=JobView,
        responses={503: {"model": Problem}, 507: {"model": Problem}},
    )
    def from_folder(given: FromFolder) -> dict[str, Any]:
        """Take a video of the server's folders."""
        for name, path in space.listing().items():
            if file_id(name) == given.file:
                desk.check_room_for_a_job()
                return desk.enter(new_id(), display_name(path.name), path.stat().st_size, str(path))
        raise HTTPException(404, "That file is not in the server's folder any more.")

    @router.get("/jobs", response_model=list[JobLine])
    def jobs() -> list[dict[str, Any]]:
        """All jobs, the latest first."""
        return [space.view(job) for job in space.jobs.all()]

    @router.get("/jobs/{job}", response_model=JobView)
    def job(job: JobId) -> dict[str, Any]:
        """One job with its targets and tasks."""
        desk.find(job)
        space.jobs.touch(job)
        return desk.view(job)

    @router.delete("/jobs/{job}", status_code=204)
    def delete(job: JobId) -> None:
        """Delete a job with all its files."""
        desk.find(job)
        desk.runner.kill(space.tasks.cancel(job))
        space.delete(job)
        space.tell(job)

    @router.post("/jobs/{job}/restart", response_model=JobView)
    def restart(job: JobId) -> dict[str, Any]:
        """Look at the video again, where that failed."""
        if desk.view(job)["state"] != "failed":
            raise HTTPException(409, "The video of this job is fine.")
        space.tasks.add(job, "prepare")
        return desk.changed(job)

    @router.get("/jobs/{job}/times", response_class=Response, responses=pictures)
    def times(job: JobId) -> Response:
        """When each frame is shown: little-endian doubles, seconds."""
        desk.find(job)
        found = space.strip_of(job).times()
        return Response(struct.pack(f"<{len(found)}d", *found), media_type="application/octet-stream")

    @router.get("/jobs/{job}/frames", response_class=Response, responses=pictures)
    def frames(
        job: JobId,
        first: Annotated[int, Query(ge=0, le=10_000_000)],
        count: Annotated[int, Query(ge=1, le=_MOST_FRAMES_AT_ONCE)] = 16,
    ) -> Response:
        """Pictures of consecutive frames: their lengths as little-endian 32-bit numbers, then the JPEG files.

        The first number says how many there are; the strip may end earlier than was asked for.
        """
        desk.find(job)
        found = space.strip_of(job).read(first, count)
        head = struct.pack(f"<{len(found) + 1}I", len(found), *map(len, found))
        # A picture never changes, but a part of the strip that is still being made grows.
        headers = _FOREVER if len(found) == count else {}
        return Response(head + b"".join(found), media_type="application/octet-stream", headers=headers)

    @router.get(
        "/jobs/{job}/frames/{frame}.jpg", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}}
    )
    def picture(job: JobId, frame: FrameIndex) -> Response:
        """One frame."""
        desk.find(job)
        found = space.strip_of(job).read(frame, 1)
        if not found:
            raise HTTPException(404, "There is no such frame, or not yet.")
        return Response(found[0], media_type="image/jpeg", headers=_FOREVER)

    @router.get("/jobs/{job}/tracks", response_model=TracksView)
    def tracks(job: JobId) -> dict[str, Any]:
        """Everything that was found so far."""
        desk.find(job)
        return {"rows": space.jobs.tracks(job)}

    @router.put("/jobs/{job}/targets/{target}/keyframes/{frame}", response_model=JobView)
    def put_keyframe(job: JobId, target: TargetId, frame: FrameIndex, given: BoxGiven) -> dict[str, Any]:
        """Say where a target is at a frame, or (null) that it is gone from there on; stops tracking that runs."""
        return desk.put_keyframe(job, target, frame, given)

    @router.delete("/jobs/{job}/targets/{target}/keyframes/{frame}", response_model=JobView)
    def drop_keyframe(job: JobId, target: TargetId, frame: FrameIndex) -> dict[str, Any]:
        """Take that back."""
        desk.find(job)
        return desk.drop_keyframe(job, target, frame)

    @router.put("/jobs/{job}/targets/{target}", response_model=JobView)
    def rename(job: JobId, target: TargetId, given: Named) -> dict[str, Any]:
        """Give a target a name, which exports use."""
        desk.find(job)
        return desk.rename(job, target, given.name)

    @router.delete("/jobs/{job}/targets/{target}", response_model=JobView)
    def drop_target(job: JobId, target: TargetId) -> dict[str, Any]:
        """Remove a target."""
        desk.find(job)
        return desk.drop_target(job, target)

    @router.post("/jobs/{job}/track", status_code=202, response_model=JobView, responses={503: {"model": Problem}})
    def track(job: JobId) -> dict[str, Any]:
        """Track whatever has not been tracked yet."""
        return desk.queue(job, "track")

    @router.post("/jobs/{job}/refine", status_code=202, response_model=JobView, responses={503: {"model": Problem}})
    def refine(job: JobId) -> dict[str, Any]:
        """Between two boxes of a target, track from both ends and blend."""
        return desk.queue(job, "refine")

    @router.post("/jobs/{job}/cancel", response_model=JobView)
    def cancel(job: JobId) -> dict[str, Any]:
        """Stop tracking and exports; what was tracked is kept."""
        desk.find(job)
        desk.stop(job)
        return desk.changed(job)

    @router.post("/jobs/{job}/exports", status_code=202, response_model=JobView, responses={503: {"model": Problem}})
    def export(job: JobId, wanted: Export) -> dict[str, Any]:
        """Write the tracks as a file."""
        return desk.queue(job, "export", wanted.format)

    @router.get("/jobs/{job}/exports/{format}", response_class=FileResponse)
    def exported(job: JobId, format: Format) -> FileResponse:
        """A file that was written."""
        found = desk.find(job)
        task = desk.view(job)["tasks"].get(format)
        path = space.export_of(job, format)
        if task is None or task["state"] != "done" or not path.is_file():
            raise HTTPException(404, "That file has not been written yet.")
        name = f"{PurePath(found.name).stem} {path.name}"
        return FileResponse(path, media_type=EXPORTS[format][2], filename=name)

    return router
