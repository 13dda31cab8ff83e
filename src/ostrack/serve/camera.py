"""Work: follow targets in pictures that a browser's camera sends, one answer for each."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from typing import Any

from ostrack.checks import check_box
from ostrack.errors import BoxError, SourceError
from ostrack.pictures import decode_rgb
from ostrack.serve.following import row_of
from ostrack.serve.worker import Report
from ostrack.tracker import Frame, Tracker

__all__ = ["HEADER", "work"]

HEADER = struct.Struct("<cI")
"""Before each message from the server: ``F`` for a picture or ``J`` for a JSON command, and its length in bytes."""

_MOST_PIXELS = 4096 * 4096


def work(request: dict[str, Any], report: Report) -> None:
    """Answer every message on standard input with one ``camera`` report, until it ends.

    Args:
        request: ``network``, ``threads``.
        report: ``camera`` with rows, or with the message of an error that does not end it.
    """
    import json

    tracker = Tracker(request["network"], threads=request["threads"])
    picture: Frame | None = None
    count = 0
    report("ready")
    for kind, data in _messages():
        rows: list[list[Any]] = []
        message = None
        try:
            if kind == b"F":
                picture = _decode(data)
                found = tracker.update(picture) if tracker.targets else {}
                for track in (found if isinstance(found, dict) else {found.id: found}).values():
                    rows.append(row_of(int(track.id), count, track))
                count += 1
            elif picture is None:
                raise BoxError("There is no picture yet to draw a box on.")
            else:
                command = json.loads(data)
                target = int(command["target"])
                if command["box"] is not None:
                    check_box(picture, command["box"])  # a box that is refused must not cost the one that is followed
                if target in tracker.targets:
                    tracker.remove(target)
                if command["box"] is not None:
                    rows.append(row_of(target, count - 1, tracker.add(picture, command["box"], id=target)))
        except (BoxError, SourceError) as error:
            message = str(error)
        report("camera", rows=rows, message=message)


def _decode(data: bytes) -> Frame:
    image = decode_rgb(data)
    if image is None or image.shape[0] * image.shape[1] > _MOST_PIXELS:
        raise SourceError("A picture from the camera could not be read.")
    return image


def _messages() -> Iterator[tuple[bytes, bytes]]:
    file = sys.stdin.buffer
    while len(head := file.read(HEADER.size)) == HEADER.size:
        kind, length = HEADER.unpack(head)
        yield kind, file.read(length)
