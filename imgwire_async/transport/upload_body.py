"""The request body of a PUT: sends the bytes of a source once, and counts them."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from imgwire_async import cancellation, user_code
from imgwire_async.protocol.request import PutRequest
from imgwire_async.transport.connection import Connection
from imgwire_async.transport.middleware import RequestBody, was_sent

# Bytes between two yields to the event loop.
_YIELD_INTERVAL = 512 * 1024


class UploadBody(RequestBody):
    """The body of one attempt.

    It sends `upload.chunks` once, counts the bytes, and stores the first error of the source.

    aiohttp must not send the body
    a second time, because the code that retries uploads starts the source again.
    """

    _autoclose = True

    def __init__(self, upload: PutRequest) -> None:
        super().__init__(None, content_type="application/octet-stream")
        self._size = upload.size
        self.upload = upload
        self._connection: Connection | None = None
        # Saved here, because the watchdog runs in a context of its own.
        self._caller = user_code.current_caller.get()
        # aiohttp's writer task, once it has started.
        self.task: asyncio.Task[Any] | None = None
        self.written: int = 0
        self.failure: BaseException | None = None
        # Whether the writer waits for the next chunk of the source.
        self.reading: bool = False
        # Whether the writer waits for the progress callback.
        self.reporting: bool = False
        # Whether the writer waits for the network.
        self.sending: bool = False
        # Whether the response headers arrived.
        self.response_started = False
        # Whether the watchdog ended the request.
        self.stalled: bool = False
        # Whether the watchdog ended the request because the caller's thread, which has to read the source,
        # was busy.
        self.interrupted: bool = False

    @property
    def consumed(self) -> bool:
        """Whether aiohttp has started to send the body."""
        return self.task is not None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> NoReturn:
        """Raise `TypeError`: the content of a file is not text."""
        raise TypeError("a picture is not text")

    def __deepcopy__(self, memo: object) -> bytes:
        """Return a placeholder for vcrpy and aioresponses, which copy the arguments of a request."""
        return f"<{self._size} bytes of an upload>".encode()

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the body. aiohttp calls this method or `write_with_length`."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send the body. Its size is known, so `content_length` is not needed."""
        if self.task is not None:
            raise RuntimeError("an upload body can be sent only once")
        self.task = asyncio.current_task()
        self._connection = Connection.of(writer)
        # aiohttp runs this method in a task of its own, so the value needs no reset.
        user_code.inside_user_code.set(True)
        try:
            await self._write_all(writer)
        except BaseException as error:
            # The source or a callback failed, and its error is reported. A CancelledError counts as such an
            # error only if no other code cancelled this task.
            if not self.sending and not cancellation.is_own_cancellation(error):
                self.failure = error
                # aiohttp would treat a CancelledError as a cancellation of its own task.
                if isinstance(error, asyncio.CancelledError):
                    raise RuntimeError("the source was cancelled") from error
            raise
        finally:
            await self.upload.chunks.aclose()

    async def _write_all(self, writer: AbstractStreamWriter) -> None:
        chunks, on_progress = self.upload.chunks, self.upload.on_progress
        last_yield = 0
        while True:
            if self.written - last_yield >= _YIELD_INTERVAL:
                last_yield = self.written
                # A fast source with a fast network never suspends, so yield to other tasks.
                await asyncio.sleep(0)
            self.reading = True
            try:
                chunk = await anext(chunks, None)
            finally:
                self.reading = False
            if chunk is None:
                return
            self.sending = True
            if self._connection is not None and self._connection.is_closing:
                raise aiohttp.ClientConnectionResetError("the connection is closed")
            await writer.write(chunk)
            self.sending = False
            self.written += len(chunk)
            if on_progress is not None:
                self.reporting = True
                await on_progress(self.bytes_flushed)
                self.reporting = False

    def abort_connection(self) -> None:
        """Abort the connection, unless the whole body was sent and the response has started.

        aiohttp closes the connection, but closing waits until the peer has read all buffered bytes, which may
        never happen.
        """
        if self._connection is not None and not (self.response_started and self.written == self._size):
            self._connection.abort()

    def on_stall(self) -> None:
        """Abort the connection, so that the task that waits for the response gets an error at once."""
        self.stalled, self.interrupted = True, self.caller_is_busy
        if self._connection is not None:
            self._connection.abort()
        elif self.request is not None and (response := getattr(self.request, "response", None)) is not None:
            # The writer has not started, so the connection is not known.
            response.close()

    @property
    def bytes_flushed(self) -> int:
        """The number of bytes passed to the kernel."""
        return (
            self.written if self._connection is None else max(0, self.written - self._connection.buffered())
        )

    @property
    def caller_is_busy(self) -> bool:
        """Whether the upload waits for the caller's thread, while that thread runs other code."""
        return self._caller is not None and (self.reading or self.reporting) and not self._caller.is_waiting

    def progress(self) -> tuple[int, int, int] | None:
        """Return the progress of the transfer.

        Any change counts, and None means that the stall timeout does not run.
        """
        connection = self._connection
        if self.upload.waits_for_caller and self.caller_is_busy:
            return None
        if self.task is None:
            # The writer may never start: before Python 3.12 other code can cancel its task before the first
            # step.
            return None if self.request is None or not was_sent(self.request) else (0, 0, 0)
        if connection is None:
            return self.written, 0, 0
        return self.written, connection.buffered(), connection.unacknowledged()
