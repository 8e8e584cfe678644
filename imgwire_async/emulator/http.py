"""Classes for requests, request bodies and responses, and the exceptions that end a request."""

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
    "HeaderPairs",
    "HostName",
    "Request",
    "Response",
    "api_error",
    "json_response",
    "xml_error",
]

HostName: TypeAlias = Literal["api", "storage", "cdn"]
HeaderPairs: TypeAlias = tuple[tuple[str, str], ...]

_CHUNK_SIZE = 64 * 1024
_DISCONNECTED = (OSError, ClientError, web.RequestPayloadError, http_exceptions.HttpProcessingError)


class ClientDisconnectedError(Exception):
    """The client disconnected before it had sent the whole request body."""


@frozen(kw_only=True)
class Request:
    """One request without its body: the request line and the headers, exactly as received.

    `target` is the request target as the client sent it: path and query, still percent-encoded. `connection`
    is the number of the TCP connection.
    """

    host: HostName
    method: str
    target: str
    headers: HeaderPairs
    connection: int = 0

    @property
    def raw_path(self) -> str:
        """The path of the target as it was sent, with its percent-encoding."""
        path = self.target.partition("?")[0]
        # The target is an absolute URL if the client uses the emulator as a proxy.
        return path if path.startswith("/") else urlsplit(path).path

    @property
    def raw_query(self) -> str:
        """The query of the target as it was sent, without the `?`."""
        return self.target.partition("?")[2]

    @property
    def query(self) -> dict[str, str]:
        """The decoded query parameters by name. A repeated name has its last value, as in FastAPI."""
        return dict(parse_qsl(self.raw_query, keep_blank_values=True, errors="replace"))

    def header_values(self, name: str) -> list[str]:
        """Return all values of a header in order. `name` is in lower case."""
        return [value for key, value in self.headers if key.lower() == name]

    def header(self, name: str) -> str | None:
        """Return the first value of a header, or None if the header is missing. `name` is in lower case."""
        return next(iter(self.header_values(name)), None)


@frozen(kw_only=True)
class Response:
    """One HTTP response with its whole body."""

    status: int
    body: bytes = b""
    headers: HeaderPairs = ()

    def with_headers(self, headers: Iterable[tuple[str, str]]) -> Response:
        """Return a copy of the response with additional headers."""
        return Response(status=self.status, body=self.body, headers=(*self.headers, *headers))


class HTTPError(Exception):
    """Raised by a handler that rejects a request. `response` is the error response to send."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class Body:
    """The body of one request, which can be read only once.

    The class counts and hashes the bytes while they are read, because the request log and the store need the
    length and the hash.
    """

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader
        self._digest = hashlib.sha256()
        self.length: int = 0
        # The maximum speed of reading. None means no maximum.
        self.bytes_per_second: float | None = None

    @property
    def sha256(self) -> str:
        """The SHA-256 hash of the bytes read so far, in lower-case hex."""
        return self._digest.hexdigest()

    async def chunks(self, limit: float = float("inf")) -> AsyncGenerator[bytes, None]:
        """Yield the chunks of the body until its end, or until `limit` bytes were read.

        Raises `ClientDisconnectedError` if the client disconnects before the body is complete.
        """
        size = (
            _CHUNK_SIZE
            if self.bytes_per_second is None
            else max(1, min(_CHUNK_SIZE, int(self.bytes_per_second / 10)))
        )
        while self.length < limit:
            try:
                chunk = await self._reader.read(int(min(size, limit - self.length)))
            except _DISCONNECTED as error:
                raise ClientDisconnectedError from error
            if not chunk:
                return
            self._digest.update(chunk)
            self.length += len(chunk)
            yield chunk
            if self.bytes_per_second is not None:
                await asyncio.sleep(len(chunk) / self.bytes_per_second)

    async def skip(self, limit: float = float("inf")) -> None:
        """Read and discard the body until its end, or until `limit` bytes were read."""
        async for _ in self.chunks(limit):
            pass

    async def read(self, limit: int) -> bytes | None:
        """Return the whole body, or None if it is longer than `limit` bytes."""
        parts = [chunk async for chunk in self.chunks(limit + 1)]
        return None if self.length > limit else b"".join(parts)


def json_response(value: object, status: int = 200, headers: HeaderPairs = ()) -> Response:
    """Return a response with `value` as JSON in UTF-8."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status=status, body=body, headers=(("Content-Type", "application/json"), *headers))


def api_error(status: int, error_type: str, detail: str, headers: HeaderPairs = ()) -> Response:
    """Return an error response of the API.

    [contract 5]
    """
    return json_response({"detail": detail, "error_type": error_type}, status, headers)


def xml_error(status: int, code: str, message: str, **fields: str) -> Response:
    """Return an error response in the XML format of S3. `fields` are additional elements."""
    elements = {"Code": code, "Message": message, **fields, "RequestId": "EMULATOR", "HostId": "emulator"}
    children = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in elements.items())
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{children}</Error>'.encode()
    return Response(status=status, body=body, headers=(("Content-Type", "application/xml"),))
