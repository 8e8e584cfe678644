"""The one door of every host: the log, the planned faults, the date and the sending live here and nowhere else."""

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

SMALL_BUFFER = 16 * 1024  # bytes that a slow connection may hold unread

__all__ = ["Connections", "Handler", "HostServer"]


class Handler(Protocol):
    """Answers for one host. What it raises, planned faults and CORS are the door's business."""

    def __call__(
        self, request: Request, body: Body, send_continue: Callable[[], None], /
    ) -> Awaitable[Response]:
        """Return the response, or raise `HTTPError`."""
        ...

    def cors_rule(self, request: Request, /) -> CorsRule | None:
        """Return what pages of other origins may do with this resource; None: nothing."""
        ...


_NONE = Fault()
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _ResetError(Exception):
    """A fault wants the connection reset here."""


@runtime_checkable
class SupportsReadLimits(Protocol):
    """A transport that buffers what it reads: one of TLS."""

    def set_read_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Stop reading from the connection above `high` bytes."""


class Connections:
    """Numbers TCP connections, 1, 2, ... over all hosts, so that a test sees which web_request reused which."""

    def __init__(self) -> None:
        self._numbers: WeakKeyDictionary[asyncio.BaseTransport, int] = WeakKeyDictionary()
        self._last = 0

    def number(self, transport: asyncio.BaseTransport | None) -> int:
        """The number of a connection; 0 when it is gone already."""
        if transport is None:
            return 0
        if transport not in self._numbers:
            self._last += 1
            self._numbers[transport] = self._last
        return self._numbers[transport]

    def shrink_buffers(self) -> None:
        """Let open connections hold little unread, too: a kept one would take megabytes before a slow reader shows."""
        for transport in list(self._numbers):
            if not transport.is_closing():
                _set_socket_option(transport, socket.SO_RCVBUF, SMALL_BUFFER)


class HostServer:
    """Receives the requests of one host for its `handler`. Lives in the emulator's loop; `stop` ends what runs."""

    def __init__(
        self,
        host: HostName,
        handler: Handler,
        *,
        log: RequestLog,
        faults: Faults,
        clock: Clock,
        numbers: Connections,
        transports: TcpTransports,
        unlogged: frozenset[str] = frozenset(),
    ) -> None:
        self._host: HostName = host
        self._handler = handler
        self._log = log
        self._faults = faults
        self._clock = clock
        self._numbers = numbers
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
        """Cancel what still runs (stalled answers above all) and wait until it has ended."""
        running = [task for task in self._tasks if not task.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _serve(self, web_request: web.BaseRequest) -> web.StreamResponse:
        request, body = self._request(web_request), Body(web_request.content)
        # Scripts that wait for the emulator ask every rfc3339: a test's log and faults are for others.
        if request.raw_path in self._unlogged:
            return await self._send(web_request, await self._handle(request, body, lambda: None), _NONE)
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
                answer_length=0 if response is None or request.method == "HEAD" else len(response.body),
            )
        if response is None:
            return web.Response()  # the connection is gone; aiohttp wants an object all the same
        return await self._send(web_request, response, fault or _NONE)

    def _request(self, web_request: web.BaseRequest) -> Request:
        return Request(
            host=self._host,
            method=web_request.method,
            target=web_request.raw_path,
            headers=tuple(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in web_request.raw_headers
            ),
            connection=self._numbers.number(
                web_request.transport and self._transports.below(web_request.transport)
            ),
        )

    async def _respond(
        self, web_request: web.BaseRequest, request: Request, body: Body, fault: Fault | None
    ) -> Response:
        def send_continue() -> None:
            # Only the handler knows when the request is good; a refused upload never sends its body.
            if (
                request.header("expect") or ""
            ).lower() == "100-continue" and web_request.transport is not None:
                web_request.transport.write(_CONTINUE)

        if fault is None:
            return await self._handle(request, body, send_continue)
        await self._play_before(web_request, body, fault)
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
            return (
                await self._handler(request, body, send_continue)
                if rule is None
                else preflight_response(request, rule)
            )
        except HTTPError as error:
            return error.response
        except ClientDisconnectedError:
            raise
        except Exception:  # noqa: BLE001  a mistake in the emulator has to reach the test that met it
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
        hangs_up = fault.early and _says_close(response)
        if fault.cut is None and fault.slow is None and not hangs_up:
            web_response = web.Response(status=response.status, body=response.body)
            _replace(web_response, headers)
            return web_response
        partial = web.StreamResponse(status=response.status)
        _replace(partial, headers)
        partial.content_length = len(response.body)
        await partial.prepare(web_request)
        await _trickle(partial, response.body[: fault.cut], fault.slow)
        if fault.cut is not None:
            partial.force_close()
            await _pause(fault.stall or 0)
            await self._end(web_request, polite=fault.close_notify)
        elif hangs_up:
            await partial.write_eof()
            _hang_up(web_request)
        return partial

    async def _play_before(self, web_request: web.BaseRequest, body: Body, fault: Fault) -> None:
        """What happens before the real work; raises `_ResetError` where it ends there."""
        if fault.reset == "before":
            raise _ResetError
        if fault.stall is not None or fault.slow is not None:
            self._shrink_buffer(web_request)
        if fault.stall is not None and fault.cut is None:
            await _pause(fault.stall)
        body.pace = fault.slow
        if isinstance(fault.reset, int):
            await body.skip(fault.reset)
            raise _ResetError

    def _shrink_buffer(self, web_request: web.BaseRequest) -> None:
        # The kernel would take megabytes of a small upload at once, and TLS some more; the client would see no stall at all.
        transport = web_request.transport
        if transport is None:
            return
        _set_socket_option(transport, socket.SO_RCVBUF, SMALL_BUFFER)
        if isinstance(transport, SupportsReadLimits):
            transport.set_read_buffer_limits(high=SMALL_BUFFER)

    def _reset(self, web_request: web.BaseRequest) -> None:
        """Close so that the other side sees ECONNRESET: linger for zero seconds, then drop the TCP connection."""
        if web_request.transport is not None:
            tcp = self._transports.below(web_request.transport)
            _set_socket_option(tcp, socket.SO_LINGER, struct.pack("ii", 1, 0))
            tcp.abort()

    async def _end(self, web_request: web.BaseRequest, *, polite: bool) -> None:
        """Close once what was written has left; over TLS with close_notify, or without when not `polite`."""
        upper = web_request.transport
        if upper is None:
            return
        if polite:
            upper.close()
            return
        tcp = self._transports.below(upper)
        # No event tells that a buffer is empty.
        while not tcp.is_closing() and upper.get_write_buffer_size() + tcp.get_write_buffer_size():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        tcp.abort()


