"""Image files that are not what they say."""

from __future__ import annotations

import struct
import zlib


def huge_png(side: int = 100_000) -> bytes:
    """A PNG whose header claims more pixels than OpenCV takes, with hardly any behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
