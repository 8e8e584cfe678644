"""Make one attempt to send the bytes of a file to a presigned URL.

A response with a success status counts as a success only if all bytes were sent.
"""

from __future__ import annotations

import asyncio
import time

import aiohttp

from imgwire_async import cancellation
from imgwire_async.exchange import Exchange, Headers
from imgwire_async.messages import CLIENT_CLOSED
from imgwire_async.protocol.decompression import ERROR_BODY_LIMIT, decompressed_prefix
from imgwire_async.protocol.intermediaries import WEB_PAGE_ADVICE_FOR_FILES, web_page_title
from imgwire_async.protocol.request import APIResponse, NoResponseError, PutRequest
from imgwire_async.retry import Failure, is_success
from imgwire_async.transport import deadline
from imgwire_async.transport.connection import UnreadResponse
from imgwire_async.transport.context import Context
from imgwire_async.transport.errors import AIOHTTP_ERRORS, scrub_traceback, translate
from imgwire_async.transport.loop_sessions import LoopSessions
from imgwire_async.transport.request_url import RequestURL
from imgwire_async.transport.response_body import read_prefix
from imgwire_async.transport.upload_body import UploadBody

_MOCK_ADVICE = (
    "aiohttp is patched in this process (by aioresponses, vcrpy or another mock), and the mock read no byte of the file. "
    "In tests, upload to imgwire_async.emulator.Emulator instead"
)


async def send_put(context: Context, request: PutRequest) -> APIResponse:
    """Send the bytes once, and return the storage's response, even if it reports an error.

    `context` holds the sessions, the options and the hooks of the client. Raises `NoResponseError` if the
    storage sent no usable response. An exception of the source is raised unchanged.
    """
    body = UploadBody(request)
    started_at = time.monotonic()
    url = RequestURL.parse(request.url)
    path = url.without_query
    events = context.instrumentation.for_call("storage", "PUT", path)

    def exchange(status: int | None, headers: Headers) -> Exchange:
        elapsed = time.monotonic() - started_at
        return Exchange("storage", "PUT", path, status, headers, request.attempt, elapsed)

    try:
        sessions = await context.shared.sessions.get()
        if events is not None:
            await events.report_request(request.attempt)
        status, headers, content = await _send(context, sessions, url, body)
    except NoResponseError as error:
        error.exchange = exchange(None, Headers())
        if events is not None:
            events.report_no_response(request.attempt, error.failure.reason, error.exchange.elapsed)
        context.record_exchange(error.exchange)
        raise
    except asyncio.CancelledError:
        deadline.note_interrupted(exchange(None, Headers()))
        raise
    finally:
        await _clean_up(body)
    finished = exchange(status, headers)
    if events is not None:
        await events.report_response(request.attempt, status, headers, finished.elapsed)
    context.record_exchange(finished)
    return APIResponse(status, headers, content, finished)


async def _send(
    context: Context, sessions: LoopSessions, url: RequestURL, body: UploadBody
) -> tuple[int, Headers, bytes]:
    """Send the bytes, check the response, and return its status, headers and the beginning of its body.

    Raises an error if the source failed, the upload stalled, a success status came before all bytes were
    sent, or a web page came in place of the storage's response.
    """
    if sessions.idle_check.is_due():
        await sessions.idle_check.run()
    watchdog = sessions.open_calls.stall_watchdog(context.options.timeout.stall)
    try:
        if watchdog is not None:
            watchdog.add(body)
        status, headers, content = await _round_trip(context, sessions, url, body)
    except (*AIOHTTP_ERRORS, NoResponseError) as error:
        scrub_traceback(error)
        if body.source_error is not None:
            scrub_traceback(body.source_error)
            raise body.source_error from None
        if context.shared.closed:
            raise RuntimeError(CLIENT_CLOSED) from None
        if body.stalled:
            raise _stall_error(context, body, url.host) from None
        if isinstance(error, NoResponseError):
            raise
        raise translate(error, sessions.route_to(url)) from error
    except BaseException as error:
        scrub_traceback(error)
        raise
    finally:
        if watchdog is not None:
            watchdog.remove(body)
    _check_complete(context, status, body, url.host)
    if content and is_success(status):
        _reject_web_page(headers, content, url.host)
    return status, headers, content


