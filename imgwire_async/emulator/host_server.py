"""Serve the requests of one host: API, storage or CDN.

For every request, `HostServer` writes the log, applies the planned faults, calls the handler of the host,
adds the header `Date` and the CORS headers, and sends the response.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import traceback
from collections.abc import Awaitable, Callable
from email.utils import format_datetime
from typing import Protocol, runtime_checkable
from weakref import WeakKeyDictionary

from aiohttp import web

from imgwire_async.emulator.clock import Clock
from imgwire_async.emulator.cors import CorsRule, is_preflight, preflight_response, with_cors
from imgwire_async.emulator.faults import Fault, Faults
from imgwire_async.emulator.http import Body, ClientDisconnectedError, HostName, HTTPError, Request, Response
from imgwire_async.emulator.log import RequestLog, RequestRecord
from imgwire_async.emulator.tls import TcpTransports

__all__ = ["SMALL_BUFFER", "Connections", "Handler", "HostServer"]

# The size in bytes of the receive buffers of a connection on which the emulator reads slowly or waits.
SMALL_BUFFER = 16 * 1024


class Handler(Protocol):
    """The handler of one host: it returns the response to each request.

    `HostServer` does the rest: it converts exceptions, applies planned faults and adds CORS headers.
    """

    def __call__(
        self, request: Request, body: Body, send_continue: Callable[[], None], /
    ) -> Awaitable[Response]:
        """Return the response to a request, or raise `HTTPError`.

        A handler that accepts the request after checking its headers calls `send_continue`, and only then
        reads the body. `send_continue` sends `100 Continue` if the client waits for it.
        """
        ...

    def cors_rule(self, request: Request, /) -> CorsRule | None:
        """Return the CORS rule for a request, or None if pages of other origins must not send the request."""
        ...


_NO_FAULT = Fault()
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _ResetError(Exception):
    """Raised at the point of a request at which a fault resets the connection."""


@runtime_checkable
class SupportsReadLimits(Protocol):
    """A transport with a read buffer, such as a TLS transport."""

    def set_read_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the limits in bytes: reading stops above `high`, and continues below `low`."""


class Connections:
    """Number the TCP connections of all hosts, starting with 1.

    The numbers show a test which requests shared a connection.
    """

    def __init__(self) -> None:
        self._numbers: WeakKeyDictionary[asyncio.BaseTransport, int] = WeakKeyDictionary()
        self._last = 0

    def number(self, transport: asyncio.BaseTransport | None) -> int:
        """Return the number of a connection, or 0 for a connection that is closed."""
        if transport is None:
            return 0
        if transport not in self._numbers:
            self._last += 1
            self._numbers[transport] = self._last
        return self._numbers[transport]

    def shrink_buffers(self) -> None:
        """Shrink the receive buffer of each open connection.

        With a large buffer the kernel would receive megabytes before the client notices that the emulator
        reads slowly.
        """
        for transport in list(self._numbers):
            if not transport.is_closing():
                _set_socket_option(transport, socket.SO_RCVBUF, SMALL_BUFFER)


