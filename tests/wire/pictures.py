"""Small generated pictures that the emulator accepts as complete."""

from __future__ import annotations

import struct
import zlib


def png(width: int = 3, height: int = 2, *, padding: int = 0) -> bytes:
    """Return a complete PNG. A private chunk with about `padding` bytes of noise makes it larger."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(3 * width) for _ in range(height))
    noise = chunk(b"nOIS", bytes(i * 31 % 251 for i in range(256)) * (padding // 256 + 1)) if padding else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + noise
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
