"""Bytes from the CDN and the archives: one attempt at one address, redirects followed by hand, no credential sent anywhere."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import aiohttp
import attrs

from imgwire_async.errors import CLIENT_CLOSED
from imgwire_async.exchange import Exchange, Headers
from imgwire_async.protocol.request import GetRequest, NoResponseError
from imgwire_async.protocol.signed_urls import require_safe, without_query
from imgwire_async.redaction import Secret
from imgwire_async.retry import Failure
from imgwire_async.transport import deadline, response_body
from imgwire_async.transport.connection import Unread
from imgwire_async.transport.context import Context
from imgwire_async.transport.errors import AIOHTTP_ERRORS, Route, scrub_traceback, translate
from imgwire_async.transport.request_url import Address

if TYPE_CHECKING:
    from typing import Self

    from imgwire_async.transport.loop_sessions import LoopSessions

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Unpacked bytes could not be held to the length that the answer gives.
_HEADERS = {"Accept-Encoding": "identity"}


class AiohttpStreamedResponse(AbstractAsyncContextManager["AiohttpStreamedResponse"]):
    """The answer to one `GetRequest`, and its bytes as they come. Implements `protocol.request.StreamedResponse`.

    No clock and no task outlives a step, so that the steps may run in different tasks, and it may be left at any point.
    """

    def __init__(self, context: Context, fetch: GetRequest) -> None:
        self._context = context
        self._fetch = fetch
        self._stall = context.options.timeout.stall
        self._host = ""
        self._response: aiohttp.ClientResponse | None = None
        self._unread: Unread | None = None
        self.status: int | None = None
        self.headers: Headers = Headers()
        self.total: int | None = None
        self.received: int = 0

    @property
    def exchange(self) -> Exchange:
        """How the attempt has gone so far."""
        fetch = self._fetch
        elapsed = time.monotonic() - fetch.started_at
        return Exchange(
            "cdn", "GET", without_query(fetch.url), self.status, self.headers, fetch.attempt, elapsed
        )

    @property
    def delimited(self) -> bool:
        """Whether the answer says where it ends, by a length or by chunks. Else a broken connection looks like its end."""
        if self.total is not None:
            return True
        coding = self.headers.get("Transfer-Encoding", "").rpartition(",")[2]
        return coding.strip().lower() == "chunked"

    # --- the head -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        fetch = self._fetch
        secure = self._context.shared.config.secure
        require_safe(fetch.url, fetch.url_name, secure=secure)
        try:
            url = Secret(fetch.url)
            self._response = await self._ask(url)
            for _ in range(MAX_REDIRECTS):
                if (location := _location(self._response)) is None:
                    break
                self._leave()
                url = _next(url, location, secure=secure)
                self._response = await self._ask(url)
        except NoResponseError as error:
            error.exchange = self.exchange
            raise
        self.status = self._response.status
        self.headers = Headers.view(self._response.headers.items())
        self.total = _length(self.headers)
        return self

    async def _ask(self, url: Secret) -> aiohttp.ClientResponse:
        """The answer to one request on the wire, its body unread."""
        context, attempt = self._context, self._fetch.attempt
        here = await context.shared.sessions.get()
        address = Address.of(url)
        self._host = address.host
        events = context.instrumentation.for_call("cdn", "GET", address.shown)
        if events is not None:
            await events.request(attempt)
        if here.idle_check.is_due():
            await here.idle_check.run()
        began = time.monotonic()
        waiting = asyncio.timeout(None)
        try:
            async with waiting:
                response = await self._get(here, address, waiting)
        except (*AIOHTTP_ERRORS, NoResponseError) as error:
            scrub_traceback(error)
            silence = self._silence(error, here.route_to(address), stalled=waiting.expired())
            if events is not None:
                events.no_response(attempt, silence.failure.reason, time.monotonic() - began)
            raise silence from error
        except BaseException as error:
            scrub_traceback(error)
            deadline.interrupted(self.exchange)
            raise
        here.open_calls.responses.add(response)
        self._unread = Unread(response)
        self._response = response
        try:
            if events is not None:
                headers = Headers.view(response.headers.items())
                await events.response(attempt, response.status, headers, time.monotonic() - began)
        except BaseException:
            del response  # it shows its URL
            self._leave()
            raise
        return response

    async def _get(
        self, here: LoopSessions, address: Address, waiting: asyncio.Timeout
    ) -> aiohttp.ClientResponse:
        return await here.fetches.get(
            address.url,
            headers=_HEADERS,
            timeout=self._context.transfer_timeout,
            allow_redirects=False,
            trace_request_ctx={"sent": lambda: self._wind(waiting)},
            **here.options_for(address),
        )

    def _wind(self, waiting: asyncio.Timeout) -> None:
        """The request has left: from now on the server's silence counts. Until then it was the connect clock's time."""
        if self._stall is not None:
            waiting.reschedule(asyncio.get_running_loop().time() + self._stall)

    # --- the body -----------------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._response is None:
            raise RuntimeError("the download was left: read it inside its `async with`")
        content = self._response.content
        # Only waiting counts: a consumer may think between two pieces for as long as it likes.
        waiting = asyncio.timeout(self._stall)
        try:
            async with waiting:
                piece = await response_body.next_piece(content)
        except AIOHTTP_ERRORS as error:
            scrub_traceback(error)
            route = Route(self._host, secure=True)  # however it came here, it came
            raise self._silence(error, route, stalled=waiting.expired()) from error
        except asyncio.CancelledError:
            deadline.interrupted(self.exchange)
            raise
        if piece:
            self.received += len(piece)
            return piece
        if self.total is not None and self.received != self.total:
            reason = f"{self._host} ended its answer{self._progress}"
            raise NoResponseError(Failure(reason, kind="connection_lost"), self.exchange)
        raise StopAsyncIteration

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        """Drop the connection, unless the body is over and the connection back in its pool."""
        response, self._response = self._response, None
        unread, self._unread = self._unread, None
        if response is not None and unread is not None:
            response.close()
            unread.drop()

    def _silence(self, error: BaseException, route: Route, *, stalled: bool) -> NoResponseError:
        if self._context.shared.closed:
            raise RuntimeError(CLIENT_CLOSED) from None
        if not stalled:
            failure = translate(error, route).failure
            told = attrs.evolve(failure, reason=f"{failure.reason}{self._progress}")
            return NoResponseError(told, self.exchange)
        reason = f"{self._host} sent no byte for {self._stall:g} s{self._progress}"
        return NoResponseError(Failure(reason, kind="stalled"), self.exchange)

    @property
    def _progress(self) -> str:
        if self.status is None:
            return ""
        return f" (after {self.received}{'' if self.total is None else f' of {self.total}'} bytes)"


def _location(response: aiohttp.ClientResponse) -> Secret | None:
    """Where a redirect leads, None when the answer is no redirect."""
    location = response.headers.get("Location") if response.status in _REDIRECTS else None
    return None if location is None else Secret(location)


def _next(url: Secret, location: Secret, *, secure: bool) -> Secret:
    """The address that a redirect from `url` leads to. Raises `UnsafeURLError` when it must not be followed."""
    try:
        whole = bool(urlsplit(location).scheme)
        following = location if whole else Secret(urljoin(url, location))  # a whole one is used to the byte
    except ValueError:
        following = location
    if url[:6].lower() == "https:" and not secure:
        require_safe(following, "redirect", secure=True, because="it comes from https")
    else:
        require_safe(following, "redirect", secure=secure)
    return following


def _length(headers: Headers) -> int | None:
    """The length that the answer declares, None when it declares none that counts."""
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and "Transfer-Encoding" not in headers else None
