"""Bytes to the storage: one attempt at one signed URL. Whole, or an error; never short with a success."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NoReturn

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from imgwire_async import userland
from imgwire_async.config import Options
from imgwire_async.errors import CLOSED
from imgwire_async.exchange import Exchange, Headers
from imgwire_async.protocol.intermediaries import WHO_SENDS_PAGES_FOR_FILES, web_page
from imgwire_async.protocol.request import APIResponse, NoAnswerError, Put
from imgwire_async.protocol.unpacking import unpacked_prefix
from imgwire_async.retry import Failure, is_success
from imgwire_async.transport import answers, capture, deadline, watch
from imgwire_async.transport.connection import Connection, Unread
from imgwire_async.transport.errors import (
    FOREIGN,
    RequestBody,
    hush,
    is_answer,
    no_answer,
    not_an_answer,
    was_sent,
)
from imgwire_async.transport.loop_sessions import LoopSessions
from imgwire_async.transport.request_url import Address
from imgwire_async.transport.shared_state import SharedState
from imgwire_async.transport.slots import Kind as SlotKind
from imgwire_async.transport.slots import TransferSlot

_REST_AFTER = 512 * 1024  # bytes
_ANSWER_LIMIT = 64 * 1024  # the storage answers with a few lines; more is not worth memory


_PATCHED = (
    "aiohttp is patched in this process (by aioresponses, vcrpy or another mock), and what answered in its place asked for no byte of "
    "the file. In tests upload to imgwire_async.emulator.Emulator, without the mock"
)


class Body(RequestBody):
    """The body of one attempt: sends `put.chunks` once, counts, and keeps the first error of the source.

    aiohttp may neither rewind nor repeat it: what is sent again, and from where, is decided above.
    """

    _autoclose = True

    def __init__(self, put: Put) -> None:
        super().__init__(None, content_type="application/octet-stream")
        self._size = put.size
        self.put = put
        self._connection: Connection | None = None
        self._caller = userland.in_caller.get()  # the stall clock looks from a context of its own
        self.task: asyncio.Task[Any] | None = None  # aiohttp's writer task, once it has begun
        self.written: int = 0
        self.failure: BaseException | None = None
        self.reading: bool = False  # the source is being asked
        self.reporting: bool = False  # the caller is told how far it got
        self.sending: bool = False  # the network is being fed
        self.answered = False  # the answer's head is here
        self.stalled: bool = False  # given up by the stall clock
        self.interrupted: bool = False  # because the caller, who alone can read on, was busy elsewhere

    @property
    def consumed(self) -> bool:
        return self.task is not None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> NoReturn:
        raise TypeError("a picture is no text")

    def __deepcopy__(self, memo: object) -> bytes:
        """Return what stands for the body in other people's records: vcrpy and aioresponses copy what a request is given."""
        return f"<{self._size} bytes of an upload>".encode()

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        if self.task is not None:
            raise RuntimeError("a body is sent once")
        self.task = asyncio.current_task()
        self._connection = Connection.of(writer)
        userland.inside_user_code.set(True)  # in this task alone
        try:
            await self._write_all(writer)
        except BaseException as error:
            # The source or a callback failed: its own error is the one to tell. A cancellation counts as theirs only when
            # nobody cancelled this task.
            if not self.sending and not (
                isinstance(error, asyncio.CancelledError) and userland.is_being_cancelled()
            ):
                self.failure = error
                if isinstance(error, asyncio.CancelledError):  # aiohttp would take it for one of its own
                    raise RuntimeError("the source was cancelled") from error
            raise
        finally:
            await self.put.chunks.aclose()

    async def _write_all(self, writer: AbstractStreamWriter) -> None:
        chunks, sent = self.put.chunks, self.put.sent
        rested_at = 0
        while True:
            if self.written - rested_at >= _REST_AFTER:
                rested_at = self.written
                await asyncio.sleep(
                    0
                )  # neither a quick source nor a quick network may keep the loop for themselves
            self.reading = True
            try:
                piece = await anext(chunks, None)
            finally:
                self.reading = False
            if piece is None:
                return
            self.sending = True
            if self._connection is not None and self._connection.is_closing:
                raise aiohttp.ClientConnectionResetError("the connection is closed")
            await writer.write(piece)
            self.sending = False
            self.written += len(piece)
            if sent is not None:
                self.reporting = True
                await sent(self.handed_over)
                self.reporting = False

    def abandon(self) -> None:
        """Drop a connection that no answer, or not all of the body, went over; unsent bytes and all.

        aiohttp closes it, but that waits until the peer has read what is buffered, which may be never.
        """
        if self._connection is not None and not (self.answered and self.written == self._size):
            self._connection.abort()

    def give_up(self) -> None:
        """End the request, whose side of the connection is dropped: whoever waits for its answer hears of it at once."""
        self.stalled, self.interrupted = True, self.caller_is_absent
        if self._connection is not None:
            self._connection.abort()
        elif self.request is not None and (response := getattr(self.request, "response", None)) is not None:
            response.close()  # no writer has come that would know the connection

    @property
    def handed_over(self) -> int:
        """Bytes that have left for the kernel."""
        return (
            self.written if self._connection is None else max(0, self.written - self._connection.buffered())
        )

    @property
    def caller_is_absent(self) -> bool:
        """Whether this waits for the caller in another thread, who alone can go on, and who is busy elsewhere."""
        return self._caller is not None and (self.reading or self.reporting) and not self._caller.attentive

    def position(self) -> tuple[int, int, int] | None:
        """Where the transfer stands: any change is progress. None before the connection is there."""
        connection = self._connection
        if self.put.waits_for_caller and self.caller_is_absent:
            return None
        if self.task is None:
            # Its writer may never come: before Python 3.12 others may cancel that task before its first step.
            return None if self.request is None or not was_sent(self.request) else (0, 0, 0)
        if connection is None:
            return self.written, 0, 0
        return self.written, connection.buffered(), connection.unacknowledged()


