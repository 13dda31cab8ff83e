"""Visitors' files: what counts as a video, found out from its content and never from its name."""

from __future__ import annotations

from pathlib import Path

import av
import av.error

from ostrack.errors import SourceError
from ostrack.video.source import Source, open_source

__all__ = ["CONTAINERS", "open_upload"]

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,apng,mxf,h264,hevc,m4v,mjpeg,ivf,"
    "obu,av1,nut,dv,rm,wtv,swf,yuv4mpegpipe"
)
"""FFmpeg's names of the containers that are read. Play lists are not among them: a file that names other files or
addresses would have the server fetch them."""

_MOST_PIXELS = 8192 * 8192


def open_upload(path: Path, name: str) -> Source:
    """Open a file of unknown content.

    Args:
        path: Where it lies.
        name: What messages call it.

    Returns:
        The source; its first frame has been decoded.

    Raises:
        SourceError: It is no video, or one with a picture too large to decode.
    """
    try:
        # Nothing but this very file, and nothing but containers of pictures and sound.
        options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
        with av.open(str(path), options=options, metadata_errors="replace") as container:
            if not container.streams.video:
                raise SourceError(f"{name} holds no moving pictures.")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise SourceError(f"{name} is compressed in a way that this server cannot decode.")
            width, height = stream.codec_context.width, stream.codec_context.height
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(f"{name} is no video that can be read.") from error
    if width * height > _MOST_PIXELS:
        raise SourceError(f"{name} has a picture of {width} x {height}; up to 8192 x 8192 can be read.")
    try:
        return open_source(path)
    except SourceError as error:
        raise SourceError(str(error).replace(str(path), name)) from error
