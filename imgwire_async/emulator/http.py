"""The words of one exchange: what came in (`Request`, `Body`), what goes out (`Response`), and how a handler refuses."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Iterable
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape

from aiohttp import ClientError, StreamReader, http_exceptions, web
from attrs import frozen

__all__ = [
    "Body",
    "ClientDisconnectedError",
    "HTTPError",
    "HostName",
    "Pairs",
    "Request",
    "Response",
    "api_error",
    "json_response",
    "xml_error",
]

HostName: TypeAlias = Literal["api", "storage", "cdn"]
Pairs: TypeAlias = tuple[tuple[str, str], ...]

_CHUNK = 64 * 1024
_GONE = (OSError, ClientError, web.RequestPayloadError, http_exceptions.HttpProcessingError)


class ClientDisconnectedError(Exception):
    """The client went away before its body was whole."""


@frozen(kw_only=True)
class Request:
    """Request line and headers exactly as they came; `target` keeps every byte of the request target."""

    host: HostName
    method: str
    target: str
    headers: Pairs
    connection: int = 0

    @property
    def raw_path(self) -> str:
        """The path as it was sent, percent-escapes and all; of an absolute target too."""
        path = self.target.partition("?")[0]
        return path if path.startswith("/") else urlsplit(path).path

    @property
    def raw_query(self) -> str:
        """What follows the first `?`, undecoded."""
        return self.target.partition("?")[2]

    @property
    def query(self) -> dict[str, str]:
        """Decoded query; of a repeated name the last value counts, as in FastAPI."""
        return dict(parse_qsl(self.raw_query, keep_blank_values=True, errors="replace"))

    def header_values(self, name: str) -> list[str]:
        """Every value sent for a header, in order."""
        return [value for key, value in self.headers if key.lower() == name]

    def header(self, name: str) -> str | None:
        """The first value of a header (name in lower case), None without one."""
        return next(iter(self.header_values(name)), None)


@frozen(kw_only=True)
class Response:
    """A whole answer before it travels."""

    status: int
    body: bytes = b""
    headers: Pairs = ()

    def with_headers(self, headers: Iterable[tuple[str, str]]) -> Response:
        """The same answer with more headers."""
        return Response(status=self.status, body=self.body, headers=(*self.headers, *headers))


class HTTPError(Exception):
    """Raised by a handler that ends here with this answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class Body:
    """The request body, read once by one handler. Counts and hashes what it hands out, for the log and the store."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader
        self._digest = hashlib.sha256()
        self.length: int = 0
        self.pace: float | None = None  # bytes per second, None = as fast as they come

    @property
    def sha256(self) -> str:
        """Of what has been read so far, lower-case hex."""
        return self._digest.hexdigest()

    async def chunks(self, limit: float = float("inf")) -> AsyncGenerator[bytes, None]:
        """The bytes as they come, up to `limit` of them. `ClientDisconnectedError` when the client goes away in the middle."""
        size = _CHUNK if self.pace is None else max(1, min(_CHUNK, int(self.pace / 10)))
        while self.length < limit:
            try:
                chunk = await self._reader.read(int(min(size, limit - self.length)))
            except _GONE as error:
                raise ClientDisconnectedError from error
            if not chunk:
                return
            self._digest.update(chunk)
            self.length += len(chunk)
            yield chunk
            if self.pace is not None:
                await asyncio.sleep(len(chunk) / self.pace)

    async def skip(self, limit: float = float("inf")) -> None:
        """Read and drop up to `limit` bytes."""
        async for _ in self.chunks(limit):
            pass

    async def read(self, limit: int) -> bytes | None:
        """The whole body, None when it is longer than `limit`."""
        parts = [chunk async for chunk in self.chunks(limit + 1)]
        return None if self.length > limit else b"".join(parts)


def json_response(value: object, status: int = 200, headers: Pairs = ()) -> Response:
    """A JSON answer, UTF-8."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status=status, body=body, headers=(("Content-Type", "application/json"), *headers))


def api_error(status: int, error_type: str, detail: str, headers: Pairs = ()) -> Response:
    """The service's own error body. [contract 5]"""
    return json_response({"detail": detail, "error_type": error_type}, status, headers)


def xml_error(status: int, code: str, message: str, **more: str) -> Response:
    """An error body as stores of the S3 kind write it."""
    fields = {"Code": code, "Message": message, **more, "RequestId": "EMULATOR", "HostId": "emulator"}
    inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fields.items())
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()
    return Response(status=status, body=body, headers=(("Content-Type", "application/xml"),))
