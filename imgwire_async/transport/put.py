"""Bytes to the storage: one attempt at one signed URL. Whole, or an error; never short with a success."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from imgwire_async import cancellation
from imgwire_async.errors import CLIENT_CLOSED
from imgwire_async.exchange import Exchange, Headers
from imgwire_async.protocol.decompression import ERROR_BODY_LIMIT, decompressed_prefix
from imgwire_async.protocol.intermediaries import WEB_PAGE_ADVICE_FOR_FILES, web_page_title
from imgwire_async.protocol.request import APIResponse, NoResponseError, PutRequest
from imgwire_async.retry import Failure, is_success
from imgwire_async.transport import deadline, response_body
from imgwire_async.transport.connection import Unread
from imgwire_async.transport.context import Context
from imgwire_async.transport.errors import AIOHTTP_ERRORS, scrub_traceback, translate
from imgwire_async.transport.loop_sessions import LoopSessions
from imgwire_async.transport.request_url import Address
from imgwire_async.transport.upload_body import UploadBody

_PATCHED = (
    "aiohttp is patched in this process (by aioresponses, vcrpy or another mock), and what answered in its place asked for no byte of "
    "the file. In tests upload to imgwire_async.emulator.Emulator, without the mock"
)


async def send_put(context: Context, put: PutRequest) -> APIResponse:
    """Return the storage's response, whatever its status. `NoResponseError` when there was none; what the source raised as it is."""
    body = UploadBody(put)
    started_at = time.monotonic()
    address = Address.of(put.url)
    path = address.shown
    events = context.instrumentation.for_call("storage", "PUT", path)

    def exchange(status: int | None, headers: Headers) -> Exchange:
        elapsed = time.monotonic() - started_at
        return Exchange("storage", "PUT", path, status, headers, put.attempt, elapsed)

    try:
        sessions = await context.shared.sessions.get()
        if events is not None:
            await events.request(put.attempt)
        status, headers, content = await _send(context, sessions, address, body)
    except NoResponseError as error:
        error.exchange = exchange(None, Headers())
        if events is not None:
            events.no_response(put.attempt, error.failure.reason, error.exchange.elapsed)
        context.record_exchange(error.exchange)
        raise
    except asyncio.CancelledError:
        deadline.interrupted(exchange(None, Headers()))
        raise
    finally:
        await _finish(body)
    finished = exchange(status, headers)
    if events is not None:
        await events.response(put.attempt, status, headers, finished.elapsed)
    context.record_exchange(finished)
    return APIResponse(status, headers, content, finished)


async def _send(
    context: Context, sessions: LoopSessions, address: Address, body: UploadBody
) -> tuple[int, Headers, bytes]:
    """Return status, headers and the beginning of the body of a response that counts; else raise what went wrong."""
    if sessions.idle_check.is_due():
        await sessions.idle_check.run()
    watchdog = sessions.open_calls.stall_watchdog(context.options.timeout.stall)
    try:
        if watchdog is not None:
            watchdog.add(body)
        status, headers, content = await _round_trip(context, sessions, address, body)
    except (*AIOHTTP_ERRORS, NoResponseError) as error:
        scrub_traceback(error)
        if body.failure is not None:
            scrub_traceback(body.failure)
            raise body.failure from None
        if context.shared.closed:
            raise RuntimeError(CLIENT_CLOSED) from None
        if body.stalled:
            raise _stalled(context, body, address.host) from None
        if isinstance(error, NoResponseError):
            raise
        raise translate(error, sessions.route_to(address)) from error
    except BaseException as error:
        scrub_traceback(error)
        raise
    finally:
        if watchdog is not None:
            watchdog.remove(body)
    _check_complete(context, status, body, address.host)
    if content and is_success(status):
        _refuse_page(headers, content, address.host)
    return status, headers, content


async def _round_trip(
    context: Context, sessions: LoopSessions, address: Address, body: UploadBody
) -> tuple[int, Headers, bytes]:
    """Return status, headers and the beginning of the body of what the storage answers."""
    # A refusal is wanted as it is: it is read for what it says.
    declared = {"Content-Length": str(body.put.size), "Accept-Encoding": "identity"}
    if body.put.mime_type is not None:
        declared["Content-Type"] = body.put.mime_type
    unread: Unread | None = None
    response: aiohttp.ClientResponse | None = None
    try:
        async with sessions.files.put(
            address.url,
            data=body,
            headers=declared,
            timeout=context.transfer_timeout,
            allow_redirects=False,
            **sessions.options_for(address),
        ) as response:
            if not response.content.is_eof():
                # Whoever closes the client must find those who wait.
                sessions.open_calls.responses.add(response)
                unread = Unread(response)
            body.answered = True
            status, headers = response.status, Headers.view(response.headers.items())
            content = await response_body.read_prefix(response.content, ERROR_BODY_LIMIT)
    finally:
        response = body.request = None  # their repr holds the signed URL: keep it out of tracebacks
        if unread is not None:
            unread.drop()
    return (
        status,
        headers,
        decompressed_prefix(content, headers.get("Content-Encoding", ""), ERROR_BODY_LIMIT),
    )


def _check_complete(context: Context, status: int, body: UploadBody, host: str) -> None:
    """Raise what counts more than the response that came."""
    if body.failure is not None:  # the source's own error takes precedence
        raise body.failure
    if context.shared.closed and body.stalled:
        raise RuntimeError(CLIENT_CLOSED)
    if body.stalled:  # the clock hung up on an answer without a length: it looks complete and is not
        raise _stalled(context, body, host)
    if not is_success(status):
        return
    if body.put.size and not body.consumed:  # no server answers before the body is begun
        raise RuntimeError(f"nothing was uploaded to {host}: {_PATCHED}")
    if body.written != body.put.size:
        reason = f"{host} said that all is well after {body.written} of {body.put.size} bytes"
        raise NoResponseError(Failure(reason, kind="connection_lost"))


def _stalled(context: Context, body: UploadBody, host: str) -> NoResponseError:
    limit = f"{context.options.timeout.stall:g} s"
    if body.interrupted:
        reason = (
            f"the caller did not read on for {limit} (after {body.written}), so others got the connection"
        )
        return NoResponseError(Failure(reason, kind="caller_busy"))
    if body.reading:
        reason = f"the source gave no byte for {limit} (after {body.written})"
    elif body.written < body.put.size:
        reason = f"{host} took no byte for {limit} (after {body.bytes_flushed} of {body.put.size})"
    else:
        reason = f"{host} gave no answer for {limit} after the last byte"
    return NoResponseError(Failure(reason, kind="stalled"))


def _refuse_page(headers: Headers, content: bytes, host: str) -> None:
    """Raise `NoResponseError` for a web page in place of the storage's success, which is empty or XML: who sent it has stored nothing."""
    page = web_page_title(headers, content)
    if page is not None:
        reason = f"a web page came in place of the answer of {host} ({page})"
        raise NoResponseError(Failure(reason, kind="connection_lost", advice=WEB_PAGE_ADVICE_FOR_FILES))


async def _finish(body: UploadBody) -> None:
    """Leave no writer running and no source open, whatever happened to the request."""
    task = body.task
    try:
        if task is None:
            await body.put.chunks.aclose()
        elif not task.done():
            task.cancel()
            await cancellation.wait_all([task])
    finally:
        body.abort_connection()
