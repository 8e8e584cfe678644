"""One download: its attempts, the pauses between them, and the error when none succeeds."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import TypeAlias, TypeVar

import attrs

from imgwire_async.downloads.content import Content
from imgwire_async.downloads.response import ResponseBody, UnexpectedResponse, check_response
from imgwire_async.errors import DownloadError, prefix_if_closed
from imgwire_async.exchange import Exchange
from imgwire_async.protocol.intermediaries import interception_warning
from imgwire_async.protocol.request import GetRequest, NoResponseError, StreamedResponse, Transport
from imgwire_async.redaction import excerpt, redact
from imgwire_async.retry import RetryBudget, is_transient, may_retry

T = TypeVar("T")

Problem: TypeAlias = "NoResponseError | UnexpectedResponse"


@attrs.frozen
class DownloadUrl:
    """Where bytes are: a signed or public URL, what they must be, and the thing's name for messages.

    `outcome` is what a failure leaves: a sentence about the file that the bytes were meant for, if there is one.
    """

    url: str = attrs.field(repr=False)
    content: Content
    name: str
    outcome: str = ""


class Download(AbstractAsyncContextManager["Download"]):
    """One GET with its retries.

    Holds a get slot and a connection from `run` on, until it is left; never during a pause. The slot is
    given back earlier by `free_slot`. Used by one task at a time.
    """

    def __init__(self, transport: Transport, source: DownloadUrl) -> None:
        self._transport = transport
        self._source = source
        self._retries = RetryBudget(transport.options.retries)
        self._started_at = time.monotonic()
        self._slot = AsyncExitStack()
        self._connection = AsyncExitStack()
        self._response: StreamedResponse | None = None
        self._exchange: Exchange | None = None
        self.unexpected: UnexpectedResponse | None = None

    async def run(self, use: Callable[[ResponseBody], Awaitable[T]]) -> T:
        """Return what `use` makes of the body.

        When the body breaks off, `use` is called again with another one, if retries are left.
        """
        while True:
            try:
                body = ResponseBody(await self._open())
                self.unexpected = await check_response(body, self._source.content)
                if self.unexpected is None:
                    return await use(body)
                problem: Problem = self.unexpected
            except NoResponseError as error:
                problem = error
            await self._release(problem.exchange)
            await self._pause_before_retry(problem)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.leave()

    async def leave(self) -> None:
        """Give back slot and connection, at whatever point. Idempotent."""
        await self._release(self._exchange)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._transport.record_exchange(exchange)

    @property
    def deadline_passed(self) -> bool:
        """Whether the deadline cancels this, and nobody else does: what succeeded all the same may be returned."""
        return self._transport.deadline_passed()

    async def free_slot(self) -> None:
        """Give back the slot and keep the connection: whoever reads on may take any time."""
        await self._slot.aclose()

    async def _open(self) -> StreamedResponse:
        """Return the response to the next attempt, its body unread."""
        await self._slot.enter_async_context(self._transport.get_slot())
        field = "cdn_url" if self._source.content is Content.PICTURE else "download_url"
        fetch = GetRequest(self._source.url, field, self._retries.used + 1, self._started_at)
        self._response = await self._connection.enter_async_context(self._transport.fetch(fetch))
        return self._response

    async def _release(self, exchange: Exchange | None) -> None:
        """Give back slot and connection. Keeps the response's record, or `exchange` where there was no response."""
        response, self._response = self._response, None
        self._exchange = exchange if response is None else response.exchange
        try:
            await self._connection.aclose()
        finally:
            await self._slot.aclose()

    async def _pause_before_retry(self, problem: Problem) -> None:
        """Let a pause pass before the next attempt, or raise the error that ends the download."""
        failure = problem.failure
        # What stands still has had its time already.
        is_retryable = failure.kind not in {"stalled", "no_slot"} and may_retry(
            "GET", failure, repeatable=None
        )
        delay = self._retries.next_delay(failure) if is_retryable else None
        if delay is None:
            raise self.error(problem)
        assert self._exchange is not None
        exchange, self._exchange = self._exchange, None
        await self._transport.sleep_before_retry(exchange, failure.reason, delay)

    def error(self, problem: Problem) -> DownloadError:
        """Return the error that tells what happened and what to do."""
        if isinstance(problem, UnexpectedResponse):
            return _response_error(self._source, problem)
        return _connection_error(self._source, problem)


def _response_error(source: DownloadUrl, response: UnexpectedResponse) -> DownloadError:
    text = excerpt(redact(response.text))
    advice = response.advice
    if not advice:  # else the check knows who answered
        doubt = interception_warning("the CDN", response.headers, response.text.encode())
        advice = doubt + _advice(response.status, is_picture=source.content is Content.PICTURE)
    said = f": {text}" if text else ""
    return DownloadError(
        f"{source.name}: {response.exchange}: {response.failure.reason}{said}. {source.outcome}{advice}",
        status=response.status,
        exchange=response.exchange,
    )


def _advice(status: int, *, is_picture: bool) -> str:
    if status < 400:
        return "Report this to the service."
    if is_transient(status):
        return "Download it again later."
    if is_picture and status in {404, 410}:
        return "The CDN delivers READY images only: call wait_until_ready first. Or this one was deleted."
    if is_picture:
        return "The CDN will not deliver this: check preset and rules."
    return (
        "The link is not, or no longer, valid: retrieve the job again for a fresh one, or create a new job."
    )


def _connection_error(source: DownloadUrl, error: NoResponseError) -> DownloadError:
    failure, exchange = error.failure, error.exchange
    if failure.kind == "no_slot":  # its reason says what to do
        return DownloadError(f"{source.name}: {failure.reason}. Nothing was sent. {source.outcome}".rstrip())
    if failure.advice:
        advice = f"{failure.advice} Then download it again."
    elif failure.kind == "stalled":
        advice = "Download it again; a slow network may need a larger Timeouts(stall=...)."
    else:
        advice = "Download it again; if it goes on, look at network, proxy and firewall."
    return DownloadError(
        f"{source.name}: {exchange}: {failure.reason}. {source.outcome}{advice}",
        status=None if exchange is None else exchange.status,
        exchange=exchange,
    )


@asynccontextmanager
async def operation(transport: Transport, name: str, what: str) -> AsyncGenerator[None, None]:
    """Run one operation under its deadline. An error of a closed client tells `what` it ended."""
    try:
        async with transport.operation(name, what):
            yield
    except RuntimeError as error:
        prefix_if_closed(error, what)
        raise
