"""Send requests with aiohttp: API calls with their retries, and single attempts to send or fetch bytes."""

from __future__ import annotations

import asyncio
import functools
import io
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, TypeVar

import aiohttp

from imgwire_async import errors, user_code
from imgwire_async.config import Options
from imgwire_async.exchange import Exchange, Headers
from imgwire_async.messages import CLIENT_CLOSED
from imgwire_async.protocol.json import dumps
from imgwire_async.protocol.request import (
    APIResponse,
    GetRequest,
    NoResponseError,
    PutRequest,
    Request,
    StreamedResponse,
)
from imgwire_async.protocol.signed_urls import require_safe
from imgwire_async.protocol.status import status_error
from imgwire_async.retry import Failure, may_retry
from imgwire_async.settings import API_ROOT
from imgwire_async.transport import deadline
from imgwire_async.transport.auth_headers import AuthHeaders, api_headers
from imgwire_async.transport.call_errors import (
    connection_error,
    long_header,
    reject_foreign_redirect,
    too_large_error,
)
from imgwire_async.transport.call_state import CallState, RawResponse, has_secret, without_token
from imgwire_async.transport.connection import UnreadResponse
from imgwire_async.transport.context import Context
from imgwire_async.transport.errors import AIOHTTP_ERRORS, scrub_traceback, translate
from imgwire_async.transport.fetch import AiohttpStreamedResponse
from imgwire_async.transport.loop_sessions import LoopSessions
from imgwire_async.transport.open_calls import UntilClosed
from imgwire_async.transport.put import send_put
from imgwire_async.transport.rate_limit import close_after_429, wait_for_rate_limit
from imgwire_async.transport.request_url import RequestURL
from imgwire_async.transport.response_body import read_body
from imgwire_async.transport.shared_state import SharedState
from imgwire_async.transport.slots import TransferKind, TransferSlot, without_slot
from imgwire_async.transport.tracing import TracedResponse, TracedScope, Tracer, send_traced_put

T = TypeVar("T")

# A request body of more than this number of bytes is passed to aiohttp as a file object, because aiohttp
# warns about large `bytes` objects.
_LARGE_BODY = 2**20
# The maximum size of a response body in bytes, if the user sets no limit. This number plus one has to fit
# into a C integer.
_NO_LIMIT = 2**62


