"""One download: its attempts, the delays between them, and the exception after the last failed attempt."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import TypeAlias, TypeVar

import attrs

from imgwire_async.downloads.content import Content
from imgwire_async.downloads.response import ResponseBody, UnexpectedResponse, check_response
from imgwire_async.errors import DownloadError
from imgwire_async.exchange import Exchange
from imgwire_async.messages import prefix_closed_client_error
from imgwire_async.protocol.intermediaries import interception_warning
from imgwire_async.protocol.request import GetRequest, NoResponseError, StreamedResponse, Transport
from imgwire_async.redaction import excerpt, redact
from imgwire_async.retry import RetryBudget, is_transient, may_retry

T = TypeVar("T")

Problem: TypeAlias = "NoResponseError | UnexpectedResponse"


@attrs.frozen
class DownloadUrl:
    """A public or presigned URL to download from, with the expected content and two texts for error messages.

    `name` says what is downloaded ("image 8f1c..."). `nothing_written` is a sentence, followed by a blank,
    which says that the target file was not written. `nothing_written` is empty when there is no target file.
    """

    url: str = attrs.field(repr=False)
    content: Content
    name: str
    nothing_written: str = ""


class Download(AbstractAsyncContextManager["Download"]):
    """One download with its retries.

    The download holds a connection from `run` until `aclose`. It also holds a get slot, one of a limited
    number of permits for simultaneous downloads, until `aclose` or `release_slot`. While the download waits
    for its next attempt, it holds neither. Only one task may use the download at a time.
    """

    def __init__(self, transport: Transport, location: DownloadUrl) -> None:
        self._transport = transport
        self._location = location
        self._retries = RetryBudget(transport.options.retries)
        self._started_at = time.monotonic()
        self._slot = AsyncExitStack()
        self._connection = AsyncExitStack()
        self._response: StreamedResponse | None = None
        self._exchange: Exchange | None = None
        # The last response that did not have the expected content.
        self.unexpected: UnexpectedResponse | None = None

    async def run(self, process: Callable[[ResponseBody], Awaitable[T]]) -> T:
        """Send the request, call `process` with the body of the response, and return its result.

        If the connection breaks while `process` reads the body, the request is retried if the policy allows
        it. In this case `process` is called again with the body of the next response.
        """
        while True:
            try:
                body = ResponseBody(await self._open())
                self.unexpected = await check_response(body, self._location.content)
                if self.unexpected is None:
                    return await process(body)
                problem: Problem = self.unexpected
            except NoResponseError as error:
                problem = error
            await self._release(problem.exchange)
            await self._wait_before_retry(problem)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the download: release the slot and the connection. May be called at any time, also twice."""
        await self._release(self._exchange)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._transport.record_exchange(exchange)

    @property
    def deadline_passed(self) -> bool:
        """Whether the deadline of the operation has passed, and no other code cancels the task.

        `DownloadTarget.save` uses this property: if only the deadline has cancelled it, and the file is
        already complete, the download counts as a success.
        """
        return self._transport.deadline_passed()

    async def release_slot(self) -> None:
        """Release the slot but keep the connection, because the caller may read the rest slowly."""
        await self._slot.aclose()

    async def _open(self) -> StreamedResponse:
        """Make the next attempt and return its response, with an unread body."""
        await self._slot.enter_async_context(self._transport.get_slot())
        field = "cdn_url" if self._location.content is Content.PICTURE else "download_url"
        request = GetRequest(self._location.url, field, self._retries.used + 1, self._started_at)
        self._response = await self._connection.enter_async_context(self._transport.fetch(request))
        return self._response

    async def _release(self, exchange: Exchange | None) -> None:
        """Release the slot and the connection.

        Afterwards `_exchange` is the exchange of the response. If no response came, it is the parameter
        `exchange`.
        """
        response, self._response = self._response, None
        self._exchange = exchange if response is None else response.exchange
        try:
            await self._connection.aclose()
        finally:
            await self._slot.aclose()

    async def _wait_before_retry(self, problem: Problem) -> None:
        """Wait until the next attempt may start, or raise the error that ends the download."""
        failure = problem.failure
        # "stalled" and "no_slot" are not retried, because they mean that the download has already waited for
        # the full timeout.
        is_retryable = failure.kind not in {"stalled", "no_slot"} and may_retry(
            "GET", failure, repeatable=None
        )
        delay = self._retries.next_delay(failure) if is_retryable else None
        if delay is None:
            raise self.error_for(problem)
        assert self._exchange is not None
        exchange, self._exchange = self._exchange, None
        await self._transport.sleep_before_retry(exchange, failure.reason, delay)

    def error_for(self, problem: Problem) -> DownloadError:
        """Return the exception for a failed attempt, with advice for the user."""
        if isinstance(problem, UnexpectedResponse):
            return _response_error(self._location, problem)
        return _connection_error(self._location, problem)


def _response_error(location: DownloadUrl, response: UnexpectedResponse) -> DownloadError:
    text = excerpt(redact(response.text))
    advice = response.advice
    # `check_response` sets `advice` only when it knows the cause. Otherwise find advice by the status.
    if not advice:
        warning = interception_warning("the CDN", response.headers, response.text.encode())
        advice = warning + _advice(response.status, is_picture=location.content is Content.PICTURE)
    message = f": {text}" if text else ""
    return DownloadError(
        f"{location.name}: {response.exchange}: {response.failure.reason}{message}. {location.nothing_written}{advice}",
        status=response.status,
        exchange=response.exchange,
    )


def _advice(status: int, *, is_picture: bool) -> str:
    if status < 400:
        return "Report this to the service."
    if is_transient(status):
        return "Download it again later."
    if is_picture and status in {404, 410}:
        return "The CDN delivers READY images only: call wait_until_ready first. Or the image was deleted."
    if is_picture:
        return "The CDN does not deliver this URL: check preset and rules."
    return (
        "The link is not, or no longer, valid: retrieve the job again for a fresh one, or create a new job."
    )


def _connection_error(location: DownloadUrl, error: NoResponseError) -> DownloadError:
    failure, exchange = error.failure, error.exchange
    # For the kind "no_slot", `reason` already contains the advice.
    if failure.kind == "no_slot":
        text = f"{location.name}: {failure.reason}. Nothing was sent. {location.nothing_written}"
        return DownloadError(text.rstrip())
    if failure.advice:
        advice = f"{failure.advice} Then download it again."
    elif failure.kind == "stalled":
        advice = "Download it again; a slow network may need a larger Timeouts(stall=...)."
    else:
        advice = "Download it again; if that fails, too, check network, proxy and firewall."
    return DownloadError(
        f"{location.name}: {exchange}: {failure.reason}. {location.nothing_written}{advice}",
        status=None if exchange is None else exchange.status,
        exchange=exchange,
    )


@asynccontextmanager
async def operation(transport: Transport, name: str, description: str) -> AsyncGenerator[None, None]:
    """Run one operation under its deadline.

    If the operation fails because the client is closed, the error message begins with `description`.
    """
    try:
        async with transport.operation(name, description):
            yield
    except RuntimeError as error:
        prefix_closed_client_error(error, description)
        raise
