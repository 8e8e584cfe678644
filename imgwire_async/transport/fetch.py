"""Make one attempt to fetch bytes: a file from the CDN, or an archive.

This module follows redirects itself, so that it can check the URL of each redirect. It sends no credentials.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import aiohttp
import attrs

from imgwire_async.exchange import Exchange, Headers
from imgwire_async.messages import CLIENT_CLOSED
from imgwire_async.protocol.request import GetRequest, NoResponseError
from imgwire_async.protocol.signed_urls import require_safe, without_query
from imgwire_async.redaction import Secret
from imgwire_async.retry import Failure
from imgwire_async.transport import deadline
from imgwire_async.transport.connection import UnreadResponse
from imgwire_async.transport.context import Context
from imgwire_async.transport.errors import AIOHTTP_ERRORS, Route, scrub_traceback, translate
from imgwire_async.transport.request_url import RequestURL
from imgwire_async.transport.response_body import next_chunk

if TYPE_CHECKING:
    from typing import Self

    from imgwire_async.transport.loop_sessions import LoopSessions

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# The number of received bytes is compared with Content-Length, so the body must not be compressed.
_HEADERS = {"Accept-Encoding": "identity"}


class AiohttpStreamedResponse(AbstractAsyncContextManager["AiohttpStreamedResponse"]):
    """The response to one `GetRequest`, read in chunks. Implements `protocol.request.StreamedResponse`.

    Between two reads neither a timer nor a task runs for the response. So different tasks may read it one
    after the other, and it may be closed at any time.
    """

    def __init__(self, context: Context, request: GetRequest) -> None:
        self._context = context
        self._request = request
        self._stall_seconds = context.options.timeout.stall
        self._host = ""
        self._response: aiohttp.ClientResponse | None = None
        self._unread: UnreadResponse | None = None
        self.status: int | None = None
        self.headers: Headers = Headers()
        self.total: int | None = None
        self.received: int = 0

    @property
    def exchange(self) -> Exchange:
        """The description of the attempt so far."""
        request = self._request
        elapsed = time.monotonic() - request.started_at
        return Exchange(
            "cdn", "GET", without_query(request.url), self.status, self.headers, request.attempt, elapsed
        )

    @property
    def delimited(self) -> bool:
        """Whether the response declares its end, by a length or by chunked encoding.

        If not, a broken connection looks like a complete body.
        """
        if self.total is not None:
            return True
        coding = self.headers.get("Transfer-Encoding", "").rpartition(",")[2]
        return coding.strip().lower() == "chunked"

    # --- the headers ----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        request = self._request
        secure = self._context.shared.config.secure
        require_safe(request.url, request.url_name, secure=secure)
        try:
            url = Secret(request.url)
            self._response = await self._send(url)
            for _ in range(MAX_REDIRECTS):
                if (location := _location(self._response)) is None:
                    break
                self._close()
                url = _redirect_target(url, location, secure=secure)
                self._response = await self._send(url)
        except NoResponseError as error:
            error.exchange = self.exchange
            raise
        self.status = self._response.status
        self.headers = Headers.view(self._response.headers.items())
        self.total = _content_length(self.headers)
        return self

    async def _send(self, url: Secret) -> aiohttp.ClientResponse:
        """Send one request and return its response, whose body is not read yet."""
        context, attempt = self._context, self._request.attempt
        sessions = await context.shared.sessions.get()
        request_url = RequestURL.parse(url)
        self._host = request_url.host
        events = context.instrumentation.for_call("cdn", "GET", request_url.without_query)
        if events is not None:
            await events.report_request(attempt)
        if sessions.idle_check.is_due():
            await sessions.idle_check.run()
        started_at = time.monotonic()
        stall_timeout = asyncio.timeout(None)
        try:
            async with stall_timeout:
                response = await self._get(sessions, request_url, stall_timeout)
        except (*AIOHTTP_ERRORS, NoResponseError) as error:
            scrub_traceback(error)
            failed = self._no_response_error(
                error, sessions.route_to(request_url), stalled=stall_timeout.expired()
            )
            if events is not None:
                events.report_no_response(attempt, failed.failure.reason, time.monotonic() - started_at)
            raise failed from error
        except BaseException as error:
            scrub_traceback(error)
            deadline.note_interrupted(self.exchange)
            raise
        sessions.open_calls.responses.add(response)
        self._unread = UnreadResponse(response)
        self._response = response
        try:
            if events is not None:
                headers = Headers.view(response.headers.items())
                await events.report_response(attempt, response.status, headers, time.monotonic() - started_at)
        except BaseException:
            # Error trackers store local variables, and the repr of the response shows its URL.
            del response
            self._close()
            raise
        return response

    async def _get(
        self, sessions: LoopSessions, url: RequestURL, stall_timeout: asyncio.Timeout
    ) -> aiohttp.ClientResponse:
        return await sessions.downloads.get(
            url.url,
            headers=_HEADERS,
            timeout=self._context.transfer_timeout,
            allow_redirects=False,
            trace_request_ctx={"on_sent": lambda: self._start_stall_timer(stall_timeout)},
            **sessions.options_for(url),
        )

    def _start_stall_timer(self, stall_timeout: asyncio.Timeout) -> None:
        """Start the stall timer. Called when the request was sent; until then the connect timeout applies."""
        if self._stall_seconds is not None:
            stall_timeout.reschedule(asyncio.get_running_loop().time() + self._stall_seconds)

    # --- the body -------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._response is None:
            raise RuntimeError("the download is closed: read it inside its `async with`")
        content = self._response.content
        # The timer runs only during this method, because the consumer may take any time between two chunks.
        stall_timeout = asyncio.timeout(self._stall_seconds)
        try:
            async with stall_timeout:
                chunk = await next_chunk(content)
        except AIOHTTP_ERRORS as error:
            scrub_traceback(error)
            # The host has sent a response, so this route gives the message no advice about proxy or TLS.
            route = Route(self._host, secure=True)
            raise self._no_response_error(error, route, stalled=stall_timeout.expired()) from error
        except asyncio.CancelledError:
            deadline.note_interrupted(self.exchange)
            raise
        if chunk:
            self.received += len(chunk)
            return chunk
        if self.total is not None and self.received != self.total:
            reason = f"{self._host} ended its response early{self._progress_text}"
            raise NoResponseError(Failure(reason, kind="connection_lost"), self.exchange)
        raise StopAsyncIteration

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        """Close the response and abort its connection.

        After a complete body the connection is in aiohttp's pool again, and stays open.
        """
        response, self._response = self._response, None
        unread, self._unread = self._unread, None
        if response is not None and unread is not None:
            response.close()
            unread.abort()

    def _no_response_error(self, error: BaseException, route: Route, *, stalled: bool) -> NoResponseError:
        if self._context.shared.closed:
            raise RuntimeError(CLIENT_CLOSED) from None
        if not stalled:
            failure = translate(error, route).failure
            failure = attrs.evolve(failure, reason=f"{failure.reason}{self._progress_text}")
            return NoResponseError(failure, self.exchange)
        reason = f"{self._host} sent no byte for {self._stall_seconds:g} s{self._progress_text}"
        return NoResponseError(Failure(reason, kind="stalled"), self.exchange)

    @property
    def _progress_text(self) -> str:
        if self.status is None:
            return ""
        return f" (after {self.received}{'' if self.total is None else f' of {self.total}'} bytes)"


def _location(response: aiohttp.ClientResponse) -> Secret | None:
    """Return the target of a redirect, or None if the response is not a redirect."""
    location = response.headers.get("Location") if response.status in _REDIRECTS else None
    return None if location is None else Secret(location)


def _redirect_target(url: Secret, location: Secret, *, secure: bool) -> Secret:
    """Return the URL that a redirect from `url` leads to.

    Raises `UnsafeURLError` if the new URL is not safe to use, for example http after https.
    """
    try:
        # An absolute URL is used unchanged, because it may be presigned.
        is_absolute = bool(urlsplit(location).scheme)
        target = location if is_absolute else Secret(urljoin(url, location))
    except ValueError:
        target = location
    if url[:6].lower() == "https:" and not secure:
        require_safe(target, "redirect", secure=True, because="it comes from https")
    else:
        require_safe(target, "redirect", secure=secure)
    return target


def _content_length(headers: Headers) -> int | None:
    """Return the length of the body from the header `Content-Length`, or None.

    None means that the header is missing or is not a number, or that the response has a `Transfer-Encoding`,
    which takes precedence.
    """
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and "Transfer-Encoding" not in headers else None
