"""What comes in and goes out over HTTP, as the API's own description states it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ostrack.serve.tasks import Kind, TaskState

__all__ = [
    "BoxGiven",
    "CameraCommand",
    "Export",
    "FileInFolder",
    "Format",
    "FromFolder",
    "JobLine",
    "JobView",
    "Named",
    "Problem",
    "TracksView",
]

Format = Literal["mp4", "csv", "json", "jsonl", "mot", "coco", "cvat", "yolo"]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Side = Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e6)]
BoxXywh = tuple[Number, Number, Side, Side]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """Why a request was not done, in one line for people."""

    error: str


class FromFolder(_Strict):
    """A file of the folder listing."""

    file: Annotated[str, Field(min_length=1, max_length=64)]


class FileInFolder(BaseModel):
    """A video that may be chosen."""

    file: str
    name: str
    bytes: int


class BoxGiven(_Strict):
    """Where a target is, x, y, w, h in pixels of the video; null says that it is gone."""

    box: BoxXywh | None


class Named(_Strict):
    """A target's name."""

    name: Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Export(_Strict):
    """What to write."""

    format: Format


class VideoView(BaseModel):
    """A video: size in pixels, frames a second, frames in all."""

    width: int
    height: int
    fps: float
    frames: int


class KeyframeView(BaseModel):
    """What a person said about a target at a frame."""

    frame: int
    box: tuple[float, float, float, float] | None


class SegmentView(BaseModel):
    """Frames ``first`` to before ``stop``, tracked up to before ``done``."""

    first: int
    stop: int
    done: int


class TargetView(BaseModel):
    """Something followed."""

    id: int
    name: str
    keyframes: list[KeyframeView]
    segments: list[SegmentView]


class TaskView(BaseModel):
    """A piece of work."""

    id: int
    kind: Kind
    format: Format | None
    state: TaskState
    done: int
    total: int | None
    eta_s: float | None
    error: str | None
    before: int


class JobLine(BaseModel):
    """A job in the list; of two, the one with the higher ``order`` is the newer."""

    id: str
    order: int
    name: str
    created: float
    bytes: int
    state: Literal["preparing", "ready", "failed"]
    video: VideoView | None
    tasks: dict[str, TaskView]


class JobView(JobLine):
    """A job with all but its tracks."""

    problems: list[str]
    targets: list[TargetView]


class TracksView(BaseModel):
    """All tracks; each row is target, frame, x, y, w, h, score, confidence, state."""

    rows: list[tuple[int, int, float, float, float, float, float | None, float | None, str]]


class CameraCommand(_Strict):
    """A target's box in the last picture of a camera; null ends following it."""

    target: Annotated[int, Field(ge=0, le=9999)]
    box: BoxXywh | None