async def _trickle(web_response: web.StreamResponse, data: bytes, pace: float | None) -> None:
    """Send at `pace` bytes per second, None = at once."""
    size = max(1, len(data)) if pace is None else max(1, int(pace / 10))
    for at in range(0, len(data), size):
        await web_response.write(data[at : at + size])
        await asyncio.sleep(0 if pace is None else size / pace)


async def _pause(seconds: float) -> None:
    if math.isinf(seconds):
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(seconds)


def _says_close(response: Response) -> bool:
    return any(name.lower() == "connection" and value.lower() == "close" for name, value in response.headers)


def _hang_up(web_request: web.BaseRequest) -> None:
    """Say that nothing more will be sent: FIN, or close_notify. What comes in is still read and dropped for a while."""
    transport = web_request.transport
    if transport is None:
        return
    if transport.can_write_eof():
        transport.write_eof()
    else:
        transport.close()


def _replace(web_response: web.StreamResponse, headers: list[tuple[str, str]]) -> None:
    """Exactly these headers; repeated names stay repeated."""
    for name, _ in headers:
        web_response.headers.popall(name, None)
    for name, value in headers:
        web_response.headers.add(name, value)


def _set_socket_option(transport: asyncio.BaseTransport, option: int, value: int | bytes) -> None:
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, option, value)
