"""The request body of a PUT, which sends the bytes of a source once and counts them."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from imgwire_async import cancellation, user_code
from imgwire_async.protocol.request import PutRequest
from imgwire_async.transport.connection import Connection
from imgwire_async.transport.middleware import RequestBody, was_sent

# After how many bytes the body lets the event loop run other tasks.
_YIELD_INTERVAL = 512 * 1024


class UploadBody(RequestBody):
    """The body of one attempt.

    It sends `put.chunks` once, counts the bytes, and stores the first error of the source. aiohttp must not
    send the body a second time, because the source can be read only once. A retry of the upload starts the
    source again, and uses a new `UploadBody`.
    """

    # True means that aiohttp does not have to close this payload. `write_with_length` closes the source.
    _autoclose = True

    def __init__(self, put: PutRequest) -> None:
        super().__init__(None, content_type="application/octet-stream")
        self._size = put.size
        self.put = put
        self._connection: Connection | None = None
        # The caller of the blocking client, or None. It is stored here, because the stall watchdog needs it,
        # too, but runs in another `contextvars` context.
        self._caller = user_code.current_caller.get()
        # aiohttp's task that sends the body (the writer), or None before it has started.
        self.task: asyncio.Task[Any] | None = None
        self.bytes_written: int = 0
        self.source_error: BaseException | None = None
        # Whether the writer waits for the next chunk of the source.
        self.waits_for_source: bool = False
        # Whether the writer waits for the progress callback.
        self.waits_for_callback: bool = False
        # Whether the writer waits for the network.
        self.waits_for_network: bool = False
        # Whether the response headers arrived.
        self.response_started = False
        # Whether `on_stall` ended the request.
        self.stalled: bool = False
        # Whether `on_stall` ended the request while the caller's thread, which has to read the source, was
        # busy.
        self.stalled_by_caller: bool = False

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
        # aiohttp runs this method in a separate task, which ends with this method. So this context variable
        # needs no reset.
        user_code.inside_user_code.set(True)
        try:
            await self._write_all(writer)
        except BaseException as error:
            # Store an error of the source or of the callback. A CancelledError is such an error only if no
            # code cancelled this task.
            if not self.waits_for_network and not cancellation.is_own_cancellation(error):
                self.source_error = error
                # Raise another exception, because aiohttp would treat a CancelledError as a cancellation of
                # its own task.
                if isinstance(error, asyncio.CancelledError):
                    raise RuntimeError("the source was cancelled") from error
            raise
        finally:
            await self.put.chunks.aclose()

    async def _write_all(self, writer: AbstractStreamWriter) -> None:
        chunks, on_progress = self.put.chunks, self.put.on_progress
        last_yield = 0
        while True:
            if self.bytes_written - last_yield >= _YIELD_INTERVAL:
                last_yield = self.bytes_written
                # With a fast source and a fast network this loop never suspends, so let other tasks run.
                await asyncio.sleep(0)
            self.waits_for_source = True
            try:
                chunk = await anext(chunks, None)
            finally:
                self.waits_for_source = False
            if chunk is None:
                return
            self.waits_for_network = True
            if self._connection is not None and self._connection.is_closing:
                raise aiohttp.ClientConnectionResetError("the connection is closed")
            await writer.write(chunk)
            self.waits_for_network = False
            self.bytes_written += len(chunk)
            if on_progress is not None:
                self.waits_for_callback = True
                await on_progress(self.bytes_flushed)
                self.waits_for_callback = False

    def abort_connection(self) -> None:
        """Abort the connection, unless the whole body was sent and the response has started.

        aiohttp would close the connection, too, but only after the peer has read all buffered bytes, which
        may never happen.
        """
        if self._connection is not None and not (self.response_started and self.bytes_written == self._size):
            self._connection.abort()

    def on_stall(self) -> None:
        """Abort the connection, so that the task that waits for the response gets an error at once."""
        self.stalled, self.stalled_by_caller = True, self.caller_is_busy
        if self._connection is not None:
            self._connection.abort()
        elif self.request is not None and (response := getattr(self.request, "response", None)) is not None:
            # The writer has not started, so only the response knows the connection.
            response.close()

    @property
    def bytes_flushed(self) -> int:
        """The number of bytes passed to the kernel."""
        return (
            self.bytes_written
            if self._connection is None
            else max(0, self.bytes_written - self._connection.buffered())
        )

    @property
    def caller_is_busy(self) -> bool:
        """Whether the upload waits for the caller's thread, while that thread runs other code."""
        return (
            self._caller is not None
            and (self.waits_for_source or self.waits_for_callback)
            and not self._caller.is_waiting
        )

    def progress(self) -> tuple[int, int, int] | None:
        """Return a value that changes with every progress, or None while the stall timeout must not run."""
        connection = self._connection
        if self.put.waits_for_caller and self.caller_is_busy:
            return None
        if self.task is None:
            # The stall timeout already runs while the writer has not started, because the writer may never
            # start. In Python 3.11, other code can cancel the writer's task before its first step.
            return None if self.request is None or not was_sent(self.request) else (0, 0, 0)
        if connection is None:
            return self.bytes_written, 0, 0
        return self.bytes_written, connection.buffered(), connection.unacknowledged()
