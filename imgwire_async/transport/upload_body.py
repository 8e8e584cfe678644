"""The body of a PUT: sends the bytes of a source once, and knows how far it got."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from imgwire_async import cancellation, user_code
from imgwire_async.protocol.request import PutRequest
from imgwire_async.transport.connection import Connection
from imgwire_async.transport.middleware import RequestBody, was_sent

_REST_AFTER = 512 * 1024  # bytes


class UploadBody(RequestBody):
    """The body of one attempt: sends `put.chunks` once, counts, and keeps the first error of the source.

    aiohttp may neither rewind nor repeat it: what is sent again, and from where, is decided above.
    """

    _autoclose = True

    def __init__(self, put: PutRequest) -> None:
        super().__init__(None, content_type="application/octet-stream")
        self._size = put.size
        self.put = put
        self._connection: Connection | None = None
        self._caller = user_code.current_caller.get()  # the stall clock looks from a context of its own
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
        user_code.inside_user_code.set(True)  # in this task alone
        try:
            await self._write_all(writer)
        except BaseException as error:
            # The source or a callback failed: its own error is the one to tell. A cancellation counts as theirs only when
            # nobody cancelled this task.
            if not self.sending and not cancellation.is_own_cancellation(error):
                self.failure = error
                if isinstance(error, asyncio.CancelledError):  # aiohttp would take it for one of its own
                    raise RuntimeError("the source was cancelled") from error
            raise
        finally:
            await self.put.chunks.aclose()

    async def _write_all(self, writer: AbstractStreamWriter) -> None:
        chunks, on_progress = self.put.chunks, self.put.on_progress
        rested_at = 0
        while True:
            if self.written - rested_at >= _REST_AFTER:
                rested_at = self.written
                # Neither a quick source nor a quick network may keep the loop for itself.
                await asyncio.sleep(0)
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
            if on_progress is not None:
                self.reporting = True
                await on_progress(self.bytes_flushed)
                self.reporting = False

    def abort_connection(self) -> None:
        """Drop a connection that no answer, or not all of the body, went over; unsent bytes and all.

        aiohttp closes it, but that waits until the peer has read what is buffered, which may be never.
        """
        if self._connection is not None and not (self.answered and self.written == self._size):
            self._connection.abort()

    def on_stall(self) -> None:
        """End the request, whose side of the connection is dropped: whoever waits for its answer hears of it at once."""
        self.stalled, self.interrupted = True, self.caller_is_busy
        if self._connection is not None:
            self._connection.abort()
        elif self.request is not None and (response := getattr(self.request, "response", None)) is not None:
            response.close()  # no writer has come that would know the connection

    @property
    def bytes_flushed(self) -> int:
        """Bytes that have left for the kernel."""
        return (
            self.written if self._connection is None else max(0, self.written - self._connection.buffered())
        )

    @property
    def caller_is_busy(self) -> bool:
        """Whether this waits for the caller in another thread, who alone can go on, and who is busy elsewhere."""
        return self._caller is not None and (self.reading or self.reporting) and not self._caller.is_waiting

    def progress(self) -> tuple[int, int, int] | None:
        """Where the transfer stands: any change is progress. None before the connection is there."""
        connection = self._connection
        if self.put.waits_for_caller and self.caller_is_busy:
            return None
        if self.task is None:
            # Its writer may never come: before Python 3.12 others may cancel that task before its first step.
            return None if self.request is None or not was_sent(self.request) else (0, 0, 0)
        if connection is None:
            return self.written, 0, 0
        return self.written, connection.buffered(), connection.unacknowledged()
