"""A server that costs next to nothing: whatever is asked, it answers with one image record. Own process, port 0."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

IMAGE_ID = "00000001-0000-4000-8000-000000000001"
IMAGE = {
    "id": IMAGE_ID,
    "environment_id": "00000002-0000-4000-8000-000000000002",
    "upload_token_id": None,
    "original_filename": "IMG_00001.jpg",
    "hash_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "status": "READY",
    "cdn_url": f"https://cdn.imgwire.dev/00000003-0000-4000-8000-000000000003/00000002/{IMAGE_ID}",
    "mime_type": "image/jpeg",
    "can_upload": False,
    "is_directly_deliverable": True,
    "idempotency_key": "00000004-0000-4000-8000-000000000004",
    "purpose": "gallery",
    "extension": "jpg",
    "width": 4032,
    "height": 3024,
    "size_bytes": 2_345_678,
    "custom_metadata": {"album": "summer", "order": 1, "published": True, "score": 0.75},
    "exif_data": {"Make": "ACME", "Model": "X100", "ISO": 200, "GPS": {"lat": 47.1, "lon": 8.5}},
    "created_at": "2026-05-09T12:34:56.789012Z",
    "updated_at": "2026-05-09T12:35:01.000000Z",
    "deleted_at": None,
    "processed_metadata_at": "2026-05-09T12:35:00.123456Z",
}
BODY = json.dumps(IMAGE, separators=(",", ":")).encode()
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
) + BODY


class Answering(asyncio.Protocol):
    def __init__(self) -> None:
        self.held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.held += data
        while b"\r\n\r\n" in self.held:
            _, _, self.held = self.held.partition(b"\r\n\r\n")
            self.transport.write(ANSWER)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def running() -> Iterator[str]:
    """The server in a process of its own; what comes is its origin."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    asyncio.run(serve())