class HostServer:
    """Serve the requests of one host with its `handler`, in the emulator's event loop.

    aiohttp calls the object with each request. Requests for a path in `unlogged` skip the log and the faults.
    """

    def __init__(
        self,
        host: HostName,
        handler: Handler,
        *,
        log: RequestLog,
        faults: Faults,
        clock: Clock,
        connections: Connections,
        transports: TcpTransports,
        unlogged: frozenset[str] = frozenset(),
    ) -> None:
        self._host: HostName = host
        self._handler = handler
        self._log = log
        self._faults = faults
        self._clock = clock
        self._connections = connections
        self._transports = transports
        self._unlogged = unlogged
        self._tasks: set[asyncio.Task[object]] = set()

    async def __call__(self, web_request: web.BaseRequest) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await self._serve(web_request)
        finally:
            self._tasks.discard(task)

    async def stop(self) -> None:
        """Cancel all running requests, such as stalled ones, and wait until they have ended."""
        running = [task for task in self._tasks if not task.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _serve(self, web_request: web.BaseRequest) -> web.StreamResponse:
        request, body = self._request(web_request), Body(web_request.content)
        # A script that waits for the start of the emulator sends such requests until the emulator responds.
        # These requests must not fill the log, and must not get a fault that was planned for another request.
        if request.raw_path in self._unlogged:
            return await self._send(web_request, await self._handle(request, body, lambda: None), _NO_FAULT)
        entry = self._log.add(
            RequestRecord(
                host=request.host,
                method=request.method,
                target=request.target,
                headers=list(request.headers),
                connection=request.connection,
                at=self._clock.now(),
            )
        )
        fault = self._faults.next_fault(request)
        response: Response | None = None
        try:
            response = await self._respond(web_request, request, body, fault)
            response = with_cors(response, request, self._handler.cors_rule(request))
        except (_ResetError, ClientDisconnectedError):
            self._reset(web_request)
        finally:
            entry.close(
                status=None if response is None else response.status,
                body_length=body.length,
                body_sha256=body.sha256,
                response_length=0 if response is None or request.method == "HEAD" else len(response.body),
            )
        if response is None:
            # The connection is closed, but aiohttp requires a response object.
            return web.Response()
        return await self._send(web_request, response, fault or _NO_FAULT)

    def _request(self, web_request: web.BaseRequest) -> Request:
        transport = web_request.transport and self._transports.find(web_request.transport)
        return Request(
            host=self._host,
            method=web_request.method,
            target=web_request.raw_path,
            headers=tuple(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in web_request.raw_headers
            ),
            connection=self._connections.number(transport),
        )

    async def _respond(
        self, web_request: web.BaseRequest, request: Request, body: Body, fault: Fault | None
    ) -> Response:
        def send_continue() -> None:
            # A client that expects `100 Continue` sends its body only after this status line.
            expects = (request.header("expect") or "").lower() == "100-continue"
            if expects and web_request.transport is not None:
                web_request.transport.write(_CONTINUE)

        if fault is None:
            return await self._handle(request, body, send_continue)
        await self._apply_before(web_request, body, fault)
        if fault.response is not None:
            if not fault.early:
                send_continue()
                await body.skip()
            return fault.response
        response = await self._handle(request, body, send_continue)
        if fault.reset == "after_commit":
            raise _ResetError
        return response

    async def _handle(self, request: Request, body: Body, send_continue: Callable[[], None]) -> Response:
        try:
            rule = self._handler.cors_rule(request) if is_preflight(request) else None
            if rule is not None:
                return preflight_response(request, rule)
            return await self._handler(request, body, send_continue)
        except HTTPError as error:
            return error.response
        except ClientDisconnectedError:
            raise
        except Exception:  # noqa: BLE001  the test that triggered a bug of the emulator must see the traceback
            return Response(
                status=500, body=traceback.format_exc().encode(), headers=(("Content-Type", "text/plain"),)
            )

    async def _send(
        self, web_request: web.BaseRequest, response: Response, fault: Fault
    ) -> web.StreamResponse:
        headers = [
            *response.headers,
            ("Date", format_datetime(self._clock.now(), usegmt=True)),
            ("Server", "imgwire-emulator"),
        ]
        close_early = fault.early and _has_connection_close(response)
        if fault.cut is None and fault.slow is None and not close_early:
            web_response = web.Response(status=response.status, body=response.body)
            _replace_headers(web_response, headers)
            return web_response
        stream = web.StreamResponse(status=response.status)
        _replace_headers(stream, headers)
        stream.content_length = len(response.body)
        await stream.prepare(web_request)
        await _write(stream, response.body[: fault.cut], fault.slow)
        if fault.cut is not None:
            stream.force_close()
            await _sleep(fault.stall or 0)
            await self._close(web_request, close_notify=fault.close_notify)
        elif close_early:
            await stream.write_eof()
            _end_sending(web_request)
        return stream

    async def _apply_before(self, web_request: web.BaseRequest, body: Body, fault: Fault) -> None:
        """Apply the effects of a fault that come before the request is handled.

        Raises `_ResetError` if the fault resets the connection.
        """
        if fault.reset == "before":
            raise _ResetError
        if fault.stall is not None or fault.slow is not None:
            self._shrink_buffer(web_request)
        if fault.stall is not None and fault.cut is None:
            await _sleep(fault.stall)
        body.bytes_per_second = fault.slow
        if isinstance(fault.reset, int):
            await body.skip(fault.reset)
            raise _ResetError

    def _shrink_buffer(self, web_request: web.BaseRequest) -> None:
        # With the default sizes, the kernel and TLS would buffer megabytes. A client could send a small
        # upload completely without noticing that the emulator does not read the upload.
        transport = web_request.transport
        if transport is None:
            return
        _set_socket_option(transport, socket.SO_RCVBUF, SMALL_BUFFER)
        if isinstance(transport, SupportsReadLimits):
            transport.set_read_buffer_limits(high=SMALL_BUFFER)

    def _reset(self, web_request: web.BaseRequest) -> None:
        """Reset the TCP connection, so that the client gets ECONNRESET."""
        if web_request.transport is not None:
            tcp = self._transports.find(web_request.transport)
            # A linger time of 0 seconds makes the kernel send RST instead of FIN.
            _set_socket_option(tcp, socket.SO_LINGER, struct.pack("ii", 1, 0))
            tcp.abort()

    async def _close(self, web_request: web.BaseRequest, *, close_notify: bool) -> None:
        """Close the connection after all written bytes were sent.

        If the connection uses TLS, `close_notify` says whether to send a close_notify alert before closing.
        """
        transport = web_request.transport
        if transport is None:
            return
        if close_notify:
            transport.close()
            return
        tcp = self._transports.find(transport)
        # Poll, because asyncio has no event for an empty write buffer.
        while not tcp.is_closing() and transport.get_write_buffer_size() + tcp.get_write_buffer_size():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        tcp.abort()


async def _write(stream: web.StreamResponse, data: bytes, bytes_per_second: float | None) -> None:
    """Write `data` with a maximum speed of `bytes_per_second`. None means no maximum."""
    size = max(1, len(data)) if bytes_per_second is None else max(1, int(bytes_per_second / 10))
    for start in range(0, len(data), size):
        await stream.write(data[start : start + size])
        await asyncio.sleep(0 if bytes_per_second is None else size / bytes_per_second)


async def _sleep(seconds: float) -> None:
    if math.isinf(seconds):
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(seconds)


def _has_connection_close(response: Response) -> bool:
    return any(name.lower() == "connection" and value.lower() == "close" for name, value in response.headers)


def _end_sending(web_request: web.BaseRequest) -> None:
    """Send the end of the stream: FIN over plain TCP, close_notify over TLS.

    aiohttp then still reads the rest of the request body for a while, and discards it.
    """
    transport = web_request.transport
    if transport is None:
        return
    if transport.can_write_eof():
        transport.write_eof()
    else:
        transport.close()


def _replace_headers(stream: web.StreamResponse, headers: list[tuple[str, str]]) -> None:
    """Set the headers of a response. They replace the headers of the same names that aiohttp set.

    A name that is repeated in `headers` is sent repeatedly.
    """
    for name, _ in headers:
        stream.headers.popall(name, None)
    for name, value in headers:
        stream.headers.add(name, value)


def _set_socket_option(transport: asyncio.BaseTransport, option: int, value: int | bytes) -> None:
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, option, value)