class Transfers:
    """Sends bytes to storage with one set of options."""

    def __init__(self, shared: SharedState, options: Options) -> None:
        self._shared = shared
        self._options = options
        self._lookout = watch.Lookout(options.hooks)
        # No total: a slow transfer that moves may take as long as it needs.
        self._clock = aiohttp.ClientTimeout(total=None, connect=options.timeout.connect, ceil_threshold=1e9)

    def slot(self, kind: SlotKind) -> TransferSlot:
        """Return one of the loop's put or get slots, for an `async with`."""
        return TransferSlot(self._shared.sessions, kind, self._options.timeout.stall)

    async def put(self, put: Put) -> APIResponse:
        """The storage's answer, whatever its status. `NoAnswerError` when there was none; what the source raised as it is."""
        body = Body(put)
        began = time.monotonic()
        address = Address.of(put.url)
        seen = self._lookout.over("storage", "PUT", address.shown)
        try:
            here = await self._shared.sessions.get()
            if seen.awake:
                await seen.request(put.attempt)
            reply = await self._send(here, put, address, body)
        except NoAnswerError as error:
            error.exchange = self._exchange(seen, None, Headers(), put.attempt, began)
            seen.silence(put.attempt, error.failure.reason, time.monotonic() - began)
            capture.record(self._shared, error.exchange)
            raise
        except asyncio.CancelledError:
            deadline.interrupted(self._exchange(seen, None, Headers(), put.attempt, began))
            raise
        finally:
            await _finish(body)
        exchange = self._exchange(seen, reply[0], reply[1], put.attempt, began)
        if seen.awake:
            await seen.response(put.attempt, reply[0], reply[1], exchange.elapsed)
        capture.record(self._shared, exchange)
        return APIResponse(*reply, exchange)

    async def _send(
        self, here: LoopSessions, put: Put, address: Address, body: Body
    ) -> tuple[int, Headers, bytes]:
        if here.idle_check.is_due():
            await here.idle_check.run()
        clock = here.open_calls.stall_clock(self._options.timeout.stall)
        try:
            if clock is not None:
                clock.watch(body)
            status, headers, content = await self._round_trip(here, put, address, body)
        except (*FOREIGN, NoAnswerError) as error:
            hush(error)
            if body.failure is not None:
                hush(body.failure)
                raise body.failure from None
            if self._shared.sessions.closed:
                raise RuntimeError(CLOSED) from None
            if body.stalled:
                raise self._stalled(body, address.host) from None
            if isinstance(error, NoAnswerError):
                raise
            raise no_answer(error, here.route_to(address)) from error
        except BaseException as error:
            hush(error)
            raise
        finally:
            if clock is not None:
                clock.leave(body)
        self._require_sound(status, body, address.host)
        if content and is_success(status):
            _refuse_page(headers, content, address.host)
        return status, headers, content

    async def _round_trip(
        self, here: LoopSessions, put: Put, address: Address, body: Body
    ) -> tuple[int, Headers, bytes]:
        """Return status, headers and the beginning of the body of what the storage answers."""
        # A refusal is wanted as it is: it is read for what it says.
        declared = {"Content-Length": str(put.size), "Accept-Encoding": "identity"}
        if put.mime_type is not None:
            declared["Content-Type"] = put.mime_type
        unread: Unread | None = None
        response: aiohttp.ClientResponse | None = None
        try:
            async with here.files.put(
                address.url,
                data=body,
                headers=declared,
                **here.proxy_for(address),
                timeout=self._clock,
                allow_redirects=False,
                **here.tls,
            ) as response:
                if not response.content.is_eof():
                    here.open_calls.responses.add(
                        response
                    )  # whoever closes the client must find those who wait
                    unread = Unread(response)
                if not is_answer(response.status):
                    raise not_an_answer(response, here.route_to(address))
                body.answered = True
                status, headers = response.status, Headers.view(response.headers.items())
                content = await answers.read_prefix(response.content, _ANSWER_LIMIT)
        finally:
            response = body.request = None  # they show its URL
            if unread is not None:
                unread.drop()
        return status, headers, unpacked_prefix(content, headers.get("Content-Encoding", ""), _ANSWER_LIMIT)

    def _require_sound(self, status: int, body: Body, host: str) -> None:
        """Raise what counts more than the answer that came."""
        if body.failure is not None:  # the source had failed: its word counts
            raise body.failure
        if self._shared.sessions.closed and body.stalled:
            raise RuntimeError(CLOSED)
        if body.stalled:  # the clock hung up on an answer without a length: it looks complete and is not
            raise self._stalled(body, host)
        if (
            is_success(status) and body.size and not body.consumed
        ):  # no server answers before the body is begun
            raise RuntimeError(f"nothing was uploaded to {host}: {_PATCHED}")
        if is_success(status) and body.written != body.size:
            reason = f"{host} said that all is well after {body.written} of {body.size} bytes"
            raise NoAnswerError(Failure(reason, fate="lost"))

    def _stalled(self, body: Body, host: str) -> NoAnswerError:
        seconds = f"{self._options.timeout.stall:g} s"
        if body.interrupted:
            reason = f"the caller did not read on for {seconds} (after {body.written}), so others got the connection"
            return NoAnswerError(Failure(reason, fate="absent"))
        if body.reading:
            reason = f"the source gave no byte for {seconds} (after {body.written})"
        elif body.written < (body.size or 0):
            reason = f"{host} took no byte for {seconds} (after {body.handed_over} of {body.size})"
        else:
            reason = f"{host} gave no answer for {seconds} after the last byte"
        return NoAnswerError(Failure(reason, fate="stall"))

    @staticmethod
    def _exchange(
        seen: watch.Watch, status: int | None, headers: Headers, attempt: int, began: float
    ) -> Exchange:
        return Exchange(seen.kind, seen.method, seen.path, status, headers, attempt, time.monotonic() - began)


def _refuse_page(headers: Headers, content: bytes, host: str) -> None:
    """Raise `NoAnswerError` for a web page in place of the storage's success, which is empty or XML: who sent it has stored nothing."""
    page = web_page(headers, content)
    if page is not None:
        reason = f"a web page came in place of the answer of {host} ({page})"
        raise NoAnswerError(Failure(reason, fate="lost", advice=WHO_SENDS_PAGES_FOR_FILES))


async def _finish(body: Body) -> None:
    """Leave no writer running and no source open, whatever happened to the request."""
    task = body.task
    try:
        if task is None:
            await body.put.chunks.aclose()
        elif not task.done():
            task.cancel()
            await userland.settled([task])
    finally:
        body.abandon()