async def _round_trip(
    context: Context, sessions: LoopSessions, url: RequestURL, body: UploadBody
) -> tuple[int, Headers, bytes]:
    """Send the bytes, and return the response as its status, its headers and the beginning of its body."""
    # Only the beginning of the response is read, so compression would have no use.
    headers = {"Content-Length": str(body.put.size), "Accept-Encoding": "identity"}
    if body.put.mime_type is not None:
        headers["Content-Type"] = body.put.mime_type
    unread: UnreadResponse | None = None
    response: aiohttp.ClientResponse | None = None
    try:
        async with sessions.uploads.put(
            url.url,
            data=body,
            headers=headers,
            timeout=context.transfer_timeout,
            allow_redirects=False,
            **sessions.options_for(url),
        ) as response:
            if not response.content.is_eof():
                # When the client is closed, it closes the responses in this set. Closing only the session
                # would not wake up a task that reads a body.
                sessions.open_calls.responses.add(response)
                unread = UnreadResponse(response)
            body.response_started = True
            status, response_headers = response.status, Headers.view(response.headers.items())
            content = await read_prefix(response.content, ERROR_BODY_LIMIT)
    finally:
        # Error trackers store local variables, and the reprs of these objects show the presigned URL.
        response = body.request = None
        if unread is not None:
            unread.abort()
    # The server may compress the body, although the request does not allow it.
    coding = response_headers.get("Content-Encoding", "")
    return status, response_headers, decompressed_prefix(content, coding, ERROR_BODY_LIMIT)


def _check_complete(context: Context, status: int, body: UploadBody, host: str) -> None:
    """Raise an error if the source failed, the upload stalled, or a success came before the last byte."""
    # Raise an error of the source first, because it may have caused the other errors below.
    if body.source_error is not None:
        raise body.source_error
    # Closing the client calls `on_stall`, too. So after the closing `stalled` is true, although nothing
    # stalled.
    if context.shared.closed and body.stalled:
        raise RuntimeError(CLIENT_CLOSED)
    # The watchdog has closed the connection of a stalled upload. So a response that declares no length looks
    # complete, although it may not be.
    if body.stalled:
        raise _stall_error(context, body, host)
    if not is_success(status):
        return
    # aiohttp always starts to send the body before it receives a response, but a mock of aiohttp does not.
    if body.put.size and not body.consumed:
        raise RuntimeError(f"nothing was uploaded to {host}: {_MOCK_ADVICE}")
    if body.bytes_written != body.put.size:
        reason = f"{host} reported success after {body.bytes_written} of {body.put.size} bytes"
        raise NoResponseError(Failure(reason, kind="connection_lost"))


def _stall_error(context: Context, body: UploadBody, host: str) -> NoResponseError:
    limit = f"{context.options.timeout.stall:g} s"
    if body.stalled_by_caller:
        reason = f"the caller's thread read no byte for {limit} (after {body.bytes_written}), so the connection was released for other uploads"
        return NoResponseError(Failure(reason, kind="caller_busy"))
    if body.waits_for_source:
        reason = f"the source yielded no byte for {limit} (after {body.bytes_written})"
    elif body.bytes_written < body.put.size:
        reason = f"{host} accepted no byte for {limit} (after {body.bytes_flushed} of {body.put.size})"
    else:
        reason = f"{host} sent no response for {limit} after the last byte"
    return NoResponseError(Failure(reason, kind="stalled"))


def _reject_web_page(headers: Headers, content: bytes, host: str) -> None:
    """Raise `NoResponseError` if a successful response is a web page.

    The storage sends an empty body or XML. A web page comes from a proxy or a login page of the network, so
    nothing was stored.
    """
    page = web_page_title(headers, content)
    if page is not None:
        reason = f"a web page came in place of the response of {host} ({page})"
        raise NoResponseError(Failure(reason, kind="connection_lost", advice=WEB_PAGE_ADVICE_FOR_FILES))


async def _clean_up(body: UploadBody) -> None:
    """Stop aiohttp's writer task, close the source, and abort the connection of an unfinished upload."""
    task = body.task
    try:
        if task is None:
            await body.put.chunks.aclose()
        elif not task.done():
            task.cancel()
            await cancellation.wait_all([task])
    finally:
        body.abort_connection()
