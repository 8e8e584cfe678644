"""Check the status, the headers and the first bytes of a download's response before its body is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from imgwire_async.downloads.content import Content, find_mismatch
from imgwire_async.exchange import Exchange, Headers
from imgwire_async.mime import HEAD_BYTES
from imgwire_async.protocol.decompression import ERROR_BODY_LIMIT, decompressed_prefix
from imgwire_async.protocol.request import NoResponseError, StreamedResponse
from imgwire_async.redaction import excerpt, redact
from imgwire_async.retry import Failure, is_success

if TYPE_CHECKING:
    from typing import Self

# Statuses 2xx that are still errors here, because the body is missing or may be incomplete.
_INCOMPLETE = frozenset({204, 205, 206})

_WRONG_CONTENT_ADVICE = (
    "It may be a login page of a network, or an error page of a proxy or the CDN: check network and proxy, or open "
    "the URL in a browser."
)
_NO_LENGTH_ADVICE = "A proxy that speaks HTTP/1.0 may have removed the length: do not use this proxy."


@attrs.frozen
class UnexpectedResponse:
    """A response that does not have the expected content.

    The retry policy decides by `failure` whether to retry. `text` is the beginning of the body if the status
    is an error. `advice` is a sentence for the user that fits the cause, or empty when the cause is not
    known.
    """

    status: int
    headers: Headers
    failure: Failure
    exchange: Exchange
    text: str = ""
    advice: str = ""


class ResponseBody:
    """The body of a response as an async iterator of chunks, whose first bytes can be read in advance.

    `received` is the number of bytes that the iterator has returned. It does not count bytes that `head` has
    returned but the iterator has not.
    """

    def __init__(self, response: StreamedResponse) -> None:
        self.response = response
        self.received: int = 0
        self._head = b""

    async def head(self) -> bytes:
        """Return the first `HEAD_BYTES` of the body, or the whole body when it is shorter.

        Call this method before the iteration. The iterator begins with the same bytes, so none are lost.
        """
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
    """Return None for a response with the expected content, else the `UnexpectedResponse`.

    The first bytes of the body must fit `content`. The response must also have a Content-Length or chunked
    encoding, because otherwise a broken connection would look like the end of the body. Raises
    `NoResponseError` when the connection breaks, or when a successful response has no bytes.
    """
    response = body.response
    status, headers = response.status or 0, response.headers
    if 300 <= status < 400:
        reason = "more than 5 redirects" if "Location" in headers else "a redirect without a Location"
        return _unexpected(response, f"HTTP {status}, {reason}")
    encoding = headers.get("Content-Encoding", "").strip().lower()
    if not is_success(status):
        text = await _error_text(response, encoding)
        return UnexpectedResponse(status, headers, Failure.of(status, headers), response.exchange, text)
    if status in _INCOMPLETE:
        return _unexpected(response, f"HTTP {status}, which is not the complete content")
    if encoding not in {"", "identity"}:
        name = excerpt(encoding, 40)
        return _unexpected(response, f"HTTP {status}, compressed ({name}) although that was not requested")
    return await _check_body(body, content)


def _unexpected(response: StreamedResponse, reason: str, advice: str = "") -> UnexpectedResponse:
    status = response.status or 0
    failure = Failure(reason, status=status)
    return UnexpectedResponse(status, response.headers, failure, response.exchange, advice=advice)


async def _error_text(response: StreamedResponse, encoding: str) -> str:
    """Return the beginning of an error response's body as text."""
    body = b""
    try:
        async for chunk in response:
            body += chunk
            if len(body) >= ERROR_BODY_LIMIT:
                break
    except NoResponseError:
        # Ignore a broken connection, because the bytes so far and the status are enough for an error message.
        pass
    return decompressed_prefix(body, encoding, ERROR_BODY_LIMIT).decode("utf-8", "replace")


async def _check_body(body: ResponseBody, content: Content) -> UnexpectedResponse | None:
    """Check the body of a response with status 2xx. Return None if the body is as expected."""
    response = body.response
    head = await body.head()
    # The CDN has many servers. If one of them sends an empty body, a retry may reach another server. So raise
    # an error that is retried.
    if not head:
        failure = Failure(f"HTTP {response.status} without any bytes", kind="connection_lost")
        raise NoResponseError(failure, response.exchange)
    found = find_mismatch(content, response.headers.get("Content-Type", ""), head)
    if found is not None:
        text = excerpt(redact(found.text))
        description = text if text.startswith(found.kind) else f"{found.kind}{f' ({text})' if text else ''}"
        reason = f"HTTP {response.status}, but it is no {content.value}: {description}"
        return _unexpected(response, reason, _WRONG_CONTENT_ADVICE)
    if not response.delimited:
        reason = (
            f"HTTP {response.status} with neither a Content-Length nor chunked encoding, so that a broken connection "
            "would look like the end"
        )
        return _unexpected(response, reason, _NO_LENGTH_ADVICE)
    return None