class AiohttpTransport:
    """Calls the API, sends bytes to the storage, and fetches bytes from the CDN.

    Implements `protocol.request.Transport`. Each client and each clone with other options has its own
    transport.
    """

    def __init__(self, shared: SharedState, options: Options) -> None:
        self.options = options
        self.upload_token: str | Callable[[], str | Awaitable[str]] | None = shared.config.upload_token
        self._shared = shared
        self._context = Context.of(shared, options)
        self._tracer = self._context.instrumentation.tracer
        self._api_root = f"{shared.config.base_url}{API_ROOT}"
        self._headers = AuthHeaders(api_headers(options))
        timeouts = options.timeout
        self._body_limit = min(timeouts.max_response_bytes or _NO_LIMIT, _NO_LIMIT)
        # A high `ceil_threshold` keeps aiohttp from rounding timeouts up to whole seconds.
        self._timeout = aiohttp.ClientTimeout(
            total=timeouts.attempt, connect=timeouts.connect, ceil_threshold=1e9
        )

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self._shared.closed

    def require_usable(self) -> None:
        """Raise `RuntimeError` if no asyncio loop runs, or if the client was closed."""
        self._shared.sessions.require_usable()

    # --- API calls ------------------------------------------------------------------------------------------

    async def send(self, request: Request[Any], /) -> APIResponse:
        """Send `request`, retry it if the policy allows, and return the successful response.

        Raises an `ImgwireError` if the call fails.
        """
        name = f"{request.method} {request.path}"
        async with self._scope(name, lambda tracer: self._span(tracer, request)) as sessions:
            call = await self._start_call(request, sessions)
            while True:
                result = await self._attempt(call)
                exchange = call.exchange(result)
                if isinstance(result, RawResponse) and call.has_succeeded(result):
                    self._context.record_exchange(exchange)
                    return self._success(result, exchange)
                failure = result if isinstance(result, Failure) else Failure.of(result.status, result.headers)
                try:
                    delay = await self._retry_delay(call, failure, exchange)
                    if delay is None:
                        raise self._error(call, result, failure, exchange)
                except errors.ImgwireError:
                    self._context.record_exchange(exchange)
                    raise
                if call.events is not None:
                    wait = max(delay, self._shared.rate_gate.seconds_until_open())
                    await call.events.report_retry(call.attempts, failure.reason, wait)
                if delay:
                    await self._shared.sessions.sleep(delay)
                call.attempts += 1

    def _scope(
        self, name: str, span: Callable[[Tracer], AbstractContextManager[object]]
    ) -> AbstractAsyncContextManager[LoopSessions]:
        """Return the context manager in which a call or an operation runs.

        The context manager cancels the call if the client is closed or the deadline passes. The deadline
        error names the call by `name`. `span` starts the span of the call, a record of its duration that a
        tracer such as OpenTelemetry collects. `span` is called only if there is a tracer.
        """
        seconds = self.options.timeout.deadline
        scope: AbstractAsyncContextManager[LoopSessions] = UntilClosed(self._shared.sessions)
        if seconds is None and self._tracer is None:
            return scope
        # If the client is closed, raise before a timer or a span is created.
        self.require_usable()
        if seconds is not None:
            scope = deadline.Deadline(name, seconds, scope)
        return scope if self._tracer is None else TracedScope(span(self._tracer), scope)

    def _span(self, tracer: Tracer, request: Request[Any]) -> AbstractContextManager[object]:
        # Leave out the query, because it may hold an upload token.
        url = self._api_root + request.target.partition("?")[0]
        # Only `client.request()` uses the model `object`. Its path may contain ids, which a span name must
        # not contain, because tracers group spans by name.
        template = None if request.model is object else request.path
        return tracer.call(request.method, template, url)

    async def _start_call(self, request: Request[Any], sessions: LoopSessions) -> CallState:
        key = self._shared.key_provider.cached or await self._fetch_key(request)
        return CallState(
            request,
            RequestURL.parse(f"{self._api_root}{request.target}", self._shared.host),
            None if request.json is None else dumps(request.json),
            key,
            self.options.retries,
            sessions,
            self._context.instrumentation.for_call("api", request.method, request.path),
        )

    async def _fetch_key(self, request: Request[Any]) -> str:
        started_at = time.monotonic()
        try:
            return await without_slot(self._shared.key_provider.get)
        except asyncio.CancelledError:
            elapsed = time.monotonic() - started_at
            unsent_exchange = Exchange("api", request.method, request.path, attempts=0, elapsed=elapsed)
            deadline.note_interrupted(unsent_exchange, "waiting for api_key() before")
            raise

    async def _attempt(self, call: CallState) -> RawResponse | Failure:
        """Wait for the rate limit and a slot, send the request once, and return its response or failure."""
        gate, sessions, events = self._shared.rate_gate, call.sessions, call.events
        slots = sessions.slots.calls
        call.sent_at = 0.0
        is_reported = False
        while True:
            if gate.controller is not None:
                await wait_for_rate_limit(self._shared, call)
            if sessions.idle_check.is_due():
                await sessions.idle_check.run()
            if events is not None and not is_reported:
                is_reported = True
                await events.report_request(call.attempts)
            try:
                async with slots if events is None else events.wrap_slot(slots):
                    # The client may have been closed while this call waited for its slot.
                    if self._shared.sessions.closed:
                        raise RuntimeError(CLIENT_CLOSED)  # noqa: TRY301  # the handler below only scrubs its traceback
                    if gate.controller is not None and gate.closed_since(call.gate_generation):
                        continue
                    call.sent_at = time.monotonic()
                    response = await self._round_trip(call)
                    break
            except (*AIOHTTP_ERRORS, NoResponseError) as error:
                return self._failure_without_response(call, error)
            except BaseException as error:
                scrub_traceback(error)
                deadline.note_interrupted(call.interrupted_exchange())
                raise
        if events is not None:
            elapsed = time.monotonic() - call.sent_at
            await events.report_response(
                call.attempts, response.status, response.headers, elapsed, len(response.body)
            )
        return response

    def _failure_without_response(self, call: CallState, error: BaseException) -> Failure:
        scrub_traceback(error)
        if self._shared.closed:
            raise RuntimeError(CLIENT_CLOSED) from None
        failure = translate(error, call.sessions.route_to(call.url)).failure
        if call.events is not None:
            call.events.report_no_response(call.attempts, failure.reason, time.monotonic() - call.sent_at)
        return failure

    async def _round_trip(self, call: CallState) -> RawResponse:
        """Send one HTTP request, read the body of its response up to the limit, and return the response."""
        request, sessions, body = call.request, call.sessions, call.body
        may_be_traced = request.params is None or not has_secret(request)
        session = sessions.api if may_be_traced else sessions.untraced_api
        unread: UnreadResponse | None = None
        response: aiohttp.ClientResponse | None = None
        try:
            async with session.request(
                request.method,
                call.url.url,
                data=body if body is None or len(body) <= _LARGE_BODY else io.BytesIO(body),
                headers=self._headers.with_key(call.key, json=body is not None),
                timeout=self._timeout,
                allow_redirects=False,
                **sessions.options_for(call.url),
            ) as response:
                if not response.content.is_eof():
                    # When the client is closed, it closes the responses in this set. Closing only the session
                    # would not wake up a task that reads a body.
                    sessions.open_calls.responses.add(response)
                    unread = UnreadResponse(response)
                content, is_complete = await read_body(response, self._body_limit)
                return RawResponse(
                    response.status, Headers.view(response.headers.items()), content, is_complete
                )
        finally:
            # Error trackers store local variables, and the repr of the response shows its URL.
            response = None
            if unread is not None:
                unread.abort()

    def _success(self, response: RawResponse, exchange: Exchange) -> APIResponse:
        """Return the response of a successful call.

        A 404 is a success only for a repeated DELETE. It is returned as a 200 with an empty JSON object.
        """
        if response.status == 404:
            return APIResponse(200, response.headers, b"{}", exchange)
        if not response.is_complete:
            raise too_large_error(response, exchange, self._body_limit)
        return APIResponse(response.status, response.headers, response.body, exchange)

    # --- after a failed attempt -----------------------------------------------------------------------------

    async def _retry_delay(self, call: CallState, failure: Failure, exchange: Exchange) -> float | None:
        """Return the seconds before the next attempt, or None if the call must fail."""
        call.may_have_succeeded = call.may_have_succeeded or failure.may_have_succeeded
        deadline.note_failure(exchange, failure.reason)
        if failure.status == 401 and await self._renew_key(call):
            return 0.0
        if failure.status == 429:
            return close_after_429(self._shared.rate_gate, call, failure)
        if not may_retry(call.request.method, failure, repeatable=call.request.repeatable):
            return None
        return call.budget.next_delay(failure)

    async def _renew_key(self, call: CallState) -> bool:
        """Fetch a new key after a 401, and return whether the call may be repeated with the new key.

        A call does this at most once. The service did not process a request to which it responded with 401,
        so even a POST may be repeated.
        """
        provider = self._shared.key_provider
        if not provider.is_renewable or call.key_renewed:
            return False
        call.key_renewed = True
        provider.invalidate(call.key)
        if self.options.retries.max_retries == 0:
            return False
        key = await without_slot(provider.get)
        changed, call.key = key != call.key, key
        return changed

    def _error(
        self, call: CallState, result: RawResponse | Failure, failure: Failure, exchange: Exchange
    ) -> errors.ImgwireError:
        """Return the error of a failed call. For a redirect to another origin, raise `UnsafeURLError`."""
        if isinstance(result, Failure):
            return connection_error(exchange, failure, self.options.timeout)
        config = self._shared.config
        if 300 <= result.status < 400:
            reject_foreign_redirect(result, exchange, config.base_url)
        return status_error(
            result.status,
            exchange,
            without_token(result.body, call.request),
            api_key=call.key,
            retry_after=failure.retry_after,
            # Over https a proxy cannot respond in place of the API, so the error must not name the proxy.
            proxy=None if config.secure else call.sessions.route_to(call.url).proxy,
            long_header=long_header(self.options.default_headers),
            ids=call.request.ids,
            has_upload_token=has_secret(call.request),
        )

    # --- for the operations of resources --------------------------------------------------------------------

    def operation(self, name: str, text: str | None = None, /) -> AbstractAsyncContextManager[object]:
        """Return the context manager in which an operation of several requests runs.

        The context manager cancels the operation if the client is closed or the deadline passes. `name` is
        the name of the SDK's method. Messages call the operation `text`, or `name` if `text` is None.
        """
        return self._scope(text or name, lambda tracer: tracer.operation(name))

    def deadline_passed(self) -> bool:
        """Return whether the current operation is being cancelled by its deadline, and by no other code."""
        return deadline.has_expired()

    async def call_user_code(
        self, name: str, function: Callable[[], T | Awaitable[T]], method: str, path: str, /
    ) -> T:
        """Call a user function whose result an API call needs, and return the result.

        Messages contain the `name` of the function, and the `method` and `path` of the API call. With the
        asynchronous client an upload holds its slot while the function runs, so that only as many uploads as
        can be sent at once call the function. With the blocking client the upload releases its slot, because
        the function may have to wait for the caller's thread.
        """
        started_at = time.monotonic()
        try:
            if user_code.current_caller.get() is not None:
                return await without_slot(lambda: user_code.call_maybe_async(function))
            with user_code.in_user_code():
                return await user_code.call_maybe_async(function)
        except asyncio.CancelledError:
            unsent_exchange = Exchange("api", method, path, attempts=0, elapsed=time.monotonic() - started_at)
            deadline.note_interrupted(unsent_exchange, f"waiting for {name}() before")
            raise

    async def sleep(self, seconds: float, /) -> None:
        """Sleep for `seconds` seconds. Raises `RuntimeError` as soon as the client is closed."""
        await self._shared.sessions.sleep(seconds)

    async def sleep_before_retry(self, exchange: Exchange, reason: str, seconds: float, /) -> None:
        """Report that another attempt to send or fetch bytes follows, and sleep for `seconds` seconds."""
        await self._context.sleep_before_retry(exchange, reason, seconds)

    def record_exchange(self, exchange: Exchange, /) -> None:
        """Add the exchange of a download, with all its attempts, to the list of every active capture."""
        self._context.record_exchange(exchange)

    # --- bytes ----------------------------------------------------------------------------------------------

    def put_slot(self) -> AbstractAsyncContextManager[None]:
        """Return a context manager that holds a slot for a PUT of bytes."""
        return self._slot("put")

    def get_slot(self) -> AbstractAsyncContextManager[None]:
        """Return a context manager that holds a slot for a GET of bytes."""
        return self._slot("get")

    def _slot(self, kind: TransferKind) -> AbstractAsyncContextManager[None]:
        slot = TransferSlot(self._shared.sessions, kind, self.options.timeout.stall)
        return slot if self._tracer is None else self._tracer.wrap_transfer_slot(slot)

    def put(self, request: PutRequest, /) -> Awaitable[APIResponse]:
        """Return an awaitable that sends the bytes once and returns the storage's response.

        The response may report an error. Raises `UnsafeURLError` at once, before any byte is sent, if the URL
        is not safe to use.
        """
        require_safe(request.url, "upload_url", secure=self._shared.config.secure)
        if self._tracer is None:
            return send_put(self._context, request)
        return send_traced_put(self._tracer, request, functools.partial(send_put, self._context))

    def fetch(self, request: GetRequest, /) -> AbstractAsyncContextManager[StreamedResponse]:
        """Return a context manager that makes one attempt, follows redirects, and provides the last response.

        The response may report an error. It stays open until the end of the `async with`.
        """
        response = AiohttpStreamedResponse(self._context, request)
        return response if self._tracer is None else TracedResponse(self._tracer, request, response)
