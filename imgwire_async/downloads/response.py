"""Checks a response to a GET of bytes before its body is used: is it what was asked for, and all of it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from imgwire_async.downloads.content import Content, mismatch
from imgwire_async.exchange import Exchange, Headers
from imgwire_async.mime import HEAD_BYTES
from imgwire_async.protocol.decompression import ERROR_BODY_LIMIT, decompressed_prefix
from imgwire_async.protocol.request import NoResponseError, StreamedResponse
from imgwire_async.redaction import excerpt, redact
from imgwire_async.retry import Failure, is_success

if TYPE_CHECKING:
    from typing import Self

# Successes that do not hold the thing itself.
_INCOMPLETE = frozenset({204, 205, 206})

_SOMEBODY_ELSE = (
    "A login page of a network, or an error page of a proxy or the CDN may have answered: look at network and "
    "proxy, or open the address in a browser."
)
_AN_OLD_PROXY = "A proxy that speaks HTTP/1.0 may have dropped the length: go around it."


@attrs.frozen
class UnexpectedResponse:
    """A response that is not what was asked for.

    `failure` is for the retry policy; `text` is what an error's body says; `advice` is what to do, where the reason knows
    more than the status.
    """

    status: int
    headers: Headers
    failure: Failure
    exchange: Exchange
    text: str = ""
    advice: str = ""


class ResponseBody:
    """Iterates over the bytes of a response, and gives its first bytes before.

    `received` counts the bytes that were given out, not those that were looked at.
    """

    def __init__(self, response: StreamedResponse) -> None:
        self.response = response
        self.received: int = 0
        self._head = b""

    async def head(self) -> bytes:
        """Return the first `HEAD_BYTES`, or all there are, however small the chunks are. Called before iterating."""
        chunks: list[bytes] = []
        size = 0
        while size < HEAD_BYTES and (chunk := await anext(self.response, None)) is not None:
            chunks.append(chunk)
            size += len(chunk)
        self._head = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return self._head[:HEAD_BYTES]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk, self._head = self._head, b""
        chunk = chunk or await anext(self.response)
        self.received += len(chunk)
        return chunk


async def check_response(body: ResponseBody, content: Content) -> UnexpectedResponse | None:
    """Return what is wrong with a response, None when its body begins as `content` does and says where it ends.

    Raises `NoResponseError` when the connection breaks, or when a success comes without any bytes.
    """
    response = body.response
    status, headers = response.status or 0, response.headers
    if 300 <= status < 400:
        where = "more than 5 redirects" if "Location" in headers else "a redirect to nowhere"
        return _unexpected(response, f"HTTP {status}, {where}")
    encoding = headers.get("Content-Encoding", "").strip().lower()
    if not is_success(status):
        text = await _error_text(response, encoding)
        return UnexpectedResponse(status, headers, Failure.of(status, headers), response.exchange, text)
    if status in _INCOMPLETE:
        return _unexpected(response, f"HTTP {status}, which is not the whole of it")
    if encoding not in {"", "identity"}:
        packed = excerpt(encoding, 40)
        return _unexpected(response, f"HTTP {status}, packed ({packed}) although that was not asked for")
    return await _check_body(body, content)


def _unexpected(response: StreamedResponse, reason: str, advice: str = "") -> UnexpectedResponse:
    status = response.status or 0
    failure = Failure(reason, status=status)
    return UnexpectedResponse(status, response.headers, failure, response.exchange, advice=advice)


async def _error_text(response: StreamedResponse, encoding: str) -> str:
    """Return the beginning of an error's body as text."""
    body = b""
    try:
        async for chunk in response:
            body += chunk
            if len(body) >= ERROR_BODY_LIMIT:
                break
    except NoResponseError:
        pass  # its status says enough
    return decompressed_prefix(body, encoding, ERROR_BODY_LIMIT).decode("utf-8", "replace")


async def _check_body(body: ResponseBody, content: Content) -> UnexpectedResponse | None:
    """Return what is wrong with the body of a success, None when it is what was asked for."""
    response = body.response
    head = await body.head()
    if not head:  # an accident of one server, which another try may not meet
        failure = Failure(f"HTTP {response.status} without any bytes", kind="connection_lost")
        raise NoResponseError(failure, response.exchange)
    found = mismatch(content, response.headers.get("Content-Type", ""), head)
    if found is not None:
        text = excerpt(redact(found.text))
        what = text if text.startswith(found.kind) else f"{found.kind}{f' ({text})' if text else ''}"
        reason = f"HTTP {response.status}, but no {content.value} came: {what}"
        return _unexpected(response, reason, _SOMEBODY_ELSE)
    if not response.delimited:
        reason = (
            f"HTTP {response.status} with neither a length nor chunks, so that a broken connection would look "
            "like its end"
        )
        return _unexpected(response, reason, _AN_OLD_PROXY)
    return None
