"""One GET of bytes: attempts, pauses, and what to say when none succeeds."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import attrs

from imgwire_async.errors import DownloadError
from imgwire_async.exchange import Exchange, Headers
from imgwire_async.mime import HEAD_BYTES
from imgwire_async.protocol.intermediaries import doubt_about
from imgwire_async.protocol.request import Fetch, Fetched, NoAnswerError, Transport
from imgwire_async.protocol.unpacking import unpacked_prefix
from imgwire_async.redaction import excerpt, redact
from imgwire_async.resources.content import Content, mismatch
from imgwire_async.retry import Failure, is_success, may_repeat, passing, pause, retry_after

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")

_ANSWER_LIMIT = 64 * 1024  # of an answer that is not what was asked for, no more is read
_NOT_WHOLE = frozenset({204, 205, 206})  # successes that do not hold the thing itself

_SOMEBODY_ELSE = (
    "A login page of a network, or an error page of a proxy or the CDN may have answered: look at network and "
    "proxy, or open the address in a browser."
)
_AN_OLD_PROXY = "A proxy that speaks HTTP/1.0 may have dropped the length: go around it."


@attrs.frozen
class Source:
    """Where bytes are: a signed or public address, what they must be, and the thing's name for messages.

    `outcome` is what a failure leaves: a sentence about the file that they were meant for, if there is one.
    """

    url: str = attrs.field(repr=False)
    content: Content
    name: str
    outcome: str = ""

    @property
    def what(self) -> str:
        """The field that holds the address."""
        return "cdn_url" if self.content is Content.PICTURE else "download_url"


@attrs.frozen
class Refusal:
    """An answer that is not what was asked for."""

    status: int
    headers: Headers
    reason: str
    text: str
    exchange: Exchange
    advice: str = ""

    @property
    def failure(self) -> Failure:
        """The same for the retry policy."""
        told = retry_after(self.headers)
        return Failure(self.reason, status=self.status, retry_after=told)


class Body:
    """The bytes of an answer whose first ones were looked at already. Implements `protocol.request.Fetched`."""

    def __init__(self, answer: Fetched) -> None:
        self._answer = answer
        self._read: deque[bytes] = deque()
        self.received: int = 0

    async def head(self) -> bytes:
        """Return the first `HEAD_BYTES`, or all there are, however small the pieces are that they come in."""
        size = 0
        while size < HEAD_BYTES and (piece := await anext(self._answer, None)) is not None:
            self._read.append(piece)
            size += len(piece)
        if len(self._read) > 1:
            self._read = deque([b"".join(self._read)])
        return self._read[0][:HEAD_BYTES] if self._read else b""

    @property
    def status(self) -> int | None:
        return self._answer.status

    @property
    def headers(self) -> Headers:
        return self._answer.headers

    @property
    def total(self) -> int | None:
        return self._answer.total

    @property
    def delimited(self) -> bool:
        return self._answer.delimited

    @property
    def exchange(self) -> Exchange:
        return self._answer.exchange

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = self._read.popleft() if self._read else await anext(self._answer)
        self.received += len(piece)
        return piece


class Getting(AbstractAsyncContextManager["Getting"]):
    """One GET under way. Holds a get slot and a connection from `run` on, until it is left; never during a pause.

    A slot is given back earlier by `free_slot`.
    """

    def __init__(self, transport: Transport, source: Source) -> None:
        self._transport = transport
        self._source = source
        self._attempts = 0
        self._began = time.monotonic()
        self._slot = AsyncExitStack()
        self._connection = AsyncExitStack()
        self._answer: Fetched | None = None
        self._exchange: Exchange | None = None
        self.refusal: Refusal | None = None

    async def run(self, use: Callable[[Fetched], Awaitable[T]]) -> T:
        """What `use` makes of the answer. When that breaks off, it is called again with another one, if retries are left."""
        while True:
            try:
                answer = await self._ask()
                self.refusal = await _refusal(answer)
                if self.refusal is None:
                    body = Body(answer)
                    self.refusal = await _misfit(body, self._source.content)
                    if self.refusal is None:
                        return await use(body)
                trouble: Refusal | NoAnswerError = self.refusal
            except NoAnswerError as error:
                trouble = error
            await self._let_go(trouble.exchange)
            await self._prepare_again(trouble)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.leave()

    async def leave(self) -> None:
        """Give back slot and connection, at whatever point. Idempotent."""
        await self._let_go(self._exchange)
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

    async def _ask(self) -> Fetched:
        self._attempts += 1
        await self._slot.enter_async_context(self._transport.get_slot())
        fetch = Fetch(self._source.url, self._source.what, self._attempts, self._began)
        self._answer = await self._connection.enter_async_context(self._transport.fetch(fetch))
        return self._answer

    async def _let_go(self, exchange: Exchange | None) -> None:
        answer, self._answer = self._answer, None
        self._exchange = exchange if answer is None else answer.exchange
        try:
            await self._connection.aclose()
        finally:
            await self._slot.aclose()

    async def _prepare_again(self, trouble: Refusal | NoAnswerError) -> None:
        """Let a pause pass before the next attempt, or raise the error that ends the download."""
        failure = trouble.failure
        policy = self._transport.options.retries
        seconds = None
        # What stands still has had its time already.
        may = failure.fate not in {"stall", "slot"} and may_repeat("GET", failure, repeatable=None)
        if may and self._attempts <= policy.max_retries:
            seconds = pause(self._attempts, failure.retry_after, policy=policy, dice=random.random())
        if seconds is None:
            raise self.error(trouble)
        assert self._exchange is not None
        exchange, self._exchange = self._exchange, None
        await self._transport.sleep_before_retry(exchange, failure.reason, seconds)

    # --- telling ------------------------------------------------------------------------------------------------------

    def error(self, trouble: Refusal | NoAnswerError) -> DownloadError:
        """The error that tells what happened and what to do."""
        exchange, name = trouble.exchange, self._source.name
        if isinstance(trouble, Refusal):
            said = excerpt(redact(trouble.text))
            outcome, advice = self._source.outcome, self._advice(trouble)
            if not trouble.advice:  # else it knows who answered
                advice = doubt_about("the CDN", trouble.headers, trouble.text.encode()) + advice
            text = f"{name}: {exchange}: {trouble.reason}{f': {said}' if said else ''}. {outcome}{advice}"
            return DownloadError(text, status=trouble.status, exchange=exchange)
        if trouble.failure.fate == "slot":  # its reason says what to do
            return DownloadError(
                f"{name}: {trouble.failure.reason}. Nothing was sent. {self._source.outcome}".rstrip()
            )
        advice = (
            "a slow network may need a larger Timeouts(stall=...)."
            if trouble.failure.fate == "stall"
            else "if it goes on, look at network, proxy and firewall."
        )
        known = trouble.failure.advice
        next_step = f"{known} Then download it again." if known else f"Download it again; {advice}"
        return DownloadError(
            f"{name}: {exchange}: {trouble.failure.reason}. {self._source.outcome}{next_step}",
            status=None if exchange is None else exchange.status,
            exchange=exchange,
        )

    def _advice(self, refusal: Refusal) -> str:
        status, picture = refusal.status, self._source.content is Content.PICTURE
        if refusal.advice:
            return refusal.advice
        if status < 400:
            return "Report this to the service."
        if passing(status):
            return "Download it again later."
        if picture and status in {404, 410}:
            return "The CDN delivers READY images only: call wait_until_ready first, or it was deleted."
        if picture:
            return "The CDN will not deliver this: check preset and rules."
        return "The link is not, or no longer, valid: retrieve the job again for a fresh one, or create a new job."


async def _refusal(answer: Fetched) -> Refusal | None:
    """What is wrong with the answer's head, None when its body is what was asked for."""
    status, headers = answer.status or 0, answer.headers
    encoding = headers.get("Content-Encoding", "").strip().lower()
    if 300 <= status < 400:
        where = "more than 5 redirects" if "Location" in headers else "a redirect to nowhere"
        return Refusal(status, headers, f"HTTP {status}, {where}", "", answer.exchange)
    if status in _NOT_WHOLE:
        return Refusal(status, headers, f"HTTP {status}, which is not the whole of it", "", answer.exchange)
    if is_success(status) and encoding not in {"", "identity"}:
        reason = f"HTTP {status}, packed ({excerpt(encoding, 40)}) although that was not asked for"
        return Refusal(status, headers, reason, "", answer.exchange)
    if is_success(status):
        return None
    text = b""
    try:
        async for piece in answer:
            text += piece
            if len(text) >= _ANSWER_LIMIT:
                break
    except NoAnswerError:
        pass  # its status says enough
    said = unpacked_prefix(text, encoding, _ANSWER_LIMIT).decode("utf-8", "replace")
    return Refusal(status, headers, f"HTTP {status}", said, answer.exchange)


async def _misfit(body: Body, wanted: Content) -> Refusal | None:
    """What is wrong with the beginning of a successful answer, None when it is what was asked for."""
    head = await body.head()
    status, exchange = body.status or 0, body.exchange
    if not head:  # an accident of one server, which another try may not meet
        raise NoAnswerError(Failure(f"HTTP {status} without any bytes", fate="lost"), exchange)
    told = mismatch(wanted, body.headers.get("Content-Type", ""), head)
    if told is not None:
        reason = f"HTTP {status}, but no {wanted.value} came: "
        said = excerpt(redact(told.text))
        reason += said if said.startswith(told.kind) else f"{told.kind}{f' ({said})' if said else ''}"
        return Refusal(status, body.headers, reason, "", exchange, _SOMEBODY_ELSE)
    if not body.delimited:
        reason = f"HTTP {status} with neither a length nor chunks, so that a broken connection would look like its end"
        return Refusal(status, body.headers, reason, "", exchange, _AN_OLD_PROXY)
    return None
